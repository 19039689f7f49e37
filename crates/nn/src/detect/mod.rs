//! Detectors whose scores say how well an encoder transfers to objects: Faster R-CNN on C4 (Ren et al. 2015) and Mask R-CNN on a
//! feature pyramid (He et al. 2017), as detectron2 trains them with batch norms that learn.
//!
//! ```text
//! pictures - encoder - map(s) - RPN - proposals - RoIAlign - head - class and box (- mask)
//! ```
//!
//! Networks and losses are tensors. What happens to boxes between them, from the best anchors to the boxes that are drawn, are
//! plain functions in float64 on the processor: outputs are read from the device twice a step, and no gradient passes there.
//!
//! The encoder's tensors have torchvision's names below `encoder`, its last stage too where it is the head of the boxes, so that
//! pre-trained weights fill all of it. All others have detectron2's; [`detectron2_name`] gives those of the encoder.

mod mask_head;
mod names;
mod predictor;
mod pyramid;
mod rpn;
mod sampling;
mod settings;

use std::fmt;

use densesiam_geometry::mask::{RunLengths, paste_mask};
use densesiam_geometry::{Point, Region};
use densesiam_random::Key;
use densesiam_torch_ext::{Group, roi_align};
use tch::{Device, Kind, Tensor};

pub use self::mask_head::MASK_SIDE;
pub use self::names::{detectron2_name, torchvision_name};
pub use self::sampling::Sampling;
pub use self::settings::{Design, DetectorSettings, RoiSettings, RpnSettings, Settings};

use self::mask_head::MaskHead;
use self::predictor::{Predictor, Roi, draw_rois, no_losses};
pub(crate) use self::pyramid::{BoxHead, NormedPyramid};
use self::pyramid::{PyramidHeads, pool};
use self::rpn::{AnchorTargets, Rpn, draw_anchors};
use crate::encoder::{ENCODER, Features, ResNet};
use crate::layers::{BatchNorm, Mode};
use crate::losses::{weighed, zero_like};
use crate::step::Step;
use crate::store::Store;

/// An object that a picture shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Its box, in pixels of the picture as it is given to the detector.
    pub region: Region,
    /// Its class, from 0.
    pub class: usize,
}

/// Gives the mask of an object within a box, [`MASK_SIDE`] pixels a side, row by row: of a picture of the batch, an object of
/// it, and the box.
pub type Masks<'b> = &'b (dyn Fn(usize, usize, &Region) -> Vec<bool> + Sync);

/// The pictures of a step, and what they show.
#[derive(Clone, Copy)]
pub struct Batch<'b> {
    /// `[B, 3, H, W]`, normalised, with zeros to the right of and below pictures that are smaller than others. For a feature pyramid
    /// H and W are multiples of 32.
    pub pictures: &'b Tensor,
    /// Width and height of each picture without what was added, in pixels.
    pub sizes: &'b [[u32; 2]],
    /// The objects of each picture; there may be none.
    pub objects: &'b [Vec<Object>],
    /// Their masks, for a detector that learns masks.
    pub masks: Option<Masks<'b>>,
    /// The key of each picture, from which its boxes are drawn.
    pub keys: &'b [Key],
    /// The share of the batch's pictures that these are: 1 unless other processes have the others.
    pub share: f64,
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Batch").field("sizes", &self.sizes).field("objects", &self.objects).finish()
    }
}

/// A box that was detected.
#[derive(Clone, Debug, PartialEq)]
pub struct Detected {
    /// In pixels of the picture as it was given, within it.
    pub region: Region,
    /// How likely it is of its class, in `[0, 1]`.
    pub score: f64,
    /// The class, from 0.
    pub class: usize,
    /// For each of [`MASK_SIDE`] x [`MASK_SIDE`] parts of the box, row by row, how likely it is part of the object; `None` if the
    /// detector predicts no masks.
    pub mask: Option<Vec<f32>>,
}

