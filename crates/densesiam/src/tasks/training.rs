//! Training, start to end: the only loop. It calls a task's learner and observer, and nothing calls the loop.

use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::Voice;
use densesiam_engine::run_dir::Start;
use densesiam_report::page::Status;
use densesiam_settings::duration::is_due;
use tch::Device;

use super::learner::{Learner, Observer, take_step};
use crate::error::Error;
use crate::import::begin_encoder;
use crate::run::{Journal, Origin, Pending, Run, State, Stopwatch, Trouble, next_batch};

/// Trains from the first step, or from the newest checkpoint, until the end, a signal or trouble. `views` are the views of
/// the learner, `state` the new model and its optimizer.
pub(super) fn train<L: Learner>(
    run: &Run,
    (start, voice): (Start, &Voice),
    (learner, views): (&mut L, L::Augmentation),
    observer: &mut impl Observer<L>,
    state: &mut State,
) -> Result<(), Error> {
    let interrupt = Interrupt::install().map_err(|error| Error::Internal(error.to_string()))?;
    let (when, total) = (&run.when, Some(run.horizon.total_steps));

    // ---- run directory, resumed or new
    let origin = Origin::find(run, start, state)?;
    let begins = !origin.is_restored();
    if begins {
        begin_encoder(&state.store, run.task.encoder, &run.beginning.weights, voice)?;
    }
    let mut journal = Journal::open(run, origin, state, voice)?;
    let mut loader = run.loader(views, state.step, journal.bad_files())?;
    journal.list_bad_files(loader.bad_files())?;
    if Some(state.step) == total {
        journal.say(&format!("this run is finished: {} steps are done", state.step));
    }
    if begins {
        // Random weights colour and divide pictures too: what was learned is what differs from this.
        observer.score(learner, &mut journal, 0)?;
        if let Some((name, sheet)) = when.pictures.and_then(|_| observer.draw(learner)) {
            journal.picture(name, 0, &sheet)?;
        }
        journal.save(state)?;
        journal.report(&observer.report(&journal, Status::Running)?)?;
    }

    // ---- training
    for step in state.step..run.horizon.total_steps {
        let now = run.now(step);
        observer.notice(now).into_iter().for_each(|notice| journal.say(notice));
        let mut watch = Stopwatch::start();
        let batch = match learner.prepare(run, now).and_then(|()| next_batch(&mut loader, &interrupt)) {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(trouble) => {
                journal.list_bad_files(loader.bad_files())?;
                let trouble = journal.write()?.unwrap_or(trouble);
                return Err(end(trouble, &journal, observer, state)?);
            }
        };
        let seconds_data = watch.lap();
        let learning_rate = run.learning_rate.at(step) * state.optimizer.peak_learning_rate();
        let taken = take_step(learner, state, &batch, now, learning_rate);
        let spoilt = run.device == Device::Cpu && taken.skip.double_value(&[]) > 0.0;
        let is_monitored = is_due(state.step, when.monitor, total);
        let full = journal.keep(
            Pending::new(state.step, batch.samples.clone(), &taken.numbers(is_monitored))
                .timed(run.device, [seconds_data, taken.seconds[0], taken.seconds[1], taken.seconds[2]])
                .with(&[
                    ("epoch", state.step as f64 / run.horizon.steps_per_epoch as f64),
                    ("learning_rate", learning_rate),
                ])
                .with(&taken.output.counts),
        );
        loader.recycle(batch);

        // ---- what is due: numbers, scores, picture, checkpoint, in this order, so that no bad state is saved as a good one
        let signal = interrupt.requested();
        let score = is_due(state.step, when.score, total) && signal.is_none();
        let draw = is_due(state.step, when.pictures, total);
        let save = is_due(state.step, when.checkpoint, total) || score || signal.is_some();
        if is_due(state.step, when.log, total) || save || draw || spoilt || full {
            journal.list_bad_files(loader.bad_files())?;
            if let Some(trouble) = journal.write()? {
                return Err(end(trouble, &journal, observer, state)?);
            }
        }
        if score {
            let scored = observer.score(learner, &mut journal, state.step);
            if scored.is_err() {
                // Labelled pictures that cannot be read must not cost what was trained.
                journal.save(state)?;
            }
            scored?;
        }
        if let Some((name, sheet)) = draw.then(|| observer.draw(learner)).flatten() {
            journal.picture(name, state.step, &sheet)?;
        }
        if let Some(signal) = signal {
            return Err(end(Trouble::Signal(signal), &journal, observer, state)?);
        }
        if save {
            journal.save(state)?;
            journal.report(&observer.report(&journal, Status::Running)?)?;
        }
    }
    journal.export(state)?;
    journal.report(&observer.report(&journal, Status::Finished)?)?;
    journal.finish();
    Ok(())
}

/// Ends a run early: saves what is good where it belongs, writes the report, and returns the error to end with.
fn end<L>(
    trouble: Trouble,
    journal: &Journal,
    observer: &impl Observer<L>,
    state: &State,
) -> Result<Error, Error> {
    let status = trouble.status();
    let error = journal.save_for(trouble, state)?;
    journal.report(&observer.report(journal, status)?)?;
    Ok(error)
}
