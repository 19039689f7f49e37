//! What the codes of one scan hold, and in which order.

use std::ops::Range;
use std::rc::Rc;

use super::entropy::{Bits, EntropyCoded, HuffmanTable};
use super::frame::Frame;
use super::standard;
use super::tables::Tables;

/// Which components' coefficients, and which of their bits, one scan has.
pub(super) struct Scan {
    pub(super) parts: Vec<Part>,
    /// The first and the last of these coefficients, as they are coded.
    pub(super) first: usize,
    pub(super) last: usize,
    /// How many of their low bits earlier scans have left to come, 0 where there were none.
    pub(super) high: u8,
    /// How many low bits are left to later scans.
    pub(super) low: u8,
    /// How many units lie side by side. One component alone has units of one block, and none beyond the edge.
    pub(super) unit_columns: usize,
    unit_rows: usize,
    /// After how many units the codes start anew: all of them where the file has no restarts.
    restart_interval: usize,
}

/// A component's share in a scan.
pub(super) struct Part {
    /// Which of the frame's components it is.
    pub(super) component: usize,
    /// How many blocks of a unit lie side by side.
    pub(super) horizontal: usize,
    /// How many blocks of a unit lie one above the other.
    pub(super) vertical: usize,
    /// What each coefficient is multiplied by, in [`PAIRED_ORDER`](super::transform::PAIRED_ORDER).
    pub(super) steps: [u16; 64],
    /// The tables of codes; a progressive scan does not need both, and may name one that is not there.
    pub(super) dc: Option<Rc<HuffmanTable>>,
    pub(super) ac: Option<Rc<HuffmanTable>>,
}

impl Scan {
    /// Reads the header of a scan; `None` where it is malformed, or what it names is not there.
    pub(super) fn read(content: &[u8], frame: &Frame, tables: &Tables) -> Option<Self> {
        let (&count, described) = content.split_first()?;
        let (described, &[first, last, bits]) = described.split_at_checked(2 * usize::from(count))? else {
            return None;
        };
        let mut parts: Vec<Part> = Vec::new();
        for &[id, numbers] in described.as_chunks().0 {
            // Where several components have one name, each is meant in its turn.
            let meant = |&index: &usize| {
                frame.components[index].id == id && parts.iter().all(|part| part.component != index)
            };
            let index = (0..frame.components.len()).find(meant)?;
            parts.push(Part::new(index, frame, numbers, tables)?);
        }
        let (mut unit_columns, mut unit_rows) = (frame.unit_columns, frame.unit_rows);
        match &mut parts[..] {
            [] => return None,
            [part] => {
                (part.horizontal, part.vertical) = (1, 1);
                (unit_columns, unit_rows) = frame.blocks_within(&frame.components[part.component]);
            }
            _ => {}
        }
        let restart_interval = tables.restart_interval.unwrap_or(unit_columns * unit_rows);
        let (first, last, high, low) = match frame.progressive {
            true => (first, last, bits >> 4, bits & 15),
            // All coefficients in full: some programs say otherwise, as nothing else is possible.
            false => (0, 63, 0, 0),
        };
        let (first, last) = (first.into(), last.into());
        Some(Self { parts, first, last, high, low, unit_columns, unit_rows, restart_interval })
    }

    /// How many blocks have codes.
    pub(super) fn blocks(&self) -> usize {
        let of_unit: usize = self.parts.iter().map(|part| part.horizontal * part.vertical).sum();
        self.unit_columns * self.unit_rows * of_unit
    }

    /// Decodes all `coded` by a function that takes some of the units and the bits with which their codes begin, and
    /// says at which byte these end. `None` where it says so, and where codes are missing.
    pub(super) fn decode(
        &self,
        coded: &EntropyCoded,
        mut units: impl FnMut(Range<usize>, Bits) -> Option<usize>,
    ) -> Option<()> {
        let all = self.unit_columns * self.unit_rows;
        let intervals = coded.intervals.get(..all.div_ceil(self.restart_interval))?;
        for (index, interval) in intervals.iter().enumerate() {
            let first = index * self.restart_interval;
            let end = units(
                first..(first + self.restart_interval).min(all),
                Bits::new(&coded.bytes, interval.start),
            )?;
            // What is left of an interval has no pixel: some cameras fill it up.
            if end > interval.end {
                return None;
            }
        }
        Some(())
    }
}

impl Part {
    fn new(index: usize, frame: &Frame, numbers: u8, tables: &Tables) -> Option<Self> {
        let component = &frame.components[index];
        let (dc, ac) = (usize::from(numbers >> 4), usize::from(numbers & 15));
        let mut part = Self {
            component: index,
            horizontal: component.horizontal,
            vertical: component.vertical,
            steps: *tables.steps.get(component.steps_number)?.as_ref()?,
            dc: tables.dc.get(dc)?.clone(),
            ac: tables.ac.get(ac)?.clone(),
        };
        if !frame.progressive {
            part.dc = part.dc.or_else(|| standard::dc(dc).map(Rc::new));
            part.ac = part.ac.or_else(|| standard::ac(ac).map(Rc::new));
        }
        Some(part)
    }

    /// Row and column of each block of the unit in a row and column of units, in the order in which they are coded.
    #[inline(always)]
    pub(super) fn blocks(&self, row: usize, column: usize) -> impl Iterator<Item = (usize, usize)> {
        let (rows, columns) = (self.vertical, self.horizontal);
        (0..rows).flat_map(move |down| {
            (0..columns).map(move |across| (row * rows + down, column * columns + across))
        })
    }
}
