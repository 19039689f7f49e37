//! Pre-training, start to end: the whole loop in sight.
//!
//! The parts it calls never call back: `plan` resolves the recipe, `run` keeps numbers and run directory, `sheet`
//! draws, `report` writes the page, and `densesiam_nn` holds the method.

mod components;
mod plan;
mod report;
mod sheet;
mod verdict;

use densesiam_data::loader::Batch;
use densesiam_data::views::random::RandomPair;
use densesiam_engine::device::set_threads;
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::Voice;
use densesiam_engine::optimizer::not_finite;
use densesiam_engine::run_dir::Mode;
use densesiam_nn::densesiam::{Correspondence, DenseSiam, Output};
use densesiam_nn::{Store, collapse};
use densesiam_random::{Key, Purpose};
use densesiam_settings::duration::is_due;
use tch::{Device, Kind, Tensor};

pub use plan::Plan;

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
pub fn pretrain(plan: &Plan, mode: Mode, voice: &Voice) -> Result<(), Error> {
    let setup = &plan.run;
    set_threads(setup.threads);
    let interrupt = Interrupt::install().map_err(|error| Error::Internal(error.to_string()))?;
    let (recipe, when, total) = (&plan.recipe, &setup.when, setup.horizon.total_steps);

    // ---- model and optimizer
    let store = Store::new(Kind::Float, setup.device, recipe.common.run.seed);
    let model_settings = &recipe.model;
    let model = DenseSiam::new(&store, model_settings);
    let optimizer = plan.optimizer(&store)?;
    let mut state = State { store, optimizer, step: 0 };
    let origin = Origin::find(setup, mode, &mut state)?;
    let begins = !origin.is_restored();
    if begins {
        begin_encoder(&state.store, "encoder.", &recipe.beginning.weights, voice)?;
    }

    // ---- run directory, resumed or new
    let mut journal = Journal::open(setup, origin, &state, voice)?;
    let input = Input::new(setup.precision.kind(), setup.device);
    let mut sheet = ContactSheet::new(plan, &input);
    if begins {
        // Random weights colour pictures too: what was learned is what differs from this sheet.
        if let Some(sheet) = when.pictures.and_then(|_| sheet.draw(&model)) {
            journal.picture("features", 0, &sheet)?;
        }
        journal.save(&state)?;
        journal.report(&report::render(plan, &journal, Status::Running)?)?;
    }
    let mut loader = plan.loader(state.step, journal.bad_files())?;
    journal.list_bad_files(loader.bad_files())?;
    if state.step == total {
        journal.say(&format!("this run is finished: {total} steps are done"));
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
        let keys = point_keys(recipe.common.run.seed, &batch);
        let place = (Kind::Float, setup.device);
        let geometry: Vec<_> = batch.drawn.iter().map(RandomPair::geometry).collect();
        let correspondence = Correspondence::new(model_settings, &geometry, &keys, plan.cells(), place);
        let seconds_data = watch.lap();

        let now = setup.now(step);
        let regions = model_settings.regionsim_has_started(now);
        if regions && step > 0 && !model_settings.regionsim_has_started(setup.now(step - 1)) {
            journal.say("RegionSim starts: the sum of the losses jumps by its share, and nothing is wrong");
        }
        let output = model.forward([&view1, &view2], correspondence.as_ref(), regions);
        let seconds_forward = watch.lap();

        state.optimizer.zero_gradients();
        // Nothing has a gradient where every loss that has a weight rests: dense ones without overlap or before a start.
        if output.losses.total.requires_grad() {
            output.losses.total.backward();
        }
        let seconds_backward = watch.lap();

        let learning_rate = setup.learning_rate.at(step) * state.optimizer.peak_learning_rate();
        let gradient_norm = state.optimizer.gradient_norm();
        // A step whose loss or gradient is not finite changes no parameter; that it was so is read at the next log,
        // or at once where reading costs nothing.
        let skip = not_finite(&(&output.losses.total.detach() + &gradient_norm));
        state.optimizer.step(learning_rate, Some(&skip));
        state.step = step + 1;
        let spoilt = setup.device == Device::Cpu && skip.double_value(&[]) > 0.0;
        let seconds_optimizer = watch.lap();

        let seconds = [seconds_data, seconds_forward, seconds_backward, seconds_optimizer];
        let dense_rests = model_settings.needs_overlap() && correspondence.is_none();
        let scalars =
            scalars(&output, gradient_norm, dense_rests, is_due(state.step, when.monitor, Some(total)));
        let pending = Pending::new(state.step, batch.samples.clone(), &scalars).timed(setup.device, seconds);
        let full = journal.keep(pending.with(&[
            ("epoch", state.step as f64 / setup.horizon.steps_per_epoch as f64),
            ("learning_rate", learning_rate),
            ("without_overlap", batch.drawn.iter().filter(|pair| pair.overlap.is_none()).count() as f64),
            ("without_dense_loss", f64::from(u8::from(dense_rests))),
            ("redrawn_views", batch.drawn.iter().map(|pair| f64::from(pair.redraws)).sum()),
        ]));
        loader.recycle(batch);

        // ---- what is due: numbers, pictures, checkpoint, in this order, so that no bad state is saved as a good one
        let signal = interrupt.requested();
        let save = is_due(state.step, when.checkpoint, Some(total)) || signal.is_some();
        let draw = is_due(state.step, when.pictures, Some(total));
        if is_due(state.step, when.log, Some(total)) || save || draw || spoilt || full {
            journal.list_bad_files(loader.bad_files())?;
            if let Some(trouble) = journal.write()? {
                return Err(end(plan, &journal, &state, trouble)?);
            }
        }
        if let Some(sheet) = draw.then(|| sheet.draw(&model)).flatten() {
            journal.picture("features", state.step, &sheet)?;
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
/// Losses that could not be computed are left out; those that are off are 0.
fn scalars(
    output: &Output,
    gradient_norm: Tensor,
    dense_rests: bool,
    monitored: bool,
) -> Vec<(&'static str, Tensor)> {
    let losses = &output.losses;
    let mut scalars = vec![
        ("loss", losses.total.shallow_clone()),
        ("loss_global", losses.global.shallow_clone()),
        ("gradient_norm", gradient_norm),
    ];
    if !dense_rests {
        scalars.push(("loss_pixel", losses.pixel.shallow_clone()));
        scalars.push(("loss_region", losses.region.shallow_clone()));
    }
    if let Some(z) = output.global_z.as_ref().filter(|_| monitored) {
        scalars.push(("spread", collapse::spread(z)));
    }
    if let Some(z) = output.pixel_z.as_ref().filter(|_| monitored) {
        let collapse::CategoryUse { entropy, used } = collapse::category_use(z);
        scalars.extend([("category_entropy", entropy), ("categories_used", used)]);
    }
    scalars
}

/// The key of each sample's points.
fn point_keys(seed: u64, batch: &Batch<RandomPair>) -> Vec<Key> {
    let key = Key::new(seed, Purpose::Points).epoch(batch.epoch);
    batch.samples.iter().map(|&sample| key.sample(sample)).collect()
}
