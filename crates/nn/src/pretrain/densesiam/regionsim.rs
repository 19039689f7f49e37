//! RegionSim: the region of a pseudo-category should have similar outputs in both views (section 3.3, eq. 4 to 6).

use tch::Tensor;

use crate::heads::{Form, Head};
use crate::layers::both_views;
use crate::store::Scope;

/// Projector and predictor of RegionSim, over rows of region embeddings.
#[derive(Debug)]
pub struct RegionSim {
    projector: Head,
    predictor: Head,
}

/// Region outputs of one view, in the kind of the features.
#[derive(Debug)]
pub struct RegionOutputs {
    /// Projected region embeddings `r`: `[B', N, D]`.
    pub r: Tensor,
    /// Their predictions `q`: `[B', N, D]`.
    pub q: Tensor,
}

/// Eq. 4: the sum of the features under each soft mask. `z` `[B, N, K, K]` and `f` `[B, C, K, K]` to `[B, N, C]`, in
/// the kind of `f`; a product in bfloat16 is summed in float32.
fn region_embeddings(z: &Tensor, f: &Tensor) -> Tensor {
    masks(z, f).bmm(&positions(f))
}

/// The soft mask of each region: `[B, N, K * K]`.
fn masks(z: &Tensor, f: &Tensor) -> Tensor {
    z.softmax(1, z.kind()).flatten(2, -1).to_kind(f.kind())
}

/// The features of each position: `[B, K * K, C]`.
fn positions(f: &Tensor) -> Tensor {
    f.flatten(2, -1).transpose(1, 2)
}

impl RegionSim {
    /// `NAME_projector` and `NAME_predictor` for features of `channels`.
    pub fn new(scope: &Scope, name: &str, channels: i64, dim: i64) -> Self {
        let below = |part: &str| scope / format!("{name}_{part}").as_str();
        Self {
            projector: Head::projector(&below("projector"), Form::Rows, channels, dim, dim),
            predictor: Head::predictor(&below("predictor"), Form::Rows, dim, dim),
        }
    }

    /// Eq. 5's `r` and `q` of both views, from their `z`, in the kind of the losses, and their `f` at the same
    /// positions; everything is computed in the kind of `f`.
    pub fn forward(&self, z: &[Tensor; 2], f: &[Tensor; 2]) -> [RegionOutputs; 2] {
        let first = [0, 1].map(|view: usize| self.first(&z[view], &f[view]));
        let regions = z[0].size()[1];
        let [r, q] = both_views(first, |rows, mode| {
            let r = self.projector.forward_from_first(rows, mode);
            let q = self.predictor.forward(&r, mode);
            [r, q]
        });
        let per_image = |x: &Tensor| x.view([z[0].size()[0], regions, x.size()[1]]);
        [0, 1].map(|view: usize| RegionOutputs { r: per_image(&r[view]), q: per_image(&q[view]) })
    }

    /// The projector's first layer applied to the region embeddings, `[B' * N, D]`. Sum and layer are both linear, so
    /// the layer can come first. It is then computed for 49 positions instead of 512 regions, whose embeddings are
    /// never made.
    fn first(&self, z: &Tensor, f: &Tensor) -> Tensor {
        let (regions, cells) = (z.size()[1], z.size()[2] * z.size()[3]);
        if regions <= cells {
            return self.projector.first(&region_embeddings(z, f).flatten(0, 1));
        }
        let first = self.projector.first(&positions(f).flatten(0, 1));
        masks(z, f).bmm(&first.view([z.size()[0], cells, first.size()[1]])).flatten(0, 1)
    }
}
