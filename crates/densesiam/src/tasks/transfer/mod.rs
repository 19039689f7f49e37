//! Transfer: an encoder is trained further with labels, as a part of a network whose scores say what the encoder is worth (the
//! paper, section 5.1).

pub mod detection;
mod report;
pub mod segmentation;

use densesiam_data::loader::Batch;
use densesiam_data::views::Augmentation;
use densesiam_nn::{Population, Store};

use crate::error::Error;
use crate::run::Run;

/// Measures the statistics of all batch norms over so many batches after the last step, with fixed weights; `forward` passes a
/// batch through the network.
fn measure_statistics<A: Augmentation>(
    (run, store): (&Run, &Store),
    views: &A,
    batches: u64,
    forward: impl Fn(&Batch<A::Drawn>),
) -> Result<(), Error> {
    if batches == 0 {
        return Ok(());
    }
    let first = run.horizon.total_steps;
    let mut loader = run.loader(views.clone(), first..first + batches, &[])?;
    let mut population = Population::new(store);
    while let Some(batch) = loader.next()? {
        population.measure(|| forward(&batch));
        loader.recycle(batch);
    }
    population.write();
    Ok(())
}
