//! How the samples of a TIFF lie in it.

use std::collections::BTreeMap;

use super::directory::Directory;
use super::{damaged, tag, unsupported};
use crate::decode::DecodeError;

/// What the samples of a pixel mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
}

/// The compression of JPEGs in a TIFF.
const JPEG: usize = 7;

/// Everything but the samples themselves.
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) colours: Colours,
    /// Samples of a pixel, alpha and the like included.
    pub(super) samples: usize,
    /// Bits of a sample.
    pub(super) bits: usize,
    /// The number of their format: whole numbers 1, with signs 2, fractions 3.
    format: usize,
    compression: usize,
    predictor: usize,
    /// Whether each sample of a pixel lies in a picture of its own.
    planes: bool,
    /// Columns and rows that share a chroma sample.
    pub(super) subsampling: [usize; 2],
    chunks: Chunks,
}

/// The rectangles that the picture is stored in.
struct Chunks {
    /// Whether they are tiles, which are filled up at the right and below, rather than strips.
    tiles: bool,
    width: usize,
    height: usize,
    offsets: Vec<usize>,
    lengths: Vec<usize>,
}

/// A chunk of a picture: where it lies in it, and its bytes in the file.
pub(super) struct Chunk {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) offset: usize,
    pub(super) length: usize,
}

impl Layout {
    pub(super) fn of(directory: &Directory<'_>) -> Result<Self, DecodeError> {
        let number = |tag, default| directory.number(tag).unwrap_or(default);
        let (width, height) = (number(tag::WIDTH, 0), number(tag::HEIGHT, 0));
        let samples = number(tag::SAMPLES, 1);
        let bits = directory.numbers(tag::BITS);
        let (bits, alike) =
            (bits.first().copied().unwrap_or(1), bits.windows(2).all(|pair| pair[0] == pair[1]));
        if !alike {
            return Err(unsupported("samples of different depths"));
        }
        let colours = match directory.number(tag::COLOURS) {
            None if samples < 3 => Colours::BlackIsZero,
            None => Colours::Rgb,
            Some(0) => Colours::WhiteIsZero,
            Some(1) => Colours::BlackIsZero,
            Some(2) => Colours::Rgb,
            Some(3) => Colours::Palette,
            Some(5) => Colours::Cmyk,
            Some(6) => Colours::YCbCr,
            Some(8..=10) => return Err(unsupported("colours as CIE L*a*b*")),
            Some(32803) => return Err(unsupported("a camera's raw samples")),
            Some(other) => return Err(unsupported(&format!("colours of kind {other}"))),
        };
        let subsampling = match (colours, &*directory.numbers(tag::SUBSAMPLING)) {
            (Colours::YCbCr, [x, y, ..]) => [*x, *y],
            (Colours::YCbCr, _) => [2, 2],
            _ => [1, 1],
        };
        let layout = Self {
            width,
            height,
            colours,
            samples,
            bits,
            format: number(tag::FORMAT, 1),
            compression: number(tag::COMPRESSION, 1),
            predictor: number(tag::PREDICTOR, 1),
            planes: number(tag::PLANES, 1) == 2 && samples > 1,
            subsampling,
            chunks: Chunks::of(directory, [width, height])?,
        };
        layout.check(number(tag::FILL_ORDER, 1))
    }

    fn check(self, fill_order: usize) -> Result<Self, DecodeError> {
        if self.samples < self.kept() {
            let reason = format!("{} samples a pixel are too few for its kind of colours", self.samples);
            return Err(damaged(&reason));
        }
        if fill_order == 2 {
            return Err(unsupported("bits in reverse order"));
        }
        if !self.subsampling.iter().all(|by| [1, 2, 4].contains(by)) {
            return Err(damaged("chroma samples for a number of pixels that cannot be"));
        }
        if self.is_jpeg() && (self.bits, self.format) != (8, 1) {
            return Err(unsupported("JPEG-compressed, of samples that are not 8 bits wide"));
        }
        if self.is_subsampled() && (self.planes || self.predictor != 1 || self.bits != 8) {
            return Err(unsupported("subsampled YCbCr in planes, with a predictor or of more than 8 bits"));
        }
        if self.colours == Colours::Palette && self.bits > 8 {
            return Err(unsupported("a palette of more than 256 colours"));
        }
        if self.format == 2 {
            return Err(unsupported("samples with a sign"));
        }
        Ok(self)
    }

    /// The samples of a pixel that make its colour; they come first.
    pub(super) fn kept(&self) -> usize {
        match self.colours {
            Colours::WhiteIsZero | Colours::BlackIsZero | Colours::Palette => 1,
            Colours::Rgb | Colours::YCbCr => 3,
            Colours::Cmyk => 4,
        }
    }

    pub(super) fn is_jpeg(&self) -> bool {
        self.compression == JPEG
    }

    /// Whether chroma samples lie in units with the luma samples that share them. JPEGs do so within themselves.
    pub(super) fn is_subsampled(&self) -> bool {
        self.subsampling != [1, 1] && !self.is_jpeg()
    }

    /// How many pictures its samples lie in.
    pub(super) fn pictures(&self) -> usize {
        if self.planes { self.kept() } else { 1 }
    }

