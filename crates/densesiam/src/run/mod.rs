//! What every training has around its loop: its state, its numbers, its run directory. A task holds the loop and calls
//! these; they never call back.

mod journal;
mod numbers;
mod setup;
mod table;

use densesiam_engine::optimizer::Optimizer;
use densesiam_nn::Store;

pub use journal::{Facts, Journal, Trouble};
pub use numbers::{Pending, Row, Stopwatch};
pub use setup::{Setup, Tables, When, look_at};
pub use table::Table;

/// All that a resume needs: everything else is a function of the step.
pub struct State {
    /// Parameters and buffers.
    pub store: Store,
    /// Momentum.
    pub optimizer: Optimizer,
    /// Steps done.
    pub step: u64,
}
