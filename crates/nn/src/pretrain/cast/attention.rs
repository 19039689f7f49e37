//! What a projector attends to in the map that it reads.

use tch::Tensor;

use crate::layers::Linear;
use crate::losses::loss_kind;
use crate::store::Scope;

/// A linear layer, or two with a ReLU between.
#[derive(Debug)]
pub(super) struct Projector {
    hidden: Option<Linear>,
    output: Linear,
}

impl Projector {
    /// Two or three numbers of channels: of the input, of the hidden layer if there is one, and of the output.
    pub(super) fn new(scope: &Scope, channels: &[i64]) -> Self {
        match *channels {
            [width, hidden, dim] => Self {
                hidden: Some(Linear::new(&(scope / "0"), [width, hidden], true)),
                output: Linear::new(&(scope / "2"), [hidden, dim], true),
            },
            [width, dim] => Self { hidden: None, output: Linear::new(scope, [width, dim], true) },
            _ => panic!("a projector of {channels:?} channels"),
        }
    }

    /// Rows `[B, C]` to the rows of the hidden layer, if there is one, and to `[B, D]`.
    pub(super) fn forward(&self, rows: &Tensor) -> (Option<Tensor>, Tensor) {
        let hidden = self.hidden.as_ref().map(|layer| layer.forward(rows).relu());
        let output = self.output.forward(hidden.as_ref().unwrap_or(rows));
        (hidden, output)
    }

    /// Gradients of the output `[B, D]` to those of the input `[B, C]`, at these rows of the hidden layer. Written out, so that
    /// they can be differentiated themselves.
    fn gradient(&self, of_output: &Tensor, hidden: Option<&Tensor>) -> Tensor {
        let of_hidden = self.output.gradient(of_output);
        match self.hidden.as_ref().zip(hidden) {
            Some((layer, rows)) => layer.gradient(&(of_hidden * rows.gt(0.0))),
            None => of_hidden,
        }
    }

    /// Grad-CAM (Selvaraju et al. 2017) of the similarity of unit rows `q` and `k`, `[B, D]`, at the map that `q` was made of,
    /// `[B, C, h, w]`: `[B, h, w]`, from 0 to 1 in each picture. `hidden` are the rows of the hidden layer; `relu` cuts negative
    /// values off before the map is stretched.
    ///
    /// As the map is pooled by its mean, every cell has the same gradient, so the weights of the channels are the projector's
    /// gradient of `q.k`, written out. Positive factors of a picture cancel where its map is stretched to 0 to 1: the number of
    /// cells, the length of the output, and the temperature. One backward pass through this expression gives the gradient of
    /// the attention, and no layer is differentiated twice.
    pub(super) fn grad_cam(
        &self,
        map: &Tensor,
        q: &Tensor,
        k: &Tensor,
        hidden: Option<&Tensor>,
        relu: bool,
    ) -> Tensor {
        let kind = loss_kind(map.kind());
        let [map, q, k] = [map, q, k].map(|of| of.to_kind(kind));
        let similarity = (&q * &k).sum_dim_intlist(1, true, kind);
        let weights = self.gradient(&(&k - similarity * &q), hidden);
        let cam = (map * weights.unsqueeze(2).unsqueeze(3)).sum_dim_intlist(1, false, kind);
        let cam = if relu { cam.relu() } else { cam };
        let [lowest, highest] = [cam.amin([1i64, 2].as_slice(), true), cam.amax([1i64, 2].as_slice(), true)];
        (cam - &lowest) / (highest - &lowest).clamp_min(1e-12)
    }
}
