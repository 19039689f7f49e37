//! Training, start to end: the only loop. It calls a task's learner and observer, and they never call it.

use std::time::Instant;

use densesiam_data::loader::Batch;
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::Voice;
use densesiam_engine::optimizer::not_finite;
use densesiam_engine::run_dir::Start;
use densesiam_report::page::Status;
use densesiam_settings::duration::{Now, is_due};
use tch::Device;

use super::learner::{Drawn, Learner, Observer};
use crate::error::Error;
use crate::import::begin_encoder;
use crate::run::{
    Journal, Next, Origin, Run, State, Stopwatch, Taken, Trouble, next_batch, signal_after_step,
    with_losses_of_all,
};

/// Trains from the first step, or from the newest checkpoint, until the end, a signal or trouble. `state` is the new model and
/// its optimizer; `observe` makes the observer once the run directory is open.
pub(super) fn train<L: Learner, O: Observer<L>>(
    run: &Run,
    (start, voice, interrupt): (Start, &Voice, &Interrupt),
    (learner, views): (&mut L, L::Augmentation),
    observe: impl FnOnce(&L) -> O,
    state: &mut State,
) -> Result<(), Error> {
    let (when, total) = (&run.when, Some(run.horizon.total_steps));

    // ---- run directory, resumed or new
    let origin = Origin::find(run, start, state)?;
    if run.writes() && !origin.is_restored() {
        begin_encoder(&state.store, run.task.encoder, &run.beginning, voice)?;
    }
    let origin = origin.shared(&run.group, state)?;
    let begins = !origin.is_restored();
    let mut journal = Journal::open(run, origin, state, voice)?;
    let observer = &mut observe(learner);
    let mut loader = run.loader(views, state.step..run.horizon.total_steps, journal.bad_files())?;
    journal.list_bad_files(loader.bad_files())?;
    if Some(state.step) == total {
        journal.say(&format!("this run is finished: {} steps are done", state.step));
        // Its last score may have failed, or have been interrupted.
        let mut unscored =
            [i64::from(when.score.is_some() && journal.writes() && !journal.is_evaluated(state.step)?)];
        run.group.sum_counts(&mut unscored);
        if unscored != [0] {
            if learner.finishes() {
                learner.finish(run, &state.store)?;
                journal.save(state)?;
            }
            observer.score(learner, &mut journal, state.step)?;
        }
    }
    if begins {
        // The initial weights are the baseline.
        observer.score(learner, &mut journal, 0)?;
        if let Some((name, sheet)) =
            when.pictures.filter(|_| journal.writes()).and_then(|_| observer.draw(learner))
        {
            journal.picture(name, 0, &sheet)?;
        }
        journal.save(state)?;
        journal.report(|journal| observer.report(journal, Status::Running))?;
    }

    // ---- training
    let mut saved = Instant::now();
    for step in state.step..run.horizon.total_steps {
        let now = run.now(step);
        observer.notice(now).into_iter().for_each(|notice| journal.say(notice));
        let mut watch = Stopwatch::start();
        let others = (&run.group, step, when.age.is_some_and(|age| saved.elapsed() >= age));
        // The batch first, so that nothing that is prepared is saved by a run that ends for want of it.
        let next = next_batch(&mut loader, others, interrupt).and_then(|next| {
            let Some(next) = next else { return Ok(None) };
            let seconds_data = watch.lap();
            Ok(Some((next, seconds_data, learner.prepare(run, state, interrupt, now)?)))
        });
        let (Next { batch, save }, seconds_data, preparing) = match next {
            Ok(Some(next)) => next,
            Ok(None) => break,
            Err(trouble) => {
                journal.list_bad_files(loader.bad_files())?;
                let trouble = journal.write()?.unwrap_or(trouble);
                return Err(end(trouble, &journal, observer, state)?);
            }
        };
        let learning_rate = run.learning_rate.at(step) * state.optimizer.peak_learning_rate();
        let taken = take_step(learner, state, &batch, now, learning_rate);
        let spoilt = run.device == Device::Cpu && taken.skip.double_value(&[]) > 0.0;
        let pending = taken.pending(
            state.step,
            (&batch.samples, run.horizon.batch_size),
            (run.device, seconds_data),
            is_due(state.step, when.monitor, total).then_some(&run.group),
        );
        let epoch = state.step as f64 / run.horizon.steps_per_epoch as f64;
        let pending = pending.with(&[("epoch", epoch), ("learning_rate", learning_rate)]);
        let full = journal.keep(pending.with_apart(&preparing));
        loader.recycle(batch);

        // ---- what is due, in this order, so that a bad state is never saved as a good one
        let last = Some(state.step) == total;
        // After the last step nothing is left to stop: a run that counts as finished is measured and scored.
        let signal = signal_after_step(&run.group, interrupt).filter(|_| !last);
        let score = is_due(state.step, when.score, total) && signal.is_none();
        let draw = is_due(state.step, when.pictures, total);
        let save = save || is_due(state.step, when.checkpoint, total) || score || signal.is_some();
        if is_due(state.step, when.log, total) || save || draw || spoilt || full {
            journal.list_bad_files(loader.bad_files())?;
            let apart = || {
                let processes = state.apart();
                (!processes.is_empty()).then_some(Trouble::Apart { step: state.step, processes })
            };
            // The log has waited for the device, and what it says of a step is the better reason.
            if let Some(trouble) = journal.write()?.or_else(apart) {
                return Err(end(trouble, &journal, observer, state)?);
            }
        }
        if score || draw || save {
            state.store.average_statistics();
        }
        if last && learner.finishes() {
            // What was trained must not be lost with the pictures of its completion.
            journal.save(state)?;
            learner.finish(run, &state.store)?;
        }
        if score && let Err(error) = observer.score(learner, &mut journal, state.step) {
            // Labelled pictures that cannot be read must not cost what was trained.
            journal.save(state)?;
            return Err(error);
        }
        if let Some((name, sheet)) = (draw && journal.writes()).then(|| observer.draw(learner)).flatten() {
            journal.picture(name, state.step, &sheet)?;
        }
        if let Some(signal) = signal {
            return Err(end(Trouble::Signal(signal), &journal, observer, state)?);
        }
        if save {
            journal.save(state)?;
            journal.report(|journal| observer.report(journal, Status::Running))?;
            saved = Instant::now();
        }
    }
    journal.export(state)?;
    journal.report(|journal| observer.report(journal, Status::Finished))?;
    journal.finish();
    run.group.wait_for_all();
    Ok(())
}

