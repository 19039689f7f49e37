//! PixSim: the same point of a picture should have similar outputs in both views (section 3.2, eq. 1).

use densesiam_torch_ext::{Group, sample};
use tch::{Kind, Tensor};

use super::correspondence::{Correspondence, Hard, Pairing};
use super::settings::{Order, Settings};
use crate::heads::{Form, Head};
use crate::layers::{Mode, both_views};
use crate::losses::{Distance, normalised, weighed};
use crate::store::Scope;

/// Projector and predictor of PixSim. The predictor is missing if only RegionSim needs the projector.
#[derive(Debug)]
pub struct PixSim {
    projector: Head,
    predictor: Option<Head>,
    distance: Distance,
    order: Order,
    group: Group,
}

/// Dense outputs of both views, in the kind of the losses; `..` are the positions that are compared.
#[derive(Debug)]
pub struct DenseOutputs {
    /// Projections `z`: two `[B', D, ..]`.
    pub z: [Tensor; 2],
    /// Predictions `p`, if there is a predictor: two `[B', D, ..]`.
    pub p: Option<[Tensor; 2]>,
    /// From each view to the other: which position of the other's `z` belongs to a position of `p`.
    pub links: [Link; 2],
    /// The grid, hard points chosen: two `[B', K, K, 2]`.
    pub grid: [Tensor; 2],
    /// Projections at the grid, `G(z, g)`: two `[B', D, K, K]`.
    pub z_at_grid: [Tensor; 2],
}

/// Which target belongs to a prediction.
#[derive(Debug)]
pub enum Link {
    /// The one at the same index.
    SameIndex,
    /// The one at this index: `[B', P]`.
    Index(Tensor),
    /// Several, with weights that sum to 1 over the batch of all processes: `[B', P, P]`.
    Weights(Tensor),
}

/// `G(map, grid)` of both views: bilinear, `align_corners = false`, border padding. `[B, C, h, w]` at `[B, H, W, 2]` to
/// `[B, C, H, W]` in the maps' kind, but computed in the grids' kind, because half precision would move the points.
pub(super) fn at(maps: &[Tensor; 2], grid: &[Tensor; 2]) -> [Tensor; 2] {
    [sample(&maps[0], &grid[0]), sample(&maps[1], &grid[1])]
}

impl PixSim {
    /// `pixel_projector` and, if PixSim itself is on, `pixel_predictor`.
    pub fn new(scope: &Scope, settings: &Settings) -> Self {
        let (channels, dim) = (settings.dense_channels(), settings.pixsim.dim);
        let predictor = || Head::predictor(&(scope / "pixel_predictor"), Form::Maps, dim, dim);
        Self {
            projector: Head::projector(&(scope / "pixel_projector"), Form::Maps, channels, dim, dim),
            predictor: settings.has_pixsim().then(predictor),
            distance: settings.pixsim.distance,
            order: settings.pixsim.order,
            group: scope.group().clone(),
        }
    }

    /// Projects, predicts and samples the features of both views, `[B', C, h, w]`, in the order that the settings give.
    pub fn forward(&self, features: &[Tensor; 2], correspondence: &Correspondence) -> DenseOutputs {
        let grid = &correspondence.grid;
        match self.order {
            Order::ProjectorPredictorGrid => self.sample_outputs(features, correspondence),
            Order::ProjectorGridPredictor => {
                let z = at(&self.project(features), grid);
                self.predict_samples(&z, grid)
            }
            Order::GridProjectorPredictor => {
                let z = self.project(&at(features, grid));
                self.predict_samples(&z, grid)
            }
        }
    }

    /// Pseudo-category of each cell: argmax over the channels of `z`, after enlarging the map to `side x side` cells.
    /// `[B, C, h, w]` to `[B, side, side]`.
    pub fn categories(&self, features: &Tensor, side: i64) -> Tensor {
        let z = self.projector.forward(features, Mode::Evaluate).to_kind(Kind::Float);
        z.upsample_bilinear2d([side, side], false, None, None).argmax(1, false)
    }

    /// Eq. 1, one direction: `D(p, z)` of linked positions, mean over positions and batch. Of a batch that several processes
    /// have, this is the process's part of that mean, if its samples are `share` of all.
    pub fn compare(&self, p: &Tensor, z: &Tensor, link: &Link, share: f64) -> Tensor {
        match link {
            Link::SameIndex => weighed(self.distance.mean(p, z), share),
            Link::Index(index) => {
                let (p, z) = (p.flatten(2, -1), z.flatten(2, -1));
                let z = z.gather(2, &index.unsqueeze(1).expand_as(&z), false);
                weighed(self.distance.mean(&p, &z), share)
            }
            Link::Weights(weights) => {
                let p = self.distance.encode_prediction(&p.flatten(2, -1), 1);
                let z = self.distance.encode_target(&z.flatten(2, -1), 1);
                -(p.transpose(1, 2).bmm(&z) * weights).sum(weights.kind())
            }
        }
    }