    /// Samples of a pixel in each of these.
    pub(super) fn samples_each(&self) -> usize {
        if self.planes { 1 } else { self.samples }
    }

    /// Width and height of a picture in units of subsampled pixels.
    pub(super) fn units(&self) -> [usize; 2] {
        let [x, y] = self.subsampling;
        if self.chunks.tiles {
            let [across, down] = self.chunks.count([self.width, self.height]);
            [across * self.chunks.width / x, down * self.chunks.height / y]
        } else {
            [self.width.div_ceil(x), self.height.div_ceil(y)]
        }
    }

    /// The chunks of picture `number`, row by row.
    pub(super) fn chunks(&self, number: usize) -> Result<Vec<Chunk>, DecodeError> {
        let Chunks { width, height, ref offsets, ref lengths, .. } = self.chunks;
        let [across, down] = self.chunks.count([self.width, self.height]);
        let first = number * across * down;
        let chunk = |place: usize| {
            let (x, y) = (place % across * width, place / across * height);
            let (offset, length) = (*offsets.get(first + place)?, *lengths.get(first + place)?);
            Some(Chunk { x, y, width, height, offset, length })
        };
        let missing = || damaged("its table of parts is shorter than the picture");
        (0..across * down).map(|place| chunk(place).ok_or_else(missing)).collect()
    }

    /// The fields of a grey picture of one or more samples a pixel, which holds picture `number` as it is stored.
    pub(super) fn fields(&self, number: usize) -> Result<BTreeMap<u16, Vec<usize>>, DecodeError> {
        let chunks = self.chunks(number)?;
        let [mut width, mut height] = [self.width, self.height];
        let [mut chunk_width, mut chunk_height] = [self.chunks.width, self.chunks.height];
        let mut samples = self.samples_each();
        if self.is_subsampled() {
            let [x, y] = self.subsampling;
            if self.chunks.tiles && chunk_width % x + chunk_height % y > 0
                || chunks.len() > 1 && chunk_height % y > 0
            {
                return Err(damaged("chroma samples that belong to two parts"));
            }
            [width, height] = self.units();
            [chunk_width, chunk_height] = [chunk_width.div_ceil(x), chunk_height.div_ceil(y)];
            samples = x * y + 2;
        }
        let parts = |part: fn(&Chunk) -> usize| chunks.iter().map(part).collect();
        let (offsets, lengths) = (parts(|chunk| chunk.offset), parts(|chunk| chunk.length));
        let mut fields = BTreeMap::from([
            (tag::WIDTH, vec![width]),
            (tag::HEIGHT, vec![height]),
            (tag::BITS, vec![self.bits]),
            (tag::COMPRESSION, vec![self.compression]),
            (tag::COLOURS, vec![1]),
            (tag::SAMPLES, vec![samples]),
            (tag::PREDICTOR, vec![self.predictor]),
            (tag::FORMAT, vec![self.format]),
        ]);
        if self.chunks.tiles {
            fields.extend([(tag::TILE_WIDTH, vec![chunk_width]), (tag::TILE_HEIGHT, vec![chunk_height])]);
            fields.extend([(tag::TILE_OFFSETS, offsets), (tag::TILE_LENGTHS, lengths)]);
        } else {
            fields.insert(tag::STRIP_HEIGHT, vec![chunk_height]);
            fields.extend([(tag::STRIP_OFFSETS, offsets), (tag::STRIP_LENGTHS, lengths)]);
        }
        Ok(fields)
    }

    /// Bytes of memory for the widest row of a chunk.
    pub(super) fn row_bytes(&self) -> Option<u64> {
        let row = (self.chunks.width as u64).checked_mul(self.samples as u64)?;
        row.checked_mul(self.bits as u64).map(|bits| bits.div_ceil(8))
    }
}

impl Chunks {
    fn of(directory: &Directory<'_>, [width, height]: [usize; 2]) -> Result<Self, DecodeError> {
        let offsets = directory.numbers(tag::TILE_OFFSETS);
        if !offsets.is_empty() {
            let [width, height] =
                [tag::TILE_WIDTH, tag::TILE_HEIGHT].map(|side| directory.number(side).unwrap_or_default());
            if width == 0 || height == 0 {
                return Err(damaged("tiles without a size"));
            }
            let lengths = directory.numbers(tag::TILE_LENGTHS);
            return Ok(Self { tiles: true, width, height, offsets, lengths });
        }
        let rows = directory.number(tag::STRIP_HEIGHT).unwrap_or(height).min(height).max(1);
        let offsets = directory.numbers(tag::STRIP_OFFSETS);
        let mut lengths = directory.numbers(tag::STRIP_LENGTHS);
        if lengths.is_empty() && offsets.len() == 1 {
            lengths = vec![directory.span(offsets[0], usize::MAX).len()];
        }
        Ok(Self { tiles: false, width, height: rows, offsets, lengths })
    }

    /// Chunks across and down a picture.
    fn count(&self, [width, height]: [usize; 2]) -> [usize; 2] {
        [width.div_ceil(self.width.max(1)), height.div_ceil(self.height)]
    }
}
