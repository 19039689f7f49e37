//! Pictures for checking by eye that the views, their corresponding points and the pseudo-categories are right.
//!
//! Pure functions from pictures to pictures; their caller decides where the files go. A colour is a function of the
//! number that it stands for, so that category 17 has one colour on every sheet of every run.

mod boxes;
mod correspondence;
mod drawing;
mod overlay;
mod palette;
mod sheet;

use image::{ImageFormat, ImageResult, RgbImage};

pub use boxes::{NamedBox, draw_boxes};
pub use correspondence::{Source, correspondence, frame_views};
pub use overlay::{VOID, lay_mask_over, mask, mask_overlay};
pub use palette::{INK, Palette, VIEW_COLOURS, colour_of};
pub use sheet::{contact_sheet, fitted, fitted_size, titled_sheet};

/// The bytes of a PNG file.
pub fn png(picture: &RgbImage) -> ImageResult<Vec<u8>> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn a_png_reads_back() {
        let picture = RgbImage::from_fn(5, 4, |x, y| Rgb([x as u8, y as u8, 200]));
        assert_eq!(image::load_from_memory(&png(&picture).unwrap()).unwrap().to_rgb8(), picture);
    }
}
