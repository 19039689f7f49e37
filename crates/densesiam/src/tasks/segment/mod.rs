//! Unsupervised segmentation, start to end: the whole loop in sight. No label is seen in training; labelled pictures
//! only say how good it is.

mod absent;
mod classes;
mod evaluation;
mod plan;
mod report;
mod sheet;
mod trained;
mod verdict;

use std::sync::Arc;

use densesiam_data::labelled::LabelledSet;
use densesiam_engine::device::set_threads;
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::Voice;
use densesiam_engine::optimizer::not_finite;
use densesiam_engine::run_dir::Mode;
use densesiam_nn::segment::{Output, Segmenter, alignment};
use densesiam_nn::{Store, collapse};
use densesiam_settings::duration::is_due;
use tch::{Device, Kind, Tensor};

pub use absent::Absent;
pub use evaluation::{Evaluation, evaluate, pixel_categories};
pub use plan::{Plan, evaluation_settings, labelled_set};
pub use trained::{MatchedClasses, Trained, matched_classes};

use crate::error::Error;
use crate::import::begin_encoder;
use crate::run::{Journal, Origin, Pending, State, Stopwatch, Trouble, next_batch};
use densesiam_nn::input::Input;
use densesiam_report::page::Status;
use sheet::ContactSheet;

/// Trains as planned, in a run directory of its own, until the end, a signal or trouble.
///
/// # Errors
/// Whatever ends the run early; what had been saved stays saved.
pub fn segment(plan: &Plan, mode: Mode, voice: &Voice) -> Result<(), Error> {
    let setup = &plan.run;
    set_threads(setup.threads);
    let interrupt = Interrupt::install().map_err(|error| Error::Internal(error.to_string()))?;
    let (recipe, when, total) = (&plan.recipe, &setup.when, setup.horizon.total_steps);

    // ---- model and optimizer
    let store = Store::new(Kind::Float, setup.device, recipe.common.run.seed);
    let model_settings = &recipe.model;
    let model = Segmenter::new(&store, model_settings, plan.categories);
    let optimizer = plan.optimizer(&store)?;
    let mut state = State { store, optimizer, step: 0 };
    let origin = Origin::find(setup, mode, &mut state)?;
    let begins = !origin.is_restored();
    if begins {
        begin_encoder(&state.store, "backbone.", &recipe.beginning.weights, voice)?;
    }

    // ---- run directory, resumed or new
    let mut journal = Journal::open(setup, origin, &state, voice)?;
    let input = Input::new(setup.precision.kind(), setup.device);
    let validation = plan.validation.as_ref().map(|set| (set, ContactSheet::new(plan, set)));
    let mut loader = plan.loader(state.step, journal.bad_files())?;
    journal.list_bad_files(loader.bad_files())?;
    if state.step == total {
        journal.say(&format!("this run is finished: {total} steps are done"));
    }
    if let Some((set, sheet)) = validation.as_ref().filter(|_| begins) {
        score_and_draw(plan, &mut journal, &state, (set, sheet), (&model, &input))?;
    }
    if begins {
        journal.save(&state)?;
        journal.report(&report::render(plan, &journal, Status::Running)?)?;
    }

    // ---- training
    for step in state.step..total {
        let mut watch = Stopwatch::start();
        let batch = match next_batch(&mut loader, &interrupt) {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(trouble) => {
                journal.list_bad_files(loader.bad_files())?;
                let trouble = journal.write()?.unwrap_or(trouble);
                return Err(end(plan, &journal, &state, trouble)?);
            }
        };
        let [view1, view2] =
            [0, 1].map(|view: usize| input.views(&batch.views[view], [recipe.augment.size; 2]));
        let (boxes, flips): (Vec<_>, Vec<_>) =
            batch.drawn.iter().map(|pair| (pair.feature_box, pair.flip)).unzip();
        let align = alignment(&boxes, &flips, plan.cells(), Kind::Float, setup.device);
        let seconds_data = watch.lap();

        let now = setup.now(step);
        let regions = model_settings.regionsim_has_started(now);
        if regions && step > 0 && !model_settings.regionsim_has_started(setup.now(step - 1)) {
            journal.say("RegionSim starts: the sum of the losses jumps by its share, and nothing is wrong");
        }
        let output = model.forward(&view1, &view2, Some(&align), regions);
        let seconds_forward = watch.lap();

        state.optimizer.zero_gradients();
        // Nothing has a gradient where RegionSim is the only loss and has not started.
        if output.losses.total.requires_grad() {
            output.losses.total.backward();
        }
        let seconds_backward = watch.lap();

        let learning_rate = setup.learning_rate.at(step) * state.optimizer.peak_learning_rate();
        let gradient_norm = state.optimizer.gradient_norm();
        // As in pre-training: a spoilt step changes no parameter, and is read at the next log, or at once where free.
        let skip = not_finite(&(&output.losses.total.detach() + &gradient_norm));
        state.optimizer.step(learning_rate, Some(&skip));
        state.step = step + 1;
        let spoilt = setup.device == Device::Cpu && skip.double_value(&[]) > 0.0;
        let seconds_optimizer = watch.lap();

        let seconds = [seconds_data, seconds_forward, seconds_backward, seconds_optimizer];
        let scalars = scalars(&output, gradient_norm, is_due(state.step, when.monitor, Some(total)));
        let pending = Pending::new(state.step, batch.samples.clone(), &scalars).timed(setup.device, seconds);
        let full = journal.keep(pending.with(&[
            ("epoch", state.step as f64 / setup.horizon.steps_per_epoch as f64),
            ("learning_rate", learning_rate),
        ]));
        loader.recycle(batch);

        // ---- what is due: numbers, evaluation, checkpoint, in this order, so that no bad state is saved as a good one
        let signal = interrupt.requested();
        let score = is_due(state.step, plan.evaluate_every, Some(total)) && signal.is_none();
        let save = is_due(state.step, when.checkpoint, Some(total)) || score || signal.is_some();
        if is_due(state.step, when.log, Some(total)) || save || spoilt || full {
            journal.list_bad_files(loader.bad_files())?;
            if let Some(trouble) = journal.write()? {
                return Err(end(plan, &journal, &state, trouble)?);
            }
        }
        if let Some((set, sheet)) = validation.as_ref().filter(|_| score) {
            let scored = score_and_draw(plan, &mut journal, &state, (set, sheet), (&model, &input));
            if scored.is_err() {
                // Labelled pictures that cannot be read must not cost what was trained.
                journal.save(&state)?;
            }
            scored?;
        }
        if let Some(signal) = signal {
            return Err(end(plan, &journal, &state, Trouble::Signal(signal))?);
        }
        if save {
            journal.save(&state)?;
            journal.report(&report::render(plan, &journal, Status::Running)?)?;
        }
    }
    journal.export(&state)?;
    journal.report(&report::render(plan, &journal, Status::Finished)?)?;
    journal.finish();
    Ok(())
}

