//! K-means of dense features, over a whole set of pictures: Lloyd's rounds over the first batches, then an update with each further
//! batch (Sculley 2010). As PiCIE does it with faiss: squared Euclidean distances, centroids that are not renormalised, and an empty
//! cluster takes a part of another one.

use densesiam_random::{ChaCha8Rng, Key, RngExt};
use densesiam_settings::{SettingError, require, within};
use densesiam_torch_ext::{Group, cluster_sums, upload};
use rand::seq::index;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::losses::{loss_kind, unit};

/// Added to the rows of a cluster before its step is divided by them, as in PiCIE's code.
const FLOOR: f64 = 1e-6;

/// How features are compared with centroids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Features have length 1; centroids are means of them and shorter.
    #[default]
    Cosine,
    /// Features as they are.
    L2,
}

/// The statistics of batch norm while features are gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statistics {
    /// Those of the batch, which also enter the running ones, as in PiCIE's code.
    #[default]
    Batch,
    /// The running ones, as in DenseSiam's port of PiCIE.
    Running,
}

/// The table `clustering` of a method that clusters the features of all pictures once an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusteringSettings {
    /// How features are compared.
    pub metric: Metric,
    /// Batches whose features are held and clustered by Lloyd's rounds.
    pub initial_batches: usize,
    /// Those rounds.
    pub iterations: usize,
    /// Further batches that make one update together.
    pub every: usize,
    /// Share of the positions of the first batches that is held.
    pub sample: f64,
    /// The statistics of batch norm meanwhile.
    pub statistics: Statistics,
}

impl Default for ClusteringSettings {
    fn default() -> Self {
        let (metric, statistics) = (Metric::default(), Statistics::default());
        Self { metric, initial_batches: 40, iterations: 20, every: 1, sample: 1.0, statistics }
    }
}

impl ClusteringSettings {
    /// How many of the positions of a picture are held, of the first batches.
    pub fn held(&self, positions: usize) -> usize {
        ((positions as f64 * self.sample).round() as usize).clamp(1, positions.max(1))
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first setting that is not allowed.
    pub fn validate(&self) -> Result<(), SettingError> {
        within("clustering.initial_batches", self.initial_batches, 1..=1_000_000, "batches")?;
        within("clustering.iterations", self.iterations, 1..=10_000, "rounds")?;
        within("clustering.every", self.every, 1..=1_000_000, "batches")?;
        let sample = self.sample;
        require(sample > 0.0 && sample <= 1.0, "clustering.sample", &sample, "a share above 0, up to 1")
    }
}

/// Why features cannot be clustered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// There is less to cluster than clusters.
    #[error(
        "{rows} feature vectors were gathered for {clusters} clusters; use more or larger pictures, fewer categories, or a higher clustering.sample"
    )]
    TooFew {
        /// Feature vectors of all processes.
        rows: i64,
        /// The clusters.
        clusters: i64,
    },
}

/// Clusters of rows `[rows, D]`.
#[derive(Debug)]
pub struct Clusters {
    /// `[K, D]`
    pub centroids: Tensor,
    /// The rows of each, `[K]`, float64.
    pub counts: Tensor,
    /// The mean squared distance before each update, scalars in float64; first that after Lloyd's rounds.
    pub losses: Vec<Tensor>,
    /// Sums of the batches that wait for an update.
    waiting: Option<Tensor>,
}

impl Clusters {
    /// Lloyd's rounds over `batches` of rows from `start`, `[K, D]`. `draws` begins numbers within `[0, 1]` for each round, by which a
    /// cluster is chosen that an empty one takes a part of. The batches of all processes are clustered.
    pub fn lloyd<D: FnMut() -> f32>(
        batches: &[Tensor],
        start: &Tensor,
        iterations: usize,
        draws: impl Fn() -> D,
        group: &Group,
    ) -> Self {
        let centroids = Self::rounds(batches, start, iterations, draws, group);
        let Sums { counts, squared, .. } = Sums::of(batches, &centroids, group);
        let loss = mean_of(&squared, &counts);
        Self { centroids, counts, losses: vec![loss], waiting: None }
    }

    /// The centroids after so many of Lloyd's rounds.
    pub fn rounds<D: FnMut() -> f32>(
        batches: &[Tensor],
        start: &Tensor,
        iterations: usize,
        draws: impl Fn() -> D,
        group: &Group,
    ) -> Tensor {
        let mut centroids = start.copy();
        for _ in 0..iterations {
            let sums = Sums::of(batches, &centroids, group);
            let means = &sums.rows / sums.counts.clamp_min(1.0).unsqueeze(1);
            centroids = means.to_kind(start.kind());
            split_empty(&centroids, &sums.counts, draws());
        }
        centroids
    }

    /// Adds a further batch to what the next update is made of.
    pub fn add(&mut self, rows: &Tensor) {
        let sums = cluster_sums(rows, &self.centroids);
        self.waiting =
            Some(self.waiting.take().map_or_else(|| sums.shallow_clone(), |waiting| waiting + &sums));
    }

