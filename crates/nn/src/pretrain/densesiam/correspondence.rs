//! Decides which outputs of the two views are compared: the tensors that follow from the geometry of a batch.
//!
//! Everything here is computed on the processor in float64, from crop boxes and keyed random numbers, and copied to the
//! device as a few small tensors, so the step itself never needs the positions of the views.

use densesiam_geometry::{Point, Region, View};
use densesiam_random::{Key, RngExt};
use densesiam_torch_ext::{Group, upload};
use tch::{Device, Kind, Tensor};

use super::settings::{CorrespondenceStrategy, PointStrategy, Settings};
use crate::losses::loss_kind;
use crate::pretrain::MethodSettings;

/// How the pairs of PixSim are found, with the tensors it takes.
#[derive(Debug)]
pub enum Pairing {
    /// At the points of the grid.
    Points,
    /// At the points of the grid, after the [`Hard`] ones have been chosen.
    HardPoints(Hard),
    /// By the encoder's features.
    Features,
    /// Cells of view 1 and cells of view 2 that are close: `[B, cells, cells]` of 0 and 1.
    Pairs(Tensor),
    /// Windows of 2 x 2 points in both views: `[B, 9, 4, 2]`.
    Windows([Tensor; 2]),
}

/// Points among which the hard ones are searched for.
#[derive(Debug)]
pub struct Hard {
    /// Points to choose from, in both views: `[B, k K K, 1, 2]`.
    pub candidates: [Tensor; 2],
    /// Points that fill up the grid: `[B, K K - chosen, 1, 2]`.
    pub filling: [Tensor; 2],
    /// How many are to be chosen.
    pub chosen: i64,
}

/// The correspondence of one batch; `B'` samples have an overlap.
#[derive(Debug)]
pub struct Correspondence {
    /// Index of the samples with an overlap, `[B']`; `None` when all have one.
    pub kept: Option<Tensor>,
    /// The same points in view 1 and view 2, as `grid_sample` takes them: `[B', K, K, 2]`.
    pub grid: [Tensor; 2],
    /// How the pairs of PixSim are found.
    pub pairing: Pairing,
    /// How many samples were left out.
    pub left_out: usize,
    /// The share of all processes' samples with an overlap that these are: 1 for one process.
    pub share: f64,
}

impl Correspondence {
    /// The correspondence of a batch, or `None` when no dense loss can be computed from it: nothing is sampled in
    /// the overlap, or fewer than two samples have one (batch norm needs two rows, whatever the map's size). The samples of
    /// all processes count, so that all decide alike; a process may have none of them.
    ///
    /// `keys` holds the key of each sample (purpose points), for the strategies that draw; `cells` is the side of
    /// the encoder's map; `kind` the model's kind.
    pub fn new(
        settings: &Settings,
        geometry: &[[View; 2]],
        keys: &[Key],
        cells: usize,
        (kind, device): (Kind, Device),
        group: &Group,
    ) -> Option<Self> {
        let overlap = |(index, views): (usize, &[View; 2])| Some((index, views[0].overlap(&views[1])?));
        let overlaps: Vec<(usize, Region)> = geometry.iter().enumerate().filter_map(overlap).collect();
        if !settings.needs_overlap() {
            return None;
        }
        let mut of_all = [overlaps.len() as i64];
        group.sum_counts(&mut of_all);
        let [of_all] = of_all;
        if of_all < 2 {
            return None;
        }
        let share = overlaps.len() as f64 / of_all as f64;
        let batch = Batch { overlaps, geometry, keys, kind: loss_kind(kind), device };
        let left_out = geometry.len() - batch.overlaps.len();
        let k = settings.pixsim.grid;
        let grid = match settings.pixsim.points {
            PointStrategy::Uniform => batch.grid([k, k], |_, key, region| uniform(key, region, k * k)),
            _ => batch.grid([k, k], |_, _, region| region.cell_centres(k)),
        };
        let pairing = match settings.pixsim.correspondence {
            CorrespondenceStrategy::Location => batch.points(settings),
            CorrespondenceStrategy::FeatureSimilarity => Pairing::Features,
            CorrespondenceStrategy::CoordinateDistance => Pairing::Pairs(batch.pairs(cells)),
            CorrespondenceStrategy::CandidateRegions => Pairing::Windows(batch.windows()),
        };
        Some(Self { kept: (left_out > 0).then(|| batch.kept()), grid, pairing, left_out, share })
    }
}

