//! Pictures whose coefficients come in many scans: the first ones before the others, and their high bits before the low.

use std::ops::Range;

use multiversion::multiversion;
use multiversion::target::match_target;

use super::entropy::{Bits, END_OF_BLOCK, EntropyCoded, Entry, HuffmanTable, read_first};
use super::frame::Frame;
use super::pixels::Plane;
use super::scan::Scan;
use super::transform::PAIRED_ORDER;
use super::{damaged, transform, unsupported};
use crate::decode::DecodeError;

/// More scans than any program writes. Each may go through a large picture with few bytes.
const MOST_SCANS: usize = 500;

/// More low bits than coefficients of 8-bit samples have.
const MOST_LOW_BITS: u8 = 11;

/// The coefficients that have been decoded so far: 2 bytes for each sample of the picture.
pub(super) struct Progressive {
    components: Vec<Coefficients>,
    scans: usize,
}

/// Those of one component.
struct Coefficients {
    /// In [`PAIRED_ORDER`], row by row in whole units; none before the first scan.
    blocks: Vec<[i16; 64]>,
    /// How many blocks lie side by side.
    columns: usize,
    steps: [u16; 64],
    /// How many low bits of each coefficient, as they are coded, are still to come; `None` for all.
    to_come: [Option<u8>; 64],
}

impl Progressive {
    pub(super) fn new(frame: &Frame) -> Self {
        let none = |component| Coefficients {
            blocks: Vec::new(),
            columns: frame.blocks(component).0,
            steps: [0; 64],
            to_come: [None; 64],
        };
        Self { components: frame.components.iter().map(none).collect(), scans: 0 }
    }

    /// Decodes one scan.
    pub(super) fn decode(
        &mut self,
        frame: &Frame,
        scan: &Scan,
        coded: &EntropyCoded,
    ) -> Result<(), DecodeError> {
        self.scans += 1;
        if self.scans > MOST_SCANS {
            return Err(unsupported(format!("more than {MOST_SCANS} scans")));
        }
        self.note(scan).ok_or_else(|| damaged("a progressive scan does not follow from those before it"))?;
        if (scan.first, scan.high) == (0, 0) {
            self.make_room(frame, scan, coded)?;
        }
        self.decode_codes(scan, coded).ok_or_else(|| damaged("the codes of a scan are wrong or too few"))
    }

    /// Notes what a scan brings; `None` where that is not what is still to come.
    fn note(&mut self, scan: &Scan) -> Option<()> {
        let possible = match scan.first {
            0 => scan.last == 0,
            first => scan.parts.len() == 1 && (first..64).contains(&scan.last),
        };
        if !possible || scan.low > MOST_LOW_BITS {
            return None;
        }
        for part in &scan.parts {
            let to_come = &mut self.components[part.component].to_come;
            let begun = scan.first == 0 || to_come[0].is_some();
            let before = (scan.high > 0).then_some(scan.high);
            let next = scan.high == 0 || scan.high == scan.low + 1;
            let bits = to_come.get_mut(scan.first..=scan.last)?;
            if !begun || !next || bits.iter().any(|&bits| bits != before) {
                return None;
            }
            bits.fill(Some(scan.low));
        }
        Some(())
    }

    /// Takes memory for the components of their first scan, but only where there is data for them: a bit a block.
    fn make_room(&mut self, frame: &Frame, scan: &Scan, coded: &EntropyCoded) -> Result<(), DecodeError> {
        if coded.bytes.len() < scan.blocks() / 8 {
            return Err(damaged("a scan has less data than blocks"));
        }
        for part in &scan.parts {
            let (columns, rows) = frame.blocks(&frame.components[part.component]);
            let component = &mut self.components[part.component];
            component.blocks = vec![[0; 64]; columns * rows];
            // Tables that come later are those of other components.
            component.steps = part.steps;
        }
        Ok(())
    }

    fn decode_codes(&mut self, scan: &Scan, coded: &EntropyCoded) -> Option<()> {
        scan.decode(coded, |units, mut bits| {
            match (scan.first, scan.high) {
                (0, 0) => self.begin_firsts(scan, units, &mut bits),
                (0, _) => self.each_block(scan, units, |_, block| {
                    bits.refill()?;
                    block[0] |= (bits.take(1) as i16) << scan.low;
                    Some(())
                }),
                (_, 0) => {
                    let mut band = Band::new(scan)?;
                    self.each_block(scan, units, |_, block| band.begin(block, &mut bits))
                }
                _ => {
                    let mut band = Band::new(scan)?;
                    self.each_block(scan, units, |_, block| band.refine(block, &mut bits))
                }
            }?;
            Some(bits.byte_after())
        })
    }

    fn begin_firsts(&mut self, scan: &Scan, units: Range<usize>, bits: &mut Bits) -> Option<()> {
        let mut predictions = [0; 4];
        self.each_block(scan, units, |part, block| {
            let dc = scan.parts[part].dc.as_deref()?;
            block[0] = shifted(read_first(bits, dc, &mut predictions[part])?, scan.low)?;
            Some(())
        })
    }

