//! What one encoder sees: the features of all patches in memory, and the questions that they answer.

use std::collections::HashMap;
use std::ops::Range;

use serde::Serialize;
use tch::{Kind, Tensor};

use crate::embeddings::{About, Embeddings};
use crate::error::Error;
use crate::tasks::knn::unit;
use crate::tasks::pretrain::components::{as_colours, largest_axes};

/// Rows that are brought to length 1 at once.
const AT_ONCE: i64 = 1 << 14;
/// The most patches from which the colours are found.
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
            rows.copy_(&finite_unit(&rows.to_kind(Kind::Float)));
        }
        let mut first = vec![0];
        for [rows, columns] in &embeddings.cells {
            first.push(first[first.len() - 1] + rows * columns);
        }
        let place_of = embeddings.samples.iter().enumerate().map(|(place, &sample)| (sample as usize, place));
        let spaced = embeddings.patches.index_select(0, &Tensor::from_slice(&spread_over(all)));
        Ok(Self {
            name: name.to_owned(),
            means: finite_unit(&embeddings.features),
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
        let bytes = Vec::<u8>::try_from(as_colours(&components).contiguous().view([-1])).ok()?;
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

/// Numbers below `all`, at most [`PATCHES_FOR_COLOURS`], spread by the golden ratio: equal distances would hit one column of every map.
fn spread_over(all: i64) -> Vec<i64> {
    let golden = |number: i64| (number as f64 * 0.618_033_988_749_895).fract();
    (0..all.min(PATCHES_FOR_COLOURS)).map(|number| (golden(number) * all as f64) as i64).collect()
}

/// Rows of length 1; what is not finite counts as 0.
fn finite_unit(rows: &Tensor) -> Tensor {
    unit(&rows.nan_to_num(0.0, 0.0, 0.0))
}

/// The mean of patches `[P, C]`, and the three axes along which they spread most, as columns, divided by that spread.
fn axes(patches: &Tensor) -> (Tensor, Tensor) {
    let mean = patches.mean_dim(0, false, Kind::Double);
    let centred = patches - &mean;
    let (sums, axes) = largest_axes(&centred);
    let variances = sums / patches.size()[0] as f64;
    (mean, axes / variances.clamp_min(1e-12).sqrt())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use densesiam_nn::Architecture;
    use tch::Device;

    use super::*;
    use crate::recipe::embed::Stage;

    /// Maps of `rows` x `columns` cells, one a picture, of features that have nothing in common. Every third picture was not read.
    fn sight(maps: &[[usize; 2]]) -> Sight {
        let all: usize = maps.iter().map(|[rows, columns]| rows * columns).sum();
        let angles = Tensor::arange(all as i64 * 8, (Kind::Double, Device::Cpu)).square() * 0.37;
        let patches = angles.sin().view([-1, 8]).to_kind(Kind::Half);
        let about = About {
            encoder: String::new(),
            weights: String::new(),
            architecture: Architecture::ResNet18,
            stage: Stage::C5,
            stride: 32,
            size: 64,
            precision: String::new(),
            max_pixels: 0,
            root: String::new(),
            pictures: String::new(),
        };
        let embeddings = Embeddings {
            about,
            samples: (0..maps.len() as i64).map(|place| place * 3 / 2).collect(),
            seen: maps.iter().map(|&[rows, columns]| [32 * columns as u32 - 7, 32 * rows as u32]).collect(),
            cells: maps.to_vec(),
            features: patches.narrow(0, 0, maps.len() as i64).to_kind(Kind::Float),
            patches,
        };
        Sight::new("made up", embeddings).unwrap()
    }

    #[test]
    fn the_nearest_of_many_pictures_are_found_whatever_their_maps() {
        let maps: Vec<[usize; 2]> = (0..120).map(|place| [1 + place % 3, 2 + place % 2]).collect();
        let sight = sight(&maps);
        let (place, count) = (40, 2);
        let sample = sight.embeddings.samples[place] as usize;
        let asked = sight.embeddings.patches.get(sight.first[place] as i64 + 1).to_kind(Kind::Double);
        let cosines = sight.embeddings.patches.to_kind(Kind::Double).mv(&asked);
        let cosines = Vec::<f64>::try_from(cosines).unwrap();
        let best = |other: usize| cosines[sight.patches(other)].iter().copied().fold(-2.0, f64::max);
        let mut expected: Vec<_> =
            (0..120).filter(|&other| other != place).map(|of| (best(of), of)).collect();
        expected.sort_by(|one, other| other.0.total_cmp(&one.0));
        // The cell in row 0 and column 1 of two or three.
        let share = sight.share(place);
        let found = sight.like(sample, [1.5 * share[0], 0.2 * share[1]], count).unwrap();
        assert_eq!((found.cell, found.nearest.len()), ([1, 0], count));
        for (patch, (cosine, other)) in found.nearest.iter().zip(expected) {
            assert_eq!(patch.picture, sight.embeddings.samples[other] as usize);
            assert!((f64::from(patch.cosine) - cosine).abs() < 1e-3);
            let number = sight.first[other] + patch.cell[1] * maps[other][1] + patch.cell[0];
            assert!((cosines[number] - cosine).abs() < 1e-9);
        }
        assert!(sight.like(2, [0.5; 2], 1).is_none() && sight.colours(2).is_none(), "it was not read");
        assert!(sight.like(0, [1.0; 2], 1).is_some(), "the last cell extends beyond the picture");
    }

    #[test]
    fn one_picture_has_no_others() {
        let sight = sight(&[[2, 2]]);
        assert!(sight.like(0, [0.1; 2], 24).unwrap().nearest.is_empty());
        assert!(sight.similar(0, 24).unwrap().is_empty());
        assert_eq!(sight.colours(0).unwrap().colours.len(), 4);
    }

    #[test]
    fn colours_are_of_every_column() {
        let columns: HashSet<i64> = spread_over(49 * 20_100).iter().map(|number| number % 49).collect();
        assert_eq!(columns.len(), 49);
        assert_eq!(spread_over(7).len(), 7);
    }
}
