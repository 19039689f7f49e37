//! What a picture is made of.

use super::pixels::Plane;
use super::{damaged, unsupported};
use crate::decode::DecodeError;

/// A picture as its header describes it.
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Whether coefficients come bit by bit, in many scans.
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    /// How many units lie side by side. A unit has all components' blocks for one part of the picture.
    pub(super) unit_columns: usize,
    pub(super) unit_rows: usize,
}

/// One component, such as luma or red.
pub(super) struct Component {
    pub(super) id: u8,
    /// How many blocks of a unit lie side by side.
    pub(super) horizontal: usize,
    /// How many blocks of a unit lie one above the other.
    pub(super) vertical: usize,
    pub(super) steps_number: usize,
    /// How many columns of the picture one sample is for.
    pub(super) across: usize,
    /// How many rows of the picture one sample is for.
    pub(super) down: usize,
}

impl Frame {
    /// Reads the header of a frame.
    pub(super) fn read(content: &[u8], progressive: bool) -> Result<Self, DecodeError> {
        let (&[precision, h1, h0, w1, w0, count], described) =
            content.split_first_chunk().ok_or_else(|| damaged("the frame's header is cut"))?;
        let [height, width] = [[h1, h0], [w1, w0]].map(|side| usize::from(u16::from_be_bytes(side)));
        if precision != 8 {
            return Err(unsupported(format!("{precision} bits a sample")));
        }
        if height == 0 {
            return Err(unsupported("its height is not in the header, but in a DNL segment after a scan"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(unsupported(format!("{count} components")));
        }
        let components: Vec<_> = described.as_chunks().0.iter().map(Component::new).collect();
        if described.len() != 3 * usize::from(count) {
            return Err(damaged("the frame's header has another length than it says"));
        }
        let mut frame = Self { width, height, progressive, components, unit_columns: 0, unit_rows: 0 };
        frame.set_sizes()?;
        Ok(frame)
    }

    /// The component that is sampled most has a sample for each pixel.
    fn set_sizes(&mut self) -> Result<(), DecodeError> {
        let largest = |factor: fn(&Component) -> usize| self.components.iter().map(factor).max().unwrap_or(1);
        let most = (largest(|part| part.horizontal), largest(|part| part.vertical));
        for part in &mut self.components {
            (part.across, part.down) = (share(most.0, part.horizontal)?, share(most.1, part.vertical)?);
        }
        self.unit_columns = self.width.div_ceil(8 * most.0);
        self.unit_rows = self.height.div_ceil(8 * most.1);
        Ok(())
    }

    /// Columns and rows of a component's blocks in whole units, those beyond the picture's edge included.
    pub(super) fn blocks(&self, component: &Component) -> (usize, usize) {
        (self.unit_columns * component.horizontal, self.unit_rows * component.vertical)
    }

    /// Columns and rows of a component's blocks that the picture needs.
    pub(super) fn blocks_within(&self, component: &Component) -> (usize, usize) {
        (self.width.div_ceil(8 * component.across), self.height.div_ceil(8 * component.down))
    }

    /// Room for a component's samples, in whole units.
    pub(super) fn plane(&self, component: &Component) -> Plane {
        let &Component { across, down, .. } = component;
        let (width, height) = (self.width.div_ceil(across), self.height.div_ceil(down));
        let (columns, rows) = self.blocks(component);
        Plane { width, height, across, down, stride: 8 * columns, samples: vec![0; 64 * columns * rows] }
    }
}

/// How many times a sampling factor is in the largest of all components.
fn share(most: usize, factor: usize) -> Result<usize, DecodeError> {
    if factor == 0 || most > 4 {
        return Err(damaged("a sampling factor is not within 1 to 4"));
    }
    if !most.is_multiple_of(factor) {
        return Err(unsupported(format!(
            "sampling factors {most} and {factor}, of which none is a multiple"
        )));
    }
    Ok(most / factor)
}

impl Component {
    fn new(&[id, sampling, steps_number]: &[u8; 3]) -> Self {
        let (horizontal, vertical) = (usize::from(sampling >> 4), usize::from(sampling & 15));
        Self { id, horizontal, vertical, steps_number: usize::from(steps_number), across: 1, down: 1 }
    }
}
