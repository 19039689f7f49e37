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

/// A stack of `mapping, batch norm, ReLU` layers with a last layer of its own kind.
#[derive(Debug)]
pub struct Head {
    hidden: Vec<(Mapping, BatchNorm)>,
    output: Mapping,
    output_norm: Option<BatchNorm>,
}

impl Head {
    /// A projector: two hidden layers, then an output without bias and batch norm without affine
    /// (the paper, section 5.1: `C - hidden - hidden - out`).
    pub fn projector(scope: &Scope, form: Form, channels: i64, hidden: i64, out: i64) -> Self {
        let output = Mapping::new(&(scope / "6"), form, [hidden, out], false);
        Self::with_output(scope, form, [channels, hidden, out], output)
    }

    fn with_output(scope: &Scope, form: Form, [channels, hidden, out]: [i64; 3], output: Mapping) -> Self {
        let norm = |index: &str, channels| BatchNorm::affine(&(scope / index), channels, 1.0);
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
            hidden: vec![(Mapping::new(&(scope / "0"), form, [channels, hidden], false), norm)],
            output: Mapping::new(&(scope / "3"), form, [hidden, channels], true),
            output_norm: None,
        }
    }

    /// `[B, C, h, w]` to `[B, out, h, w]`, or `[rows, C]` to `[rows, out]`.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        self.forward_from_first(&self.first(x), mode)
    }

    /// Applies only the first layer. It is linear and has no bias, so it maps a sum of rows to the sum of their images.
    pub fn first(&self, x: &Tensor) -> Tensor {
        self.hidden[0].0.forward(x)
    }

    /// As [`Head::forward`], but from the output of the first layer.
    pub fn forward_from_first(&self, first: &Tensor, mode: Mode) -> Tensor {
        let (mut map, mut norm) = (first.shallow_clone(), &self.hidden[0].1);
        for (mapping, next_norm) in &self.hidden[1..] {
            map = mapping.forward_after(norm, &map, mode);
            norm = next_norm;
        }
        let output = self.output.forward_after(norm, &map, mode);
        self.output_norm.as_ref().map_or(output.shallow_clone(), |norm| norm.forward(&output, mode))
    }
}
