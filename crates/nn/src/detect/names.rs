//! What detectron2 calls the encoder's tensors.

use super::settings::Design;
use crate::encoder::ENCODER;

/// detectron2's name of a detector's tensor: `backbone.res2.0.conv1.norm.weight` of C4 for `encoder.layer1.0.bn1.weight`. Tensors
/// outside the encoder have detectron2's names already.
pub fn detectron2_name(name: &str, design: Design) -> String {
    let Some(name) = name.strip_prefix(ENCODER) else { return name.to_owned() };
    let backbone = match design {
        Design::C4 => "backbone",
        Design::Fpn => "backbone.bottom_up",
    };
    let Some((stage, rest)) = name.strip_prefix("layer").and_then(|rest| rest.split_once('.')) else {
        return format!("{backbone}.stem.{}", layer_name(name));
    };
    let (block, layer) = rest.split_once('.').unwrap_or((rest, ""));
    let layer = layer_name(layer);
    match (stage.parse::<usize>(), design) {
        (Ok(4), Design::C4) => format!("roi_heads.res5.{block}.{layer}"),
        (Ok(stage), _) => format!("{backbone}.res{}.{block}.{layer}", stage + 1),
        (Err(_), _) => name.to_owned(),
    }
}

/// `conv1.weight` is the same, `bn1.weight` is `conv1.norm.weight`, and `downsample` is `shortcut`.
fn layer_name(layer: &str) -> String {
    if let Some(rest) = layer.strip_prefix("downsample.0.") {
        return format!("shortcut.{rest}");
    }
    if let Some(rest) = layer.strip_prefix("downsample.1.") {
        return format!("shortcut.norm.{rest}");
    }
    match layer.strip_prefix("bn").and_then(|rest| rest.split_once('.')) {
        Some((number, rest)) => format!("conv{number}.norm.{rest}"),
        None => layer.to_owned(),
    }
}