/// The samples of a batch that have an overlap.
struct Batch<'b> {
    overlaps: Vec<(usize, Region)>,
    geometry: &'b [[View; 2]],
    keys: &'b [Key],
    kind: Kind,
    device: Device,
}

impl Batch<'_> {
    fn kept(&self) -> Tensor {
        let kept: Vec<i64> = self.overlaps.iter().map(|&(index, _)| index as i64).collect();
        upload(&kept, &[kept.len() as i64], self.device)
    }

    /// Points of the overlap in the coordinates of both views: two `[B', shape.., 2]`.
    fn grid(&self, shape: [usize; 2], points: impl Fn(usize, Key, &Region) -> Vec<Point>) -> [Tensor; 2] {
        let mut coordinates = [const { Vec::<f64>::new() }; 2];
        for (index, overlap) in &self.overlaps {
            for image in points(*index, self.keys[*index], overlap) {
                for (view, coordinates) in self.geometry[*index].iter().zip(&mut coordinates) {
                    let point = view.view_from_image(image);
                    coordinates.extend([point.x, point.y]);
                }
            }
        }
        let [rows, columns] = shape.map(|side| side as i64);
        coordinates.map(|values| {
            upload(&values, &[self.overlaps.len() as i64, rows, columns, 2], self.device).to_kind(self.kind)
        })
    }

    fn points(&self, settings: &Settings) -> Pairing {
        let Some((factor, share)) = settings.pixsim.points.bias() else { return Pairing::Points };
        let wanted = settings.pixsim.grid * settings.pixsim.grid;
        let chosen = (share * wanted as f64).round() as usize;
        let (candidates, filling) = (factor * wanted, wanted - chosen);
        // One random stream gives both: first the candidates, then the filling.
        let drawn = |key: Key, region: &Region| uniform(key, region, candidates + filling);
        Pairing::HardPoints(Hard {
            candidates: self
                .grid([candidates, 1], |_, key, region| drawn(key, region)[..candidates].to_vec()),
            filling: self.grid([filling, 1], |_, key, region| drawn(key, region)[candidates..].to_vec()),
            chosen: chosen as i64,
        })
    }

    fn windows(&self) -> [Tensor; 2] {
        let points = |region: &Region| region.half_windows().iter().flat_map(|w| w.cell_centres(2)).collect();
        self.grid([9, 4], |_, _, region| points(region))
    }

    /// 1 if the centres of a cell of view 1 and a cell of view 2 are closer than 0.7 of the larger cell's diagonal,
    /// else 0: `[B', cells^2, cells^2]`.
    fn pairs(&self, cells: usize) -> Tensor {
        let mut close = Vec::<f32>::new();
        for &(index, _) in &self.overlaps {
            let [view1, view2] = &self.geometry[index];
            let diagonal = |view: &View| view.crop.width().hypot(view.crop.height()) / cells as f64;
            let limit = 0.7 * diagonal(view1).max(diagonal(view2));
            let centres2 = view2.cell_centres(cells);
            for one in view1.cell_centres(cells) {
                let is_close = |two: &Point| (one.x - two.x).hypot(one.y - two.y) < limit;
                close.extend(centres2.iter().map(|two| f32::from(u8::from(is_close(two)))));
            }
        }
        let side = (cells * cells) as i64;
        upload(&close, &[self.overlaps.len() as i64, side, side], self.device).to_kind(self.kind)
    }
}

fn uniform(key: Key, region: &Region, count: usize) -> Vec<Point> {
    let mut stream = key.rng();
    (0..count).map(|_| region.at(stream.random(), stream.random())).collect()
}
