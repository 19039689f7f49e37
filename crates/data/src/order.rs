//! The order in which samples are visited: a shuffle in each epoch that seed and epoch determine, and the batches that are
//! made of it ([`Schedule`]).

mod schedule;

use std::ops::Range;

use densesiam_random::{Key, Purpose, RngExt};

pub use schedule::{EpochBatches, Schedule, Visit};

/// One epoch's permutation of the samples `0..n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    samples: Vec<u32>,
}

impl Order {
    /// Shuffles `n` samples (at most 2^32) for an epoch, counted from 0; Fisher-Yates from a key.
    pub fn new(n: usize, seed: u64, epoch: u64) -> Self {
        let mut rng = Key::new(seed, Purpose::Order).epoch(epoch).rng();
        let mut samples: Vec<u32> = (0..n as u32).collect();
        for last in (1..samples.len()).rev() {
            samples.swap(last, rng.random_range(0..=last as u32) as usize);
        }
        Self { samples }
    }

    /// The samples of batch `step` of this epoch, `step < steps_per_epoch(n, batch_size)`.
    pub fn batch(&self, step: u64, batch_size: usize) -> Vec<u64> {
        let start = step as usize * batch_size;
        self.samples[start..start + batch_size].iter().map(|&sample| sample.into()).collect()
    }
}

/// One of several parts of every batch, whose sizes differ by at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which, counted from 0.
    pub number: usize,
    /// How many there are.
    pub parts: usize,
}

impl Part {
    /// The whole batch.
    pub const WHOLE: Self = Self { number: 0, parts: 1 };

    /// The places in a batch that this part has.
    pub fn places(self, batch_size: usize) -> Range<usize> {
        let first = |number: usize| batch_size * number / self.parts;
        first(self.number)..first(self.number + 1)
    }
}

/// Whole batches in an epoch of `n` samples; the rest of the shuffle is left out (a different rest in every epoch).
pub fn steps_per_epoch(n: usize, batch_size: usize) -> u64 {
    (n / batch_size) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_is_another_permutation() {
        let first = Order::new(1000, 7, 0);
        let mut sorted = first.samples.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1000));
        assert_eq!(first, Order::new(1000, 7, 0));
        assert_ne!(first, Order::new(1000, 7, 1));
        assert_ne!(first, Order::new(1000, 8, 0));
    }

    #[test]
    fn parts_are_equal_but_for_one_and_make_the_whole() {
        for (batch_size, parts) in [(7, 3), (8, 3), (64, 7), (4, 4), (5, 1)] {
            let of = |number| Part { number, parts }.places(batch_size);
            assert!((0..parts).flat_map(of).eq(0..batch_size));
            assert!((0..parts).all(|number| of(number).len().abs_diff(batch_size / parts) <= 1));
        }
    }

    #[test]
    fn batches_cut_the_permutation_in_order() {
        let order = Order::new(10, 7, 0);
        assert_eq!(steps_per_epoch(10, 3), 3);
        let joined: Vec<u64> = (0..3).flat_map(|step| order.batch(step, 3)).collect();
        assert!(joined.iter().zip(&order.samples).all(|(&a, &b)| a == u64::from(b)));
    }
}