/// Ends a run early: saves the state in the right place, writes the report, and returns the error to end with.
fn end<L>(
    trouble: Trouble,
    journal: &Journal,
    observer: &impl Observer<L>,
    state: &State,
) -> Result<Error, Error> {
    let status = trouble.status();
    state.store.average_statistics();
    let error = journal.save_for(trouble, state)?;
    journal.report(|journal| observer.report(journal, status))?;
    // Until the first process has saved, because launchers end the others when one has ended.
    state.group().wait_for_all();
    Ok(error)
}

/// Takes one step: forward, backward, optimizer. Training and `densesiam bench step` both call this.
pub fn take_step<L: Learner>(
    learner: &mut L,
    state: &mut State,
    batch: &Batch<Drawn<L>>,
    now: Now,
    learning_rate: f64,
) -> Taken {
    let mut watch = Stopwatch::start();
    let labelled = learner.label(batch);
    let labelling = labelled.then(|| watch.lap());
    let output = learner.step(batch, now);
    let forward = watch.lap();
    state.optimizer.zero_gradients();
    state.backward(&output.loss);
    let output = with_losses_of_all(state.group(), output);
    let backward = watch.lap();
    let gradient_norm = state.optimizer.gradient_norm();
    // A step whose loss or gradient is not finite changes no parameter; that it was so is read at the next log, or at once
    // where reading costs nothing.
    let skip = not_finite(&(output.loss.detach() + &gradient_norm));
    state.optimizer.step(learning_rate, Some(&skip));
    learner.follow(now, &skip);
    state.step = now.step + 1;
    Taken { output, gradient_norm, skip, labelling, seconds: [forward, backward, watch.lap()] }
}

#[cfg(test)]
mod law;
