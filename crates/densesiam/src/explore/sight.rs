//! What one encoder sees: the features of all patches in memory, and the questions that they answer.

use std::collections::HashMap;
use std::ops::Range;

use serde::Serialize;
use tch::{Kind, Tensor};

use crate::embeddings::{About, Embeddings};
use crate::error::Error;

/// Rows that are brought to length 1 at once.
const AT_ONCE: i64 = 1 << 14;
/// Patches, evenly spaced, from which the colours are found.
const PATCHES_FOR_COLOURS: i64 = 20_000;
/// Cosines of all patches are rounded to float16; so many more pictures than asked are compared again in float32.
const AGAIN: usize = 4;

/// What one encoder sees in all pictures.
pub struct Sight {
    /// The name that the command line gave it.
    pub name: String,
    embeddings: Embeddings,
    /// The means of the pictures, of length 1, `[N, C]`.
    means: Tensor,
    /// The place among the embeddings of each picture that could be read.
    place_of: HashMap<usize, usize>,
    /// The first patch of each picture, and the number of all patches.
    first: Vec<usize>,
    /// The mean of all patches, `[C]`, and three axes, `[C, 3]`, along which patches have deviation 1.
    axes: (Tensor, Tensor),
}

/// Where the features of a patch are found again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Like {
    /// Column and row of the patch.
    pub cell: [usize; 2],
    /// Rows and columns of the map.
    pub cells: [usize; 2],
    /// The share of the picture's width and height that a cell covers.
    pub share: [f64; 2],
    /// The cosine of the patch with each cell of its own picture, row by row.
    pub map: Vec<f32>,
    /// The most similar patch of each of the most similar other pictures, the best first.
    pub nearest: Vec<Patch>,
}

/// A patch of a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Patch {
    /// The picture, by its place in the index.
    pub picture: usize,
    /// Column and row.
    pub cell: [usize; 2],
    /// The share of the picture's width and height that a cell covers.
    pub share: [f64; 2],
    /// The cosine with the patch that was asked about.
    pub cosine: f32,
}

/// A picture that is like another one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picture {
    /// The picture, by its place in the index.
    pub picture: usize,
    /// The cosine of the means of both.
    pub cosine: f32,
}

/// A picture's map as colours: three principal components of all patches are red, green and blue.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Colours {
    /// Rows and columns of the map.
    pub cells: [usize; 2],
    /// The share of the picture's width and height that a cell covers.
    pub share: [f64; 2],
    /// Red, green and blue of each cell, row by row.
    pub colours: Vec<[u8; 3]>,
}

impl Sight {
    /// Prepares the embeddings of an encoder: from here on every patch has length 1.
    ///
    /// # Errors
    /// When there is no patch.
    pub fn new(name: &str, embeddings: Embeddings) -> Result<Self, Error> {
        let all = embeddings.patches.size()[0];
        if all == 0 {
            return Err(Error::Usage(format!("{name} sees no picture")));
        }
        for first in (0..all).step_by(AT_ONCE as usize) {
            let mut rows = embeddings.patches.narrow(0, first, AT_ONCE.min(all - first));
            let unit = unit(&rows.to_kind(Kind::Float));
            rows.copy_(&unit);
        }
        let mut first = vec![0];
        for [rows, columns] in &embeddings.cells {
            first.push(first[first.len() - 1] + rows * columns);
        }
        let place_of = embeddings.samples.iter().enumerate().map(|(place, &sample)| (sample as usize, place));
        let spaced = embeddings.patches.slice(0, 0, all, (all / PATCHES_FOR_COLOURS).max(1));
        Ok(Self {
            name: name.to_owned(),
            means: unit(&embeddings.features),
            place_of: place_of.collect(),
            first,
            axes: axes(&spaced.to_kind(Kind::Double)),
            embeddings,
        })
    }

    /// What it is of.
    pub fn about(&self) -> &About {
        &self.embeddings.about
    }

