//! Ordered, bounded prefetch by worker threads, for any kind of batch.
//!
//! Workers claim single samples, in order, within a window of whole batches: memory is bounded by the window, and a
//! batch is ready after the time of its slowest sample. If batches differ in size, their total size is bounded too. The
//! content of a sample must depend only on its step and slot; then the batches do not depend on the number of workers.
//! One lock guards the bookkeeping and is held only briefly; each batch has its own lock, held while a finished sample
//! is copied in.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::panics::caught;

/// The batches to produce, and how to produce them.
pub(crate) trait Production: Send + Sync + 'static {
    /// The type that is delivered.
    type Batch: Send;
    /// Memory of one worker.
    type Scratch;

    /// Samples in a batch.
    fn batch_size(&self) -> usize;
    /// The longest time to wait without any sample being finished.
    fn patience(&self) -> Duration;
    /// The name, for a message, of what is being read for a sample.
    fn name(&self, slot: usize, batch: &Mutex<Self::Batch>) -> String;
    /// Memory for a new worker.
    fn scratch(&self) -> Self::Scratch;
    /// Prepares the batch of a step, in the memory of an earlier batch if there is one. Called in order of steps.
    fn open(&self, step: u64, recycled: Option<Self::Batch>) -> Self::Batch;
    /// Makes one sample and puts it into its batch.
    fn produce(&self, slot: usize, scratch: &mut Self::Scratch, batch: &Mutex<Self::Batch>);
    /// Bytes that a finished batch holds; needed if [`Production::room`] bounds them.
    fn held(&self, _batch: &Self::Batch) -> usize {
        0
    }
    /// No further batch is begun while the batches that wait for delivery hold this number of bytes.
    fn room(&self) -> usize {
        usize::MAX
    }
}

/// Why the next batch cannot be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A worker panicked with this message.
    Panicked(String),
    /// No batch came for this number of seconds, while these were being read.
    Stalled(u64, Vec<String>),
}

/// The running workers and the batches they are making.
pub(crate) struct Prefetch<P: Production> {
    shared: Arc<Shared<P>>,
    workers: Vec<JoinHandle<()>>,
    /// How long the caller has waited without a sample being finished, and how many were finished before.
    waited: Duration,
    seen: u64,
}

/// Longest single wait for a batch; between two waits, the caller may do other work.
const SLICE: Duration = Duration::from_secs(1);
/// How long to wait for the workers at the end.
const FAREWELL: Duration = Duration::from_secs(5);

struct Shared<P: Production> {
    production: P,
    prefetch: usize,
    state: Mutex<State<P::Batch>>,
    /// A sample may be claimed, or the workers should end.
    claimable: Condvar,
    /// The first batch is complete, or a worker failed.
    deliverable: Condvar,
}

struct State<B> {
    /// Steps that no worker has begun.
    unopened: Range<u64>,
    /// Batches being made or waiting for delivery, in order of steps.
    open: VecDeque<Open<B>>,
    /// Batch and slot of the next sample to be claimed; the batch counts from the first open one.
    next: (usize, usize),
    /// Step and slot of the samples being made.
    claimed: Vec<(u64, usize)>,
    /// How many samples were made.
    finished: u64,
    /// Bytes of the batches that wait for delivery.
    held: usize,
    /// Memory of delivered batches.
    recycled: Vec<B>,
    /// Set when the workers should end.
    stop: bool,
    /// What a worker said when it panicked.
    panic: Option<String>,
}

struct Open<B> {
    batch: Arc<Mutex<B>>,
    missing: usize,
    step: u64,
}

struct Claim<B> {
    batch: Arc<Mutex<B>>,
    step: u64,
    slot: usize,
}

/// A lock that a panicking worker held is still consistent here: the panic is reported and the batch never delivered.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait_for<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>, longest: Duration) -> MutexGuard<'a, T> {
    condition.wait_timeout(guard, longest).unwrap_or_else(PoisonError::into_inner).0
}

fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

impl<P: Production> Prefetch<P> {
    /// Starts `workers` threads on the batches of `steps`, at most `prefetch` batches ahead (both at least 1).
    pub(crate) fn start(
        production: P,
        steps: Range<u64>,
        workers: usize,
        prefetch: usize,
    ) -> std::io::Result<Self> {
        let state = State {
            unopened: steps,
            open: VecDeque::new(),
            next: (0, 0),
            claimed: Vec::new(),
            finished: 0,
            held: 0,
            recycled: Vec::new(),
            stop: false,
            panic: None,
        };
        let shared = Arc::new(Shared {
            production,
            prefetch: prefetch.max(1),
            state: Mutex::new(state),
            claimable: Condvar::new(),
            deliverable: Condvar::new(),
        });
        // Built without threads first: if a thread cannot be started, dropping `prefetch` ends those that were started.
        let mut prefetch = Self { shared, workers: Vec::new(), waited: Duration::ZERO, seen: 0 };
        for number in 0..workers.max(1) {
            let shared = Arc::clone(&prefetch.shared);
            let builder = std::thread::Builder::new().name(format!("loader-{number}"));
            prefetch.workers.push(builder.spawn(move || shared.work())?);
        }
        Ok(prefetch)
    }

    /// The production of the batches.
    pub(crate) fn production(&self) -> &P {
        &self.shared.production
    }