    fn project(&self, features: &[Tensor; 2]) -> [Tensor; 2] {
        let [z] = both_views(features.each_ref().map(Tensor::shallow_clone), |f, mode| {
            [self.projector.forward(f, mode)]
        });
        z
    }

    fn predict(&self, z: &[Tensor; 2]) -> Option<[Tensor; 2]> {
        let predictor = self.predictor.as_ref()?;
        let [p] = both_views(z.each_ref().map(Tensor::shallow_clone), |z, mode| [predictor.forward(z, mode)]);
        Some(p)
    }

    fn predict_samples(&self, z: &[Tensor; 2], grid: &[Tensor; 2]) -> DenseOutputs {
        let kind = grid[0].kind();
        let p = self.predict(z).map(|p| p.map(|p| p.to_kind(kind)));
        let z = z.each_ref().map(|z| z.to_kind(kind));
        DenseOutputs {
            p,
            links: [Link::SameIndex, Link::SameIndex],
            grid: grid.each_ref().map(Tensor::shallow_clone),
            z_at_grid: z.each_ref().map(Tensor::shallow_clone),
            z,
        }
    }

    fn sample_outputs(&self, features: &[Tensor; 2], correspondence: &Correspondence) -> DenseOutputs {
        let kind = correspondence.grid[0].kind();
        let z_maps = self.project(features);
        let p_maps = self.predict(&z_maps).map(|p| p.map(|p| p.to_kind(kind)));
        let z_maps = z_maps.map(|z| z.to_kind(kind));
        let grid = match (&correspondence.pairing, &p_maps) {
            (Pairing::HardPoints(hard), Some(p_maps)) => {
                tch::no_grad(|| self.choose(hard, p_maps, &z_maps, correspondence.grid[0].size()[1]))
            }
            _ => correspondence.grid.each_ref().map(Tensor::shallow_clone),
        };
        let z_at_grid = at(&z_maps, &grid);
        let (z, p, links) = match &correspondence.pairing {
            Pairing::Points | Pairing::HardPoints(_) => {
                let z = z_at_grid.each_ref().map(Tensor::shallow_clone);
                (z, p_maps.map(|p| at(&p, &grid)), [Link::SameIndex, Link::SameIndex])
            }
            Pairing::Windows(windows) => {
                let mean = |maps: &[Tensor; 2]| at(maps, windows).map(|w| w.mean_dim(3, false, kind));
                (mean(&z_maps), p_maps.as_ref().map(mean), [Link::SameIndex, Link::SameIndex])
            }
            Pairing::Features => (z_maps, p_maps, feature_links(features)),
            Pairing::Pairs(pairs) => (z_maps, p_maps, pair_links(pairs, &self.group)),
        };
        DenseOutputs { z, p, links, grid, z_at_grid }
    }

    /// The points among the candidates at which the views differ most, plus the filling: two `[B', K, K, 2]`.
    fn choose(&self, hard: &Hard, p: &[Tensor; 2], z: &[Tensor; 2], k: i64) -> [Tensor; 2] {
        let [[p1, p2], [z1, z2]] = [p, z].map(|maps| at(maps, &hard.candidates));
        let differ = self.distance.at_each(&p1, &z2) + self.distance.at_each(&p2, &z1);
        let (_, index) = differ.squeeze_dim(2).topk(hard.chosen, 1, true, false);
        let index = index.view([index.size()[0], hard.chosen, 1, 1]).expand([-1, -1, 1, 2], false);
        [0, 1].map(|view: usize| {
            let chosen = hard.candidates[view].gather(1, &index, false);
            Tensor::cat(&[&chosen, &hard.filling[view]], 1).view([chosen.size()[0], k, k, 2])
        })
    }
}

/// For each cell the cell of the other view whose encoder feature has the largest cosine.
fn feature_links(features: &[Tensor; 2]) -> [Link; 2] {
    let [one, two] = features.each_ref().map(|f| normalised(&f.detach().flatten(2, -1), 1));
    let cosine = one.transpose(1, 2).bmm(&two);
    [Link::Index(cosine.argmax(2, false)), Link::Index(cosine.argmax(1, false))]
}

/// Weights that average over the close pairs of a sample, then over the samples of all processes that have any (as PixPro
/// does).
fn pair_links(pairs: &Tensor, group: &Group) -> [Link; 2] {
    let count = pairs.sum_dim_intlist([1i64, 2].as_slice(), true, pairs.kind());
    let samples = count.gt(0).sum(pairs.kind());
    group.sum(&samples);
    let samples = samples.clamp_min(1);
    let weights = pairs / count.clamp_min(1) / samples;
    [Link::Weights(weights.shallow_clone()), Link::Weights(weights.transpose(1, 2))]
}
