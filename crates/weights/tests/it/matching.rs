//! Each program's names for the same network, and what is said of them.

use densesiam_weights::{DType, Layout, NameMatch, NoMatch, Tensor, match_names};

/// Two of a ResNet's blocks, as the model names them.
fn model() -> Vec<(String, Vec<i64>)> {
    let convolutions = [
        ("conv1", "bn1", vec![64, 3, 7, 7]),
        ("layer1.0.conv1", "layer1.0.bn1", vec![64, 64, 1, 1]),
        ("layer1.0.downsample.0", "layer1.0.downsample.1", vec![256, 64, 1, 1]),
    ];
    let mut names = Vec::new();
    for (convolution, norm, shape) in convolutions {
        let channels = vec![shape[0]];
        names.push((format!("{convolution}.weight"), shape));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            names.push((format!("{norm}.{part}"), channels.clone()));
        }
        names.push((format!("{norm}.num_batches_tracked"), vec![]));
    }
    names
}

fn tensor(name: &str, shape: &[i64]) -> Tensor {
    Tensor { name: name.to_owned(), dtype: DType::F32, shape: shape.to_vec(), bytes: Vec::new() }
}

/// A file with the model's tensors under a prefix.
fn under(prefix: &str) -> Vec<Tensor> {
    model().iter().map(|(name, shape)| tensor(&format!("{prefix}{name}"), shape)).collect()
}

fn matching(file: &[Tensor]) -> NameMatch {
    match_names(&model(), file).unwrap()
}

#[track_caller]
fn assert_complete(matching: &NameMatch, file: &[Tensor], prefix: &str) {
    assert_eq!(matching.matched.len(), model().len());
    assert_eq!(matching.prefix, prefix);
    assert!(matching.missing.is_empty() && matching.mismatched.is_empty());
    for (found, (name, _)) in matching.matched.iter().zip(model()) {
        assert_eq!(found.name, name);
        if matching.layout == Layout::Torchvision {
            assert_eq!(file[found.index].name, format!("{prefix}{name}"));
        }
    }
}

#[test]
fn torchvision_and_timm_leave_their_classifier() {
    let file = [under(""), vec![tensor("fc.weight", &[1000, 2048]), tensor("fc.bias", &[1000])]].concat();
    let matching = matching(&file);
    assert_complete(&matching, &file, "");
    assert_eq!(
        matching.to_string(),
        "18 of 18 tensors found, under torchvision's names\nleft in the file: fc (2 tensors)"
    );
}

#[test]
fn simsiam_leaves_its_projector_and_predictor() {
    let heads = ["module.encoder.fc.0.weight", "module.encoder.fc.1.weight", "module.predictor.0.weight"];
    let heads = heads.map(|name| tensor(name, &[2048, 2048])).to_vec();
    let file = [heads, under("module.encoder.")].concat();
    let matching = matching(&file);
    assert_complete(&matching, &file, "module.encoder.");
    assert_eq!(
        matching.to_string(),
        "18 of 18 tensors found, under torchvision's names after module.encoder.\n\
         left in the file: module.encoder.fc (2 tensors), module.predictor (1 tensor)"
    );
}

#[test]
fn the_momentum_copy_of_moco_is_never_mixed_in() {
    // The copy stands first and has everything; the encoder lacks a tensor, which must not come from the copy.
    let mut encoder = under("module.encoder_q.");
    encoder.retain(|tensor| tensor.name != "module.encoder_q.bn1.bias");
    let file = [under("module.encoder_k."), encoder, vec![tensor("module.queue", &[128, 65536])]].concat();
    let matching = matching(&file);
    assert_eq!(matching.prefix, "module.encoder_q.");
    assert_eq!(matching.missing, ["bn1.bias"]);
    assert!(matching.matched.iter().all(|found| file[found.index].name.starts_with("module.encoder_q.")));
    assert_eq!(
        matching.to_string(),
        "17 of 18 tensors found, under torchvision's names after module.encoder_q.\n\
         missing: bn1.bias\n\
         left in the file: module.encoder_k (18 tensors), module.queue (1 tensor)"
    );
}

#[test]
fn the_prefix_with_the_most_fitting_tensors_is_chosen() {
    let file = [under("backbone."), vec![tensor("conv1.weight", &[64, 3, 7, 7])]].concat();
    assert_eq!(matching(&file).prefix, "backbone.");
    let other = |(name, _): (String, Vec<i64>)| tensor(&name, &[5]);
    let file = [model().into_iter().map(other).collect(), under("module.")].concat();
    assert_eq!(matching(&file).prefix, "module.");
}

#[test]
fn detectron2_names_are_translated() {
    for prefix in ["", "backbone.", "backbone.bottom_up."] {
        let translate = |name: &str| {
            name.replace("layer1.0.downsample.0", "res2.0.shortcut")
                .replace("layer1.0.downsample.1", "res2.0.shortcut.norm")
                .replace("layer1.0.bn1", "res2.0.conv1.norm")
                .replace("layer1.0.conv1", "res2.0.conv1")
        };
        let stem = |name: String| match name.strip_prefix("bn1") {
            Some(rest) => format!("stem.conv1.norm{rest}"),
            None if name.starts_with("conv1") => format!("stem.{name}"),
            None => name,
        };
        let names = model().into_iter().map(|(name, shape)| (stem(translate(&name)), shape));
        // detectron2's frozen norms count no batches.
        let names = names.filter(|(name, _)| !name.ends_with("num_batches_tracked"));
        let file: Vec<_> = names.map(|(name, shape)| tensor(&format!("{prefix}{name}"), &shape)).collect();
        let matching = matching(&file);
        assert_eq!((matching.layout, matching.prefix.as_str()), (Layout::Detectron2, prefix));
        assert_eq!((matching.matched.len(), matching.missing.len(), matching.unexpected.len()), (15, 0, 0));
    }
}

#[test]
fn another_shape_is_neither_matched_nor_missing() {
    let mut file = under("");
    file[0].shape = vec![64, 3, 3, 3];
    let matching = matching(&file);
    assert_eq!((matching.matched.len(), matching.missing.len(), matching.unexpected.len()), (17, 0, 0));
    let line = matching.to_string();
    assert!(
        line.ends_with("other shapes: conv1.weight is [64, 3, 3, 3] and should be [64, 3, 7, 7]"),
        "{line}"
    );
}

#[test]
fn nothing_in_common_is_an_error_with_names_of_both_sides() {
    let file = [tensor("blocks.0.attn.qkv.weight", &[3, 3]), tensor("cls_token", &[3])];
    let error = match_names(&model(), &file).unwrap_err();
    assert_eq!(
        error.to_string(),
        "none of the 2 tensors of the file has a name of this model: the file has blocks.0.attn.qkv.weight, \
         cls_token, the model has conv1.weight, bn1.weight, bn1.bias, bn1.running_mean"
    );
    let nothing = match_names(&model(), &[]).unwrap_err();
    assert!(matches!(nothing, NoMatch::Nothing { file_tensors: 0, .. }));
}
