//! How the samples of a run become batches. Both ways are functions of seed and step, so that a run resumes at any step.

use std::sync::Arc;

use densesiam_random::{Key, RngExt};

use super::{Order, steps_per_epoch};

/// How the samples of a run become batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// Each epoch's permutation is cut into batches, and the rest is left out: another one in each epoch.
    #[default]
    Epochs,
    /// Permutations follow each other without end. Samples wait until there is a batch of their group, which is then due;
    /// those that are left at the end of an epoch wait on (Detectron2, `AspectRatioGroupedDataset`). Holds the group of each
    /// sample of the index, for example 1 where a picture is wider than high and else 0.
    Grouped(Arc<[u8]>),
}

/// One visit of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Number of the sample in the index.
    pub sample: u64,
    /// The epoch in whose permutation it comes. A sample that waits for its batch keeps its epoch, so that what is drawn
    /// for it is drawn once.
    pub epoch: u64,
}

/// The batches that are complete within one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochBatches {
    /// The epoch.
    pub epoch: u64,
    first_step: u64,
    batch_size: usize,
    visits: Vec<Visit>,
}

impl EpochBatches {
    /// The batch of a step of the run, or `None` if it belongs to another epoch.
    pub fn batch(&self, step: u64) -> Option<&[Visit]> {
        let place = usize::try_from(step.checked_sub(self.first_step)?).ok()?.checked_mul(self.batch_size)?;
        self.visits.get(place..place.checked_add(self.batch_size)?)
    }
}

impl Schedule {
    /// The batches, of `batch_size` of `n` samples (`1 <= batch_size <= n`), of the epoch in which `step` of the run is
    /// complete. As many groups as samples are needed.
    pub fn batches(&self, n: usize, batch_size: usize, seed: u64, step: u64) -> EpochBatches {
        match self {
            Self::Epochs => {
                let steps = steps_per_epoch(n, batch_size);
                let epoch = step / steps;
                let samples = Order::new(n, seed, epoch).batch(0, steps as usize * batch_size);
                let visits = samples.into_iter().map(|sample| Visit { sample, epoch }).collect();
                EpochBatches { epoch, first_step: epoch * steps, batch_size, visits }
            }
            Self::Grouped(groups) => {
                let stream = Stream { groups, sizes: sizes(groups), batch_size, seed };
                stream.batches(stream.epoch_of(step))
            }
        }
    }

    /// A sample that may be visited in place of another, of the same group, below `n`; uses one number of the key's stream.
    pub fn stand_in(&self, sample: u64, n: usize, key: Key) -> u64 {
        let mut rng = key.rng();
        let Self::Grouped(groups) = self else { return rng.random_range(0..n as u64) };
        let group = groups[sample as usize];
        let alike = || (0..).zip(groups.iter()).filter(|(_, other)| **other == group);
        let place = rng.random_range(0..alike().count() as u64);
        alike().nth(place as usize).map_or(sample, |(other, _)| other)
    }
}

/// How many samples each group has.
fn sizes(groups: &[u8]) -> Vec<u64> {
    let mut sizes = vec![0; groups.iter().max().map_or(0, |&last| usize::from(last) + 1)];
    groups.iter().for_each(|&group| sizes[usize::from(group)] += 1);
    sizes
}

/// The endless stream of permutations.
struct Stream<'g> {
    groups: &'g [u8],
    sizes: Vec<u64>,
    batch_size: usize,
    seed: u64,
}

