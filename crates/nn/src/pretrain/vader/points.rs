//! Points of the overlap of two views, at which maps are read.

use densesiam_geometry::View;
use densesiam_random::{Key, Purpose, RngExt};
use densesiam_torch_ext::{Group, sample, upload};
use tch::{Device, Kind, Tensor};

use crate::losses::{loss_kind, normalised};

/// The points at which a batch is compared; `B'` samples have an overlap.
#[derive(Debug)]
pub struct Points {
    /// Index of the samples with an overlap, `[B']`; `None` when all have one.
    pub kept: Option<Tensor>,
    /// The same points in view 1 and view 2, as `grid_sample` takes them: `[B', P, 1, 2]`.
    pub of_views: [Tensor; 2],
    /// How many samples were left out.
    pub left_out: usize,
    /// The share of all processes' points that these are: 1 for one process.
    pub share: f64,
}

impl Points {
    /// `count` points in the overlap of both views of each sample, drawn from its key. `kind` is the kind of the views.
    pub fn draw(
        count: usize,
        cuts: &[Vec<View>],
        keys: &[Key],
        (kind, device): (Kind, Device),
        group: &Group,
    ) -> Self {
        let (mut kept, mut coordinates) = (Vec::new(), [const { Vec::<f64>::new() }; 2]);
        for (index, (views, key)) in cuts.iter().zip(keys).enumerate() {
            let Some(overlap) = views[0].overlap(&views[1]) else { continue };
            kept.push(index as i64);
            let mut stream = Key { purpose: Purpose::Pixels, ..*key }.rng();
            for _ in 0..count {
                let image = overlap.at(stream.random(), stream.random());
                for (view, coordinates) in views.iter().zip(&mut coordinates) {
                    let point = view.view_from_image(image);
                    coordinates.extend([point.x, point.y]);
                }
            }
        }
        let samples = kept.len() as i64;
        let mut of_all = [samples];
        group.sum_counts(&mut of_all);
        let left_out = cuts.len() - kept.len();
        let shape = [samples, count as i64, 1, 2];
        Self {
            kept: (left_out > 0).then(|| upload(&kept, &[samples], device)),
            of_views: coordinates.map(|values| upload(&values, &shape, device).to_kind(loss_kind(kind))),
            left_out,
            share: samples as f64 / of_all[0].max(1) as f64,
        }
    }

    /// The embeddings of a map `[B, D, h, w]` at the points of this view, picture after picture: unit rows `[B' P, D]`.
    pub fn read(&self, map: &Tensor, view: usize) -> Tensor {
        let points = &self.of_views[view];
        let map = self.kept.as_ref().map_or(map.shallow_clone(), |kept| map.index_select(0, kept));
        let read = sample(&map, points).to_kind(points.kind());
        normalised(&read.squeeze_dim(3).transpose(1, 2).flatten(0, 1), 1)
    }
}
