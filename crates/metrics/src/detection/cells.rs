//! Truths and detections, picture by picture and class by class.

use std::collections::BTreeSet;
use std::thread;

use super::{Detection, EvaluationError, Truth};

/// Below so many objects it takes longer to start threads than to compare them.
const OBJECTS_OF_A_THREAD: usize = 2000;

/// All truths and detections of one class in one picture, each in the order of their list.
pub(super) struct Cell<'a> {
    pub(super) picture: usize,
    pub(super) class: usize,
    pub(super) truths: &'a [&'a Truth],
    pub(super) detections: &'a [&'a Detection],
}

/// Calls `judge` with every cell that has an object, in the order of pictures and, within one, of classes; several
/// threads share the cells, and the answers come in order.
pub(super) fn judge_cells<T: Send>(
    truths: &[Truth],
    detections: &[Detection],
    judge: impl Fn(Cell<'_>) -> T + Sync,
) -> Vec<T> {
    let mut truths: Vec<&Truth> = truths.iter().collect();
    let mut detections: Vec<&Detection> = detections.iter().collect();
    // Stable: the order of a list decides between equal scores and between equal overlaps.
    truths.sort_by_key(|truth| (truth.picture, truth.class));
    detections.sort_by_key(|detection| (detection.picture, detection.class));
    let cells = cells(&truths, &detections);
    let objects = truths.len() + detections.len();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(objects / OBJECTS_OF_A_THREAD).max(1);
    let judge_all = |cells: Vec<Cell<'_>>| cells.into_iter().map(&judge).collect::<Vec<T>>();
    if threads == 1 {
        return judge_all(cells);
    }
    let judge_all = &judge_all;
    thread::scope(|scope| {
        let workers: Vec<_> =
            parts(cells, threads).into_iter().map(|part| scope.spawn(move || judge_all(part))).collect();
        let parts = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        parts.flatten().collect()
    })
}

fn cells<'a>(mut truths: &'a [&'a Truth], mut detections: &'a [&'a Detection]) -> Vec<Cell<'a>> {
    let mut cells = Vec::new();
    loop {
        let truth = truths.first().map(|truth| (truth.picture, truth.class));
        let detection = detections.first().map(|detection| (detection.picture, detection.class));
        let Some((picture, class)) = truth.into_iter().chain(detection).min() else { return cells };
        let own = truths.partition_point(|truth| (truth.picture, truth.class) == (picture, class));
        let (own_truths, rest) = truths.split_at(own);
        truths = rest;
        let own = detections.partition_point(|found| (found.picture, found.class) == (picture, class));
        let (own_detections, rest) = detections.split_at(own);
        detections = rest;
        cells.push(Cell { picture, class, truths: own_truths, detections: own_detections });
    }
}

/// The cells in as many parts of about as many objects.
fn parts(mut cells: Vec<Cell<'_>>, count: usize) -> Vec<Vec<Cell<'_>>> {
    let size = cells.len().div_ceil(count).max(1);
    let mut parts = Vec::new();
    while cells.len() > size {
        let rest = cells.split_off(size);
        parts.push(std::mem::replace(&mut cells, rest));
    }
    parts.push(cells);
    parts
}

/// The pictures of some truths and detections, whose objects can be scored.
pub(super) fn checked(
    truths: &[Truth],
    detections: &[Detection],
    classes: usize,
) -> Result<BTreeSet<usize>, EvaluationError> {
    let objects = truths.iter().map(|truth| (truth.picture, truth.class));
    let mut pictures = BTreeSet::new();
    for (picture, class) in objects.chain(detections.iter().map(|found| (found.picture, found.class))) {
        if class >= classes {
            return Err(EvaluationError::Class { picture, class, classes });
        }
        pictures.insert(picture);
    }
    match detections.iter().find(|detection| !detection.score.is_finite()) {
        Some(bad) => Err(EvaluationError::Score { picture: bad.picture, score: bad.score }),
        None => Ok(pictures),
    }
}

/// That no picture of `more` is among `pictures`.
pub(super) fn check_new(pictures: &BTreeSet<usize>, more: &BTreeSet<usize>) -> Result<(), EvaluationError> {
    match more.intersection(pictures).next() {
        Some(&picture) => Err(EvaluationError::Twice { picture }),
        None => Ok(()),
    }
}
