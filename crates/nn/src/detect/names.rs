//! What detectron2 and torchvision call a detector's tensors.

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

/// torchvision's name of a tensor of the encoder or the pyramid in `BackboneWithFPN` with batch norms, such as
/// `fpn.inner_blocks.0.1.weight` for `backbone.fpn_lateral2.norm.weight`; `None` for the others.
pub fn torchvision_name(name: &str) -> Option<String> {
    if let Some(name) = name.strip_prefix(ENCODER) {
        return Some(format!("body.{name}"));
    }
    let of_pyramid = name.strip_prefix("backbone.fpn_")?;
    let (blocks, rest) = match of_pyramid.strip_prefix("lateral") {
        Some(rest) => ("inner_blocks", rest),
        None => ("layer_blocks", of_pyramid.strip_prefix("output")?),
    };
    let (level, layer) = rest.split_once('.')?;
    let block = level.parse::<usize>().ok()?.checked_sub(2)?;
    Some(match layer.strip_prefix("norm.") {
        Some(layer) => format!("fpn.{blocks}.{block}.1.{layer}"),
        None => format!("fpn.{blocks}.{block}.0.{layer}"),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pyramid_has_torchvisions_names_and_heads_have_none() {
        let name = |name: &str| torchvision_name(name);
        assert_eq!(name("encoder.layer1.0.bn1.weight").unwrap(), "body.layer1.0.bn1.weight");
        assert_eq!(name("backbone.fpn_lateral2.weight").unwrap(), "fpn.inner_blocks.0.0.weight");
        assert_eq!(name("backbone.fpn_output5.norm.bias").unwrap(), "fpn.layer_blocks.3.1.bias");
        assert_eq!(name("roi_heads.box_head.fc1.weight"), None);
    }
}