impl Detected {
    /// The same detection in the picture at another size, width and height; `None` if nothing of its box is left there.
    pub fn resized(&self, [from_width, from_height]: [u32; 2], to: [u32; 2]) -> Option<Self> {
        let [width, height] = to.map(f64::from);
        let (along, down) = (width / f64::from(from_width), height / f64::from(from_height));
        let moved = self.region.moved(|point| Point { x: point.x * along, y: point.y * down });
        let region = moved.clipped([width, height]);
        (region.width() > 0.0 && region.height() > 0.0).then(|| Self { region, ..self.clone() })
    }

    /// Its pixels in the picture, whose width and height these are; `None` if the detector predicts no masks.
    pub fn pixels(&self, [width, height]: [u32; 2]) -> Option<RunLengths> {
        let mask: Vec<f64> = self.mask.as_ref()?.iter().map(|&share| share.into()).collect();
        Some(paste_mask(&mask, MASK_SIDE, &self.region, [height, width]))
    }
}

/// A detector.
#[derive(Debug)]
pub struct Detector {
    encoder: ResNet,
    heads: Heads,
    rpn: Rpn,
    predictor: Predictor,
    settings: Settings,
    sampling: Sampling,
    group: Group,
}

/// What turns the maps into the values of boxes.
#[derive(Debug)]
enum Heads {
    /// The encoder's last stage, and a norm.
    C4(BatchNorm),
    Pyramid(Box<PyramidHeads>),
}

/// Boxes whose values are computed at once in a detection, so that memory does not grow with the pictures of a batch.
const BOXES_AT_ONCE: usize = 512;

impl Detector {
    /// Builds the detector in `store` for `classes` classes.
    pub fn new(store: &Store, settings: &Settings, classes: usize) -> Self {
        let (root, architecture, classes) = (store.root(), settings.encoder.architecture, classes as i64);
        let encoder = settings.encoder.build(&(&root / ENCODER.trim_end_matches('.')));
        let [.., c4, c5] = architecture.channels();
        let (heads, [of_maps, of_boxes]) = match settings.detector.design {
            Design::C4 => (Heads::C4(BatchNorm::affine(&(&root / "roi_heads.res5.norm"), c5, 1.0)), [c4, c5]),
            Design::Fpn => (
                Heads::Pyramid(Box::new(PyramidHeads::new(store, settings, classes))),
                [settings.detector.width as i64, PyramidHeads::VALUES],
            ),
        };
        let anchors = settings.detector.anchors();
        Self {
            encoder,
            heads,
            rpn: Rpn::new(&(&root / "proposal_generator"), of_maps, anchors, &settings.rpn),
            predictor: Predictor::new(&(&root / "roi_heads.box_predictor"), of_boxes, classes, &settings.roi),
            settings: settings.clone(),
            sampling: Sampling::Random,
            group: store.group().clone(),
        }
    }

    /// The same detector with another way to draw boxes.
    pub fn with_sampling(self, sampling: Sampling) -> Self {
        Self { sampling, ..self }
    }

    /// One step in training mode, up to the loss.
    ///
    /// # Panics
    /// When another process is lost.
    pub fn step(&self, batch: &Batch<'_>) -> Step {
        let parts = self.losses(batch, Mode::Train { views: 1 });
        let loss = parts.iter().skip(1).fold(parts[0].1.shallow_clone(), |sum, (_, loss)| sum + loss);
        Step { loss, parts, counts: Vec::new(), watched: Vec::new() }
    }

    /// Passes a batch through the detector as a step does, so that a [`Population`](crate::Population) can measure it.
    ///
    /// # Panics
    /// When another process is lost.
    pub fn measure(&self, batch: &Batch<'_>) {
        drop(self.losses(batch, Mode::Measure));
    }

