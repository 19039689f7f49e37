//! DenseSiam for unsupervised segmentation (section 4, eq. 8): the projector of PixSim names the class of each pixel.
//!
//! View 1 is cropped in pixels, view 2 whole; the crop and flip of view 1 are applied to the *features* of view 2, so
//! that the network becomes invariant to the first and equivariant to the second. After that all positions of the two
//! maps correspond. Tensors have the names of the released code, with `kernel_*` for RegionSim. Every stop-gradient is
//! a `detach` in this file or in the region loss that it shares with pre-training.

mod settings;

use densesiam_settings::duration::Now;
use densesiam_torch_ext::Group;
use tch::Tensor;

pub use settings::{Auxiliary, Labelling, Rebalance, SegmentPixSim, SegmentRegionSim, Settings};

use super::{Segmenting, Trunk, Views};
use crate::collapse::category_counts;
use crate::heads::{Form, Head};
use crate::layers::{Mode, both_views};
use crate::losses::{entropy_of_labels, loss_kind, weighed, zero_like};
use crate::pretrain::densesiam::{RegionSim, region_loss};
use crate::step::{Step, Watched};
use crate::store::{Scope, Store};

/// Encoder, pyramid and heads.
#[derive(Debug)]
pub struct Segmenter {
    trunk: Trunk,
    projector: Head,
    predictor: Option<Head>,
    auxiliary: Option<(Head, Head)>,
    regionsim: Option<RegionSim>,
    /// The weights of PixSim and of the auxiliary head.
    weights: (f64, f64),
    settings: Settings,
    group: Group,
}

/// The weighted losses of one step, scalars on the device; one that is off is 0.
#[derive(Debug)]
pub struct Losses {
    /// `w_pix L_pix`
    pub pixel: Tensor,
    /// `w_aux L_aux`
    pub auxiliary: Tensor,
    /// `L_seg`
    pub labelling: Tensor,
    /// `0.1 L_reg`
    pub region: Tensor,
    /// Eq. 8, to be differentiated.
    pub total: Tensor,
}

/// The output of a step.
#[derive(Debug)]
pub struct Output {
    /// The losses.
    pub losses: Losses,
    /// The projector's output for view 1, `[B, N, h, w]`.
    pub z: Tensor,
}

impl Segmenter {
    /// Builds the model in `store`, under the names of the released code, for `categories` pseudo-categories, `N`.
    pub fn new(store: &Store, settings: &Settings, categories: i64) -> Self {
        let root = store.root();
        let width = settings.encoder.width;
        let has = |weight: f64| weight > 0.0;
        let pair = |scope: &Scope, projector: &str, predictor: &str, classes: i64| {
            (
                Head::labeller(&(scope / projector), width, classes),
                Head::predictor(&(scope / predictor), Form::Maps, classes, width),
            )
        };
        let (projector, predictor) =
            (Head::labeller(&(&root / "projector"), width, categories), &root / "predictor");
        Self {
            trunk: Trunk::new(&root, &settings.encoder),
            projector,
            predictor: has(settings.pixsim.weight)
                .then(|| Head::predictor(&predictor, Form::Maps, categories, width)),
            auxiliary: has(settings.auxiliary.weight)
                .then(|| pair(&root, "aux_projector", "aux_predictor", settings.auxiliary.classes)),
            regionsim: settings.has_regionsim().then(|| RegionSim::new(&root, "kernel", width, width)),
            weights: settings.weights(categories),
            settings: settings.clone(),
            group: store.group().clone(),
        }
    }

