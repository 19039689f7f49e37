//! The tables that segments define for the scans after them.

use std::rc::Rc;

use super::entropy::HuffmanTable;
use super::transform::PAIRED_ORDER;

/// The tables that hold now, by number.
#[derive(Default)]
pub(super) struct Tables {
    /// What coefficients are multiplied by, in [`PAIRED_ORDER`].
    pub(super) steps: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Rc<HuffmanTable>>; 4],
    pub(super) ac: [Option<Rc<HuffmanTable>>; 4],
    /// After how many units the codes start anew.
    pub(super) restart_interval: Option<usize>,
}

impl Tables {
    /// Reads tables of steps; `None` where they are malformed.
    pub(super) fn read_steps(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = segment.split_first() {
            let bytes_each = if kind >> 4 == 0 { 1 } else { 2 };
            let (steps, rest) = rest.split_at_checked(64 * bytes_each)?;
            let table = self.steps.get_mut(usize::from(kind & 15))?.insert([0; 64]);
            for (step, place) in steps.chunks_exact(bytes_each).zip(PAIRED_ORDER) {
                let step = step.iter().fold(0, |number, &byte| number << 8 | u16::from(byte));
                // With larger ones every coefficient is beyond what samples can show; the transform reads signs.
                table[usize::from(place)] = step.min(i16::MAX as u16);
            }
            segment = rest;
        }
        Some(())
    }

    /// Reads tables of codes; `None` where they are malformed.
    pub(super) fn read_codes(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let (symbols, rest) = rest.split_at_checked(counts.iter().copied().map(usize::from).sum())?;
            let tables = match kind >> 4 {
                // Here a symbol is but a number of bits.
                0 if symbols.iter().all(|&symbol| symbol < 16) => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *tables.get_mut(usize::from(kind & 15))? = Some(Rc::new(HuffmanTable::new(counts, symbols)?));
            segment = rest;
        }
        Some(())
    }

    /// Reads after how many units the codes start anew, where 0 says that they do not.
    pub(super) fn read_restart_interval(&mut self, segment: &[u8]) -> Option<()> {
        let interval = u16::from_be_bytes(segment.try_into().ok()?);
        self.restart_interval = (interval > 0).then_some(interval.into());
        Some(())
    }
}
