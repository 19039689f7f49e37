//! Turns drawn parameters into pixels: crop, colours, blur and flip, in three passes over memory that is reused.
//!
//! 1. The crop is resampled from the picture to the output size (8 bits, interleaved).
//! 2. Strips of it become planar `f32`; the colour operations run on a strip while it is in cache. Contrast needs
//!    the mean grey of the whole view, so the operations from contrast on form a second sweep.
//! 3. Row by row: blur (of one plane if the view is grey), flip, back to interleaved 8 bits, solarisation.
//!
//! Crops of labelled pictures have passes of their own, row by row ([`ViewMaker::apply_in_window`]).

use densesiam_geometry::Region;

use super::blur::{blur_row, gaussian};
use super::colour::{self, Operation, STRIP, Strip};
use super::labelled::Distortion;
use super::{Jitter, JitterOperation, Photometric, ViewParameters};
use crate::image::RgbImage;
use crate::opencv::{Window, WindowResizer};
use crate::resize::{Interpolation, ResizeError, ResizeScratch, resize_region, resize_region_by};

/// The levels of a view beyond its picture: ImageNet's mean colour, rounded.
const PADDING: [u8; 3] = [124, 116, 104];

/// Why a view could not be made: a bug of the caller.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The crop does not lie in the picture.
    #[error(transparent)]
    Resize(#[from] ResizeError),
    /// The output has another length than `size * size * 3`.
    #[error("a view of {size} x {size} pixels needs {} bytes, not {found}", size * size * 3)]
    Output {
        /// Side of the view in pixels.
        size: usize,
        /// Length of the output that was given.
        found: usize,
    },
    /// What was drawn belongs to a picture of another size.
    #[error(
        "the picture has {} x {} pixels, and its annotation is of one of {} x {} (a picture that its EXIF data turn is turned \
         before this is checked); correct the annotation, or use the picture that it was made for",
        found[0], found[1], expected[0], expected[1]
    )]
    PictureSize {
        /// Width and height of the picture that the annotation is of.
        expected: [u32; 2],
        /// Width and height of the picture.
        found: [u32; 2],
    },
}

/// Makes views and keeps the memory for them; one for each worker.
#[derive(Debug)]
pub struct ViewMaker {
    size: usize,
    interpolation: Interpolation,
    resize: ResizeScratch,
    crop: Vec<u8>,
    planes: [Vec<f32>; 3],
    rows: [Vec<f32>; 3],
    padded: Vec<f32>,
    window: WindowResizer,
}

impl ViewMaker {
    /// For square views of `size` pixels a side.
    pub fn new(size: u32) -> Self {
        Self {
            size: size as usize,
            interpolation: Interpolation::default(),
            resize: ResizeScratch::default(),
            crop: Vec::new(),
            planes: Default::default(),
            rows: Default::default(),
            padded: Vec::new(),
            window: WindowResizer::default(),
        }
    }

    /// From now on, makes square views of `size` pixels a side, in the same memory.
    pub fn set_size(&mut self, size: u32) {
        self.size = size as usize;
    }

    /// From now on, resamples crops by this kernel; bilinear until then.
    pub fn set_interpolation(&mut self, interpolation: Interpolation) {
        self.interpolation = interpolation;
    }

    /// Writes the view that `parameters` describe into `out`: `size * size * 3` bytes, interleaved RGB.
    ///
    /// # Errors
    /// An [`ApplyError`] if the crop lies outside the picture or `out` has another length.
    pub fn apply(
        &mut self,
        image: &RgbImage,
        parameters: &ViewParameters,
        out: &mut [u8],
    ) -> Result<(), ApplyError> {
        self.apply_in_frame(image, &parameters.view.crop, parameters, out)
    }

    /// Resamples a whole picture to `width x height` pixels, mirrored left to right if `flip` is set, into `out`:
    /// `height * width * 3` bytes, interleaved RGB. The size of square views does not matter here.
    ///
    /// # Errors
    /// An [`ApplyError`] if `out` has another length.
    pub fn whole(
        &mut self,
        image: &RgbImage,
        [width, height]: [u32; 2],
        flip: bool,
        out: &mut [u8],
    ) -> Result<(), ApplyError> {
        let whole = Region { x0: 0.0, y0: 0.0, x1: image.width.into(), y1: image.height.into() };
        resize_region(image, &whole, (width, height), &mut self.resize, out)?;
        if flip {
            out.chunks_exact_mut(width as usize * 3).for_each(|row| row.as_chunks_mut::<3>().0.reverse());
        }
        Ok(())
    }

