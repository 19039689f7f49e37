//! JPEG with samples of 8 bits and Huffman codes: grey, YCbCr, RGB, CMYK and YCCK, in one scan or many, sequential or
//! progressive. Any other is refused by the name of its coding.
//!
//! Every block must be coded, and every bit of its coefficients: what is missing is an error, never grey. Pixels of the
//! ordinary kinds are zune-jpeg's, bit for bit, and all are the Independent JPEG Group's within a few levels.

mod colour;
mod enlarge;
mod entropy;
mod frame;
mod pixels;
mod progressive;
mod scan;
mod segments;
mod sequential;
mod standard;
mod tables;
mod transform;

use image::metadata::Orientation;

use self::colour::Marks;
use self::entropy::EntropyCoded;
use self::frame::Frame;
use self::pixels::to_rgb;
use self::progressive::Progressive;
use self::scan::Scan;
use self::segments::{Segment, Segments, ends_with_its_picture};
use self::sequential::Sequential;
use self::tables::Tables;
use super::{DecodeError, DecodeLimits, check_size, exif};
use crate::image::RgbImage;

/// The format's name in messages.
const FORMAT: &str = "JPEG";

/// Whether `bytes` are a JPEG's.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, segments::START_OF_IMAGE])
}

/// The name of a format that is not JPEG, but called after it, and may be found under its extension.
pub(super) fn namesake(bytes: &[u8]) -> Option<&'static str> {
    const BEGINNINGS: [(&str, &[u8]); 5] = [
        ("JPEG XL", b"\xff\x0a"),
        ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n"),
        ("JPEG 2000", b"\xff\x4f\xff\x51"),
        ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n"),
        ("JPEG XR", b"II\xbc"),
    ];
    BEGINNINGS.iter().find(|(_, beginning)| bytes.starts_with(beginning)).map(|&(name, _)| name)
}

/// Decodes the JPEG `bytes` into an `image` that is not yet turned, and says how it is to be turned.
pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    image: &mut RgbImage,
) -> Result<Option<Orientation>, DecodeError> {
    let mut reader = Reader::default();
    reader.read(bytes, limits, image).map_err(|error| match error {
        DecodeError::Damaged { .. } if !ends_with_its_picture(bytes) => truncated(),
        error => error,
    })?;
    Ok(reader.orientation)
}

/// Width and height of the JPEG `bytes` before it is turned, and how it is to be turned, from its header.
pub(super) fn header_size(bytes: &[u8]) -> Result<([u32; 2], Option<Orientation>), DecodeError> {
    let mut reader = Reader::default();
    for Segment { marker, content } in Segments::of(bytes) {
        match marker {
            0xe0..=0xef => reader.read_application(marker, content),
            0xc0..=0xc2 => {
                let frame = Frame::read(content, marker == 0xc2)?;
                return Ok(([frame.width as u32, frame.height as u32], reader.orientation));
            }
            _ => {
                if let Some(coding) = segments::unsupported_coding(marker) {
                    return Err(unsupported(coding));
                }
            }
        }
    }
    Err(truncated())
}

/// What the segments so far have said.
#[derive(Default)]
struct Reader {
    tables: Tables,
    marks: Marks,
    orientation: Option<Orientation>,
    picture: Option<Picture>,
}

/// A picture of which some scans may have been decoded.
struct Picture {
    frame: Frame,
    scans: Scans,
}

enum Scans {
    Sequential(Sequential),
    Progressive(Progressive),
}

impl Reader {
    fn read(&mut self, bytes: &[u8], limits: &DecodeLimits, image: &mut RgbImage) -> Result<(), DecodeError> {
        let mut segments = Segments::of(bytes);
        while let Some(Segment { marker, content }) = segments.next() {
            match marker {
                0xc0..=0xc2 => self.begin_picture(content, marker == 0xc2, limits)?,
                0xc4 | 0xdb | 0xdd => self.read_tables(marker, content)?,
                0xda => self.read_scan(content, &mut segments)?,
                0xdc => self.check_height(content)?,
                0xe0..=0xef => self.read_application(marker, content),
                // A comment.
                0xfe => {}
                segments::END_OF_IMAGE => return self.finish(image),
                segments::START_OF_IMAGE => return Err(truncated()),
                _ => {
                    return Err(match segments::unsupported_coding(marker) {
                        Some(coding) => unsupported(coding),
                        None => damaged(format!("unknown marker ff{marker:02x}")),
                    });
                }
            }
        }
        Err(truncated())
    }

    fn begin_picture(
        &mut self,
        content: &[u8],
        progressive: bool,
        limits: &DecodeLimits,
    ) -> Result<(), DecodeError> {
        if self.picture.is_some() {
            return Err(damaged("it has two frames"));
        }
        let frame = Frame::read(content, progressive)?;
        check_size(FORMAT, frame.width as u64, frame.height as u64, limits)?;
        let scans = match progressive {
            true => Scans::Progressive(Progressive::new(&frame)),
            false => Scans::Sequential(Sequential::new(&frame)),
        };
        self.picture = Some(Picture { frame, scans });
        Ok(())
    }