    /// The losses, of all processes in sum.
    fn losses(&self, batch: &Batch<'_>, mode: Mode) -> Vec<(&'static str, Tensor)> {
        let maps = self.maps(batch.pictures, mode);
        let predicted = self.rpn.forward(&maps);
        let proposals = self.rpn.proposals(&predicted, batch.sizes, true);
        let anchors = predicted.levels.concat();
        let (objects, keys) = (batch.objects, batch.keys);
        let (Settings { rpn, roi, .. }, sampling) = (&self.settings, self.sampling);
        let drawn: Vec<(AnchorTargets, Vec<Roi>)> = each(proposals.len(), |picture| {
            let objects: Vec<Region> = objects[picture].iter().map(|object| object.region).collect();
            let targets = draw_anchors(&anchors, &objects, rpn, sampling, keys[picture]);
            let rois = draw_rois(proposals[picture].clone(), &objects, roi, sampling, keys[picture]);
            (targets, rois)
        });
        let (targets, rois): (Vec<_>, Vec<_>) = drawn.into_iter().unzip();
        let [rpn_class, rpn_box] =
            self.rpn.losses(&predicted, &targets).map(|loss| weighed(loss, batch.share));
        // What has boxes in any process is computed in all: they wait for each other in the norms.
        let of_objects = |rois: &Vec<Roi>| rois.iter().filter(|roi| roi.object.is_some()).count() as i64;
        let mut counts = [rois.iter().map(Vec::len).sum::<usize>() as i64, rois.iter().map(of_objects).sum()];
        self.group.sum_counts(&mut counts);
        let [class_weight, box_weight, mask_weight] = roi.weights;
        let [class, of_box] = match counts[0] {
            0 => no_losses(batch.pictures),
            count => {
                let values = self.values(&maps, &boxes_of(&rois, |roi| Some(roi.region)), mode);
                let [class, of_box] = self.predictor.losses(&values, &rois, batch.objects);
                let of_one = 1.0 / count as f64;
                [class * (class_weight * of_one), of_box * (box_weight * of_one)]
            }
        };
        let mut losses = vec![
            ("loss_class", class),
            ("loss_box", of_box),
            ("loss_rpn_class", rpn_class),
            ("loss_rpn_box", rpn_box),
        ];
        if let Some((head, masks)) = self.mask_head().zip(batch.masks) {
            let loss = match counts[1] {
                0 => zero_like(batch.pictures),
                count => {
                    mask_loss(head, masks, &maps, &rois, batch.objects, mode) * (mask_weight / count as f64)
                }
            };
            losses.push(("loss_mask", loss));
        }
        losses
    }

    /// The boxes in each picture of `[B, 3, H, W]`, by falling score, in evaluation mode. `sizes` are width and height of each
    /// picture without what was added.
    pub fn detect(&self, pictures: &Tensor, sizes: &[[u32; 2]]) -> Vec<Vec<Detected>> {
        tch::no_grad(|| {
            let mode = Mode::Evaluate;
            let maps = self.maps(pictures, mode);
            let predicted = self.rpn.forward(&maps);
            let proposals = self.rpn.proposals(&predicted, sizes, false);
            let boxes = boxes_of(&proposals, |region| Some(*region));
            let (first, rest) = boxes.split_at(boxes.len().min(BOXES_AT_ONCE));
            let parts = std::iter::once(first).chain(rest.chunks(BOXES_AT_ONCE));
            let values: Vec<Tensor> = parts.map(|boxes| self.values(&maps, boxes, mode)).collect();
            let values = Tensor::cat(&values, 0);
            let found = self.predictor.detections(&values, &proposals, sizes, &self.settings.roi);
            let mut masks = self.mask_head().map(|head| {
                let values = pool(&maps, &boxes_of(&found, |found| Some(found.region)), MaskHead::BINS);
                let classes: Vec<usize> = found.iter().flatten().map(|found| found.class).collect();
                head.probabilities(&values, &classes).into_iter()
            });
            let mut detected = |found: predictor::Found| Detected {
                region: found.region,
                score: found.score,
                class: found.class,
                mask: masks.as_mut().and_then(Iterator::next),
            };
            found.into_iter().map(|found| found.into_iter().map(&mut detected).collect()).collect()
        })
    }

