//! The scale of an encoder's tensors. A norm undoes the scale of the kernel before it, so that training with weight decay can shrink
//! kernels and norms to a fraction of what they were, while the network computes the same but for a factor on each stage's map. What is
//! trained from such an encoder learns otherwise: the kernels turn faster at the same rate, and what reads the maps learns more slowly.

use std::collections::HashMap;

use tch::{Kind, Tensor};

/// Gives the tensors of an encoder, by torchvision's names, the scale of random weights (ours): kernels the deviation of their
/// initialisation, norms a mean square of 1 (of weight and bias together), those that are added up in a stage as one. Each map keeps its values
/// but for one factor, as far as the epsilon of the norms is small beside their variances; running statistics follow.
pub fn rescale(tensors: &HashMap<String, Tensor>) {
    tch::no_grad(|| Scale { tensors }.encoder());
}

/// The norms of a stage whose outputs are added up, and those within its blocks.
struct Scale<'t> {
    tensors: &'t HashMap<String, Tensor>,
}

impl Scale<'_> {
    fn encoder(&self) {
        self.kernel("conv1", "bn1", 1.0);
        // The first stage of a ResNet-18 or 34 adds to the stem's own map.
        let stem_is_added = !self.has("layer1.0.downsample.0");
        let mut read = if stem_is_added { 1.0 } else { self.norms(&["bn1".to_owned()]) };
        for stage in 1..=4 {
            let blocks = (0..).map(|block| format!("layer{stage}.{block}"));
            let blocks: Vec<_> = blocks.take_while(|block| self.has(&format!("{block}.conv1"))).collect();
            let depth = if self.has(&format!("layer{stage}.0.conv3")) { 3 } else { 2 };
            let mut added: Vec<_> = blocks.iter().map(|block| format!("{block}.bn{depth}")).collect();
            let shortcut = format!("layer{stage}.0.downsample");
            match self.has(&format!("{shortcut}.0")) {
                true => added.push(format!("{shortcut}.1")),
                false => added.push("bn1".to_owned()),
            }
            let factor = self.norms(&added);
            if stage == 1 && stem_is_added {
                read = factor;
            }
            for block in &blocks {
                if self.has(&format!("{block}.downsample.0")) {
                    self.kernel(&format!("{block}.downsample.0"), &format!("{block}.downsample.1"), read);
                }
                let mut within = read;
                for layer in 1..=depth {
                    let norm = format!("{block}.bn{layer}");
                    self.kernel(&format!("{block}.conv{layer}"), &norm, within);
                    if layer < depth {
                        within = self.norms(&[norm]);
                    }
                }
                read = factor;
            }
        }
    }

    fn has(&self, layer: &str) -> bool {
        self.tensors.contains_key(&format!("{layer}.weight"))
    }

    /// Gives a kernel the deviation of its initialisation, where what it reads was multiplied by `read`, and its norm the
    /// statistics of that.
    fn kernel(&self, layer: &str, norm: &str, read: f64) {
        let Some(kernel) = self.tensors.get(&format!("{layer}.weight")) else { return };
        let size = kernel.size();
        let deviation = kernel.std(false).double_value(&[]);
        let fan_out = (size[0] * size[2] * size[3]) as f64;
        let factor = if deviation > 0.0 { (2.0 / fan_out).sqrt() / deviation } else { 1.0 };
        multiply(kernel, factor);
        let statistics = [("running_mean", factor * read), ("running_var", (factor * read).powi(2))];
        for (statistic, factor) in statistics {
            self.tensors.get(&format!("{norm}.{statistic}")).into_iter().for_each(|of| multiply(of, factor));
        }
    }

    /// Multiplies these norms by one factor, which it returns, so that their mean square is 1.
    fn norms(&self, norms: &[String]) -> f64 {
        let parameters = || {
            let names = norms.iter().flat_map(|norm| [format!("{norm}.weight"), format!("{norm}.bias")]);
            names.filter_map(|name| self.tensors.get(&name))
        };
        let squares: f64 = parameters().map(|of| of.square().mean(Kind::Double).double_value(&[])).sum();
        let factor = if squares > 0.0 { (norms.len() as f64 / squares).sqrt() } else { 1.0 };
        parameters().for_each(|of| multiply(of, factor));
        factor
    }
}

fn multiply(tensor: &Tensor, factor: f64) {
    let _ = tensor.shallow_clone().g_mul_scalar_(factor);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Mode, ResNet, Store};
    use tch::Device;

    /// Values between `low` and `high` that differ from each other.
    fn spread(tensor: &Tensor, [low, high]: [f64; 2]) {
        let waves = (Tensor::arange(tensor.numel() as i64, (Kind::Double, Device::Cpu)) * 2.3).sin();
        let values = (waves + 1.0) * ((high - low) / 2.0) + low;
        tch::no_grad(|| tensor.shallow_clone().copy_(&values.view_(tensor.size())));
    }

    #[test]
    fn maps_keep_all_but_their_scale() {
        for architecture in [Architecture::ResNet18, Architecture::ResNet50] {
            let store = Store::new(Kind::Double, Device::Cpu, 3);
            let encoder = ResNet::new(&store.root(), architecture, false);
            let tensors: HashMap<_, _> = store.state().into_iter().collect();
            for (name, tensor) in &tensors {
                match name.rsplit_once('.').map(|(layer, part)| (layer.contains("conv"), part)) {
                    Some((true, _)) => tch::no_grad(|| multiply(tensor, 0.2)),
                    Some((false, "bias" | "running_mean")) => spread(tensor, [-0.1, 0.1]),
                    Some((false, "running_var")) => spread(tensor, [0.5, 1.5]),
                    Some((false, "weight")) if tensor.dim() == 1 => spread(tensor, [0.02, 0.3]),
                    _ => {}
                }
            }
            let pictures = (Tensor::arange(2 * 3 * 64 * 64, (Kind::Double, Device::Cpu)) * 0.37).sin();
            let pictures = pictures.view([2, 3, 64, 64]);
            let maps = || tch::no_grad(|| encoder.forward(&pictures, Mode::Evaluate).maps);
            let before: Vec<Tensor> = maps().iter().map(Tensor::copy).collect();
            rescale(&tensors);
            for (before, after) in before.iter().zip(maps()) {
                let factor = after.norm().double_value(&[]) / before.norm().double_value(&[]);
                assert!(factor > 2.0, "{architecture:?}: the map has become {factor} times as large");
                let apart = (after - before * factor).norm() / (before.norm() * factor);
                assert!(apart.double_value(&[]) < 1e-3, "{architecture:?}: {apart:?}");
            }
            let deviation = tensors["layer4.1.conv2.weight"].std(false).double_value(&[]);
            let size = tensors["layer4.1.conv2.weight"].size();
            assert!((deviation - (2.0 / (size[0] * size[2] * size[3]) as f64).sqrt()).abs() < 1e-12);
            let once: HashMap<_, _> = tensors.iter().map(|(name, of)| (name.clone(), of.copy())).collect();
            rescale(&tensors);
            for (name, tensor) in &tensors {
                let apart = (tensor - &once[name]).abs().max().double_value(&[]);
                assert!(apart < 1e-9, "a second time changes {name} by {apart}");
            }
        }
    }
}