impl Stream<'_> {
    /// The batches that are complete before an epoch begins. Every epoch brings each group its size, so that they are known
    /// without going through the epochs.
    fn steps_before(&self, epoch: u64) -> u64 {
        let of = |&size: &u64| u128::from(epoch) * u128::from(size) / self.batch_size as u128;
        u64::try_from(self.sizes.iter().map(of).sum::<u128>()).unwrap_or(u64::MAX)
    }

    /// The last epoch before which no more than `step` batches are complete.
    fn epoch_of(&self, step: u64) -> u64 {
        // Of each group less than a batch waits, and that is all by which batches are behind samples.
        let samples = (u128::from(step) + self.sizes.len() as u128 + 1) * self.batch_size as u128;
        let beyond = u64::try_from(samples / self.groups.len() as u128 + 1).unwrap_or(u64::MAX);
        let (mut low, mut high) = (0, beyond);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.steps_before(middle) <= step { low = middle } else { high = middle }
        }
        low
    }

    fn batches(&self, epoch: u64) -> EpochBatches {
        let mut waiting = self.waiting(epoch);
        let mut visits = Vec::with_capacity(self.groups.len());
        for sample in Order::new(self.groups.len(), self.seed, epoch).samples {
            let group = &mut waiting[usize::from(self.groups[sample as usize])];
            group.push(Visit { sample: sample.into(), epoch });
            if group.len() == self.batch_size {
                visits.append(group);
            }
        }
        EpochBatches { epoch, first_step: self.steps_before(epoch), batch_size: self.batch_size, visits }
    }

    /// What waits in each group when an epoch begins: the last of the samples before, of one epoch or, if the group is
    /// smaller than a batch, of several.
    fn waiting(&self, epoch: u64) -> Vec<Vec<Visit>> {
        let left = |&size: &u64| (u128::from(epoch) * u128::from(size) % self.batch_size as u128) as usize;
        let left: Vec<usize> = self.sizes.iter().map(left).collect();
        let mut waiting = vec![Vec::new(); left.len()];
        let mut before = epoch;
        while waiting.iter().zip(&left).any(|(waiting, &left)| waiting.len() < left) {
            before -= 1;
            for sample in Order::new(self.groups.len(), self.seed, before).samples.into_iter().rev() {
                let group = usize::from(self.groups[sample as usize]);
                if waiting[group].len() < left[group] {
                    waiting[group].push(Visit { sample: sample.into(), epoch: before });
                }
            }
        }
        waiting.iter_mut().for_each(|group| group.reverse());
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use densesiam_random::Purpose;

    /// The batches of the first epochs, as the definition has them: samples wait in the list of their group.
    fn by_definition(groups: &[u8], batch_size: usize, epochs: u64) -> Vec<Vec<Visit>> {
        let mut waiting = vec![Vec::new(); 256];
        let mut batches = Vec::new();
        for epoch in 0..epochs {
            for sample in Order::new(groups.len(), 7, epoch).samples {
                let group: &mut Vec<Visit> = &mut waiting[usize::from(groups[sample as usize])];
                group.push(Visit { sample: sample.into(), epoch });
                if group.len() == batch_size {
                    batches.push(std::mem::take(group));
                }
            }
        }
        batches
    }

    #[test]
    fn any_step_is_that_of_the_stream_from_its_beginning() {
        let wide = |n: usize, one_in: usize| (0..n).map(|n| u8::from(n % one_in == 0)).collect::<Vec<u8>>();
        for (groups, batch_size) in [
            (wide(23, 3), 4),
            (wide(10, 10), 8),
            (wide(16, 1), 16),
            (vec![3, 0, 0, 7, 7, 7, 0], 7),
            (vec![0; 5], 1),
        ] {
            let expected = by_definition(&groups, batch_size, 40);
            let schedule = Schedule::Grouped(groups.into());
            let Schedule::Grouped(groups) = &schedule else { unreachable!() };
            assert!(expected.len() > 20);
            for (step, batch) in (0..).zip(&expected) {
                let epoch = schedule.batches(groups.len(), batch_size, 7, step);
                assert_eq!(epoch.batch(step), Some(&**batch), "step {step} of {groups:?}");
                assert_eq!(batch.last().unwrap().epoch, epoch.epoch);
                let group = groups[batch[0].sample as usize];
                assert!(batch.iter().all(|visit| groups[visit.sample as usize] == group));
            }
        }
    }

    #[test]
    fn every_epoch_of_the_stream_visits_each_sample_once() {
        let groups: Arc<[u8]> = (0..31).map(|n| u8::from(n % 4 == 0)).collect();
        let schedule = Schedule::Grouped(Arc::clone(&groups));
        let mut visits = Vec::new();
        for step in 0..60 {
            visits.extend_from_slice(schedule.batches(31, 6, 3, step).batch(step).unwrap());
        }
        for epoch in 0..9 {
            let of = visits.iter().filter(|visit| visit.epoch == epoch);
            let mut samples: Vec<u64> = of.map(|visit| visit.sample).collect();
            samples.sort_unstable();
            assert!(samples.into_iter().eq(0..31), "epoch {epoch}");
        }
    }

    #[test]
    fn epochs_are_cut_and_their_rest_is_left_out() {
        for step in 0..12 {
            let epoch = Schedule::Epochs.batches(10, 3, 7, step);
            let expected = Order::new(10, 7, step / 3).batch(step % 3, 3);
            let found = epoch.batch(step).unwrap();
            assert!(found.iter().map(|visit| visit.sample).eq(expected));
            assert!(found.iter().all(|visit| visit.epoch == step / 3) && epoch.epoch == step / 3);
            assert_eq!((epoch.batch(3 * (step / 3) + 3), epoch.batch(u64::MAX)), (None, None));
        }
    }

    #[test]
    fn a_stand_in_is_of_the_same_group() {
        let groups: Arc<[u8]> = (0..31).map(|n| u8::from(n % 4 == 0)).collect();
        let schedule = Schedule::Grouped(Arc::clone(&groups));
        let stand_in =
            |sample: u64| schedule.stand_in(sample, 31, Key::new(1, Purpose::Replacement).sample(sample));
        for sample in 0..31 {
            assert_eq!(groups[stand_in(sample) as usize], groups[sample as usize]);
        }
        assert!((0..31).any(|sample| stand_in(sample) != sample));
    }

    #[test]
    fn a_late_step_needs_no_earlier_ones() {
        let groups: Arc<[u8]> = (0..100).map(|n| u8::from(n < 30)).collect();
        let step = 1 << 40;
        let epoch = Schedule::Grouped(groups).batches(100, 16, 0, step);
        assert_eq!(epoch.batch(step).unwrap().len(), 16);
        assert!(epoch.epoch.abs_diff((step * 16) / 100) <= 1);
    }
}
