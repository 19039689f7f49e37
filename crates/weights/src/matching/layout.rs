//! The names that training programs give to the same network.

use std::fmt;

use Layout::{Detectron2, Sequential, Torchvision};

/// The program whose names a file uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `layer1.0.downsample.1.weight`: torchvision, and with it timm, OpenMMLab, OpenSelfSup, and the programs that began
    /// from torchvision's ResNet: SimSiam, MoCo, ReSim, CAST, PixPro, SoCo.
    Torchvision,
    /// `res2.0.shortcut.norm.weight`: detectron2.
    Detectron2,
    /// `4.0.downsample.1.weight`: torchvision's modules as numbers, by `nn.Sequential(*resnet.children())`, as of SCRL.
    Sequential,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Torchvision => "torchvision's names",
            Detectron2 => "detectron2's names",
            Sequential => "the numbers of torchvision's modules in a sequence",
        })
    }
}

impl Layout {
    pub(super) const ALL: [Layout; 3] = [Torchvision, Detectron2, Sequential];

    /// torchvision's name of the tensor that this layout calls `name`; `None` if the layout has no such name.
    pub(super) fn to_torchvision(self, name: &str) -> Option<String> {
        match self {
            Torchvision => Some(name.to_owned()),
            Detectron2 => from_detectron2(name),
            Sequential => from_sequence(name),
        }
    }
}

/// The modules of a ResNet in torchvision's order; those without tensors are left out.
fn from_sequence(name: &str) -> Option<String> {
    let (number, rest) = name.split_once('.')?;
    let module = match number {
        "0" => "conv1",
        "1" => "bn1",
        "4" => "layer1",
        "5" => "layer2",
        "6" => "layer3",
        "7" => "layer4",
        _ => return None,
    };
    Some(format!("{module}.{rest}"))
}

/// detectron2 places a norm in its convolution, counts stages from 2, and calls everything else the stem.
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

/// The opposite translation.
pub(crate) fn to_detectron2(name: &str) -> String {
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
    fn numbers_of_a_sequence_are_translated() {
        for (theirs, ours) in [
            ("0.weight", "conv1.weight"),
            ("1.running_var", "bn1.running_var"),
            ("4.0.conv1.weight", "layer1.0.conv1.weight"),
            ("7.2.downsample.1.bias", "layer4.2.downsample.1.bias"),
        ] {
            assert_eq!(from_sequence(theirs).as_deref(), Some(ours));
        }
        for foreign in ["0", "2.weight", "8.weight", "04.0.conv1.weight", "conv1.weight"] {
            assert_eq!(from_sequence(foreign), None);
        }
    }
}