    /// Goes through the blocks of some units in the order in which they are coded, each with the number of its part.
    #[inline(always)]
    fn each_block(
        &mut self,
        scan: &Scan,
        units: Range<usize>,
        mut decode: impl FnMut(usize, &mut [i16; 64]) -> Option<()>,
    ) -> Option<()> {
        for unit in units {
            let (row, column) = (unit / scan.unit_columns, unit % scan.unit_columns);
            for (number, part) in scan.parts.iter().enumerate() {
                let component = &mut self.components[part.component];
                for (row, column) in part.blocks(row, column) {
                    decode(number, component.blocks.get_mut(row * component.columns + column)?)?;
                }
            }
        }
        Some(())
    }

    /// The samples of all components, each of which gives its memory back in turn.
    pub(super) fn into_planes(self, frame: &Frame) -> Result<Vec<Plane>, DecodeError> {
        if self.components.iter().any(|component| component.to_come[0].is_none()) {
            return Err(damaged("a component is in no scan"));
        }
        // Allowed, but no program means it: such a file is the coarse beginning of a picture.
        if self.components.iter().any(|component| component.to_come != [Some(0); 64]) {
            return Err(unsupported("progressive scans that leave out bits of some coefficients"));
        }
        let planes = self.components.into_iter().zip(&frame.components).map(|(coefficients, component)| {
            let mut plane = frame.plane(component);
            transform_blocks(&coefficients, &mut plane);
            plane
        });
        Ok(planes.collect())
    }
}

/// The coefficients of one scan, none of them the first, and what its codes so far have said.
struct Band<'a> {
    ac: &'a HuffmanTable,
    first: usize,
    last: usize,
    low: u8,
    /// How many blocks from this one on have no code.
    without: u32,
}

impl<'a> Band<'a> {
    fn new(scan: &'a Scan) -> Option<Self> {
        let ac = scan.parts.first()?.ac.as_deref()?;
        Some(Self { ac, first: scan.first, last: scan.last, low: scan.low, without: 0 })
    }

    /// Reads the high bits of a block's coefficients.
    fn begin(&mut self, block: &mut [i16; 64], bits: &mut Bits) -> Option<()> {
        let mut place = self.first - 1;
        while self.without == 0 && place < self.last {
            bits.refill()?;
            let entry = bits.next(self.ac)?;
            if entry.distance() == END_OF_BLOCK {
                self.end(entry, bits);
                break;
            }
            place += entry.distance();
            if place > self.last {
                return None;
            }
            block[usize::from(PAIRED_ORDER[place])] = shifted(entry.value(), self.low)?;
        }
        self.without = self.without.saturating_sub(1);
        Some(())
    }

    /// Reads one more bit of a block's coefficients: of those that are not 0 by itself, and of the others in codes.
    fn refine(&mut self, block: &mut [i16; 64], bits: &mut Bits) -> Option<()> {
        let mut place = self.first;
        while self.without == 0 && place <= self.last {
            bits.refill()?;
            let entry = bits.next(self.ac)?;
            if entry.distance() == END_OF_BLOCK {
                self.end(entry, bits);
                break;
            }
            place = self.refine_until(place, entry.distance(), block, bits)?;
            match entry.value() {
                0 => {}
                sign @ (-1 | 1) if place <= self.last => {
                    block[usize::from(PAIRED_ORDER[place])] = shifted(sign, self.low)?;
                }
                _ => return None,
            }
            place += 1;
        }
        if self.without > 0 {
            self.refine_until(place, usize::MAX, block, bits)?;
            self.without -= 1;
        }
        Some(())
    }

    /// Reads how many blocks from this one on have no more codes.
    fn end(&mut self, entry: Entry, bits: &mut Bits) {
        let exponent = entry.value() as u32;
        self.without = (1 << exponent) + bits.take(exponent);
    }

    /// Reads the bits of coefficients that are not 0, from a place on to one that is the so-many-th 0, which is given.
    fn refine_until(
        &self,
        from: usize,
        mut zeros: usize,
        block: &mut [i16; 64],
        bits: &mut Bits,
    ) -> Option<usize> {
        for place in from..=self.last {
            let coefficient = &mut block[usize::from(PAIRED_ORDER[place])];
            if *coefficient == 0 {
                zeros -= 1;
                if zeros == 0 {
                    return Some(place);
                }
                continue;
            }
            bits.refill()?;
            *coefficient += coefficient.signum() * ((bits.take(1) as i16) << self.low);
        }
        Some(self.last + 1)
    }
}

/// A value less its low bits, with them as 0; `None` where no picture's coefficient is so large.
fn shifted(value: i16, low: u8) -> Option<i16> {
    let value = i32::from(value) << low;
    (value.abs() < 1 << 12).then_some(value as i16)
}

/// Fills a plane from the blocks of one component.
#[multiversion(targets = "simd")]
fn transform_blocks(component: &Coefficients, plane: &mut Plane) {
    let (steps, stride) = (&component.steps, plane.stride);
    let rows = plane.samples.chunks_exact_mut(8 * stride);
    for (samples, blocks) in rows.zip(component.blocks.chunks_exact(component.columns)) {
        for (column, block) in blocks.iter().enumerate() {
            let samples = &mut samples[8 * column..];
            if block[1..].iter().all(|&coefficient| coefficient == 0) {
                transform::to_flat_samples(block[0], steps[0], samples, stride);
                continue;
            }
            match_target! {
                "x86_64+avx2" => transform::to_samples_avx2(block, 63, steps, samples, stride),
                _ => transform::to_samples(block, steps, samples, stride),
            }
        }
    }
}
