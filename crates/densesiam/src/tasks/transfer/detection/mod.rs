//! Transfer to detection: what its steps learn, and how it is scored. The loop is in `tasks/training.rs`, the mathematics in
//! `densesiam_nn::detect`.

mod evaluation;
mod plan;
mod sheet;

use densesiam_data::detection::{DetectionView, DetectionViews};
use densesiam_data::loader::Batch;
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::Voice;
use densesiam_engine::run_dir::Start;
use densesiam_geometry::Region;
use densesiam_nn::detect::{self, Design, Detector, MASK_SIDE};
use densesiam_nn::input::Input;
use densesiam_nn::{Group, Predictors, Step, Store};
use densesiam_random::{Key, Purpose};
use densesiam_report::page::Status;
use densesiam_settings::duration::Now;
use tch::{Kind, Tensor};

pub use evaluation::{DetectionEvaluation, evaluate, truths, written_files};
pub use plan::{Plan, reading, validation_set};

use super::{measure_statistics, report};
use crate::error::Error;
use crate::recipe::transfer::detection::DetectionRecipe;
use crate::run::{Journal, Run};
use crate::tasks::learner::{Learner, Observer};
use crate::tasks::training::train;

/// Trains as planned, in its own run directory, until the end, a signal or a problem.
///
/// # Errors
/// Whatever ends the run early. The state of the last step that was good is then in the run directory.
pub fn transfer(plan: &Plan, start: Start, voice: &Voice, interrupt: &Interrupt) -> Result<(), Error> {
    let store = plan.run.store();
    let mut learner = plan.learner(&store);
    let views = learner.views.clone();
    let mut state = plan.run.state(store, Predictors::NONE)?;
    plan.run.together(|| {
        train(&plan.run, (start, voice, interrupt), (&mut learner, views), |_| Scored { plan }, &mut state)
    })
}

/// The detector and its input, which turns batches into tensors.
pub struct DetectionLearner {
    detector: Detector,
    input: Input,
    views: DetectionViews,
    /// What the sides of a batch are multiples of, in pixels.
    multiple: u32,
    seed: u64,
    /// Pictures in the batch of all processes.
    batch_size: usize,
    precise_batches: u64,
    group: Group,
}

impl DetectionLearner {
    /// Builds the detector of a recipe in `store`, for the classes of the set whose views it learns; pictures enter its encoder in
    /// `kind`.
    pub fn new(recipe: &DetectionRecipe, views: DetectionViews, store: &Store, kind: Kind) -> Self {
        let settings = &recipe.model;
        Self {
            detector: Detector::new(store, settings, views.set.classes.len()),
            input: Input::new(kind, store.device()),
            views,
            multiple: multiple(settings),
            seed: recipe.common.run.seed,
            batch_size: recipe.common.train.batch_size,
            precise_batches: recipe.evaluate.precise_batches,
            group: store.group().clone(),
        }
    }

    /// How its views are made.
    pub fn views(&self) -> &DetectionViews {
        &self.views
    }

    /// How many objects the detector finds in the views of a batch, as an evaluation would.
    pub fn detections(&self, batch: &Batch<DetectionView>) -> usize {
        let found = self.with_batch(batch, |detector, batch| detector.detect(batch.pictures, batch.sizes));
        found.iter().map(Vec::len).sum()
    }

