//! DenseSiam for pre-training: one encoder, three losses on its last feature map (eq. 7).
//!
//! ```text
//!            +- mean ----- projector - predictor ------------- global   (SimSiam)
//! encoder f -+- projector - predictor - grid ----------------- PixSim   (eq. 1)
//!            +- masks of PixSim x f - projector - predictor -- RegionSim (eq. 4 to 6)
//! ```
//!
//! Batch statistics are per view, in the encoder and in the heads. Every stop-gradient of the method is a `detach` in this
//! file.

mod correspondence;
mod pixsim;
mod regionsim;
mod settings;

use densesiam_geometry::View;
use densesiam_settings::duration::Now;
use densesiam_torch_ext::Group;
use tch::Tensor;

pub use correspondence::{Correspondence, Hard, Pairing};
use pixsim::at;
pub use pixsim::{DenseOutputs, Link, PixSim};
pub use regionsim::{RegionOutputs, RegionSim};
pub use settings::{
    CorrespondenceStrategy, DenseFeatures, GlobalRegion, GlobalSettings, Order, PixSimSettings,
    PointStrategy, REGIONSIM_STARTS, RegionLoss, RegionSimSettings, Settings,
};

use crate::encoder::{ENCODER, Features, ResNet};
use crate::heads::{Form, Head};
use crate::layers::{Mode, both_views};
use crate::losses::{Distance, contrast, loss_kind, weighed, zero_like};
use crate::pretrain::{Method, MethodSettings, Views};
use crate::step::{Step, Watched};
use crate::store::Store;

/// Encoder and heads. Heads exist only where their loss has a weight: with PixSim and RegionSim off this is SimSiam.
#[derive(Debug)]
pub struct DenseSiam {
    encoder: ResNet,
    global: Option<Global>,
    pixsim: Option<PixSim>,
    regionsim: Option<RegionSim>,
    settings: Settings,
    group: Group,
}

#[derive(Debug)]
struct Global {
    projector: Head,
    predictor: Head,
}

/// The losses of one step, scalars on the device in the kind of the losses. A loss that is off is 0.
#[derive(Debug)]
pub struct Losses {
    /// `L_global`
    pub global: Tensor,
    /// `L_pix`, eq. 1
    pub pixel: Tensor,
    /// `L_reg`, eq. 5
    pub region: Tensor,
    /// Eq. 7: the weighted sum, to be differentiated.
    pub total: Tensor,
}

/// The output of a step.
#[derive(Debug)]
pub struct Output {
    /// The losses.
    pub losses: Losses,
    /// Projections of the global branch in view 1, `[B, D]`, if that branch is on.
    pub global_z: Option<Tensor>,
    /// Projections of PixSim in view 1 at the grid, `[B', N, K, K]`, if they were computed.
    pub pixel_z: Option<Tensor>,
}