    /// Moves the centroids by the batches of all processes that were added, of which each row weighs as much as each row before.
    pub fn update(&mut self, group: &Group) {
        let Some(waiting) = self.waiting.take() else { return };
        let Sums { rows, counts, squared } = Sums::of_all(&waiting, group);
        self.losses.push(mean_of(&squared, &counts));
        self.counts = &self.counts + &counts;
        let share = &counts / (&self.counts + FLOOR);
        let means = &rows / counts.clamp_min(1.0).unsqueeze(1);
        let old = self.centroids.to_kind(Kind::Double);
        let moved = &old + share.unsqueeze(1) * (means - &old);
        self.centroids = moved.to_kind(self.centroids.kind());
    }
}

fn mean_of(squared: &Tensor, counts: &Tensor) -> Tensor {
    squared / counts.sum(Kind::Double).clamp_min(1.0)
}

/// The nearest centroid of each row, `[rows]`: the greatest `2 x.c - |c|^2`.
pub fn nearest(rows: &Tensor, centroids: &Tensor) -> Tensor {
    let lengths = (centroids * centroids).sum_dim_intlist(1, false, centroids.kind());
    (-lengths).addmm(&(rows * 2.0), &centroids.tr()).argmax(1, false)
}

/// Sums over the rows of each cluster, of all processes, in float64.
struct Sums {
    /// `[K, D]`
    rows: Tensor,
    /// `[K]`
    counts: Tensor,
    /// Of the squared distances of all rows.
    squared: Tensor,
}

impl Sums {
    fn of(batches: &[Tensor], centroids: &Tensor, group: &Group) -> Self {
        let [clusters, dim] = [0, 1].map(|axis| centroids.size()[axis]);
        let all = Tensor::zeros([clusters + 1, dim + 1], (Kind::Double, centroids.device()));
        batches.iter().for_each(|batch| drop(all.shallow_clone().g_add_(&cluster_sums(batch, centroids))));
        Self::of_all(&all, group)
    }

    /// Of all processes, of which this one has `own` ([`cluster_sums`]).
    fn of_all(own: &Tensor, group: &Group) -> Self {
        group.sum(own);
        let [clusters, dim] = [0, 1].map(|axis| own.size()[axis] - 1);
        let of_clusters = own.narrow(0, 0, clusters);
        Self {
            rows: of_clusters.narrow(1, 0, dim),
            counts: of_clusters.select(1, dim),
            squared: own.get(clusters).get(0),
        }
    }
}

/// Each empty cluster takes a part of another one, which is chosen in turn with a probability that grows with its size: both have its
/// centroid, moved apart by a thousandth, and half of its rows (faiss).
fn split_empty(centroids: &Tensor, counts: &Tensor, mut draw: impl FnMut() -> f32) {
    let mut sizes: Vec<f64> = Vec::try_from(counts).unwrap_or_default();
    let clusters = sizes.len();
    let spare = sizes.iter().sum::<f64>() - clusters as f64;
    const APART: f64 = 1.0 / 1024.0;
    let dim = centroids.size()[1];
    let even = Tensor::arange(dim, (centroids.kind(), centroids.device())).remainder(2.0).eq(0.0);
    let signs = even.to_kind(centroids.kind()) * 2.0 - 1.0;
    for empty in 0..clusters {
        // With fewer rows than clusters some stay empty.
        if sizes[empty] > 0.0 || sizes.iter().all(|&size| size <= 1.0) {
            continue;
        }
        let mut donor = 0;
        // With as many rows as clusters the share of a cluster of one row is no number, and is not drawn.
        let is_drawn = |donor: usize, drawn: f32| drawn < ((sizes[donor] - 1.0) / spare) as f32;
        while !is_drawn(donor, draw()) {
            donor = (donor + 1) % clusters;
        }
        let [mut taken, mut given] = [empty, donor].map(|cluster| centroids.get(cluster as i64));
        taken.copy_(&(&given * (&signs * APART + 1.0)));
        let _ = given.multiply_(&(&signs * -APART + 1.0));
        sizes[empty] = sizes[donor] / 2.0;
        sizes[donor] -= sizes[empty];
    }
}

/// The features of one view while a pass over the pictures gathers them, and what they are clustered into.
#[derive(Debug)]
pub(super) struct Gathering {
    settings: ClusteringSettings,
    /// The first batches.
    held: Vec<Tensor>,
    /// Further batches that wait for an update.
    waiting: usize,
    /// The share of the first batches' positions that is held: whole positions of each picture.
    share: f64,
    /// One for each number of clusters, once there are enough batches.
    clusters: Vec<Clusters>,
    numbers: Vec<i64>,
    rng: ChaCha8Rng,
    group: Group,
}