    /// The maps that boxes are read from: C4, or P2 to P6.
    fn maps(&self, pictures: &Tensor, mode: Mode) -> Features {
        match &self.heads {
            Heads::C4(_) => {
                let Features { mut maps, mut strides } = self.encoder.first_stages(pictures, 3, mode);
                Features { maps: maps.split_off(2), strides: strides.split_off(2) }
            }
            Heads::Pyramid(heads) => heads.maps(&self.encoder.forward(pictures, mode), mode),
        }
    }

    fn bins(&self) -> i64 {
        self.settings.roi.bins_of(self.settings.detector.design)
    }

    fn mask_head(&self) -> Option<&MaskHead> {
        match &self.heads {
            Heads::C4(_) => None,
            Heads::Pyramid(heads) => heads.masks.as_ref(),
        }
    }

    /// The values of boxes, each with its picture: `[boxes, channels]`.
    fn values(&self, maps: &Features, boxes: &[(usize, Region)], mode: Mode) -> Tensor {
        match &self.heads {
            Heads::C4(norm) => {
                let (map, stride) = (&maps.maps[0], maps.strides[0]);
                let boxes: Vec<_> = boxes.iter().map(numbers_of).collect();
                let values = roi_align(map, &boxes, 1.0 / f64::from(stride), self.bins());
                let values = norm.forward(&self.encoder.last_stage(&values, mode), mode);
                values.mean_dim([2i64, 3].as_slice(), false, values.kind())
            }
            Heads::Pyramid(heads) => heads.values(maps, boxes, self.bins(), mode),
        }
    }
}

/// The sum over the pixels of the masks of all boxes that show an object, divided by the pixels of one.
fn mask_loss(
    head: &MaskHead,
    masks: Masks<'_>,
    maps: &Features,
    rois: &[Vec<Roi>],
    objects: &[Vec<Object>],
    mode: Mode,
) -> Tensor {
    let values = pool(maps, &boxes_of(rois, |roi| roi.object.map(|_| roi.region)), MaskHead::BINS);
    let shown = |roi: &Roi, picture: usize| roi.object.map(|object| (picture, object, roi.region));
    let shown: Vec<_> = with_pictures(rois).filter_map(|(picture, roi)| shown(roi, picture)).collect();
    let classes: Vec<usize> =
        shown.iter().map(|&(picture, object, _)| objects[picture][object].class).collect();
    let targets = each(shown.len(), |index| {
        let (picture, object, region) = &shown[index];
        masks(*picture, *object, region)
    });
    head.loss(&values, &classes, &targets.concat(), mode) / (MASK_SIDE * MASK_SIDE) as f64
}

/// The items of all pictures, each with its picture.
fn with_pictures<T>(of_pictures: &[Vec<T>]) -> impl Iterator<Item = (usize, &T)> {
    let pictures = of_pictures.iter().enumerate();
    pictures.flat_map(|(picture, items)| items.iter().map(move |item| (picture, item)))
}

/// The boxes of the items that have one, each with its picture.
fn boxes_of<T>(of_pictures: &[Vec<T>], region: impl Fn(&T) -> Option<Region>) -> Vec<(usize, Region)> {
    with_pictures(of_pictures).filter_map(|(picture, item)| Some((picture, region(item)?))).collect()
}

/// A box as RoIAlign takes it.
fn numbers_of((picture, region): &(usize, Region)) -> [f64; 5] {
    [*picture as f64, region.x0, region.y0, region.x1, region.y1]
}

/// All numbers of a tensor, read from its device.
fn numbers(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Double);
    Vec::try_from(tensor.contiguous().flatten(0, -1)).unwrap_or_default()
}

/// `work` of each number below `count`, on as many threads as libtorch has.
fn each<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = (tch::get_num_threads().max(1) as usize).min(count);
    if threads < 2 {
        return (0..count).map(work).collect();
    }
    let of_thread = |thread: usize| (thread..count).step_by(threads).map(&work).collect::<Vec<T>>();
    let of_threads: Vec<Vec<T>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || of_thread(thread))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<T>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    });
    let mut of_threads: Vec<_> = of_threads.into_iter().map(Vec::into_iter).collect();
    (0..count).filter_map(|index| of_threads[index % threads].next()).collect()
}
