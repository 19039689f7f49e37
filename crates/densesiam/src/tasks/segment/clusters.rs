//! The pass over all pictures by which a method clusters their features: once an epoch, and after the last step.

use std::ops::Range;

use densesiam_data::loader::Batch;
use densesiam_data::views::aligned::{AlignedPair, AlignedViews};
use densesiam_engine::interrupt::Interrupt;
use densesiam_nn::segment::Pass;
use densesiam_random::{Key, Purpose};
use tch::Tensor;

use super::SegmentLearner;
use crate::error::Error;
use crate::run::{Run, State, Stopwatch, Trouble, all_succeed, next_batch, signal_after_step};

/// Waiting for pictures, in the log.
pub(super) const READING: &str = "seconds_clustering_data";
/// Passes of the encoder.
pub(super) const ENCODER: &str = "seconds_clustering_encoder";
/// K-means.
pub(super) const K_MEANS: &str = "seconds_clustering_kmeans";

/// What a pass takes, in seconds, by its names in the log.
pub(in crate::tasks) type Seconds = Vec<(&'static str, f64)>;

/// Clusters for the epoch that begins at this step. The views are those that the epoch learns from. Where it ends early, the running
/// statistics are as before, so that the pass is a function of the state.
///
/// # Errors
/// A signal, or pictures that cannot be read or are too few.
pub(super) fn cluster_epoch(
    learner: &mut SegmentLearner,
    run: &Run,
    state: &mut State,
    interrupt: &Interrupt,
) -> Result<Seconds, Trouble> {
    let before: Vec<(Tensor, Tensor)> =
        state.store.buffers().into_iter().map(|buffer| (buffer.copy(), buffer)).collect();
    let steps = state.step..state.step + run.horizon.steps_per_epoch;
    let epoch = state.step / run.horizon.steps_per_epoch;
    let views = learner.views.clone();
    let gathered = pass(learner, run, (views, steps), (Pass::Epoch, epoch), interrupt).and_then(|seconds| {
        // Where processes have batch statistics of their own, all label by the mean of the running ones.
        state.store.average_statistics();
        settled(learner, seconds)
    });
    let seconds = gathered.inspect_err(|_| {
        tch::no_grad(|| before.into_iter().for_each(|(before, mut buffer)| buffer.copy_(&before)));
    })?;
    if let Some(renewed) = learner.model.clustering().and_then(|clustering| clustering.renewed()) {
        state.optimizer.forget(renewed);
    }
    Ok(seconds)
}

/// Clusters whole pictures after the last step, those of the epoch that would begin.
///
/// # Errors
/// If pictures cannot be read or are too few.
pub(super) fn cluster_whole_pictures(learner: &mut SegmentLearner, run: &Run) -> Result<Seconds, Trouble> {
    let an_epoch = run.horizon.steps_per_epoch;
    let epoch = run.horizon.total_steps.div_ceil(an_epoch);
    let (views, steps) = (learner.views.whole(), epoch * an_epoch..(epoch + 1) * an_epoch);
    let seconds = pass(learner, run, (views, steps), (Pass::Whole, epoch), &Interrupt::never())?;
    settled(learner, seconds)
}

/// A pass over the batches of these steps.
fn pass(
    learner: &mut SegmentLearner,
    run: &Run,
    (views, mut steps): (AlignedViews, Range<u64>),
    (pass, epoch): (Pass, u64),
    interrupt: &Interrupt,
) -> Result<Seconds, Trouble> {
    let key = Key::new(run.common.run.seed, Purpose::Clusters).epoch(epoch);
    // All processes begin the pass, or none does.
    let loader = all_succeed(&run.group, run.loader(views, steps.clone(), &[]).map_err(Error::from));
    let mut loader = loader.map_err(|error| match error {
        Error::Load(error) => Trouble::NoPictures(error),
        other => Trouble::Elsewhere(other.to_string()),
    })?;
    gather(learner, (pass, key), |used| {
        if let Some(used) = used {
            loader.recycle(used);
        }
        if let Some(signal) = signal_after_step(&run.group, interrupt) {
            return Err(Trouble::Signal(signal));
        }
        let Some(step) = steps.next() else { return Ok(None) };
        // What processes tell each other about the pictures of a pass has numbers that no step of the training has.
        let others = (&run.group, u64::MAX - step, false);
        Ok(next_batch(&mut loader, others, interrupt)?.map(|next| next.batch))
    })
}

/// Gathers the features of all batches that `next` gives, which is handed back the one before.
///
/// # Errors
/// What `next` returns, or that the pictures are too few.
pub(in crate::tasks) fn gather(
    learner: &mut SegmentLearner,
    (pass, key): (Pass, Key),
    mut next: impl FnMut(Option<Batch<AlignedPair>>) -> Result<Option<Batch<AlignedPair>>, Trouble>,
) -> Result<Seconds, Trouble> {
    if let Some(clustering) = learner.model.clustering() {
        clustering.begin(pass, key);
    }
    let [mut reading, mut encoding, mut clustering_seconds] = [0.0; 3];
    let mut watch = Stopwatch::start();
    let mut used = None;
    while let Some(batch) = next(used.take())? {
        reading += watch.lap();
        let keys: Vec<_> = batch.samples.iter().map(|&sample| key.sample(sample)).collect();
        let views = learner.views_of(&batch);
        let Some(clustering) = learner.model.clustering() else { break };
        let maps = clustering.encode(&views);
        encoding += watch.lap();
        clustering.gather(&maps, &keys).map_err(Trouble::NoClusters)?;
        clustering_seconds += watch.lap();
        used = Some(batch);
    }
    Ok(vec![(READING, reading), (ENCODER, encoding), (K_MEANS, clustering_seconds)])
}

/// Clusters what was gathered in so many seconds.
///
/// # Errors
/// If the pictures are too few.
pub(in crate::tasks) fn settled(
    learner: &mut SegmentLearner,
    gathering: Seconds,
) -> Result<Seconds, Trouble> {
    let mut watch = Stopwatch::start();
    if let Some(clustering) = learner.model.clustering() {
        clustering.settle().map_err(Trouble::NoClusters)?;
    }
    let settling = watch.lap();
    let with_settling = |(name, of)| (name, if name == K_MEANS { of + settling } else { of });
    Ok(gathering.into_iter().map(with_settling).collect())
}

#[cfg(test)]
mod tests {
    use densesiam_data::demo::{DemoSettings, write_demo};
    use densesiam_engine::interrupt::Signal;

    use super::super::Plan;
    use super::*;
    use crate::recipe::load;

    fn values(state: &State) -> Vec<(String, Vec<f64>)> {
        let tensors = state.store.state().into_iter().chain(state.optimizer.state());
        tensors
            .map(|(name, of)| (name, Vec::try_from(of.to_kind(tch::Kind::Double).flatten(0, -1)).unwrap()))
            .collect()
    }

    /// A run that stops within a pass has the state of its last step, and the pass that is repeated gives what it would have given.
    #[test]
    fn a_pass_that_is_stopped_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        write_demo(folder.path(), &DemoSettings { train: 12, ..DemoSettings::default() }).unwrap();
        for method in ["picie", "mdc"] {
            let settings = [
                format!("method={method}"),
                format!("data.root={}", folder.path().display()),
                "augment.size=32".into(),
                "encoder.width=16".into(),
                "optimizer.kind=adam".into(),
                "train.batch_size=4".into(),
                "train.duration=6 steps".into(),
                "run.device=cpu".into(),
                "run.threads=1".into(),
            ];
            let plan = Plan::new(load("", "the test", &settings).unwrap()).unwrap();
            let begin = || {
                let store = plan.run.store();
                let learner = plan.learner(&store);
                (learner, plan.run.state(store, plan.recipe.method().predictors()).unwrap())
            };
            let ((mut whole, mut of_whole), (mut stopped, mut of_stopped)) = (begin(), begin());
            cluster_epoch(&mut whole, &plan.run, &mut of_whole, &Interrupt::never()).unwrap();
            let before = values(&of_stopped);
            assert_ne!(before, values(&of_whole));

            // After its first batch, as a signal would.
            let key = Key::new(plan.run.common.run.seed, Purpose::Clusters);
            let mut loader = plan.run.loader(stopped.views.clone(), 0..1, &[]).unwrap();
            let mut batch = loader.next().unwrap();
            let statistics = of_stopped.store.buffers();
            let kept: Vec<_> = statistics.iter().map(Tensor::copy).collect();
            let ended = gather(&mut stopped, (Pass::Epoch, key), |_| {
                batch.take().map_or(Err(Trouble::Signal(Signal::Interrupt)), |of| Ok(Some(of)))
            });
            assert!(
                matches!(ended, Err(Trouble::Signal(_))) && before != values(&of_stopped),
                "statistics have moved"
            );
            tch::no_grad(|| statistics.into_iter().zip(&kept).for_each(|(mut now, kept)| now.copy_(kept)));

            let asked = Interrupt::asked(Signal::Terminate);
            let ended = cluster_epoch(&mut stopped, &plan.run, &mut of_stopped, &asked);
            assert!(matches!(ended, Err(Trouble::Signal(Signal::Terminate))));
            assert_eq!(before, values(&of_stopped), "{method}");
            cluster_epoch(&mut stopped, &plan.run, &mut of_stopped, &Interrupt::never()).unwrap();
            assert_eq!(values(&of_whole), values(&of_stopped), "{method}");
        }
    }
}
