//! Identifies the network of a set of tensors by their names and shapes.

use std::collections::BTreeSet;

use super::{Shapes, is_of_a_tool};
use crate::error::{few, readable};

/// The numbers of blocks in the stages of the networks that are named after their number of layers.
const NAMED: [[usize; 4]; 6] =
    [[1, 1, 1, 1], [2, 2, 2, 2], [3, 4, 6, 3], [3, 4, 23, 3], [3, 8, 36, 3], [3, 24, 36, 3]];

/// The name of the network, with everything that distinguishes it from a ResNet: `ResNet-34`, `ResNeXt-50 32x4d`,
/// `ResNet-50 with a stem of three 3 x 3 convolutions (ResNetV1c)`.
pub(super) fn network(shapes: &Shapes) -> String {
    let name = [family(shapes), layers(shapes), groups(shapes).unwrap_or_default()].concat();
    let differences = [stem(shapes), inputs(shapes), width(shapes), shortcuts(shapes), parts(shapes)];
    let differences: Vec<String> = differences.into_iter().flatten().collect();
    if differences.is_empty() { name } else { format!("{name} with {}", differences.join(" and ")) }
}

fn family(shapes: &Shapes) -> String {
    let squeezes = of_blocks(shapes).any(|(_, _, part)| part.starts_with("se"));
    format!(
        "{}{}",
        if squeezes { "SE-" } else { "" },
        if groups(shapes).is_some() { "ResNeXt" } else { "ResNet" }
    )
}

/// Stem and classifier count as layers.
fn layers(shapes: &Shapes) -> String {
    let blocks = [1, 2, 3, 4].map(|stage| {
        let numbers = of_blocks(shapes).filter(|&(of, _, _)| of == stage).map(|(_, number, _)| number);
        numbers.max().map_or(0, |last| last.saturating_add(1))
    });
    let layers_of_block = if shapes.contains_key("layer1.0.conv3.weight") { 3 } else { 2 };
    match NAMED.contains(&blocks) {
        true => format!("-{}", 2 + layers_of_block * blocks.iter().sum::<usize>()),
        false => format!(" of {} blocks", blocks.map(|count| count.to_string()).join(", ")),
    }
}

/// Each 3 x 3 convolution of ResNeXt divides the channels into groups.
fn groups(shapes: &Shapes) -> Option<String> {
    let &[outputs, inputs, ..] = *shapes.get("layer1.0.conv2.weight")? else { return None };
    let count = outputs.checked_div(inputs)?;
    (count > 1).then(|| format!(" {count}x{inputs}d"))
}

fn stem(shapes: &Shapes) -> Option<String> {
    match shapes.get("conv1.weight").copied() {
        Some(&[_, _, 7, 7]) => None,
        Some(&[_, _, height, width]) => Some(format!("a first convolution of {height} x {width}")),
        _ => {
            let deep = |name: &&str| name.starts_with("stem.") || name.starts_with("conv1.");
            shapes
                .keys()
                .any(deep)
                .then(|| "a stem of three 3 x 3 convolutions (ResNetV1c, resnet50d)".to_owned())
        }
    }
}

fn inputs(shapes: &Shapes) -> Option<String> {
    match shapes.get("conv1.weight").copied() {
        Some(&[_, channels, _, _]) if channels != 3 => Some(format!("{channels}-channel pictures")),
        _ => None,
    }
}

fn width(shapes: &Shapes) -> Option<String> {
    match shapes.get("layer1.0.conv1.weight").copied() {
        Some(&[channels, ..]) if channels != 64 && groups(shapes).is_none() => {
            let wide = if channels > 64 { " (a wide ResNet)" } else { "" };
            Some(format!("{channels} channels in its first blocks in place of 64{wide}"))
        }
        _ => None,
    }
}

/// The shortcuts of ResNet-D begin with average pooling, so that their convolution is the second module.
fn shortcuts(shapes: &Shapes) -> Option<String> {
    let averages = of_blocks(shapes).any(|(_, _, part)| part.starts_with("downsample.2."));
    averages.then(|| "averages in its shortcuts (ResNet-D)".to_owned())
}

/// The parts that the blocks of a ResNet do not have.
fn parts(shapes: &Shapes) -> Option<String> {
    let usual = |part: &str| {
        let (module, rest) = part.split_once('.').unwrap_or((part, ""));
        match module {
            "conv1" | "conv2" | "conv3" => rest == "weight",
            "bn1" | "bn2" | "bn3" => !rest.contains('.'),
            _ => module == "downsample" || module.starts_with("se"),
        }
    };
    let unusual =
        of_blocks(shapes).map(|(_, _, part)| part).filter(|part| !usual(part) && !is_of_a_tool(part));
    let names: BTreeSet<String> = unusual.map(|part| readable(part.as_bytes())).collect();
    let names: Vec<String> = names.into_iter().collect();
    (!names.is_empty()).then(|| format!("{} in its blocks", few(&names)))
}

/// For each tensor of a block: the stage, the block, and the rest of the name.
fn of_blocks<'a>(shapes: &Shapes<'a>) -> impl Iterator<Item = (usize, usize, &'a str)> {
    shapes.keys().filter_map(|name| {
        let (stage, rest) = name.strip_prefix("layer")?.split_once('.')?;
        let (block, part) = rest.split_once('.')?;
        Some((stage.parse().ok()?, block.parse().ok()?, part))
    })
}
