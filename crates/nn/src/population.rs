//! The statistics that batch norms have over many batches, measured with fixed weights (precise batch norm, Wu and Johnson 2021).
//!
//! Running statistics are a mean over the last steps, whose weights differed. Published figures of detectors are computed with
//! statistics that were measured after the last step instead.

use densesiam_torch_ext::Group;
use tch::{Kind, Tensor};

use crate::store::{NORM_BUFFERS, Store};

/// Sums over the batches that were measured so far.
#[derive(Debug)]
pub struct Population {
    norms: Vec<Norm>,
    group: Group,
    norm_group: Group,
}

/// A batch norm's buffers, and its sums.
#[derive(Debug)]
struct Norm {
    mean: Tensor,
    variance: Tensor,
    /// Counts the values of a channel while it is measured.
    counter: Tensor,
    /// Its count of batches before.
    batches: i64,
    /// The number of values, their sum and the sum of their squares, `[1 + 2 C]` in float64.
    sums: Tensor,
}

impl Population {
    /// For all batch norms of a model.
    pub fn new(store: &Store) -> Self {
        let state = store.state();
        let [mean, variance, counter] = NORM_BUFFERS;
        let norms = state.iter().filter_map(|(name, of_mean)| {
            let norm = name.strip_suffix(mean)?;
            let buffer = |buffer: &str| {
                let (_, tensor) = state.iter().find(|(other, _)| *other == format!("{norm}{buffer}"))?;
                Some(tensor.shallow_clone())
            };
            let counter = buffer(counter)?;
            Some(Norm {
                mean: of_mean.shallow_clone(),
                variance: buffer(variance)?,
                batches: counter.int64_value(&[]),
                counter,
                sums: Tensor::zeros([1 + 2 * of_mean.size()[0]], (Kind::Double, of_mean.device())),
            })
        });
        Self { norms: norms.collect(), group: store.group().clone(), norm_group: store.norm_group().clone() }
    }

    /// Adds a batch: `forward` passes it through the model in [`Mode::Measure`](crate::Mode::Measure). Until
    /// [`Population::write`] the running statistics are those of the last batch. Each norm may be passed at most once.
    ///
    /// # Panics
    /// When another process is lost.
    pub fn measure(&mut self, forward: impl FnOnce()) {
        if self.norms.is_empty() {
            return;
        }
        tch::no_grad(|| {
            self.norms.iter_mut().for_each(|norm| norm.set_counter(0));
            forward();
            let counters: Vec<_> = self.norms.iter().map(|norm| norm.counter.shallow_clone()).collect();
            let own: Vec<i64> = Vec::try_from(Tensor::stack(&counters, 0)).unwrap_or_default();
            let mut of_batch = own.clone();
            self.norm_group.sum_counts(&mut of_batch);
            for (norm, (own, of_batch)) in self.norms.iter_mut().zip(own.into_iter().zip(of_batch)) {
                norm.add(own, of_batch);
            }
        });
    }

    /// Makes the statistics of all batches, of all processes, the running ones. A norm that no batch has passed keeps its own.
    ///
    /// # Panics
    /// When another process is lost.
    pub fn write(mut self) {
        if self.norms.is_empty() {
            return;
        }
        tch::no_grad(|| {
            let sums: Vec<_> = self.norms.iter().map(|norm| norm.sums.shallow_clone()).collect();
            let all = Tensor::cat(&sums, 0);
            self.group.sum(&all);
            let sizes: Vec<_> = sums.iter().map(|sums| sums.size()[0]).collect();
            for (norm, sums) in self.norms.iter_mut().zip(all.split_with_sizes(&sizes, 0)) {
                norm.write(&sums);
            }
        });
    }
}

impl Norm {
    fn set_counter(&mut self, to: i64) {
        let _ = self.counter.fill_(to);
    }

    /// Adds the statistics of a batch of `of_batch` values, of which this process has `own`. The running variance is unbiased.
    fn add(&mut self, own: i64, of_batch: i64) {
        if own == 0 {
            return;
        }
        let [mean, variance] = [&self.mean, &self.variance].map(|values| values.to_kind(Kind::Double));
        let squares = &mean * &mean + variance * ((of_batch - 1) as f64 / of_batch as f64);
        let one = Tensor::ones([1], (Kind::Double, mean.device()));
        self.sums += Tensor::cat(&[one, mean, squares], 0) * own as f64;
    }

    fn write(&mut self, sums: &Tensor) {
        self.set_counter(self.batches);
        let count = sums.double_value(&[0]);
        if count > 0.0 {
            let means = sums.narrow(0, 1, sums.size()[0] - 1) / count;
            let [mean, squares] = [0, 1].map(|half| means.chunk(2, 0)[half].shallow_clone());
            self.variance.copy_(&(squares - &mean * &mean));
            self.mean.copy_(&mean);
        }
    }
}
