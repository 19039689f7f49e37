//! Felzenszwalb and Huttenlocher's segmentation by a graph of pixels ("Efficient graph-based image segmentation",
//! IJCV 2004), as scikit-image's `felzenszwalb` computes it: in float64, on eight neighbours, with equal edges in a
//! fixed order, so that every label is reproducible.

use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};

use super::raster::Raster;
use super::smooth::Planes;
use crate::image::RgbImage;

/// How a picture is divided into segments of similar colour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Felzenszwalb {
    /// How unlike neighbours may be within a segment; larger values give larger segments. In levels of 255.
    pub scale: f64,
    /// Standard deviation of the Gaussian that smooths the picture first, in pixels.
    pub sigma: f64,
    /// Pixels below which a segment is joined to a neighbour.
    pub min_size: u32,
}

impl Default for Felzenszwalb {
    /// The masks of DetCon.
    fn default() -> Self {
        Self { scale: 1000.0, sigma: 0.8, min_size: 1000 }
    }
}

impl Felzenszwalb {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// A [`SettingError`] for the first setting outside its range.
    pub fn validate(&self) -> Result<(), SettingError> {
        require(self.scale > 0.0 && self.scale <= 1e6, "scale", &self.scale, "above 0, at most 1000000")?;
        within("sigma", self.sigma, 0.0..=50.0, "pixels")?;
        within("min_size", self.min_size, 1..=u32::MAX, "pixels")
    }

    /// The segment of each pixel, numbered from 0 in the order in which rows from the top meet them. Memory: about 100
    /// bytes a pixel.
    pub fn segment(&self, picture: &RgbImage) -> Raster<u32> {
        let edges = Edges::sorted(picture, self.sigma);
        let mut segments = Segments::single(edges.pixels, self.scale / 255.0);
        for (cost, [a, b]) in edges.iter() {
            let (a, b) = (segments.root(a), segments.root(b));
            if a != b && cost < segments.limit(a).min(segments.limit(b)) {
                segments.join(a, b, cost);
            }
        }
        for (cost, [a, b]) in edges.iter() {
            let (a, b) = (segments.root(a), segments.root(b));
            if a != b && segments.size[a].min(segments.size[b]) < self.min_size {
                segments.join(a, b, cost);
            }
        }
        Raster { width: picture.width, height: picture.height, values: segments.numbers() }
    }
}

/// The pairs of neighbouring pixels.
struct Edges {
    width: usize,
    pixels: usize,
    /// The bits of an edge's cost, which are in the order of the costs, and its number: direction by direction, and in
    /// each pixel by pixel.
    sorted: Vec<(u64, u32)>,
}

/// To the right, down, down and right, down and left: the edge of pixel `p` runs from `p + from` to `p + to`.
const DIRECTIONS: usize = 4;

impl Edges {
    /// All edges by cost, the distance of the two colours; equal ones by direction and pixel.
    fn sorted(picture: &RgbImage, sigma: f64) -> Self {
        let (width, height) = (picture.width as usize, picture.height as usize);
        let values = picture.pixels.iter().map(|&level| f64::from(level) * (1.0 / 255.0)).collect();
        let Planes { values, .. } = Planes { width, height, values }.smoothed(sigma);
        let mut edges = Self { width, pixels: width * height, sorted: Vec::new() };
        edges.sorted.reserve_exact(DIRECTIONS * edges.pixels);
        for direction in 0..DIRECTIONS {
            let columns = width - usize::from(direction != 1).min(width);
            let rows = height - usize::from(direction != 0).min(height);
            for pixel in (0..rows).flat_map(|y| y * width..y * width + columns) {
                let number = direction * edges.pixels + pixel;
                let [a, b] = edges.ends(number);
                let difference = |channel: usize| values[a * 3 + channel] - values[b * 3 + channel];
                let [red, green, blue] = [difference(0), difference(1), difference(2)];
                let cost = (red * red + green * green + blue * blue).sqrt();
                edges.sorted.push((cost.to_bits(), number as u32));
            }
        }
        edges.sorted.sort_unstable();
        edges
    }

    fn ends(&self, number: usize) -> [usize; 2] {
        let pixel = number % self.pixels;
        match number / self.pixels {
            0 => [pixel, pixel + 1],
            1 => [pixel, pixel + self.width],
            2 => [pixel, pixel + self.width + 1],
            _ => [pixel + 1, pixel + self.width],
        }
    }

    fn iter(&self) -> impl Iterator<Item = (f64, [usize; 2])> {
        self.sorted.iter().map(|&(cost, number)| (f64::from_bits(cost), self.ends(number as usize)))
    }
}

/// A forest of pixels: the trees are the segments.
struct Segments {
    parent: Vec<u32>,
    /// Of each root, the pixels of its segment.
    size: Vec<u32>,
    /// Of each root, the largest cost of an edge that joined its segment.
    inner: Vec<f64>,
    /// The scale, for colours between 0 and 1.
    scale: f64,
}

impl Segments {
    fn single(pixels: usize, scale: f64) -> Self {
        Self { parent: (0..pixels as u32).collect(), size: vec![1; pixels], inner: vec![0.0; pixels], scale }
    }

    /// Halves the path on its way, so that later searches are short.
    fn root(&mut self, mut pixel: usize) -> usize {
        while self.parent[pixel] as usize != pixel {
            let above = self.parent[self.parent[pixel] as usize];
            self.parent[pixel] = above;
            pixel = above as usize;
        }
        pixel
    }

    /// The cost that an edge out of a segment must stay below.
    fn limit(&self, root: usize) -> f64 {
        self.inner[root] + self.scale / f64::from(self.size[root])
    }

    fn join(&mut self, a: usize, b: usize, cost: f64) {
        let (root, child) = if self.size[a] >= self.size[b] { (a, b) } else { (b, a) };
        self.parent[child] = root as u32;
        self.size[root] += self.size[child];
        self.inner[root] = cost;
    }

    fn numbers(mut self) -> Vec<u32> {
        const NONE: u32 = u32::MAX;
        let pixels = self.parent.len();
        let mut of_root = vec![NONE; pixels];
        let mut next = 0;
        let number = |pixel| {
            let number = &mut of_root[self.root(pixel)];
            if *number == NONE {
                *number = next;
                next += 1;
            }
            *number
        };
        (0..pixels).map(number).collect()
    }
}
