//! Projectors and predictors. Each is a table of layers of one small type, for feature maps or for rows.
//!
//! The names of a head's layers count ReLUs as PyTorch's `Sequential` does: `0` linear, `1` norm, (`2` ReLU), `3`, ...

use tch::Tensor;

use crate::layers::{BatchNorm, Convolution, Linear, Mode};
use crate::store::Scope;

/// What a head is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Feature maps `[B, C, h, w]`, by 1x1 convolutions.
    Maps,
    /// Rows `[rows, C]`, by linear layers.
    Rows,
}

#[derive(Debug)]
enum Mapping {
    Maps(Convolution),
    Rows(Linear),
}

impl Mapping {
    fn new(scope: &Scope, form: Form, channels: [i64; 2], bias: bool) -> Self {
        match form {
            Form::Maps => Self::Maps(Convolution::of_head(scope, channels, bias)),
            Form::Rows => Self::Rows(Linear::new(scope, channels, bias)),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Maps(convolution) => convolution.forward(x),
            Self::Rows(linear) => linear.forward(x),
        }
    }

    /// A norm, ReLU, and then this layer.
    fn forward_after(&self, norm: &BatchNorm, x: &Tensor, mode: Mode) -> Tensor {
        match self {
            Self::Maps(convolution) => convolution.forward_after(norm, x, mode),
            Self::Rows(linear) => linear.forward_after(norm, x, mode),
        }
    }
}

/// A stack of `mapping, batch norm, ReLU` layers with a last layer of its own kind. The norms may be missing.
#[derive(Debug)]
pub struct Head {
    hidden: Vec<(Mapping, Option<BatchNorm>)>,
    output: Mapping,
    output_norm: Option<BatchNorm>,
}

/// The layers of a [`Head::new`], of the form that the methods of other papers have.
#[derive(Clone, Copy, Debug)]
pub struct Layers {
    /// Whether the hidden layers have a bias.
    pub hidden_bias: bool,
    /// Whether a batch norm follows each hidden layer.
    pub norm: bool,
    /// Whether the output has a bias.
    pub output_bias: bool,
    /// Whether an affine batch norm follows the output.
    pub output_norm: bool,
}

impl Layers {
    /// Linear, ReLU, linear, with biases: MoCo v2 and its relatives.
    pub const PLAIN: Self = Self { hidden_bias: true, norm: false, output_bias: true, output_norm: false };
    /// With a norm between, and a bias before it alone: BYOL and its relatives.
    pub const NORMED: Self = Self { hidden_bias: true, norm: true, output_bias: false, output_norm: false };
}

impl Head {
    /// A head whose first `channels` are its input's and whose last are its output's.
    pub fn new(scope: &Scope, form: Form, channels: &[i64], layers: Layers) -> Self {
        let places = if layers.norm { 3 } else { 2 };
        let at = |place: usize| scope / place.to_string().as_str();
        let pairs: Vec<_> = channels.windows(2).map(|pair| [pair[0], pair[1]]).collect();
        let last = pairs.len().saturating_sub(1);
        let hidden = pairs.iter().take(last).enumerate().map(|(index, &pair)| {
            let mapping = Mapping::new(&at(index * places), form, pair, layers.hidden_bias);
            (mapping, layers.norm.then(|| BatchNorm::affine(&at(index * places + 1), pair[1], 1.0)))
        });
        let hidden = hidden.collect();
        let ends = [channels[last], channels[channels.len() - 1]];
        let output = Mapping::new(&at(last * places), form, ends, layers.output_bias);
        let output_norm = layers.output_norm.then(|| BatchNorm::affine(&at(last * places + 1), ends[1], 1.0));
        Self { hidden, output, output_norm }
    }

    /// A projector: two hidden layers, then an output without bias and batch norm without affine
    /// (the paper, section 5.1: `C - hidden - hidden - out`).
    pub fn projector(scope: &Scope, form: Form, channels: i64, hidden: i64, out: i64) -> Self {
        let output = Mapping::new(&(scope / "6"), form, [hidden, out], false);
        Self::with_output(scope, form, [channels, hidden, out], output)
    }

    fn with_output(scope: &Scope, form: Form, [channels, hidden, out]: [i64; 3], output: Mapping) -> Self {
        let norm = |index: &str, channels| Some(BatchNorm::affine(&(scope / index), channels, 1.0));
        Self {
            hidden: vec![
                (Mapping::new(&(scope / "0"), form, [channels, hidden], false), norm("1", hidden)),
                (Mapping::new(&(scope / "3"), form, [hidden, hidden], false), norm("4", hidden)),
            ],
            output,
            output_norm: Some(BatchNorm::plain(&(scope / "7"), out)),
        }
    }

    /// A projector whose channels are classes: like [`Head::projector`] on maps, with `width` hidden channels and a
    /// bias at the output, as in the released code (the paper, section 4).
    pub fn labeller(scope: &Scope, width: i64, classes: i64) -> Self {
        let output = Mapping::new(&(scope / "6"), Form::Maps, [width, classes], true);
        Self::with_output(scope, Form::Maps, [width, width, classes], output)
    }

    /// A predictor: one hidden layer, then an output with bias and no norm (the paper, section 5.1: `out - hidden - out`).
    pub fn predictor(scope: &Scope, form: Form, channels: i64, hidden: i64) -> Self {
        let norm = BatchNorm::affine(&(scope / "1"), hidden, 1.0);
        Self {
            hidden: vec![(Mapping::new(&(scope / "0"), form, [channels, hidden], false), Some(norm))],
            output: Mapping::new(&(scope / "3"), form, [hidden, channels], true),
            output_norm: None,
        }
    }

    /// `[B, C, h, w]` to `[B, out, h, w]`, or `[rows, C]` to `[rows, out]`.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        self.forward_from_first(&self.first(x), mode)
    }

    /// Applies only the first layer. Without a bias it maps a sum of rows to the sum of their images.
    pub fn first(&self, x: &Tensor) -> Tensor {
        self.hidden.first().map_or(&self.output, |(mapping, _)| mapping).forward(x)
    }

    /// As [`Head::forward`], but from the output of the first layer.
    pub fn forward_from_first(&self, first: &Tensor, mode: Mode) -> Tensor {
        let mut map = first.shallow_clone();
        let next = self.hidden.iter().skip(1).map(|(mapping, _)| mapping).chain([&self.output]);
        for ((_, norm), mapping) in self.hidden.iter().zip(next) {
            map = match norm {
                Some(norm) => mapping.forward_after(norm, &map, mode),
                None => mapping.forward(&map.relu()),
            };
        }
        self.output_norm.as_ref().map_or(map.shallow_clone(), |norm| norm.forward(&map, mode))
    }
}
