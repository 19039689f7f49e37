//! Where the encoder of a file is: whatever stands before its names, and never a copy where the encoder itself is there.

use densesiam_weights::{Layout, NameMatch, NoMatch, Tensor, match_names};

use crate::resnet::{file, in_sequence, resnet18, resnet50, tensor, under};

fn matching(file: &[Tensor]) -> NameMatch {
    match_names(&resnet18(), file).unwrap()
}

#[track_caller]
fn assert_found(file: &[Tensor], prefix: &str) {
    let matching = matching(file);
    assert_eq!(matching.prefix, prefix);
    assert!(matching.fits(), "{matching}");
    assert_eq!(matching.network, "ResNet-18");
}

#[test]
fn the_prefix_is_found_from_the_names_whatever_it_is() {
    for prefix in [
        "",
        "_orig_mod.",
        "module._orig_mod.",
        "net.",
        "backbone.body.",
        "model.backbone.",
        "state_dict.module.encoder_q.",
        "module.base_encoder.",
        "student.backbone.",
        "encoder_q.0.",
        "classy_state_dict.base_model.model.trunk._feature_blocks.",
        "my.own 'words', and-others.7.",
        "layer1.",
        "a.b.c.d.e.f.g.h.i.j.k2.l.m.n.o.p.q.",
    ] {
        assert_found(&under(prefix, &resnet18(), 1), prefix);
    }
}

#[test]
fn wrappers_of_pytorch_may_stand_within_the_names() {
    let wrapped = |name: &str| {
        let name = name.replace("layer2.1.", "layer2._fsdp_wrapped_module.1._checkpoint_wrapped_module.");
        format!("net.{}", name.replace("layer3.", "layer3._orig_mod."))
    };
    assert_found(&file(&resnet18(), 1, wrapped), "net.");
}

#[test]
fn modules_of_a_sequence_go_by_their_numbers() {
    for prefix in ["", "backbone.", "0.", "module.encoder.0."] {
        let mut file = file(&resnet18(), 1, |name| format!("{prefix}{}", in_sequence(name)));
        file.push(tensor(&format!("{prefix}9.weight"), &[1000, 512], 1));
        assert_found(&file, prefix);
        assert_eq!(matching(&file).layout, Layout::Sequential);
    }
}

#[test]
fn heads_and_other_networks_beside_it_are_left() {
    let mut file = under("net.encoder.", &resnet18(), 1);
    for (name, shape) in [
        ("net.decoder.layer1.0.conv1.weight", vec![9, 9, 3, 3]),
        ("net.decoder.conv1.weight", vec![64, 3, 7, 7]),
        ("net.fc.weight", vec![1000, 512]),
        ("net.encoder.fc.weight", vec![1000, 512]),
        ("net.encoder.layer5.conv2d_list.0.weight", vec![21, 512, 3, 3]),
        ("optimizer.layer1.0.conv1.weight", vec![64, 64, 3, 3]),
        ("conv1.weight", vec![64, 3, 7, 7]),
        ("net.encoder.total_ops", vec![1]),
        ("net.encoder.layer1.0.conv1.total_params", vec![1]),
    ] {
        file.insert(0, tensor(name, &shape, 2));
    }
    assert_found(&file, "net.encoder.");
    let said = matching(&file).to_string();
    assert!(said.contains("under torchvision's names after net.encoder.\nleft in the file: "), "{said}");
}

#[test]
fn copies_are_never_taken_where_the_encoder_is_there() {
    for (copy, original) in [
        ("module.encoder_k.", "module.encoder_q."),
        ("momentum_encoder.", "base_encoder."),
        ("target_network.encoder.", "online_network.encoder."),
        ("teacher.backbone.", "student.backbone."),
        ("model_ema.", "model."),
        ("state_dict_ema.module.", "state_dict.module."),
        ("EMA.model.", "model."),
        ("targetNet.", "onlineNet."),
        ("swa_model.", "model."),
        ("key_encoder.", "query_encoder."),
        ("averaged.", ""),
        ("backbone_momentum.", "projection.backbone."),
    ] {
        let whole = [under(copy, &resnet18(), 1), under(original, &resnet18(), 2)].concat();
        assert_found(&whole, original);
        assert!(!matching(&whole).is_copy);
        // Nor where it lacks a tensor, which must not come from the copy.
        for lost in ["bn1.bias", "layer1.0.conv1.weight", "layer4.1.bn2.running_var"] {
            let mut file = whole.clone();
            file.retain(|tensor| tensor.name != format!("{original}{lost}"));
            let matching = matching(&file);
            assert_eq!((matching.prefix.as_str(), matching.missing), (original, vec![lost.to_owned()]));
        }
    }
}

#[test]
fn words_that_only_look_like_a_copys_are_none() {
    for prefix in ["semantic.", "remapped_model.", "schema.", "kernel.", "monkey."] {
        let file = under(prefix, &resnet18(), 1);
        assert_found(&file, prefix);
        assert!(!matching(&file).is_copy, "{prefix}");
    }
}

#[test]
fn a_copy_that_is_alone_is_taken_and_said_to_be_one() {
    for prefix in ["ema.", "model_ema.module.", "teacher.", "module.encoder_k.", "target_encoder.net."] {
        let file = under(prefix, &resnet18(), 1);
        assert_found(&file, prefix);
        let said = matching(&file).to_string();
        assert!(said.contains("a copy by its name"), "{said}");
    }
}

/// Each name is looked at once, however many prefixes there are.
#[test]
fn many_prefixes_take_no_longer_than_their_names() {
    let names = (0..100_000).map(|number| format!("{number}.layer1.0.conv1.weight"));
    let file: Vec<Tensor> = names.map(|name| tensor(&name, &[64, 64, 3, 3], 1)).collect();
    assert_eq!(matching(&file).matched.len(), 1);
}

#[test]
fn of_two_encoders_the_one_that_fits_is_taken() {
    let both = [under("large.", &resnet50(), 1), under("small.", &resnet18(), 2)].concat();
    assert_found(&both, "small.");
    assert_eq!(match_names(&resnet50(), &both).unwrap().prefix, "large.");
    let mut grey = under("a_depth.", &resnet18(), 1);
    grey[0].shape[1] = 1;
    assert_found(&[grey, under("colour.", &resnet18(), 2)].concat(), "colour.");
}

#[test]
fn of_two_that_differ_and_fit_equally_none_is_taken() {
    let both = [under("left.", &resnet18(), 1), under("right.", &resnet18(), 2)].concat();
    let error = match_names(&resnet18(), &both).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the file holds encoders with different weights that fit equally well, one after left. and one after \
         right.; save the one that you mean alone"
    );
    let copies = [under("ema.", &resnet18(), 1), under("ema_slow.", &resnet18(), 2)].concat();
    assert!(matches!(match_names(&resnet18(), &copies), Err(NoMatch::Ambiguous { .. })));
    // The same encoder under two names, as where a module holds it twice.
    let mut same = [under("net.backbone.", &resnet18(), 1), under("backbone.", &resnet18(), 1)].concat();
    assert_found(&same, "backbone.");
    let last = same.len() - 2;
    same[last].bytes[3] = 9;
    assert!(matches!(match_names(&resnet18(), &same), Err(NoMatch::Ambiguous { .. })));
}
