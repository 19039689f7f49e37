//! Pictures whose blocks are coded whole, one after the other: in one scan as nearly always, or some components apart.

use std::ops::Range;

use multiversion::multiversion;
use multiversion::target::match_target;

use super::entropy::{Bits, EntropyCoded, HuffmanTable, read_block};
use super::frame::Frame;
use super::pixels::Plane;
use super::scan::{Part, Scan};
use super::{damaged, transform};
use crate::decode::DecodeError;

/// The components that have been decoded so far.
pub(super) struct Sequential {
    planes: Vec<Option<Plane>>,
}

/// One component's share in a scan, with what its blocks are decoded with and to.
struct Work<'a> {
    part: &'a Part,
    dc: &'a HuffmanTable,
    ac: &'a HuffmanTable,
    prediction: i16,
    plane: Plane,
}

impl Sequential {
    pub(super) fn new(frame: &Frame) -> Self {
        Self { planes: frame.components.iter().map(|_| None).collect() }
    }

    /// Decodes one scan.
    pub(super) fn decode(
        &mut self,
        frame: &Frame,
        scan: &Scan,
        coded: &EntropyCoded,
    ) -> Result<(), DecodeError> {
        if scan.parts.iter().any(|part| self.planes[part.component].is_some()) {
            return Err(damaged("two scans have the same component"));
        }
        // Sizes are believed, and memory taken, only where there is data for them: two codes of one bit a block.
        if coded.bytes.len() < scan.blocks() / 4 {
            return Err(damaged("a scan has less data than blocks"));
        }
        let work = scan.parts.iter().map(|part| Work::new(part, frame)).collect::<Option<Vec<_>>>();
        let mut work = work.ok_or_else(|| damaged("a scan names a table of codes that is not there"))?;
        scan.decode(coded, |units, bits| decode_units(&mut work, scan.unit_columns, units, bits))
            .ok_or_else(|| damaged("the codes of a scan are wrong or too few"))?;
        for done in work {
            self.planes[done.part.component] = Some(done.plane);
        }
        Ok(())
    }

    /// The samples of all components.
    pub(super) fn into_planes(self) -> Result<Vec<Plane>, DecodeError> {
        self.planes.into_iter().collect::<Option<_>>().ok_or_else(|| damaged("a component is in no scan"))
    }
}

impl<'a> Work<'a> {
    fn new(part: &'a Part, frame: &Frame) -> Option<Self> {
        let plane = frame.plane(&frame.components[part.component]);
        Some(Self { part, dc: part.dc.as_deref()?, ac: part.ac.as_deref()?, prediction: 0, plane })
    }
}

/// Decodes some `units` of a scan into the planes of its components, and says at which byte their codes end.
#[multiversion(targets = "simd")]
fn decode_units(
    work: &mut [Work],
    unit_columns: usize,
    units: Range<usize>,
    mut bits: Bits,
) -> Option<usize> {
    for component in &mut *work {
        component.prediction = 0;
    }
    for unit in units {
        let (row, column) = (unit / unit_columns, unit % unit_columns);
        for Work { part, dc, ac, prediction, plane } in &mut *work {
            for (row, column) in part.blocks(row, column) {
                let stride = plane.stride;
                let samples = plane.samples.get_mut((row * stride + column) * 8..)?;

                let mut block = [0; 64];
                let last = read_block(&mut bits, dc, ac, prediction, &mut block)?;
                if last == 0 {
                    transform::to_flat_samples(block[0], part.steps[0], samples, stride);
                    continue;
                }
                match_target! {
                    "x86_64+avx2" => transform::to_samples_avx2(&block, last, &part.steps, samples, stride),
                    _ => transform::to_samples(&block, &part.steps, samples, stride),
                }
            }
        }
    }
    Some(bits.byte_after())
}