    /// One step in training mode, with RegionSim or without.
    pub fn forward(&self, views: &Views, regions: bool) -> Output {
        let [f1, f2] = self.trunk.both(views);
        let kind = loss_kind(f1.kind());
        // If a head is off, the projection stands in for its output, and is not used.
        let [z, p, auxiliary_z, auxiliary_p] =
            both_views([&f1, &f2].map(Tensor::shallow_clone), |f, mode| {
                let z = self.projector.forward(f, mode);
                let p = self.predictor.as_ref().map(|predictor| predictor.forward(&z, mode));
                let auxiliary_z = self.auxiliary.as_ref().map(|(projector, _)| projector.forward(f, mode));
                let auxiliary_p = self.auxiliary.as_ref().zip(auxiliary_z.as_ref());
                let auxiliary_p = auxiliary_p.map(|((_, predictor), z)| predictor.forward(z, mode));
                let or_z = |head: Option<Tensor>| head.unwrap_or_else(|| z.shallow_clone());
                [z.shallow_clone(), or_z(p), or_z(auxiliary_z), or_z(auxiliary_p)]
            });
        let distance = self.settings.pixsim.distance;
        let similarity = |[z1, z2]: &[Tensor; 2], [p1, p2]: &[Tensor; 2]| {
            (distance.mean(p1, &z2.detach()) + distance.mean(p2, &z1.detach())) * 0.5
        };
        let (w_pixel, w_auxiliary) = self.weights;
        let nothing = zero_like(&f1);
        let off = || nothing.shallow_clone();
        let pixel = if self.predictor.is_some() { w_pixel * similarity(&z, &p) } else { off() };
        let auxiliary = match self.auxiliary {
            Some(_) => w_auxiliary * similarity(&auxiliary_z, &auxiliary_p),
            None => off(),
        };
        let z = z.map(|view| view.to_kind(kind));
        let labelling = match self.settings.labelling.weight {
            0.0 => off(),
            weight => (self.labelling_loss(&z[0]) + self.labelling_loss(&z[1])) * (0.5 * weight),
        };
        let region = match self.regionsim.as_ref().filter(|_| regions) {
            Some(regionsim) => {
                let [one, two] = regionsim.forward(&z, &[f1, f2]);
                let SegmentRegionSim { weight, loss, temperature, stop_gradient, .. } =
                    self.settings.regionsim;
                region_loss([&one, &two], loss, (temperature, stop_gradient), distance) * weight
            }
            None => off(),
        };
        let total = &pixel + &auxiliary + &labelling + &region;
        Output { losses: Losses { pixel, auxiliary, labelling, region, total }, z: z[0].detach() }
    }

    /// Cross-entropy of `z` `[B, N, h, w]` against its own argmax, with the weights of the classes in the batch of all processes.
    fn labelling_loss(&self, z: &Tensor) -> Tensor {
        let labels = z.detach().argmax(1, false);
        let entropy = entropy_of_labels(z, &labels);
        let counts = || {
            let counts = category_counts(&labels, z.size()[1]);
            self.group.sum(&counts);
            counts.to_kind(z.kind())
        };
        let weights = match self.settings.labelling.rebalance {
            Rebalance::None => return entropy.mean(z.kind()),
            Rebalance::Frequency => {
                let counts = counts();
                &counts / counts.sum(z.kind())
            }
            Rebalance::Inverse => {
                let counts = counts();
                let used = counts.gt(0).sum(z.kind());
                counts.sum(z.kind()) / (counts.clamp_min(1) * used)
            }
        };
        (entropy * weights.take(&labels)).mean(z.kind())
    }
}

impl Segmenting for Segmenter {
    fn step(&mut self, views: &Views, now: Now) -> Step {
        let Output { losses, z } = self.forward(views, self.settings.regionsim_has_started(now));
        let Losses { pixel, auxiliary, labelling, region, total } = losses;
        let [pixel, auxiliary, labelling, region, total] =
            [pixel, auxiliary, labelling, region, total].map(|loss| weighed(loss, views.share));
        Step {
            loss: total,
            parts: vec![
                ("loss_pixel", pixel),
                ("loss_auxiliary", auxiliary),
                ("loss_labelling", labelling),
                ("loss_region", region),
            ],
            counts: Vec::new(),
            watched: vec![Watched::Categories(z)],
        }
    }

    /// The projector's output; there is no predictor at inference.
    fn logits(&self, pictures: &Tensor) -> Tensor {
        let z = self.projector.forward(&self.trunk.forward(pictures, Mode::Evaluate), Mode::Evaluate);
        z.to_kind(loss_kind(z.kind()))
    }
}
