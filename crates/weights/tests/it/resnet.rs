//! ResNets as names and shapes.

use densesiam_weights::{DType, Tensor};

/// Names and shapes of torchvision's ResNet without its classifier, of basic blocks or bottlenecks.
pub(crate) fn resnet(blocks: [usize; 4], bottleneck: bool) -> Vec<(String, Vec<i64>)> {
    let mut layers = vec![("conv1".to_owned(), "bn1".to_owned(), vec![64, 3, 7, 7])];
    let mut inputs = 64;
    for (stage, count) in blocks.into_iter().enumerate() {
        let width = 64 << stage;
        let outputs = if bottleneck { 4 * width } else { width };
        let shapes = match bottleneck {
            true => vec![[width, 0, 1, 1], [width, width, 3, 3], [outputs, width, 1, 1]],
            false => vec![[width, 0, 3, 3], [width, width, 3, 3]],
        };
        for block in 0..count {
            let block_name = format!("layer{}.{block}", stage + 1);
            for (number, mut shape) in (1..).zip(shapes.clone()) {
                shape[1] = if number == 1 { inputs } else { shape[1] };
                let names = (format!("{block_name}.conv{number}"), format!("{block_name}.bn{number}"));
                layers.push((names.0, names.1, shape.to_vec()));
            }
            if inputs != outputs {
                let name = format!("{block_name}.downsample");
                layers.push((format!("{name}.0"), format!("{name}.1"), vec![outputs, inputs, 1, 1]));
            }
            inputs = outputs;
        }
    }
    let mut tensors = Vec::new();
    for (convolution, norm, shape) in layers {
        let channels = shape[0];
        tensors.push((format!("{convolution}.weight"), shape));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            tensors.push((format!("{norm}.{part}"), vec![channels]));
        }
        tensors.push((format!("{norm}.num_batches_tracked"), vec![]));
    }
    tensors
}

pub(crate) fn resnet18() -> Vec<(String, Vec<i64>)> {
    resnet([2, 2, 2, 2], false)
}

pub(crate) fn resnet50() -> Vec<(String, Vec<i64>)> {
    resnet([3, 4, 6, 3], true)
}

/// A tensor whose elements are all this byte; how many there are does not matter to names.
pub(crate) fn tensor(name: &str, shape: &[i64], value: u8) -> Tensor {
    Tensor { name: name.to_owned(), dtype: DType::F32, shape: shape.to_vec(), bytes: vec![value; 4] }
}

/// A file with a network's tensors, under the names that `rename` gives them.
pub(crate) fn file(
    network: &[(String, Vec<i64>)],
    value: u8,
    rename: impl Fn(&str) -> String,
) -> Vec<Tensor> {
    network.iter().map(|(name, shape)| tensor(&rename(name), shape, value)).collect()
}

/// As [`file`], with something before each name.
pub(crate) fn under(prefix: &str, network: &[(String, Vec<i64>)], value: u8) -> Vec<Tensor> {
    file(network, value, |name| format!("{prefix}{name}"))
}

/// The name of a tensor in `nn.Sequential(*resnet.children())`.
pub(crate) fn in_sequence(name: &str) -> String {
    let modules = [("conv1", 0), ("bn1", 1), ("layer1", 4), ("layer2", 5), ("layer3", 6), ("layer4", 7)];
    let (module, rest) = name.split_once('.').unwrap();
    let (_, number) = modules.iter().find(|(name, _)| *name == module).unwrap();
    format!("{number}.{rest}")
}
