//! What stands before the entropy-coded data: the size of the picture, its components, and the tables that they need.

use std::rc::Rc;

use super::entropy::HuffmanTable;
use super::pixels::Plane;
use super::transform::PAIRED_ORDER;

/// A picture as its headers describe it.
pub(super) struct Frame<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Luma, and after it blue and red difference unless the picture is grey.
    pub(super) components: Vec<Component>,
    /// How many coded units lie side by side. A unit has all components' blocks for one part of the picture.
    pub(super) unit_columns: usize,
    unit_rows: usize,
    /// After how many units the codes start anew: all of them where the file has no restarts.
    pub(super) restart_interval: usize,
    /// What follows the scan's header.
    pub(super) scan: &'a [u8],
}

/// One component, with the tables that its blocks are decoded with.
pub(super) struct Component {
    id: u8,
    /// How many blocks of a unit lie side by side.
    pub(super) horizontal: usize,
    /// How many blocks of a unit lie one above the other.
    pub(super) vertical: usize,
    steps_number: usize,
    /// What each coefficient is multiplied by, in [`PAIRED_ORDER`].
    pub(super) steps: [u16; 64],
    pub(super) dc: Rc<HuffmanTable>,
    pub(super) ac: Rc<HuffmanTable>,
}

impl<'a> Frame<'a> {
    /// Reads all segments up to the scan's; `None` where one is missing, malformed, or of another kind of JPEG.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut tables = Tables::default();
        let mut frame: Option<Frame> = None;
        let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
        loop {
            let (&[0xff, marker, high, low], _) = rest.split_first_chunk()? else { return None };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let segment = rest.get(4..2 + length)?;
            rest = &rest[2 + length..];
            match marker {
                0xc0 | 0xc1 if frame.is_none() => frame = Some(Frame::described_by(segment)?),
                0xc4 => tables.read_huffman(segment)?,
                0xdb => tables.read_steps(segment)?,
                0xdd => tables.restart_interval = u16::from_be_bytes(segment.try_into().ok()?).into(),
                0xda => {
                    let mut frame = frame?;
                    frame.begin_scan(segment, &tables)?;
                    return Some(Frame { scan: rest, ..frame });
                }
                // What applications add, and comments.
                0xe0..=0xef | 0xfe => {}
                _ => return None,
            }
        }
    }

    fn described_by(segment: &[u8]) -> Option<Self> {
        let (&[8, h1, h0, w1, w0, count], described) = segment.split_first_chunk()? else { return None };
        let (height, width): (usize, usize) =
            (u16::from_be_bytes([h1, h0]).into(), u16::from_be_bytes([w1, w0]).into());
        let (components, []) = described.as_chunks() else { return None };
        let components: Vec<_> = components.iter().copied().map(Component::new).collect();
        let sampling: Vec<_> = components.iter().map(|part| (part.horizontal, part.vertical)).collect();
        let ordinary = matches!(sampling[..], [(1, 1)] | [(1 | 2, 1 | 2), (1, 1), (1, 1)]);
        if !ordinary || components.len() != usize::from(count) || width == 0 || height == 0 {
            return None;
        }
        let (horizontal, vertical) = sampling[0];
        let (unit_columns, unit_rows) = (width.div_ceil(8 * horizontal), height.div_ceil(8 * vertical));
        Some(Self { width, height, components, unit_columns, unit_rows, restart_interval: 0, scan: &[] })
    }

    /// Gives each component its tables. The scan must have all components, in the frame's order, at full precision.
    fn begin_scan(&mut self, segment: &[u8], tables: &Tables) -> Option<()> {
        let (&count, described) = segment.split_first()?;
        let (described, [0, 63, 0]) = described.split_at_checked(2 * self.components.len())? else {
            return None;
        };
        if usize::from(count) != self.components.len() {
            return None;
        }
        for (component, &[id, numbers]) in self.components.iter_mut().zip(described.as_chunks().0) {
            if id != component.id {
                return None;
            }
            component.steps = *tables.steps.get(component.steps_number)?.as_ref()?;
            component.dc = tables.dc.get(usize::from(numbers >> 4))?.clone()?;
            component.ac = tables.ac.get(usize::from(numbers & 15))?.clone()?;
        }
        self.restart_interval =
            if tables.restart_interval == 0 { self.units() } else { tables.restart_interval };
        Some(())
    }

    /// How many coded units the picture has.
    pub(super) fn units(&self) -> usize {
        self.unit_columns * self.unit_rows
    }

    /// The least that the codes can take: two of one bit for each block.
    pub(super) fn fewest_bytes(&self) -> usize {
        let blocks: usize = self.components.iter().map(|part| part.horizontal * part.vertical).sum();
        self.units() * blocks * 2 / 8
    }
}

impl Component {
    fn new([id, sampling, steps_number]: [u8; 3]) -> Self {
        Self {
            id,
            horizontal: usize::from(sampling >> 4),
            vertical: usize::from(sampling & 15),
            steps_number: usize::from(steps_number),
            steps: [0; 64],
            dc: Rc::default(),
            ac: Rc::default(),
        }
    }

    /// Row and column of each block of a unit, in the order in which they are coded.
    #[inline(always)]
    pub(super) fn blocks(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.vertical).flat_map(|row| (0..self.horizontal).map(move |column| (row, column)))
    }

    /// Room for the component's samples, in whole units.
    pub(super) fn plane(&self, frame: &Frame) -> Plane {
        Plane::new(frame.unit_columns * self.horizontal * 8, frame.unit_rows * self.vertical * 8)
    }
}

/// The tables that have been defined so far, by number.
#[derive(Default)]
struct Tables {
    steps: [Option<[u16; 64]>; 4],
    dc: [Option<Rc<HuffmanTable>>; 4],
    ac: [Option<Rc<HuffmanTable>>; 4],
    restart_interval: usize,
}

impl Tables {
    fn read_steps(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&number, rest)) = segment.split_first() {
            let (steps, rest) = rest.split_first_chunk::<64>()?;
            // A number beyond 3 is a table of 16 bits, or none at all.
            let table = self.steps.get_mut(usize::from(number))?.insert([0; 64]);
            for (&step, place) in steps.iter().zip(PAIRED_ORDER) {
                table[usize::from(place)] = step.into();
            }
            segment = rest;
        }
        Some(())
    }

    fn read_huffman(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&number, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let (symbols, rest) = rest.split_at_checked(counts.iter().copied().map(usize::from).sum())?;
            let (tables, fitting) = match number >> 4 {
                // A difference of first coefficients has at most 11 bits, any other coefficient 10.
                0 => (&mut self.dc, symbols.iter().copied().max() <= Some(11)),
                1 => (&mut self.ac, symbols.iter().map(|symbol| symbol & 15).max() <= Some(10)),
                _ => return None,
            };
            if !fitting {
                return None;
            }
            *tables.get_mut(usize::from(number & 15))? = Some(Rc::new(HuffmanTable::new(counts, symbols)?));
            segment = rest;
        }
        Some(())
    }
}
