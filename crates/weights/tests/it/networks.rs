//! Which network a file holds: another one than the model is never taken for it, however many tensors fit.

use densesiam_weights::{NameMatch, Tensor, match_names};

use crate::resnet::{resnet, resnet18, resnet50, tensor, under};

#[track_caller]
fn assert_refused(model: &[(String, Vec<i64>)], file: &[Tensor], network: &str) -> NameMatch {
    let matching = match_names(model, file).unwrap();
    assert!(!matching.fits(), "{matching}");
    assert_eq!(matching.network, network);
    matching
}

#[test]
fn deeper_and_shallower_networks_are_refused_by_their_name() {
    let networks = [
        ("ResNet-10", resnet([1, 1, 1, 1], false)),
        ("ResNet-18", resnet18()),
        ("ResNet-34", resnet([3, 4, 6, 3], false)),
        ("ResNet-26", resnet([2, 2, 2, 2], true)),
        ("ResNet-50", resnet50()),
        ("ResNet-101", resnet([3, 4, 23, 3], true)),
        ("ResNet-152", resnet([3, 8, 36, 3], true)),
        ("ResNet-200", resnet([3, 24, 36, 3], true)),
        ("ResNet of 3, 4, 6, 0 blocks", resnet([3, 4, 6, 0], true)),
    ];
    for (expected, model) in &networks {
        for (name, network) in &networks {
            let file = under("backbone.", network, 1);
            let matching = match_names(model, &file).unwrap();
            assert_eq!(matching.fits(), name == expected, "{name} for {expected}: {matching}");
            assert_eq!((&*matching.network, &*matching.expected_network), (*name, *expected));
        }
    }
}

#[test]
fn what_is_left_over_of_the_encoder_is_said() {
    let mut file = under("module.", &resnet([3, 4, 6, 3], false), 1);
    file.push(tensor("module.fc.weight", &[1000, 512], 1));
    let matching = assert_refused(&resnet18(), &file, "ResNet-34");
    assert_eq!((matching.matched.len(), matching.missing.len(), matching.foreign.len()), (120, 0, 96));
    assert_eq!(
        matching.to_string(),
        "120 of 120 tensors found, under torchvision's names after module.\n\
         of another network: module.layer1.2.conv1.weight, module.layer1.2.bn1.weight, module.layer1.2.bn1.bias \
         and 93 more\n\
         left in the file: module.fc (1 tensor)"
    );
}

/// A ResNet-50 after a change to each of its tensors, and with others added to it.
fn relative(change: impl Fn(&str, &mut Vec<i64>), added: &[(&str, &[i64])]) -> Vec<Tensor> {
    let mut file = under("", &resnet50(), 1);
    file.iter_mut().for_each(|tensor| change(&tensor.name, &mut tensor.shape));
    file.extend(added.iter().map(|(name, shape)| tensor(name, shape, 1)));
    file
}

#[test]
fn relatives_of_a_resnet_are_called_by_what_they_are() {
    let same = |_: &str, _: &mut Vec<i64>| {};
    let of_block = |name: &str, module: &str| name.starts_with("layer") && name.contains(module);
    let resnext = relative(
        |name, shape| match name {
            _ if of_block(name, ".conv1.") || of_block(name, ".bn1.") || of_block(name, ".bn2.") => {
                if let Some(channels) = shape.first_mut() {
                    *channels *= 2;
                }
            }
            _ if of_block(name, ".conv2.") => (shape[0], shape[1]) = (shape[0] * 2, shape[1] / 16),
            _ if of_block(name, ".conv3.") => shape[1] *= 2,
            _ => {}
        },
        &[],
    );
    assert_refused(&resnet50(), &resnext, "ResNeXt-50 32x4d");
    let wide = relative(
        |name, shape| {
            let doubled = [(".conv1.", 0), (".conv2.", 0), (".conv2.", 1), (".conv3.", 1)];
            doubled
                .iter()
                .filter(|(module, _)| of_block(name, module))
                .for_each(|&(_, axis)| shape[axis] *= 2);
        },
        &[],
    );
    let wide = assert_refused(
        &resnet50(),
        &wide,
        "ResNet-50 with 128 channels in its first blocks in place of 64 (a wide ResNet)",
    );
    assert_eq!(wide.foreign.len(), 0);
    let squeezing =
        relative(same, &[("layer1.0.se.fc1.weight", &[16, 256, 1, 1]), ("layer1.0.se.fc1.bias", &[16])]);
    assert_refused(&resnet50(), &squeezing, "SE-ResNet-50");
    let mut averaging = relative(same, &[("layer2.0.downsample.2.weight", &[512])]);
    assert_refused(&resnet50(), &averaging, "ResNet-50 with averages in its shortcuts (ResNet-D)");
    for stem in ["stem.0.weight", "conv1.0.weight"] {
        averaging.retain(|tensor| !["conv1.weight", "stem.0.weight"].contains(&&*tensor.name));
        averaging.push(tensor(stem, &[32, 3, 3, 3], 1));
        assert_refused(
            &resnet50(),
            &averaging,
            "ResNet-50 with a stem of three 3 x 3 convolutions (ResNetV1c, resnet50d) and averages in its shortcuts \
             (ResNet-D)",
        );
    }
    let small = relative(
        |name, shape| {
            if name == "conv1.weight" {
                (shape[2], shape[3]) = (3, 3);
            }
        },
        &[],
    );
    assert_refused(&resnet50(), &small, "ResNet-50 with a first convolution of 3 x 3");
    let grey = relative(
        |name, shape| {
            if name == "conv1.weight" {
                shape[1] = 1;
            }
        },
        &[],
    );
    assert_refused(&resnet50(), &grey, "ResNet-50 with 1-channel pictures");
    let other =
        relative(same, &[("layer1.0.attention.weight", &[256]), ("layer3.1.conv2.offset.weight", &[18])]);
    assert_refused(&resnet50(), &other, "ResNet-50 with attention.weight, conv2.offset.weight in its blocks");
}

#[test]
fn an_encoder_that_lacks_anything_is_refused() {
    let whole = under("net.", &resnet18(), 1);
    for lost in ["conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight"]
    {
        let mut file = whole.clone();
        file.retain(|tensor| tensor.name != format!("net.{lost}"));
        let matching = match_names(&resnet18(), &file).unwrap();
        assert_eq!(matching.missing, [lost]);
        assert!(!matching.fits());
    }
    let mut file = whole;
    file.retain(|tensor| !tensor.name.ends_with("num_batches_tracked"));
    assert!(match_names(&resnet18(), &file).unwrap().fits(), "old files count no batches");
}