    /// As [`ViewMaker::apply`], with contrast blending against the mean grey of `frame` (image space) instead of the
    /// crop's, as in a recipe that changes the colours first and crops afterwards.
    ///
    /// # Errors
    /// An [`ApplyError`] if frame or crop lie outside the picture, or if `out` has another length.
    pub fn apply_in_frame(
        &mut self,
        image: &RgbImage,
        frame: &Region,
        parameters: &ViewParameters,
        out: &mut [u8],
    ) -> Result<(), ApplyError> {
        self.check(out)?;
        self.make_room();
        let ViewParameters { view, photometric } = parameters;
        let sweeps = Sweeps::of(photometric);
        let mut frame_mean = None;
        if sweeps.contrast && *frame != view.crop {
            self.resample(image, frame)?;
            frame_mean = Some(self.first_sweep(&sweeps));
        }
        self.resample(image, &view.crop)?;
        if *photometric == Photometric::IDENTITY && !view.flip {
            out.copy_from_slice(&self.crop);
            return Ok(());
        }
        let crop_mean = self.first_sweep(&sweeps);
        self.second_sweep(&sweeps, photometric, frame_mean.unwrap_or(crop_mean));
        self.finish(photometric, view.flip, out);
        Ok(())
    }

    /// Makes the view that shows `window` of a picture from its top left, with its colours changed; the rest of it is
    /// padding, the mean colour of pictures.
    ///
    /// # Errors
    /// An [`ApplyError`] if `out` has another length than `size * size * 3`.
    pub fn apply_in_window(
        &mut self,
        image: &RgbImage,
        window: &Window,
        distortion: &Distortion,
        out: &mut [u8],
    ) -> Result<(), ApplyError> {
        self.check(out)?;
        let [row, shown] = [self.size * 3, window.size[0].min(self.size as u32) as usize * 3];
        let rows = out.chunks_exact_mut(row.max(1)).map(|row| &mut row[..shown]);
        self.window.resize(image, window, rows);
        let height = window.size[1] as usize;
        for (number, row) in out.chunks_exact_mut(row.max(1)).enumerate() {
            let padding = if number < height { shown } else { 0 };
            distortion.apply(&mut row[..padding]);
            row[padding..].chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&PADDING));
        }
        Ok(())
    }

    fn check(&self, out: &[u8]) -> Result<(), ApplyError> {
        let (size, found) = (self.size, out.len());
        if found == size * size * 3 { Ok(()) } else { Err(ApplyError::Output { size, found }) }
    }

    /// Memory for views of the size.
    fn make_room(&mut self) {
        let size = self.size;
        self.crop.resize(size * size * 3, 0);
        self.planes.iter_mut().for_each(|plane| plane.resize(size * size, 0.0));
        self.rows.iter_mut().for_each(|row| row.resize(size, 0.0));
    }

    /// Pass 1: from the picture to the crop.
    fn resample(&mut self, image: &RgbImage, region: &Region) -> Result<(), ResizeError> {
        let size = self.size as u32;
        let target = (size, size);
        resize_region_by(self.interpolation, image, region, target, &mut self.resize, &mut self.crop)
    }

    /// Pass 2, up to contrast: from the crop to the planes. Returns their mean grey if contrast needs it.
    fn first_sweep(&mut self, sweeps: &Sweeps) -> f32 {
        let operations = sweeps.first();
        let mut grey_sum = 0;
        for (crop, mut strip) in self.crop.chunks(STRIP * 3).zip(strips(&mut self.planes)) {
            colour::split(crop, strip.red, strip.green, strip.blue);
            operations.iter().for_each(|operation| operation.apply(&mut strip));
            if sweeps.contrast {
                grey_sum += u64::from(colour::grey_sum(strip.red, strip.green, strip.blue));
            }
        }
        (grey_sum as f64 / (self.size * self.size) as f64).round() as f32
    }

    /// Pass 2, from contrast on; a grey view ends up in the first plane only.
    fn second_sweep(&mut self, sweeps: &Sweeps, photometric: &Photometric, mean_grey: f32) {
        let operations = sweeps.second(mean_grey);
        if operations.is_empty() && !photometric.grayscale {
            return;
        }
        for mut strip in strips(&mut self.planes) {
            operations.iter().for_each(|operation| operation.apply(&mut strip));
            if photometric.grayscale {
                colour::to_grey(strip.red, strip.green, strip.blue);
            }
        }
    }

    /// Pass 3: from the planes to the output.
    fn finish(&mut self, photometric: &Photometric, flip: bool, out: &mut [u8]) {
        let Self { size, planes, rows, padded, .. } = self;
        let used = if photometric.grayscale { 1 } else { 3 };
        let weights = photometric.blur_sigma.map(gaussian);
        for (row, out) in out.chunks_exact_mut(*size * 3).enumerate() {
            for (plane, target) in planes.iter().zip(rows.iter_mut()).take(used) {
                if let Some(weights) = &weights {
                    blur_row(plane, *size, row, weights, padded, target);
                }
                match (&weights, flip) {
                    (Some(_), true) => target.reverse(),
                    (None, true) => mirror(&plane[row * *size..][..*size], target),
                    (_, false) => {}
                }
            }
            let in_place = weights.is_none() && !flip;
            let [red, green, blue] = [0, 1, 2].map(|channel| {
                let channel = channel.min(used - 1);
                if in_place { &planes[channel][row * *size..][..*size] } else { &rows[channel][..] }
            });
            colour::join(red, green, blue, out);
            if photometric.solarize {
                out.iter_mut().for_each(|level| *level = if *level < 128 { *level } else { 255 - *level });
            }
        }
    }
}