impl DenseSiam {
    /// Builds the model in `store`: names start with `encoder`, `global_`, `pixel_` or `region_`.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let root = store.root();
        let channels = settings.encoder_channels();
        let or = |value: i64, default: i64| if value == 0 { default } else { value };
        let global = (settings.global.weight > 0.0).then(|| {
            let dim = or(settings.global.dim, channels);
            let hidden = or(settings.global.predictor_hidden, (dim / 4).max(1));
            Global {
                projector: Head::projector(&(&root / "global_projector"), Form::Rows, channels, dim, dim),
                predictor: Head::predictor(&(&root / "global_predictor"), Form::Rows, dim, hidden),
            }
        });
        let dense = settings.has_pixsim() || settings.has_regionsim();
        Self {
            encoder: settings.encoder.build(&(&root / ENCODER.trim_end_matches('.'))),
            global,
            pixsim: dense.then(|| PixSim::new(&root, settings)),
            regionsim: settings
                .has_regionsim()
                .then(|| RegionSim::new(&root, "region", settings.dense_channels(), settings.regionsim.dim)),
            settings: settings.clone(),
            group: store.group().clone(),
        }
    }

    /// One step in training mode: both views `[B, 3, H, W]` to the losses. `correspondence` is `None` if no dense loss
    /// can be computed; `regions` says whether RegionSim has started; `share` is that of the batch which these views are, 1 for
    /// one process.
    pub fn forward(
        &self,
        views: [&Tensor; 2],
        correspondence: Option<&Correspondence>,
        regions: bool,
        share: f64,
    ) -> Output {
        let [f, dense_f] = self.features_of(views);
        // Without a PixSim loss the projector is only needed by RegionSim, and is not used until RegionSim has started.
        let wanted = self.settings.has_pixsim() || regions;
        let dense = correspondence.filter(|_| wanted).zip(self.pixsim.as_ref());
        let (global, global_z) = self.global_loss(&f, correspondence, share);
        let (pixel, region, pixel_z) = match dense {
            Some((correspondence, pixsim)) => self.dense_losses(pixsim, &dense_f, correspondence, regions),
            None => (zero_like(&global), zero_like(&global), None),
        };
        let Settings { global: of_global, pixsim: of_pixel, regionsim: of_region, .. } = &self.settings;
        let total = of_global.weight * &global + of_pixel.weight * &pixel + of_region.weight * &region;
        Output { losses: Losses { global, pixel, region, total }, global_z, pixel_z }
    }

    /// The encoder's last map, and the map that the dense losses compare, of both views.
    fn features_of(&self, views: [&Tensor; 2]) -> [[Tensor; 2]; 2] {
        let views = views.map(Tensor::shallow_clone);
        match self.settings.pixsim.features {
            DenseFeatures::C5 => {
                let [f] = both_views(views, |view, mode| [self.encoder.forward(view, mode).last()]);
                [f.each_ref().map(Tensor::shallow_clone), f]
            }
            DenseFeatures::C4 => both_views(views, |view, mode| {
                let features = self.encoder.forward(view, mode);
                [features.last(), self.dense_of(&features)]
            }),
        }
    }

    /// The map that the dense losses compare.
    fn dense_of(&self, features: &Features) -> Tensor {
        features.maps[self.settings.pixsim.features.stage()].shallow_clone()
    }

    /// `L_global`: SimSiam on the pooled features.
    fn global_loss(
        &self,
        f: &[Tensor; 2],
        correspondence: Option<&Correspondence>,
        share: f64,
    ) -> (Tensor, Option<Tensor>) {
        let Some((global, pooled)) = self.global.as_ref().zip(self.pool(f, correspondence)) else {
            return (zero_like(&f[0]), None);
        };
        let kind = loss_kind(f[0].kind());
        let outputs = both_views(pooled, |f, mode| {
            let z = global.projector.forward(f, mode);
            let p = global.predictor.forward(&z, mode);
            [z, p]
        });
        let [[z1, z2], [p1, p2]] = outputs.map(|views| views.map(|view| view.to_kind(kind)));
        let loss =
            (Distance::Cosine.mean(&p1, &z2.detach()) + Distance::Cosine.mean(&p2, &z1.detach())) * 0.5;
        let share = match self.settings.global.region {
            GlobalRegion::Whole => share,
            GlobalRegion::Overlap => correspondence.map_or(share, |correspondence| correspondence.share),
        };
        (weighed(loss, share), Some(z1.detach()))
    }

    /// The input of the global branch for each view, `[B, C]`; `None` if no sample has the overlap that the branch
    /// needs.
    fn pool(&self, f: &[Tensor; 2], correspondence: Option<&Correspondence>) -> Option<[Tensor; 2]> {
        let mean = |f: &Tensor| f.mean_dim([2i64, 3].as_slice(), false, f.kind());
        match self.settings.global.region {
            GlobalRegion::Whole => Some(f.each_ref().map(mean)),
            GlobalRegion::Overlap => {
                let correspondence = correspondence?;
                Some(at(&keep(f, correspondence), &correspondence.grid).map(|sampled| mean(&sampled)))
            }
        }
    }

    /// `L_pix` (eq. 1) and, once it has started, `L_reg` (eq. 5).
    fn dense_losses(
        &self,
        pixsim: &PixSim,
        f: &[Tensor; 2],
        correspondence: &Correspondence,
        regions: bool,
    ) -> (Tensor, Tensor, Option<Tensor>) {
        let (f, share) = (keep(f, correspondence), correspondence.share);
        let DenseOutputs { z, p, links, grid, z_at_grid } = pixsim.forward(&f, correspondence);
        let pixel = match &p {
            Some([p1, p2]) => {
                let [z1, z2] = &z;
                (pixsim.compare(p1, &z2.detach(), &links[0], share)
                    + pixsim.compare(p2, &z1.detach(), &links[1], share))
                    * 0.5
            }
            None => zero_like(&z[0]),
        };
        let region = match self.regionsim.as_ref().filter(|_| regions) {
            Some(regionsim) => {
                let [one, two] = regionsim.forward(&z_at_grid, &at(&f, &grid));
                let RegionSimSettings { loss, temperature, stop_gradient, .. } = self.settings.regionsim;
                let distance = self.settings.pixsim.distance;
                weighed(region_loss([&one, &two], loss, (temperature, stop_gradient), distance), share)
            }
            None => zero_like(&z[0]),
        };
        let [z1, _] = z_at_grid;
        (pixel, region, Some(z1.detach()))
    }
}

