//! Regions of views, given by label maps: the region of each cell of an encoder's map, and the regions that are compared.

use densesiam_random::{Key, Purpose, RngExt};
use densesiam_torch_ext::upload;
use tch::{Device, Kind, Tensor};

/// Region ids wrap at this number, as in DetCon's released code, which keeps them in a byte.
pub(super) const IDS: i64 = 256;

/// The regions of one view of a batch.
#[derive(Debug)]
pub struct Regions {
    /// The region of each cell of the last map, `[B, h w]`, from 0 to 255.
    pub cells: Tensor,
    /// The regions that are compared, `[B, R]`.
    pub drawn: Tensor,
}

impl Regions {
    /// Of label maps `[B, S, S]` with `side` cells of `stride` pixels along a side. Each cell has the id that covers most of its
    /// pixels, of several such ids the lowest; the regions are drawn with replacement from the ids of the cells, by `numbers`
    /// from 0 to 1, `[B, R]`.
    pub fn new(labels: &Tensor, [side, stride]: [i64; 2], numbers: &Tensor) -> Self {
        let place = |kind| (kind, labels.device());
        let (batch, beyond) = (labels.size()[0], side * stride - labels.size()[1]);
        // The last cells of a map may reach beyond the view, where there is no region.
        let labels = labels.remainder(IDS).pad([0, beyond, 0, beyond], "constant", IDS as f64);
        let pixels = labels.reshape([batch, side, stride, side, stride]).permute([0, 1, 3, 2, 4]);
        let pixels = pixels.reshape([batch, side * side, stride * stride]);
        let counts = Tensor::zeros([batch, side * side, IDS + 1], place(Kind::Int64));
        let counts = counts.scatter_add(2, &pixels, &pixels.ones_like()).narrow(2, 0, IDS);
        // The argmax is the first of equal numbers.
        let cells = counts.argmax(2, false);

        let present = Tensor::zeros([batch, IDS], place(Kind::Double)).scatter_value(1, &cells, 1.0);
        let places = present.cumsum(1, Kind::Double);
        let wanted = (numbers * places.narrow(1, IDS - 1, 1)).floor() + 1.0;
        // The id at the wanted place is the number of ids that come before that place.
        let before = places.unsqueeze(1).lt_tensor(&wanted.unsqueeze(2));
        Self { drawn: before.sum_dim_intlist(2, false, Kind::Int64), cells }
    }

    /// The means of a map `[B, C, h, w]` over the cells of each drawn region, picture after picture: `[B R, C]`.
    pub fn means(&self, map: &Tensor) -> Tensor {
        let belongs = self.drawn.unsqueeze(2).eq_tensor(&self.cells.unsqueeze(1)).to_kind(map.kind());
        let cells = belongs.sum_dim_intlist(2, true, map.kind());
        (belongs.bmm(&map.flatten(2, 3).transpose(1, 2)) / cells).flatten(0, 1)
    }

    /// Random numbers from 0 to 1 for the regions of a view of each sample, `[B, count]`, float64.
    pub fn numbers(keys: &[Key], view: u32, count: usize, device: Device) -> Tensor {
        let of_sample = |key: &Key| {
            let mut stream = Key { view, purpose: Purpose::Ids, ..*key }.rng();
            (0..count).map(|_| stream.random()).collect::<Vec<f64>>()
        };
        let numbers: Vec<f64> = keys.iter().flat_map(of_sample).collect();
        upload(&numbers, &[keys.len() as i64, count as i64], device)
    }
}