    /// Gives a batch to `work`, as the detector takes it.
    fn with_batch<T>(
        &self,
        batch: &Batch<DetectionView>,
        work: impl FnOnce(&Detector, &detect::Batch<'_>) -> T,
    ) -> T {
        let sizes: Vec<[u32; 2]> = batch.drawn.iter().map(|view| view.size).collect();
        let whole = size_of_all(&self.group, &sizes, self.multiple);
        let pictures = padded(&self.input, batch.views.iter().map(Vec::as_slice), &sizes, whole);
        let objects: Vec<Vec<detect::Object>> = batch.drawn.iter().map(objects_of).collect();
        let keys: Vec<Key> = batch
            .epochs
            .iter()
            .zip(&batch.samples)
            .map(|(&epoch, &sample)| Key::new(self.seed, Purpose::Anchors).epoch(epoch).sample(sample))
            .collect();
        let share = batch.samples.len() as f64 / self.batch_size as f64;
        let target = |picture: usize, object: usize, within: &Region| {
            let shape = &batch.drawn[picture].objects[object].shape;
            // Views of a detector of masks have no objects without one.
            shape.as_ref().map_or_else(Vec::new, |shape| shape.target(within, MASK_SIDE))
        };
        let masks = self.views.masks.then_some(&target as detect::Masks<'_>);
        let (pictures, sizes, objects, keys) = (&pictures, &sizes, &objects, &keys);
        work(&self.detector, &detect::Batch { pictures, sizes, objects, masks, keys, share })
    }
}

/// What the sides of a padded batch are multiples of: a pyramid's maps are each half of the one before.
pub(crate) fn multiple(settings: &detect::Settings) -> u32 {
    match settings.detector.design {
        Design::C4 => 1,
        Design::Fpn => settings.encoder.architecture.stride(),
    }
}

fn objects_of(view: &DetectionView) -> Vec<detect::Object> {
    view.objects.iter().map(|object| detect::Object { region: object.bbox, class: object.class }).collect()
}

/// Width and height that hold pictures of these sizes and those of all other processes, so that batch norm sees the same padding
/// however many processes there are.
fn size_of_all(group: &Group, sizes: &[[u32; 2]], multiple: u32) -> [u32; 2] {
    let largest = |axis: usize| sizes.iter().map(|size| size[axis]).max().unwrap_or(0);
    let mut all = vec![0; 2 * group.world()];
    all[2 * group.rank()..][..2].copy_from_slice(&[0, 1].map(|axis| i64::from(largest(axis))));
    group.sum_counts(&mut all);
    let most = |axis: usize| all.iter().skip(axis).step_by(2).copied().max().unwrap_or(0) as u32;
    [0, 1].map(|axis| most(axis).next_multiple_of(multiple))
}

/// Pictures of different sizes (width, height) as one tensor `[B, 3, H, W]`, normalised, with zeros to the right of and below
/// those that are smaller than `width` and `height`.
pub(crate) fn padded<'p>(
    input: &Input,
    pictures: impl Iterator<Item = &'p [u8]>,
    sizes: &[[u32; 2]],
    [width, height]: [u32; 2],
) -> Tensor {
    let [width, height] = [i64::from(width), i64::from(height)];
    let normalised: Vec<Tensor> =
        pictures.zip(sizes).map(|(picture, &size)| input.normalised(picture, size)).collect();
    if let [one] = &normalised[..]
        && one.size()[2..] == [height, width]
    {
        return one.shallow_clone();
    }
    let options =
        normalised.first().map_or((Kind::Float, tch::Device::Cpu), |one| (one.kind(), one.device()));
    let all = Tensor::zeros([normalised.len() as i64, height, width, 3], options).permute([0, 3, 1, 2]);
    for (place, picture) in normalised.iter().enumerate() {
        let size = picture.size();
        let mut part = all.narrow(0, place as i64, 1).narrow(2, 0, size[2]).narrow(3, 0, size[3]);
        part.copy_(picture);
    }
    all
}

impl Learner for DetectionLearner {
    type Augmentation = DetectionViews;

    fn step(&mut self, batch: &Batch<DetectionView>, _: Now) -> Step {
        self.with_batch(batch, Detector::step)
    }

    fn finishes(&self) -> bool {
        self.precise_batches > 0
    }

    fn finish(&mut self, run: &Run, store: &Store) -> Result<(), Error> {
        let measure = |batch: &Batch<DetectionView>| self.with_batch(batch, Detector::measure);
        measure_statistics((run, store), &self.views, self.precise_batches, measure)
    }
}

/// The scores, the pictures and the page of a detector.
struct Scored<'p> {
    plan: &'p Plan,
}

impl Observer<DetectionLearner> for Scored<'_> {
    /// Evaluates, prints and records the scores. Random heads detect nothing that could be a baseline.
    fn score(&mut self, learner: &DetectionLearner, journal: &mut Journal, step: u64) -> Result<(), Error> {
        let (Plan { recipe, run, validation, .. }, true) = (self.plan, step > 0) else { return Ok(()) };
        let Some(set) = validation else { return Ok(()) };
        let model = (&learner.detector, &learner.input);
        let evaluation = evaluate(set, &self.plan.reading(), recipe, model, (&run.group, step))?;
        if !journal.writes() {
            return Ok(());
        }
        journal.say(&format!("step {step}: {evaluation}"));
        journal.evaluated(step, evaluation.headline(), &evaluation.to_json(step, set))?;
        evaluation.write(&journal.layout().root().join("detections"), set, recipe.objects.layout)?;
        let sheet = sheet::draw(set, &evaluation.detections, &run.limits());
        sheet.map_or(Ok(()), |sheet| journal.picture("detections", step, &sheet))
    }

    fn report(&self, journal: &Journal, status: Status) -> Result<String, Error> {
        report::render(&self.plan.run, journal, status, &report::DETECTION)
    }
}