impl Method for DenseSiam {
    fn step(&mut self, views: &Views, now: Now) -> Step {
        let [one, two] = views.pair();
        let geometry: Vec<[View; 2]> = views.cuts.iter().map(|cuts| [cuts[0], cuts[1]]).collect();
        let sides = self.settings.encoder.sides(one.size()[2] as u32);
        let cells = sides[self.settings.pixsim.features.stage()] as usize;
        let place = (loss_kind(one.kind()), one.device());
        let correspondence =
            Correspondence::new(&self.settings, &geometry, views.keys, cells, place, &self.group);
        let regions = self.settings.regionsim_has_started(now);
        let Output { losses, global_z, pixel_z } =
            self.forward([one, two], correspondence.as_ref(), regions, views.share);
        let no_dense_loss = self.settings.needs_overlap() && correspondence.is_none();
        let mut parts = vec![("loss_global", losses.global)];
        if !no_dense_loss {
            parts.extend([("loss_pixel", losses.pixel), ("loss_region", losses.region)]);
        }
        let watched = [global_z.map(Watched::Spread), pixel_z.map(Watched::Categories)];
        Step {
            loss: losses.total,
            parts,
            counts: vec![("without_dense_loss", u64::from(no_dense_loss))],
            watched: watched.into_iter().flatten().collect(),
        }
    }

    fn encoder(&self) -> &ResNet {
        &self.encoder
    }

    /// The argmax over the channels of PixSim's projector.
    fn categories(&self, pictures: &Tensor, side: i64) -> Option<Tensor> {
        let pixsim = self.pixsim.as_ref()?;
        Some(tch::no_grad(|| {
            let features = self.encoder.forward(pictures, Mode::Evaluate);
            pixsim.categories(&self.dense_of(&features), side)
        }))
    }
}

/// Eq. 5, in both directions. As in the released code, its targets keep their gradient unless `stop_gradient` is set.
/// Eq. 1 on regions always stops the gradient, as eq. 1 does. Pre-training and segmentation share this function.
pub(crate) fn region_loss(
    [one, two]: [&RegionOutputs; 2],
    loss: RegionLoss,
    (temperature, stop_gradient): (f64, bool),
    distance: Distance,
) -> Tensor {
    let target = |r: &Tensor| if stop_gradient { r.detach() } else { r.shallow_clone() };
    let direction = |q: &Tensor, r: &Tensor| match loss {
        RegionLoss::Contrast => contrast(q, &target(r), temperature),
        RegionLoss::Similarity => {
            let channels_second = |rows: &Tensor| rows.transpose(1, 2);
            distance.mean(&channels_second(q), &channels_second(&r.detach()))
        }
    };
    (direction(&one.q, &two.r) + direction(&two.q, &one.r)) * 0.5
}

/// The features of the samples that have an overlap.
fn keep(f: &[Tensor; 2], correspondence: &Correspondence) -> [Tensor; 2] {
    f.each_ref()
        .map(|f| correspondence.kept.as_ref().map_or(f.shallow_clone(), |kept| f.index_select(0, kept)))
}
