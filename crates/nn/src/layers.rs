//! The layers that all networks are made of, with PyTorch's semantics and names.

use densesiam_torch_ext::{BatchNorm as Norm, Group, batch_norm, convolution, norm_convolution};
use tch::{Kind, Tensor};

use crate::store::{Initial, Scope};

/// Whether batch norm uses (and records) the statistics of the batch, or the recorded ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Uses the statistics of the batch, and also updates the running statistics.
    Train {
        /// The number of equal parts of the batch that each have their own statistics.
        views: i64,
    },
    /// Uses the running statistics.
    Evaluate,
    /// Uses the statistics of the batch, and puts them in the place of the running ones, with the number of values in the place of
    /// the number of batches: [`Population`](crate::Population) collects both.
    Measure,
}

/// Two views `[B, ...]` in training mode through a network with `N` outputs, each for both views. Batch norm treats
/// each view separately. Views of one size pass as one batch, which halves the costs that do not grow with the batch:
/// calls, and reading, rounding and reordering weights.
pub(crate) fn both_views<const N: usize>(
    views: [Tensor; 2],
    network: impl Fn(&Tensor, Mode) -> [Tensor; N],
) -> [[Tensor; 2]; N] {
    let [one, two] = &views;
    if one.size() == two.size() {
        let both = Tensor::cat(&views, 0);
        drop(views);
        let outputs = network(&both, Mode::Train { views: 2 });
        return outputs.map(|both| {
            let halves = both.chunk(2, 0);
            [halves[0].shallow_clone(), halves[1].shallow_clone()]
        });
    }
    let [one, two] = views.map(|view| network(&view, Mode::Train { views: 1 }));
    std::array::from_fn(|output| [one[output].shallow_clone(), two[output].shallow_clone()])
}

/// A two-dimensional convolution, weight `[out, in, k, k]`.
#[derive(Debug)]
pub struct Convolution {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    dilation: i64,
}

impl Convolution {
    /// An encoder's convolution: no bias, padding `dilation * (kernel / 2)`, Kaiming normal fan-out.
    pub fn of_encoder(scope: &Scope, channels: [i64; 2], kernel: i64, [stride, dilation]: [i64; 2]) -> Self {
        let shape = [channels[1], channels[0], kernel, kernel];
        let weight = scope.parameter("weight", &shape, Initial::KaimingNormalFanOut);
        Self { weight, bias: None, stride, dilation }
    }

    /// A head's 1x1 convolution, uniform in `+-1/sqrt(in)`.
    pub fn of_head(scope: &Scope, channels: [i64; 2], bias: bool) -> Self {
        Self::of_decoder(scope, channels, 1, bias)
    }

    /// A decoder's convolution: padding `kernel / 2`, uniform in `+-1/sqrt(in kernel kernel)`.
    pub fn of_decoder(scope: &Scope, channels: [i64; 2], kernel: i64, bias: bool) -> Self {
        let initial = Initial::UniformFanIn(channels[0] * kernel * kernel);
        Self::of_kernel(scope, channels, kernel, initial, bias.then_some(initial))
    }

    /// A convolution of stride 1 with this kernel, weight and, if there is one, bias.
    pub fn of_kernel(
        scope: &Scope,
        channels: [i64; 2],
        kernel: i64,
        weight: Initial,
        bias: Option<Initial>,
    ) -> Self {
        let weight = scope.parameter("weight", &[channels[1], channels[0], kernel, kernel], weight);
        let bias = bias.map(|bias| scope.parameter("bias", &[channels[1]], bias));
        Self { weight, bias, stride: 1, dilation: 1 }
    }

    /// `[B, in, h, w]` to `[B, out, h', w']`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = self.parameters(x.kind());
        convolution(x, &weight, bias.as_ref(), [self.stride, self.dilation])
    }

    /// An affine norm, ReLU, and then this convolution. If there are kernels for the processor, the map in between is
    /// not kept for the backward pass.
    pub fn forward_after(&self, norm: &BatchNorm, x: &Tensor, mode: Mode) -> Tensor {
        let (weight, bias) = self.parameters(x.kind());
        let norm = norm.count_and_describe(x, mode, None, true);
        norm_convolution(x, norm, &weight, bias.as_ref(), [self.stride, self.dilation])
    }

    fn parameters(&self, kind: Kind) -> (Tensor, Option<Tensor>) {
        (self.weight.to_kind(kind), self.bias.as_ref().map(|bias| bias.to_kind(kind)))
    }
}

