//! The one picture type of the crate: decoded 8-bit RGB, whatever the file held.

/// A decoded picture: interleaved red, green, blue, row by row from the top left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RgbImage {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `height * width * 3` bytes.
    pub pixels: Vec<u8>,
}

impl RgbImage {
    /// A black picture of `width x height` pixels.
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, pixels: vec![0; width as usize * height as usize * 3] }
    }

    /// The shorter side in pixels.
    pub fn shorter_side(&self) -> u32 {
        self.width.min(self.height)
    }

    /// The colour of the pixel in column `x` and row `y`, both from 0.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let start = (y as usize * self.width as usize + x as usize) * 3;
        [self.pixels[start], self.pixels[start + 1], self.pixels[start + 2]]
    }
}
