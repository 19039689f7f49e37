//! The networks of evaluation as ONNX graphs, for any batch and any size of picture.
//!
//! The blocks of a network and the sizes of their kernels follow from the names and shapes of its tensors. The
//! program's tests compare these networks with those of `densesiam_nn`.

mod graph;
mod proto;

use serde_json::json;

use crate::Tensor;
pub use graph::NoTensor;
use graph::{Graph, Map};

/// Mean and standard deviation for normalising pictures in 0..1, for the file's metadata.
#[derive(Clone, Copy, Debug)]
pub struct Normalisation {
    /// For red, green and blue.
    pub mean: [f32; 3],
    /// For red, green and blue.
    pub deviation: [f32; 3],
}

/// The class that each category of a segmentation was matched to, for the file's metadata.
#[derive(Clone, Copy, Debug)]
pub struct ClassOfCategory<'c> {
    /// Steps after which they were matched.
    pub step: u64,
    /// Names of the classes.
    pub names: &'c [String],
    /// For each category the index of its class in `names`, `None` if it was not matched to a class.
    pub of_category: &'c [Option<usize>],
}

/// The encoder, whose `tensors` have torchvision's names: `images` `[batch, 3, height, width]` to the maps `c2`, `c3`, `c4`
/// and `c5` at strides 4, 8, 16 and 32.
///
/// # Errors
/// When a tensor of the encoder is missing.
pub fn encoder(tensors: &[Tensor], normalisation: Normalisation) -> Result<Vec<u8>, NoTensor> {
    let mut graph = Graph::over(tensors);
    let [c2, c3, c4, c5] = resnet(&mut graph, "")?;
    let outputs = [
        ("c2", c2, ["height_4", "width_4"]),
        ("c3", c3, ["height_8", "width_8"]),
        ("c4", c4, ["height_16", "width_16"]),
        ("c5", c5, ["height_32", "width_32"]),
    ];
    Ok(graph.into_file(&outputs, &metadata(normalisation)))
}

/// What names the category of a position.
#[derive(Clone, Copy, Debug)]
pub enum Categories {
    /// DenseSiam's projector.
    Projector,
    /// A 1x1 convolution, of features of length 1 if `unit`.
    Convolution {
        /// Its name.
        name: &'static str,
        /// Whether features are divided by their length.
        unit: bool,
    },
}

/// The segmentation, whose `tensors` have the released names, those of its encoder beginning with `encoder` (`backbone.`): `images`
/// to `logits` `[batch, categories, height, width]`, whose argmax is the pseudo-category of each pixel. Which classes those were
/// matched to is in the file's metadata.
///
/// # Errors
/// When a tensor of the model is missing.
pub fn segmentation(
    tensors: &[Tensor],
    (encoder, normalisation): (&str, Normalisation),
    categories: Categories,
    classes: Option<ClassOfCategory>,
) -> Result<Vec<u8>, NoTensor> {
    let mut graph = Graph::over(tensors);
    let [c2, c3, c4, c5] = resnet(&mut graph, encoder)?;
    let mut map = graph.convolution(&c5, "decoder.layer1", 1)?;
    for (below, lateral) in [(c4, "decoder.layer2"), (c3, "decoder.layer3"), (c2, "decoder.layer4")] {
        let lateral = graph.convolution(&below, lateral, 1)?;
        let above = graph.resize_like(&map, &below);
        map = graph.add(&lateral, &above);
    }
    map = match categories {
        Categories::Projector => {
            for (convolution, norm) in [("projector.0", "projector.1"), ("projector.3", "projector.4")] {
                map = layer(&mut graph, &map, [convolution, norm], 1)?;
            }
            map = graph.convolution(&map, "projector.6", 1)?;
            graph.norm(&map, "projector.7")?
        }
        Categories::Convolution { name, unit } => {
            let features = if unit { graph.unit(&map) } else { map };
            graph.convolution(&features, name, 1)?
        }
    };
    map = graph.resize_like(&map, &graph.input());
    let mut metadata = metadata(normalisation);
    if let Some(ClassOfCategory { step, of_category, names }) = classes {
        metadata.push(("matched_at_step".into(), step.to_string()));
        metadata.push(("classes".into(), json!(names).to_string()));
        metadata.push(("class_of_category".into(), json!(of_category).to_string()));
    }
    Ok(graph.into_file(&[("logits", map, ["height", "width"])], &metadata))
}

fn metadata(Normalisation { mean, deviation }: Normalisation) -> Vec<(String, String)> {
    [("mean", mean), ("std", deviation)].map(|(name, values)| (name.into(), json!(values).to_string())).into()
}

/// C2 to C5 of a ResNet whose tensors begin with `prefix`, with the strides of torchvision.
fn resnet(graph: &mut Graph, prefix: &str) -> Result<[Map; 4], NoTensor> {
    let pictures = graph.input();
    let map = layer(graph, &pictures, [&format!("{prefix}conv1"), &format!("{prefix}bn1")], 2)?;
    let mut map = graph.max_pool(&map);
    let mut stage = |number: usize| {
        let name = |block: usize| format!("{prefix}layer{number}.{block}");
        map = residual_block(graph, &map, &name(0), if number > 1 { 2 } else { 1 })?;
        let more = (1..).map(name).take_while(|block| graph.has(&format!("{block}.conv1.weight")));
        for block in more.collect::<Vec<_>>() {
            map = residual_block(graph, &map, &block, 1)?;
        }
        Ok(map.clone())
    };
    Ok([stage(1)?, stage(2)?, stage(3)?, stage(4)?])
}

/// Two 3x3 convolutions, or three convolutions with the 3x3 one in the middle, which has the stride.
fn residual_block(graph: &mut Graph, x: &Map, block: &str, stride: i64) -> Result<Map, NoTensor> {
    let strides =
        if graph.has(&format!("{block}.conv3.weight")) { vec![1, stride, 1] } else { vec![stride, 1] };
    let mut map = x.clone();
    for (index, stride) in strides.iter().enumerate() {
        map = graph.convolution(&map, &format!("{block}.conv{}", index + 1), *stride)?;
        map = graph.norm(&map, &format!("{block}.bn{}", index + 1))?;
        if index + 1 < strides.len() {
            map = graph.relu(&map);
        }
    }
    let mut shortcut = x.clone();
    if graph.has(&format!("{block}.downsample.0.weight")) {
        shortcut = graph.convolution(x, &format!("{block}.downsample.0"), stride)?;
        shortcut = graph.norm(&shortcut, &format!("{block}.downsample.1"))?;
    }
    let sum = graph.add(&map, &shortcut);
    Ok(graph.relu(&sum))
}

fn layer(graph: &mut Graph, x: &Map, [convolution, norm]: [&str; 2], stride: i64) -> Result<Map, NoTensor> {
    let map = graph.convolution(x, convolution, stride)?;
    let map = graph.norm(&map, norm)?;
    Ok(graph.relu(&map))
}
