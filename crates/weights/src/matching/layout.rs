//! How training programs name the same network.

use std::fmt;

/// What training programs leave before the names of an encoder, in order of preference. Momentum copies
/// (`encoder_k`, `momentum_encoder`) are absent on purpose: they are never what a user means.
pub(super) const PREFIXES: [&str; 30] = [
    "",
    // This program's own; OpenMMLab; lightly and DINO, and the latter's students and teachers in one dictionary.
    "encoder.",
    "backbone.",
    "module.",
    "module.encoder.",
    "module.backbone.",
    "model.",
    "model.encoder.",
    "model.backbone.",
    // MoCo, MoCo v3, and OpenMMLab's copies of both: encoder and neck in a sequence.
    "encoder_q.",
    "module.encoder_q.",
    "model.encoder_q.",
    "encoder_q.0.",
    "module.encoder_q.0.",
    "encoder.0.",
    "module.encoder.0.",
    "base_encoder.",
    "module.base_encoder.",
    "online_encoder.",
    "module.online_encoder.",
    "online_net.0.",
    "module.online_net.0.",
    "student.",
    "module.student.",
    "student.backbone.",
    "module.student.backbone.",
    // detectron2, with and without a feature pyramid.
    "backbone.bottom_up.",
    "module.backbone.bottom_up.",
    "model.backbone.bottom_up.",
    "bottom_up.",
];

/// Whose names a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `layer1.0.downsample.1.weight`: torchvision, and with it timm, OpenMMLab, SimSiam, MoCo and DenseCL.
    Torchvision,
    /// `res2.0.shortcut.norm.weight`: detectron2.
    Detectron2,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::Torchvision => "torchvision",
            Layout::Detectron2 => "detectron2",
        })
    }
}

impl Layout {
    pub(super) const ALL: [Layout; 2] = [Layout::Torchvision, Layout::Detectron2];

    /// torchvision's name of the tensor that this layout calls `name`; nothing when no such layout has it.
    pub(super) fn to_torchvision(self, name: &str) -> Option<String> {
        match self {
            Layout::Torchvision => Some(name.to_owned()),
            Layout::Detectron2 => from_detectron2(name),
        }
    }

    /// The name that this layout has for torchvision's `name`.
    pub(crate) fn name_of(self, name: &str) -> String {
        match self {
            Layout::Torchvision => name.to_owned(),
            Layout::Detectron2 => to_detectron2(name),
        }
    }
}

/// detectron2 puts a norm into its convolution, counts stages from 2, and calls all else the stem.
fn from_detectron2(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("stem.") {
        return Some(norm_beside_convolution(rest));
    }
    let (stage, rest) = name.strip_prefix("res")?.split_once('.')?;
    let (block, rest) = rest.split_once('.')?;
    let layer = stage.parse::<u8>().ok()?.checked_sub(1)?;
    let rest = match rest.strip_prefix("shortcut.") {
        Some(of_norm) if of_norm.starts_with("norm.") => {
            format!("downsample.1.{}", &of_norm["norm.".len()..])
        }
        Some(of_convolution) => format!("downsample.0.{of_convolution}"),
        None => norm_beside_convolution(rest),
    };
    Some(format!("layer{layer}.{block}.{rest}"))
}

/// `conv2.norm.weight` is `bn2.weight`.
fn norm_beside_convolution(name: &str) -> String {
    let split = name.strip_prefix("conv").and_then(|rest| rest.split_once(".norm."));
    split.map_or_else(|| name.to_owned(), |(number, rest)| format!("bn{number}.{rest}"))
}

/// The other way round.
fn to_detectron2(name: &str) -> String {
    let of_block = || {
        let (stage, rest) = name.strip_prefix("layer")?.split_once('.')?;
        let (block, rest) = rest.split_once('.')?;
        let stage = stage.parse::<u8>().ok()?.checked_add(1)?;
        let rest = match (rest.strip_prefix("downsample.0."), rest.strip_prefix("downsample.1.")) {
            (Some(of_convolution), _) => format!("shortcut.{of_convolution}"),
            (_, Some(of_norm)) => format!("shortcut.norm.{of_norm}"),
            _ => norm_in_convolution(rest),
        };
        Some(format!("res{stage}.{block}.{rest}"))
    };
    of_block().unwrap_or_else(|| format!("stem.{}", norm_in_convolution(name)))
}

/// `bn2.weight` is `conv2.norm.weight`.
fn norm_in_convolution(name: &str) -> String {
    let split = name.strip_prefix("bn").and_then(|rest| rest.split_once('.'));
    split.map_or_else(|| name.to_owned(), |(number, rest)| format!("conv{number}.norm.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_detectron2_are_translated() {
        for (theirs, ours) in [
            ("stem.conv1.weight", "conv1.weight"),
            ("stem.conv1.norm.running_mean", "bn1.running_mean"),
            ("stem.fc.bias", "fc.bias"),
            ("res2.0.conv1.weight", "layer1.0.conv1.weight"),
            ("res5.2.conv3.norm.num_batches_tracked", "layer4.2.bn3.num_batches_tracked"),
            ("res3.0.shortcut.weight", "layer2.0.downsample.0.weight"),
            ("res3.0.shortcut.norm.running_var", "layer2.0.downsample.1.running_var"),
        ] {
            assert_eq!(from_detectron2(theirs).as_deref(), Some(ours));
            assert_eq!(to_detectron2(ours), theirs);
        }
        for foreign in ["layer1.0.conv1.weight", "res", "res2", "res2.0", "res0.0.conv1.weight", "resx.0.a"] {
            assert_eq!(from_detectron2(foreign), None);
        }
    }

    #[test]
    fn no_prefix_stands_twice() {
        for (place, prefix) in PREFIXES.iter().enumerate() {
            assert!(!PREFIXES[..place].contains(prefix), "{prefix}");
        }
    }
}