    /// Pictures that could be read.
    pub fn pictures(&self) -> usize {
        self.embeddings.samples.len()
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> f64 {
        let of = |tensor: &Tensor| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as f64;
        of(&self.embeddings.patches) + of(&self.means)
    }

    /// Where the features of the patch at a point are found again: in its own picture, and in `count` others. The point is given by its
    /// shares of the picture's width and height. `None` for a picture that could not be read.
    pub fn like(&self, sample: usize, point: [f64; 2], count: usize) -> Option<Like> {
        let place = *self.place_of.get(&sample)?;
        let ([rows, columns], share) = (self.embeddings.cells[place], self.share(place));
        let of = |side: usize, cells: usize| ((point[side].max(0.0) / share[side]) as usize).min(cells - 1);
        let cell = [of(0, columns), of(1, rows)];
        let number = self.first[place] + cell[1] * columns + cell[0];
        let asked = self.embeddings.patches.get(number as i64);
        let asked_exactly = asked.to_kind(Kind::Float);

        // Rounded to float16, for which libtorch reads half as many bytes.
        let all = Vec::<f32>::try_from(self.embeddings.patches.mv(&asked).to_kind(Kind::Float)).ok()?;
        let best = |other: usize| all[self.patches(other)].iter().copied().fold(f32::MIN, f32::max);
        let others = (0..self.pictures()).filter(|&other| other != place);
        let mut others: Vec<(f32, usize)> = others.map(|other| (best(other), other)).collect();
        others.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
        others.truncate(AGAIN * count);
        let mut nearest: Vec<Patch> =
            others.into_iter().filter_map(|(_, other)| self.best_patch(other, &asked_exactly)).collect();
        nearest.sort_by(|one, other| other.cosine.total_cmp(&one.cosine));
        nearest.truncate(count);
        Some(Like { cell, cells: [rows, columns], share, map: self.cosines(place, &asked_exactly)?, nearest })
    }

    /// The pictures whose means are most like that of a picture. `None` for a picture that could not be read.
    pub fn similar(&self, sample: usize, count: usize) -> Option<Vec<Picture>> {
        let place = *self.place_of.get(&sample)? as i64;
        let cosines = self.means.mv(&self.means.get(place));
        let _ = cosines.get(place).fill_(-2.0);
        let (cosines, places) = cosines.topk((count as i64).min(self.pictures() as i64 - 1), 0, true, true);
        let (cosines, places) = (Vec::<f32>::try_from(cosines).ok()?, Vec::<i64>::try_from(places).ok()?);
        let picture = |(cosine, place): (f32, i64)| Picture {
            picture: self.embeddings.samples[place as usize] as usize,
            cosine,
        };
        Some(cosines.into_iter().zip(places).map(picture).collect())
    }

    /// A picture's map as colours. `None` for a picture that could not be read.
    pub fn colours(&self, sample: usize) -> Option<Colours> {
        let place = *self.place_of.get(&sample)?;
        let (mean, axes) = &self.axes;
        let components = (self.patches_of(place).to_kind(Kind::Double) - mean).matmul(axes);
        // Two standard deviations in each direction span the whole range of a colour.
        let bytes = ((components * 0.25 + 0.5).clamp(0.0, 1.0) * 255.0).round().to_kind(Kind::Uint8);
        let bytes = Vec::<u8>::try_from(bytes.contiguous().view([-1])).ok()?;
        let colours = bytes.chunks_exact(3).map(|rgb| [rgb[0], rgb[1], rgb[2]]).collect();
        Some(Colours { cells: self.embeddings.cells[place], share: self.share(place), colours })
    }

    /// The share of a picture's width and height that one cell covers.
    fn share(&self, place: usize) -> [f64; 2] {
        let stride = f64::from(self.about().stride);
        self.embeddings.seen[place].map(|side| stride / f64::from(side))
    }

    /// The patches of a picture, by their numbers.
    fn patches(&self, place: usize) -> Range<usize> {
        self.first[place]..self.first[place + 1]
    }

    fn patches_of(&self, place: usize) -> Tensor {
        let of = self.patches(place);
        self.embeddings.patches.narrow(0, of.start as i64, of.len() as i64)
    }

    /// The cosines of a patch `[C]` with all cells of a picture.
    fn cosines(&self, place: usize, asked: &Tensor) -> Option<Vec<f32>> {
        Vec::<f32>::try_from(self.patches_of(place).to_kind(Kind::Float).mv(asked)).ok()
    }

    fn best_patch(&self, place: usize, asked: &Tensor) -> Option<Patch> {
        let cosines = self.cosines(place, asked)?;
        let (cell, &cosine) = cosines.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1))?;
        let [_, columns] = self.embeddings.cells[place];
        Some(Patch {
            picture: self.embeddings.samples[place] as usize,
            cell: [cell % columns, cell / columns],
            share: self.share(place),
            cosine,
        })
    }
}

/// Rows of length 1; what is not finite counts as 0.
fn unit(rows: &Tensor) -> Tensor {
    let rows = rows.nan_to_num(0.0, 0.0, 0.0);
    &rows / rows.norm_scalaropt_dim(2, [1i64].as_slice(), true).clamp_min(1e-12)
}

/// The mean of patches `[P, C]`, and the three axes along which they spread most, as columns, divided by that spread.
fn axes(patches: &Tensor) -> (Tensor, Tensor) {
    let mean = patches.mean_dim(0, false, Kind::Double);
    let centred = patches - &mean;
    let covariance = centred.tr().matmul(&centred) / patches.size()[0] as f64;
    let (variances, axes) = covariance.linalg_eigh("L");
    let channels = patches.size()[1];
    let three = |of: &Tensor, dimension: i64| of.narrow(dimension, channels - 3, 3).flip([dimension]);
    (mean, three(&axes, 1) / three(&variances, 0).clamp_min(1e-12).sqrt())
}