    fn read_tables(&mut self, marker: u8, content: &[u8]) -> Result<(), DecodeError> {
        let read = match marker {
            0xc4 => self.tables.read_codes(content),
            0xdb => self.tables.read_steps(content),
            _ => self.tables.read_restart_interval(content),
        };
        read.ok_or_else(|| damaged("a table is malformed"))
    }

    fn read_scan(&mut self, header: &[u8], segments: &mut Segments) -> Result<(), DecodeError> {
        let Picture { frame, scans } =
            self.picture.as_mut().ok_or_else(|| damaged("a scan comes before the frame"))?;
        let scan = Scan::read(header, frame, &self.tables)
            .ok_or_else(|| damaged("the header of a scan is malformed, or names what is not there"))?;
        let coded;
        (coded, segments.rest) = EntropyCoded::read(segments.rest).ok_or_else(truncated)?;
        match scans {
            Scans::Sequential(scans) => scans.decode(frame, &scan, &coded),
            Scans::Progressive(scans) => scans.decode(frame, &scan, &coded),
        }
    }

    /// A segment after the first scan may say how high the picture is, once more or in the first place.
    fn check_height(&self, content: &[u8]) -> Result<(), DecodeError> {
        let height = content.try_into().ok().map(|height| usize::from(u16::from_be_bytes(height)));
        if height != self.picture.as_ref().map(|picture| picture.frame.height) {
            return Err(unsupported("a DNL segment that changes its height"));
        }
        Ok(())
    }

    fn read_application(&mut self, marker: u8, content: &[u8]) {
        self.marks.read(marker, content);
        if marker == 0xe1 && content.starts_with(b"Exif\0\0") {
            self.orientation = self.orientation.or_else(|| exif::orientation(content));
        }
    }

    fn finish(&mut self, image: &mut RgbImage) -> Result<(), DecodeError> {
        let Picture { frame, scans } = self.picture.take().ok_or_else(|| damaged("it has no frame"))?;
        let planes = match scans {
            Scans::Sequential(scans) => scans.into_planes()?,
            Scans::Progressive(scans) => scans.into_planes(&frame)?,
        };
        let differences = self.marks.say_differences(&frame);
        (image.width, image.height) = (frame.width as u32, frame.height as u32);
        image.pixels.resize(frame.width * frame.height * 3, 0);
        to_rgb(&planes, differences, frame.width, &mut image.pixels);
        Ok(())
    }
}

fn truncated() -> DecodeError {
    DecodeError::Truncated { format: FORMAT.into() }
}

fn damaged(reason: impl Into<String>) -> DecodeError {
    DecodeError::Damaged { format: FORMAT.into(), reason: reason.into() }
}

fn unsupported(reason: impl Into<String>) -> DecodeError {
    DecodeError::Unsupported { format: FORMAT.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use zune_core::bytestream::ZCursor;
    use zune_core::options::DecoderOptions;
    use zune_jpeg::JpegDecoder;

    use super::*;

    /// Pictures of 45 x 39 pixels, made up of waves, edges and noise, in all ordinary samplings and some qualities.
    const PICTURES: [(&str, &[u8]); 10] = [
        ("whole chroma", include_bytes!("../../../tests/assets/jpeg/444.jpg")),
        ("chroma halved across", include_bytes!("../../../tests/assets/jpeg/422.jpg")),
        ("chroma halved down", include_bytes!("../../../tests/assets/jpeg/440.jpg")),
        ("chroma halved both ways", include_bytes!("../../../tests/assets/jpeg/420.jpg")),
        ("grey", include_bytes!("../../../tests/assets/jpeg/grey.jpg")),
        ("few coefficients", include_bytes!("../../../tests/assets/jpeg/coarse.jpg")),
        ("all coefficients", include_bytes!("../../../tests/assets/jpeg/fine.jpg")),
        ("restarts", include_bytes!("../../../tests/assets/jpeg/restarts.jpg")),
        ("codes of its own", include_bytes!("../../../tests/assets/jpeg/optimized.jpg")),
        ("progressive", include_bytes!("../../../tests/assets/progressive.jpg")),
    ];

    /// So pictures of these kinds have the pixels that runs from before this decoder have seen.
    #[test]
    fn pixels_of_the_ordinary_kinds_are_those_of_zune_jpeg() {
        for (name, bytes) in PICTURES {
            let mut image = RgbImage::default();
            decode(bytes, &DecodeLimits::default(), &mut image).unwrap();
            let options = DecoderOptions::default().set_strict_mode(true);
            let theirs = JpegDecoder::new_with_options(ZCursor::new(bytes), options).decode().unwrap();
            assert!(image.pixels == theirs, "{name}: other pixels");
        }
    }
}