/// Evaluates, says and records the scores, and draws the contact sheet.
fn score_and_draw(
    plan: &Plan,
    journal: &mut Journal,
    state: &State,
    (set, sheet): (&Arc<LabelledSet>, &ContactSheet),
    (model, input): (&Segmenter, &Input),
) -> Result<(), Error> {
    let evaluation = evaluate(set, plan.evaluation(), (model, plan.categories as usize), input)?;
    let when = if state.step == 0 { "before training".to_owned() } else { format!("step {}", state.step) };
    journal.say(&format!("{when}: {evaluation}"));
    journal.evaluated(state.step, evaluation.miou(), &evaluation.to_json(state.step, &set.taxonomy))?;
    match sheet.draw(model, input, &evaluation.matched_classes(state.step, &set.taxonomy))? {
        Some(drawing) => journal.picture("segmentation", state.step, &drawing),
        None => Ok(()),
    }
}

/// Ends a run early: saves what is good where it belongs, writes the report, and returns the error to end with.
fn end(plan: &Plan, journal: &Journal, state: &State, trouble: Trouble) -> Result<Error, Error> {
    let status = match &trouble {
        Trouble::Signal(_) => Status::Interrupted,
        other => Status::Failed(other.to_string()),
    };
    let error = journal.save_for(trouble, state)?;
    journal.report(&report::render(plan, journal, status)?)?;
    Ok(error)
}

/// The numbers of a step that are on the device; those of the monitors where they are due.
fn scalars(output: &Output, gradient_norm: Tensor, monitored: bool) -> Vec<(&'static str, Tensor)> {
    let losses = &output.losses;
    let mut scalars = vec![
        ("loss", losses.total.shallow_clone()),
        ("loss_pixel", losses.pixel.shallow_clone()),
        ("loss_auxiliary", losses.auxiliary.shallow_clone()),
        ("loss_labelling", losses.labelling.shallow_clone()),
        ("loss_region", losses.region.shallow_clone()),
        ("gradient_norm", gradient_norm),
    ];
    if monitored {
        let collapse::CategoryUse { entropy, used } = collapse::category_use(&output.z);
        scalars.extend([("category_entropy", entropy), ("categories_used", used)]);
    }
    scalars
}
