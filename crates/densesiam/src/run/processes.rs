//! What the processes of one training tell each other beside sums of tensors: whether all have a batch, whether one was asked
//! to stop, which pictures could not be read, and why one has failed. All end in the same step.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::channel;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use densesiam_data::loader::{Batch, Loader};
use densesiam_data::views::Augmentation;
use densesiam_engine::interrupt::{Interrupt, SIGNALS, Signal};
use densesiam_nn::{Group, Step};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Kind, Tensor};

use super::{Run, Trouble};
use crate::error::Error;

/// The next step, which all processes take.
pub(crate) struct Next<D> {
    /// This process's part of the batch.
    pub(crate) batch: Batch<D>,
    /// Whether the state is to be saved after the step, because the newest checkpoint is old.
    pub(crate) save: bool,
}

/// The next step, `None` after the last, once every process has its part of the batch. A signal is noticed even while the
/// storage does not answer. The clocks of processes differ: whether to `save` is what the first one says.
///
/// # Errors
/// A [`Trouble`] of any process, for all processes in the same step.
pub(crate) fn next_batch<A: Augmentation>(
    loader: &mut Loader<A>,
    (group, step, save): (&Group, u64, bool),
    interrupt: &Interrupt,
) -> Result<Option<Next<A::Drawn>>, Trouble> {
    let with_batch = |save| move |batch: Option<Batch<_>>| batch.map(|batch| Next { batch, save });
    if group.is_alone() {
        return own_batch(loader, interrupt).map(with_batch(save));
    }
    let known = loader.bad_files();
    let own = own_batch(loader, interrupt);
    let bad = loader.bad_files();
    let found: Vec<_> = bad.iter().filter(|file| !known.contains(file)).cloned().collect();
    let is_bad = |sample: u64| bad.iter().any(|(other, _)| *other == sample);
    let used: Vec<_> = known.iter().map(|(sample, _)| *sample).filter(|&sample| !is_bad(sample)).collect();
    let signal = interrupt.requested();
    let failure = own.as_ref().err().filter(|trouble| !matches!(trouble, Trouble::Signal(_)));
    failure.iter().for_each(|trouble| say_why(group, &trouble.to_string()));
    let failed = failure.is_some();
    let save = i64::from(save && group.rank() == 0);
    let mut counts = [i64::from(failed), (found.len() + used.len()) as i64, save, 0, 0, 0, 0];
    for (count, (known, _)) in counts[3..].iter_mut().zip(SIGNALS) {
        *count = i64::from(signal == Some(known));
    }
    group.sum_counts(&mut counts);
    let [failed, changes, save, signals @ ..] = counts;
    let own = own.map(with_batch(save > 0));
    if failed > 0 {
        return own.and_then(|_| Err(Trouble::Elsewhere(reasons(group))));
    }
    if changes > 0 {
        let lists = exchange(group, &format!("bad/{step}"), &(found, used)).map_err(Trouble::Elsewhere)?;
        let (found, used): (Vec<_>, Vec<_>) = lists.into_iter().unzip();
        loader.met_elsewhere(found.concat(), &used.concat()).map_err(Trouble::NoPictures)?;
    }
    match SIGNALS.into_iter().zip(signals).find(|(_, count)| *count > 0) {
        Some(((signal, _), _)) => Err(Trouble::Signal(signal)),
        None => own,
    }
}

/// This process's part of the batch.
fn own_batch<A: Augmentation>(
    loader: &mut Loader<A>,
    interrupt: &Interrupt,
) -> Result<Option<Batch<A::Drawn>>, Trouble> {
    while !loader.ready().map_err(Trouble::NoPictures)? {
        if let Some(signal) = interrupt.requested() {
            return Err(Trouble::Signal(signal));
        }
    }
    loader.next().map_err(Trouble::NoPictures)
}

/// The signal that ends the run after a step. Several processes agree on it before the next step instead.
pub(crate) fn signal_after_step(group: &Group, interrupt: &Interrupt) -> Option<Signal> {
    interrupt.requested().filter(|_| group.is_alone())
}

/// The step with the losses of the whole batch, once its gradients are computed: each process has its share of them.
pub(crate) fn with_losses_of_all(group: &Group, step: Step) -> Step {
    if group.is_alone() {
        return step;
    }
    let Step { loss, parts, .. } = &step;
    let losses: Vec<_> =
        [loss].into_iter().chain(parts.iter().map(|(_, part)| part)).map(|loss| loss.detach()).collect();
    let sums = Tensor::stack(&losses, 0).to_kind(Kind::Double);
    group.sum(&sums);
    let names = step.parts.iter().map(|(name, _)| *name);
    let parts = names.zip(1..).map(|(name, place)| (name, sums.get(place))).collect();
    Step { loss: sums.get(0), parts, ..step }
}

/// Bytes of a value that go to the store at once: its server refuses more than 8 MiB.
const MOST_AT_ONCE: usize = 4 << 20;