/// The colour operations of a view that have an effect, split where the mean grey must be known.
struct Sweeps {
    jitter: Option<Jitter>,
    before: Vec<JitterOperation>,
    after: Vec<JitterOperation>,
    contrast: bool,
}

impl Sweeps {
    fn of(photometric: &Photometric) -> Self {
        let order = |jitter: Jitter| jitter.order.into_iter().filter(move |&name| jitter.changes(name));
        let mut before: Vec<_> = photometric.jitter.into_iter().flat_map(order).collect();
        let position = before.iter().position(|&name| name == JitterOperation::Contrast);
        let after = before.split_off(position.unwrap_or(before.len()));
        Self { jitter: photometric.jitter, before, after, contrast: position.is_some() }
    }

    fn first(&self) -> Vec<Operation> {
        self.resolve(&self.before, 0.0)
    }

    fn second(&self, mean_grey: f32) -> Vec<Operation> {
        self.resolve(&self.after, mean_grey)
    }

    fn resolve(&self, names: &[JitterOperation], mean_grey: f32) -> Vec<Operation> {
        let resolved = |jitter: Jitter| names.iter().map(move |&name| operation(name, &jitter, mean_grey));
        self.jitter.into_iter().flat_map(resolved).collect()
    }
}

fn mirror(source: &[f32], target: &mut [f32]) {
    for (target, source) in target.iter_mut().zip(source.iter().rev()) {
        *target = *source;
    }
}

fn strips([red, green, blue]: &mut [Vec<f32>; 3]) -> impl Iterator<Item = Strip<'_>> {
    let planes = red.chunks_mut(STRIP).zip(green.chunks_mut(STRIP)).zip(blue.chunks_mut(STRIP));
    planes.map(|((red, green), blue)| Strip { red, green, blue })
}

fn operation(name: JitterOperation, jitter: &Jitter, mean_grey: f32) -> Operation {
    match name {
        JitterOperation::Brightness => Operation::Blend { factor: jitter.brightness as f32, grey: 0.0 },
        JitterOperation::Contrast => Operation::Blend { factor: jitter.contrast as f32, grey: mean_grey },
        JitterOperation::Saturation => Operation::Saturation { factor: jitter.saturation as f32 },
        // torchvision adds the shift to Pillow's 8-bit hue: whole steps of 1/255, towards zero.
        JitterOperation::Hue => Operation::Hue { turns: ((jitter.hue * 255.0).trunc() / 255.0) as f32 },
    }
}
