//! Windows that slide over the query and are found again in the key (ReSim, section 3.2), and the maps that they are read from.

use densesiam_geometry::{Point, Region, View};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::encoder::{Architecture, Features};
use crate::layers::Convolution;
use crate::store::{Initial, Scope};

/// A map whose windows are compared.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Its stage of the encoder, from 0.
    pub stage: usize,
    /// The side of its windows in pixels.
    pub side: u32,
    /// Pixels from a window to the next.
    pub step: u32,
    /// The names of its loss and of its accuracy in the log.
    pub names: [&'static str; 2],
}

/// C4 and C3.
pub const LEVELS: [Level; 2] = [
    Level { stage: 2, side: 48, step: 32, names: ["loss_level4", "accuracy_level4"] },
    Level { stage: 1, side: 32, step: 24, names: ["loss_level3", "accuracy_level3"] },
];

/// A window in both views, in their pixels.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The index of its picture.
    pub picture: usize,
    /// Where it is in the query, view 1.
    pub query: Region,
    /// Where it is in the key, view 2.
    pub key: Region,
}

impl Window {
    /// Whether the key, `size` pixels wide and high, shows all of it.
    pub fn is_valid(&self, size: u32) -> bool {
        let Region { x0, y0, x1, y1 } = self.key;
        x0 >= 0.0 && y0 >= 0.0 && x1 < f64::from(size) && y1 < f64::from(size)
    }
}

impl Level {
    /// Whether this is C3.
    pub fn is_finest(&self) -> bool {
        self.stage == 1
    }

    /// The windows of all pictures, row by row, in views of `size x size` pixels: those that end inside the query.
    pub fn windows(&self, cuts: &[Vec<View>], size: u32) -> Vec<Window> {
        let starts = || (0..size.saturating_sub(self.side)).step_by(self.step as usize);
        let region = |x: u32, y: u32| {
            let [x0, y0, x1, y1] = [x, y, x + self.side, y + self.side].map(f64::from);
            Region { x0, y0, x1, y1 }
        };
        let regions: Vec<_> = starts().flat_map(|y| starts().map(move |x| region(x, y))).collect();
        let of_picture = |(picture, views): (usize, &Vec<View>)| {
            let [one, two] = [views[0], views[1]];
            let size = f64::from(size);
            let carried =
                move |pixels: Point| two.pixels_from_image(one.image_from_pixels(pixels, size), size);
            let window = move |&query: &Region| Window { picture, query, key: query.moved(carried) };
            regions.iter().map(window).collect::<Vec<_>>()
        };
        cuts.iter().enumerate().flat_map(of_picture).collect()
    }

    /// The windows that the key shows as a whole.
    pub fn valid_windows(&self, cuts: &[Vec<View>], size: u32) -> Vec<Window> {
        self.windows(cuts, size).into_iter().filter(|window| window.is_valid(size)).collect()
    }
}

/// What turns the encoder's maps into those of the levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeckForm {
    /// A feature pyramid with levels C4 and C3, as released.
    Fpn,
    /// A 3x3 convolution of C4, and no level C3 (after names in the released code).
    Conv,
}

impl NeckForm {
    /// Whether it makes the map of this level.
    pub fn has(self, level: &Level) -> bool {
        self == Self::Fpn || !level.is_finest()
    }
}

/// The layers of a [`NeckForm`].
#[derive(Debug)]
pub(super) struct WindowNeck {
    /// 1x1, of C5, C4 and C3; none without a pyramid.
    laterals: Vec<Convolution>,
    /// 3x3, of the levels.
    outputs: Vec<Convolution>,
}

impl WindowNeck {
    /// Below `scope`, with `width` channels: `lateral5` to `lateral3`, `output4` and `output3`.
    pub(super) fn new(scope: &Scope, architecture: Architecture, form: NeckForm, width: i64) -> Self {
        let [_, c3, c4, c5] = architecture.channels();
        let layer = |name: &str, channels: i64, kernel: i64| {
            let (weight, bias) = (Initial::XavierFanIn(channels * kernel * kernel), Initial::Constant(0.0));
            Convolution::of_kernel(&(scope / name), [channels, width], kernel, weight, Some(bias))
        };
        match form {
            NeckForm::Fpn => Self {
                laterals: vec![layer("lateral5", c5, 1), layer("lateral4", c4, 1), layer("lateral3", c3, 1)],
                outputs: vec![layer("output4", width, 3), layer("output3", width, 3)],
            },
            NeckForm::Conv => Self { laterals: vec![], outputs: vec![layer("output4", c4, 3)] },
        }
    }

    /// The map of each level, `[B, width, h, w]`.
    pub(super) fn forward(&self, features: &Features) -> Vec<Tensor> {
        let levels =
            self.outputs.iter().zip(&LEVELS).map(|(output, level)| (output, &features.maps[level.stage]));
        let [top, below @ ..] = &self.laterals[..] else {
            return levels.map(|(output, map)| output.forward(map)).collect();
        };
        let mut above = top.forward(&features.last());
        let top_down = levels.zip(below).map(|((output, map), lateral)| {
            above = lateral.forward(map) + above.upsample_nearest2d(&map.size()[2..], None, None);
            output.forward(&above)
        });
        top_down.collect()
    }
}