/// The value of each process, in their order.
///
/// # Errors
/// When a process does not give one: why it has ended, if it has said so.
pub fn exchange<T: Serialize + DeserializeOwned>(
    group: &Group,
    key: &str,
    own: &T,
) -> Result<Vec<T>, String> {
    let written = serde_json::to_vec(own).map_err(|error| error.to_string())?;
    let (first, more) = written.split_at(written.len().min(MOST_AT_ONCE));
    let own_key = format!("{key}/{}", group.rank());
    for (number, part) in more.chunks(MOST_AT_ONCE).enumerate() {
        group.set(&format!("{own_key}/{number}"), part).map_err(|error| error.to_string())?;
    }
    // The first part last, and after it the number of the others, because the others wait for it.
    let head = [first, &(more.len().div_ceil(MOST_AT_ONCE) as u64).to_le_bytes()].concat();
    group.set(&own_key, &head).map_err(|error| error.to_string())?;
    let of = |rank| {
        let key = format!("{key}/{rank}");
        wait_for(group, &key, rank)?;
        let mut read = group.get(&key).map_err(|error| error.to_string())?;
        let count = read.split_off(read.len().saturating_sub(size_of::<u64>()));
        let count = count.try_into().map(u64::from_le_bytes).map_err(|_| format!("{key} is cut"))?;
        for number in 0..count {
            read.extend(group.get(&format!("{key}/{number}")).map_err(|error| error.to_string())?);
        }
        serde_json::from_slice(&read).map_err(|error| error.to_string())
    };
    (0..group.world()).map(of).collect()
}

/// Waits until a process has set a value, or some process has said why it ends.
fn wait_for(group: &Group, key: &str, rank: usize) -> Result<(), String> {
    let begun = Instant::now();
    while !group.has(key).map_err(|error| error.to_string())? {
        let reasons = reasons(group);
        if !reasons.is_empty() {
            return Err(reasons);
        }
        if begun.elapsed() > group.timeout() {
            return Err(format!("process {rank} has said nothing for {} s", group.timeout().as_secs()));
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Leaves the reason for which this process ends, for the others to report. If the store is gone too, they report that they have
/// lost this one.
pub(crate) fn say_why(group: &Group, why: &str) {
    let _ = group.set(&format!("failure/{}", group.rank()), why.as_bytes());
}

/// The reasons that other processes have left.
fn reasons(group: &Group) -> String {
    let of = |rank: usize| {
        let key = format!("failure/{rank}");
        let why = group.has(&key).ok().filter(|&has| has).and_then(|_| group.get(&key).ok())?;
        Some(format!("process {rank}: {}", String::from_utf8_lossy(&why)))
    };
    (0..group.world()).filter(|&rank| rank != group.rank()).filter_map(of).collect::<Vec<_>>().join("; ")
}

/// The longest wait for the reasons of a process that is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// The reasons that other processes have left; none where the store does not answer. libtorch would wait for its answer without
/// end, also where the machine or the cable is gone.
fn reasons_in_time(group: &Group) -> String {
    let (sender, answer) = channel();
    let group = group.clone();
    spawn(move || sender.send(reasons(&group)));
    answer.recv_timeout(PATIENCE).unwrap_or_default()
}

/// Does `work`, which takes part in sums of the first group, the whole, and of the others.
///
/// # Errors
/// When another process is lost: why it has ended, or what the connection to it says.
pub fn unless_lost<T>(groups: &[&Group], work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        match groups.iter().find_map(|group| group.failure()) {
            None => resume_unwind(panic),
            Some(error) => groups
                .first()
                .map(|group| reasons_in_time(group))
                .filter(|why| !why.is_empty())
                .unwrap_or_else(|| error.to_string()),
        }
    })
}

/// Fails in every process if one of them has failed.
///
/// # Errors
/// The process's own error, or what the others say.
pub fn all_succeed<T>(group: &Group, own: Result<T, Error>) -> Result<T, Error> {
    if let (Err(error), false) = (&own, group.is_alone()) {
        say_why(group, &error.to_string());
    }
    let mut failed = [i64::from(own.is_err())];
    group.sum_counts(&mut failed);
    if failed == [0] {
        return own;
    }
    let why = reasons(group);
    // The process that fails may be the one that serves the store.
    group.wait_for_all();
    own.and_then(|_| Err(Error::Elsewhere(why)))
}

impl Run {
    /// Does `work`, which takes steps together with the other processes. They are told why this process ends.
    ///
    /// # Errors
    /// [`Error::Lost`] when another process is lost: in the middle of a step there is no state that could be saved.
    pub(crate) fn together(&self, work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let lost = |why| Error::Lost { why, checkpoints: self.layout().checkpoints() };
        let result = unless_lost(&[&self.group, &self.norm_group], work).map_err(lost)?;
        if let (Err(error), false) = (&result, self.group.is_alone()) {
            say_why(&self.group, &error.to_string());
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use densesiam_torch_ext::StoreServer;

    use super::*;

    #[test]
    fn values_larger_than_the_store_takes_at_once_are_exchanged() {
        let server = StoreServer::start(0).unwrap();
        let port = server.port();
        let value = |rank: usize| format!("{rank}").repeat(5 * MOST_AT_ONCE / 2);
        let exchanged = |rank| {
            let patience = Duration::from_secs(60);
            let group = Group::join(("127.0.0.1", port), false, "large", [rank, 2], patience).unwrap();
            let small = exchange(&group, "small", &rank).unwrap();
            let large = exchange(&group, "large", &value(rank)).unwrap();
            group.wait_for_all();
            (small, large)
        };
        let both = std::thread::scope(|scope| {
            let threads = [0, 1].map(|rank| scope.spawn(move || exchanged(rank)));
            threads.map(|thread| thread.join().unwrap())
        });
        for (small, large) in both {
            assert_eq!(small, [0, 1]);
            assert!(large == [value(0), value(1)]);
        }
    }
}