impl Gathering {
    /// Will cluster the same features into each of these numbers of clusters.
    pub(super) fn new(settings: &ClusteringSettings, numbers: &[i64], key: Key, group: &Group) -> Self {
        let (held, waiting, clusters) = Default::default();
        let (settings, numbers, group) = (settings.clone(), numbers.to_vec(), group.clone());
        Self { settings, held, waiting, share: 1.0, clusters, numbers, rng: key.rng(), group }
    }

    /// Adds the maps of a batch, `[B, D, h, w]`; `keys` are those of the samples.
    pub(super) fn add(&mut self, maps: &Tensor, keys: &[Key]) -> Result<(), ClusterError> {
        let metric = self.settings.metric;
        if self.clusters.is_empty() {
            let rows = self.sampled(&positions(maps), keys);
            self.held.push(compared(&rows, metric));
            if self.held.len() == self.settings.initial_batches {
                self.begin()?;
            }
            return Ok(());
        }
        let rows = rows_of(maps, metric);
        self.clusters.iter_mut().for_each(|clusters| clusters.add(&rows));
        self.waiting += 1;
        if self.waiting == self.settings.every {
            self.clusters.iter_mut().for_each(|clusters| clusters.update(&self.group));
            self.waiting = 0;
        }
        Ok(())
    }

    /// The clusters of all that was added. Batches that are too few for an update are left out.
    pub(super) fn finish(mut self) -> Result<Vec<Clusters>, ClusterError> {
        if self.clusters.is_empty() {
            self.begin()?;
        }
        Ok(self.clusters)
    }

    fn begin(&mut self) -> Result<(), ClusterError> {
        for &number in &self.numbers {
            let start = start_rows(&self.held, number, &mut self.rng, &self.group)?;
            let draws = || {
                let mut rng = self.rng.clone();
                move || rng.random::<f32>()
            };
            let clusters = Clusters::lloyd(&self.held, &start, self.settings.iterations, draws, &self.group);
            // Each row that is held stands for those that are not.
            let counts = &clusters.counts / self.share;
            self.clusters.push(Clusters { counts, ..clusters });
        }
        self.held.clear();
        Ok(())
    }

    /// The positions of each picture that are held.
    fn sampled(&mut self, rows: &Tensor, keys: &[Key]) -> Tensor {
        let positions = rows.size()[0] as usize / keys.len().max(1);
        let kept = self.settings.held(positions);
        if kept == positions {
            return rows.shallow_clone();
        }
        self.share = kept as f64 / positions as f64;
        let of_picture = |(picture, key): (usize, &Key)| {
            let chosen = index::sample(&mut key.rng(), positions, kept).into_iter();
            chosen.map(move |position| (picture * positions + position) as i64)
        };
        let chosen: Vec<i64> = keys.iter().enumerate().flat_map(of_picture).collect();
        rows.index_select(0, &upload(&chosen, &[chosen.len() as i64], rows.device()))
    }
}

/// The positions of maps `[B, D, h, w]` as rows `[B h w, D]`, picture by picture, row by row.
fn positions(maps: &Tensor) -> Tensor {
    maps.detach().permute([0, 2, 3, 1]).flatten(0, 2)
}

/// The positions of maps `[B, D, h, w]` as rows `[B h w, D]` as they are clustered.
pub fn rows_of(maps: &Tensor, metric: Metric) -> Tensor {
    compared(&positions(maps), metric)
}

/// Features `[rows, D]` or `[B, D, h, w]` as they are compared with centroids, in the kind of the losses.
pub(super) fn compared(features: &Tensor, metric: Metric) -> Tensor {
    match metric {
        Metric::Cosine => unit(features, 1),
        Metric::L2 => features.to_kind(loss_kind(features.kind())),
    }
}

/// Different rows to start from, `[number, D]`, of the batches of all processes, in the order in which one process has them.
fn start_rows(
    batches: &[Tensor],
    number: i64,
    rng: &mut ChaCha8Rng,
    group: &Group,
) -> Result<Tensor, ClusterError> {
    // Rows by batch and process.
    let (rank, world) = (group.rank(), group.world());
    let mut counts = vec![0; batches.len() * world];
    batches.iter().enumerate().for_each(|(batch, rows)| counts[batch * world + rank] = rows.size()[0]);
    group.sum_counts(&mut counts);
    let rows = counts.iter().sum();
    if rows < number {
        return Err(ClusterError::TooFew { rows, clusters: number });
    }
    let dim = batches.first().map_or(0, |first| first.size()[1]);
    let (kind, device) =
        batches.first().map_or((Kind::Float, tch::Device::Cpu), |rows| (rows.kind(), rows.device()));
    let start = Tensor::zeros([number, dim], (kind, device));
    for (place, mut row) in (0..).zip(index::sample(rng, rows as usize, number as usize)) {
        let mut part = 0;
        while row >= counts[part] as usize {
            row -= counts[part] as usize;
            part += 1;
        }
        if part % world == rank {
            start.get(place).copy_(&batches[part / world].get(row as i64));
        }
    }
    group.sum(&start);
    Ok(start)
}