/// A linear layer over rows, weight `[out, in]`, uniform in `+-1/sqrt(in)`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// A layer from `channels[0]` to `channels[1]`.
    pub fn new(scope: &Scope, channels: [i64; 2], bias: bool) -> Self {
        let initial = Initial::UniformFanIn(channels[0]);
        Self::with(scope, channels, initial, bias.then_some(initial))
    }

    /// A layer with this weight and, if there is one, bias.
    pub fn with(scope: &Scope, channels: [i64; 2], weight: Initial, bias: Option<Initial>) -> Self {
        let weight = scope.parameter("weight", &[channels[1], channels[0]], weight);
        let bias = bias.map(|bias| scope.parameter("bias", &[channels[1]], bias));
        Self { weight, bias }
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = self.parameters(x.kind());
        x.linear(&weight, bias.as_ref())
    }

    /// The gradient of the input, `[rows, in]`, where the output has this one, `[rows, out]`; itself with a gradient.
    pub fn gradient(&self, of_output: &Tensor) -> Tensor {
        of_output.matmul(&self.weight.to_kind(of_output.kind()))
    }

    /// An affine norm, ReLU, and then this layer, as in [`Convolution::forward_after`].
    pub fn forward_after(&self, norm: &BatchNorm, x: &Tensor, mode: Mode) -> Tensor {
        let (weight, bias) = self.parameters(x.kind());
        norm_convolution(x, norm.count_and_describe(x, mode, None, true), &weight, bias.as_ref(), [1, 1])
    }

    fn parameters(&self, kind: Kind) -> (Tensor, Option<Tensor>) {
        (self.weight.to_kind(kind), self.bias.as_ref().map(|bias| bias.to_kind(kind)))
    }
}

/// Batch norm over all axes but the second: momentum 0.1, eps 1e-5, unbiased running variance.
#[derive(Debug)]
pub struct BatchNorm {
    affine: Option<(Tensor, Tensor)>,
    running_mean: Tensor,
    running_var: Tensor,
    batches_tracked: Tensor,
    /// The processes that have common statistics.
    group: Group,
    /// Whether the batch of this process alone may be too small for statistics: the others of the training have their own.
    may_be_short: bool,
}

impl BatchNorm {
    /// With a weight that starts at `weight` and a bias that starts at 0.
    pub fn affine(scope: &Scope, channels: i64, weight: f64) -> Self {
        let weight = scope.parameter("weight", &[channels], Initial::Constant(weight));
        let bias = scope.parameter("bias", &[channels], Initial::Constant(0.0));
        Self::with(scope, channels, Some((weight, bias)))
    }

    /// Without weight and bias.
    pub fn plain(scope: &Scope, channels: i64) -> Self {
        Self::with(scope, channels, None)
    }

    fn with(scope: &Scope, channels: i64, affine: Option<(Tensor, Tensor)>) -> Self {
        Self {
            affine,
            running_mean: scope.buffer("running_mean", &[channels], 0.0),
            running_var: scope.buffer("running_var", &[channels], 1.0),
            // Only kept because torchvision's strict loading requires it.
            batches_tracked: scope.counter("num_batches_tracked"),
            group: scope.norm_group().clone(),
            may_be_short: scope.norm_group().is_alone() && !scope.group().is_alone(),
        }
    }

    /// Normalises `[B, C, ...]`.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let [y, _] = batch_norm(x, self.count_and_describe(x, mode, None, false));
        y
    }

    /// Normalises, and applies ReLU.
    pub fn forward_relu(&self, x: &Tensor, mode: Mode) -> Tensor {
        let [y, _] = batch_norm(x, self.count_and_describe(x, mode, None, true));
        y
    }

    /// Normalises, adds `residual`, and applies ReLU. The output is returned twice, for the next layer and for the
    /// shortcut around it, so that summing their gradients needs no extra pass over memory.
    pub fn forward_add_relu(&self, x: &Tensor, residual: &Tensor, mode: Mode) -> [Tensor; 2] {
        batch_norm(x, self.count_and_describe(x, mode, Some(residual), true))
    }

    /// Describes the norm to apply to `x` now, and counts the batches of training.
    fn count_and_describe<'t>(
        &'t self,
        x: &Tensor,
        mode: Mode,
        residual: Option<&'t Tensor>,
        relu: bool,
    ) -> Norm<'t> {
        let values = x.numel() as i64 / x.size()[1];
        let (mut views, momentum, counted) = match mode {
            Mode::Train { views } => (views, 0.1, views),
            Mode::Measure => (1, 1.0, values),
            Mode::Evaluate => (0, 0.1, 0),
        };
        if counted > 0 {
            let _ = self.batches_tracked.shallow_clone().g_add_scalar_(counted);
        }
        if self.may_be_short && values <= views {
            // One value has no variance. Its process cannot leave the others alone, and takes the running statistics.
            views = 0;
        }
        let (affine, running) =
            (self.affine.as_ref().map(|(w, b)| (w, b)), (&self.running_mean, &self.running_var));
        Norm { affine, running, views, momentum, epsilon: 1e-5, residual, relu, group: Some(&self.group) }
    }
}

/// Group norm (Wu and He 2018): the channels of each sample in equal groups, eps 1e-5, affine.
#[derive(Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
}

impl GroupNorm {
    /// With a weight that starts at 1 and a bias that starts at 0. `groups` divides `channels`.
    pub fn new(scope: &Scope, channels: i64, groups: i64) -> Self {
        let weight = scope.parameter("weight", &[channels], Initial::Constant(1.0));
        let bias = scope.parameter("bias", &[channels], Initial::Constant(0.0));
        Self { weight, bias, groups }
    }

    /// Normalises `[B, C, ...]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [weight, bias] = [&self.weight, &self.bias].map(|values| values.to_kind(x.kind()));
        x.group_norm(self.groups, Some(weight), Some(bias), 1e-5, true)
    }
}