    /// Waits for the next batch; `None` after the last.
    ///
    /// # Errors
    /// A [`Failure`], after which no more batches come.
    pub(crate) fn next(&mut self) -> Result<Option<P::Batch>, Failure> {
        while !self.ready()? {}
        let mut state = lock(&self.shared.state);
        let Some(first) = state.open.pop_front() else {
            return Ok(None);
        };
        state.next.0 -= 1;
        state.held -= self.shared.production.held(&lock(&first.batch));
        self.shared.claimable.notify_all();
        Ok(Arc::into_inner(first.batch)
            .map(|batch| batch.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Waits at most a second for the next batch or for the end. Returns whether it has come.
    ///
    /// # Errors
    /// A [`Failure`], after which no more batches come.
    pub(crate) fn ready(&mut self) -> Result<bool, Failure> {
        let patience = self.shared.production.patience();
        let state = lock(&self.shared.state);
        if let Some(message) = &state.panic {
            return Err(Failure::Panicked(message.clone()));
        }
        let ready = match state.open.front() {
            Some(first) => first.missing == 0,
            None => state.unopened.is_empty(),
        };
        if ready || state.finished != self.seen {
            (self.waited, self.seen) = (Duration::ZERO, state.finished);
        }
        if ready {
            return Ok(true);
        }
        if self.waited >= patience {
            return Err(Failure::Stalled(patience.as_secs(), self.shared.being_read(&state)));
        }
        // If the whole process was suspended, at most one slice of that time counts.
        let (start, slice) = (Instant::now(), SLICE.min(patience - self.waited));
        drop(wait_for(&self.shared.deliverable, state, slice));
        self.waited += start.elapsed().min(slice);
        Ok(false)
    }

    /// Returns the memory of a batch for reuse.
    pub(crate) fn recycle(&mut self, batch: P::Batch) {
        let mut state = lock(&self.shared.state);
        if state.recycled.len() < self.shared.prefetch {
            state.recycled.push(batch);
        }
    }
}

impl<P: Production> Drop for Prefetch<P> {
    fn drop(&mut self) {
        lock(&self.shared.state).stop = true;
        self.shared.claimable.notify_all();
        // A thread that is blocked in a read cannot be joined; the end of the process ends it.
        let start = Instant::now();
        while start.elapsed() < FAREWELL && self.workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        for worker in self.workers.drain(..).filter(JoinHandle::is_finished) {
            // Panics were caught and reported inside the worker.
            let _ = worker.join();
        }
    }
}

impl<P: Production> Shared<P> {
    fn work(&self) {
        if let Err(message) = caught(|| self.work_to_the_end()) {
            lock(&self.state).panic = Some(message);
            self.claimable.notify_all();
            self.deliverable.notify_all();
        }
    }

    fn work_to_the_end(&self) {
        let mut scratch = None;
        while let Some(Claim { batch, step, slot }) = self.claim() {
            let scratch = scratch.get_or_insert_with(|| self.production.scratch());
            self.production.produce(slot, scratch, &batch);
            drop(batch);
            self.finish(step, slot);
        }
    }

    /// The next sample to make, waiting for room in the window; `None` when there is nothing left to do.
    fn claim(&self) -> Option<Claim<P::Batch>> {
        let mut state = lock(&self.state);
        loop {
            if state.stop || state.panic.is_some() {
                return None;
            }
            if state.next.0 < state.open.len() {
                break;
            }
            if self.has_room(&state) {
                let step = state.unopened.next()?;
                let recycled = state.recycled.pop();
                let batch = Arc::new(Mutex::new(self.production.open(step, recycled)));
                state.open.push_back(Open { batch, missing: self.production.batch_size(), step });
            } else if state.unopened.is_empty() {
                return None;
            } else {
                state = wait(&self.claimable, state);
            }
        }
        let (position, slot) = state.next;
        state.next =
            if slot + 1 == self.production.batch_size() { (position + 1, 0) } else { (position, slot + 1) };
        let open = &state.open[position];
        let claim = Claim { batch: Arc::clone(&open.batch), step: open.step, slot };
        state.claimed.push((claim.step, slot));
        Some(claim)
    }

    /// Whether a batch may be opened; a first one always may.
    fn has_room(&self, state: &State<P::Batch>) -> bool {
        let room = state.open.len() < self.prefetch && state.held < self.production.room();
        room || state.open.is_empty()
    }

    /// What the workers are reading for the batch that does not come.
    fn being_read(&self, state: &State<P::Batch>) -> Vec<String> {
        let Some(first) = state.open.front() else { return Vec::new() };
        let slots = state.claimed.iter().filter(|(step, _)| *step == first.step);
        slots.map(|&(_, slot)| self.production.name(slot, &first.batch)).collect()
    }

    fn finish(&self, step: u64, slot: usize) {
        let mut state = lock(&self.state);
        state.claimed.retain(|&claimed| claimed != (step, slot));
        state.finished += 1;
        if let Some(open) = state.open.iter_mut().find(|open| open.step == step) {
            open.missing -= 1;
            if open.missing == 0 {
                let held = self.production.held(&lock(&open.batch));
                state.held += held;
            }
        }
        if state.open.front().is_some_and(|first| first.missing == 0) {
            self.deliverable.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
