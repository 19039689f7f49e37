//! Huffman codes to coefficients: most of the time that a picture takes.
//!
//! One look at the next bits gives nearly every coefficient itself: how far it is from the one before, its value, and
//! how many bits both took. Stuffed zeros and restart markers are taken out first, so that 8 bytes can be loaded at
//! once.

use std::ops::Range;

use memchr::memchr;

use super::transform::PAIRED_ORDER;

/// How many of the next bits are looked at: 11 was the fastest of 9 to 13 (four tables then fit into the first cache).
const LOOKED_AT: u32 = 11;

/// A scan's codes without stuffed zeros and markers.
pub(super) struct EntropyCoded {
    /// The codes of all restart intervals, and after them zeros to load.
    pub(super) bytes: Vec<u8>,
    /// Which bytes belong to each interval.
    pub(super) intervals: Vec<Range<usize>>,
}

impl EntropyCoded {
    /// Reads codes up to the next marker, and says what is left from there on; `None` where there is no marker.
    pub(super) fn read(mut scan: &[u8]) -> Option<(Self, &[u8])> {
        let mut bytes = Vec::with_capacity(scan.len() + 2 * size_of::<u64>());
        let mut intervals = Vec::new();
        let mut start = 0;
        loop {
            let place = memchr(0xff, scan)?;
            bytes.extend_from_slice(&scan[..place]);
            scan = &scan[place..];
            let (&[_, marker], rest) = scan.split_first_chunk()?;
            match marker {
                0x00 => bytes.push(0xff),
                // Restarts are numbered, so that a lost one is noticed.
                0xd0..=0xd7 if marker & 7 == intervals.len() as u8 & 7 => {
                    intervals.push(start..bytes.len());
                    start = bytes.len();
                }
                // Markers may be filled up from the front.
                0xff => {
                    scan = &scan[1..];
                    continue;
                }
                _ => break,
            }
            scan = rest;
        }
        intervals.push(start..bytes.len());
        bytes.resize(bytes.len() + 2 * size_of::<u64>(), 0);
        Some((Self { bytes, intervals }, scan))
    }
}

/// Bits to come, the highest of each byte first.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte to load.
    next: usize,
    /// The bits to come, from the highest on.
    bits: u64,
    /// How many of them count. Those below are loaded again, with the same result.
    count: u32,
}

impl<'a> Bits<'a> {
    /// The bits from byte `start` on.
    pub(super) fn new(bytes: &'a [u8], start: usize) -> Self {
        Self { bytes, next: start, bits: 0, count: 0 }
    }

    /// Loads until at least 56 bits count.
    #[inline(always)]
    pub(super) fn refill(&mut self) -> Option<()> {
        let loaded = u64::from_be_bytes(*self.bytes.get(self.next..)?.first_chunk()?);
        self.bits |= loaded >> self.count;
        self.next += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
        Some(())
    }

    /// Goes past some bits.
    #[inline(always)]
    fn skip(&mut self, count: u32) {
        self.bits <<= count;
        self.count = self.count.wrapping_sub(count);
    }

    /// The next bits, 16 at most, as a number.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let number = (self.bits >> 48) as u32 >> (16 - count);
        self.skip(count);
        number
    }

    /// What the next bits stand for in a `table`; `None` if for nothing. Of 56 bits there are enough for two.
    #[inline(always)]
    pub(super) fn next(&mut self, table: &HuffmanTable) -> Option<Entry> {
        let entry = table.look_up(self.bits)?;
        self.skip(entry.length());
        Some(entry)
    }

    /// The first byte of which no bit has been gone past.
    pub(super) fn byte_after(&self) -> usize {
        (self.next * 8 - self.count as usize).div_ceil(8)
    }
}

/// What the next bits stand for, in 32 bits: in bits 0 to 5 how many of them are code and value, in bits 8 to 15 how
/// far the coefficient is from the one before, in bits 16 to 31 its value. If not all of the value was looked at, bit 7
/// is set, the length is that of the code, and bits 8 to 15 are its symbol. 0 if not even all of the code was.
#[derive(Clone, Copy, Default)]
pub(super) struct Entry(u32);

/// How far the end of a block is from any coefficient: farther than two coefficients can be apart.
pub(super) const END_OF_BLOCK: usize = 128;

/// The most bits that a value has: 11 for differences of first coefficients, 10 for the others.
const LARGEST_SIZE: u32 = 11;

impl Entry {
    /// For a `symbol` whose code has `length` bits; `following` bits come after it, of which `known` are known.
    fn new(symbol: u8, length: u32, following: u32, known: u32) -> Self {
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size > known {
            return Self(length | 1 << 7 | u32::from(symbol) << 8);
        }
        if size == 0 && zeros != 15 {
            return Self(length | (END_OF_BLOCK as u32) << 8 | zeros << 16);
        }
        // Values that begin with a zero bit are negative.
        let bits = ((following >> (known - size)) & ((1 << size) - 1)) as i32;
        let value = if 2 * bits < 1 << size { bits - (1 << size) + 1 } else { bits };
        Self((length + size) | (zeros + 1) << 8 | (value as u32) << 16)
    }

    #[inline(always)]
    fn is_whole(self) -> bool {
        self.0 as i8 > 0
    }

    #[inline(always)]
    fn length(self) -> u32 {
        self.0 & 63
    }

    /// How far the coefficient is from the one before.
    #[inline(always)]
    pub(super) fn distance(self) -> usize {
        ((self.0 >> 8) & 0xff) as usize
    }

    /// The coefficient. Of an end it is the exponent of a power of 2: of at least so many blocks.
    #[inline(always)]
    pub(super) fn value(self) -> i16 {
        (self.0 >> 16) as i16
    }
}

/// A table of codes.
pub(super) struct HuffmanTable {
    entries: Box<[Entry; 1 << LOOKED_AT]>,
    /// By length of code, less 1: the first 16 bits that do not begin with a code of this length or a shorter one.
    ends: [u32; 16],
    /// By length of code, less 1: what added to such a code gives the place of its symbol.
    offsets: [i32; 16],
    symbols: Vec<u8>,
}

impl Default for HuffmanTable {
    fn default() -> Self {
        let entries = Box::new([Entry::default(); 1 << LOOKED_AT]);
        Self { entries, ends: [0; 16], offsets: [0; 16], symbols: Vec::new() }
    }
}

impl HuffmanTable {
    /// The codes of `symbols`, of which `counts[i]` have `i + 1` bits. `None` where there are more than fit.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self { symbols: symbols.to_vec(), ..Self::default() };
        let (mut code, mut place) = (0, 0);
        for (length, &count) in (1..).zip(counts) {
            table.offsets[length - 1] = place as i32 - code as i32;
            for &symbol in symbols.get(place..place + usize::from(count))? {
                if code >> length != 0 {
                    return None;
                }
                table.enter(symbol, code, length as u32);
                code += 1;
            }
            place += usize::from(count);
            table.ends[length - 1] = (code << (16 - length)) as u32;
            code <<= 1;
        }
        Some(table)
    }

    /// Fills the entries of all bits that begin with a `code` of `length` bits.
    fn enter(&mut self, symbol: u8, code: usize, length: u32) {
        if let Some(known) = LOOKED_AT.checked_sub(length).filter(|_| is_possible(symbol)) {
            let entries = &mut self.entries[code << known..(code + 1) << known];
            for (following, entry) in (0..).zip(entries) {
                *entry = Entry::new(symbol, length, following, known);
            }
        }
    }

    /// What the next of `bits` stand for; `None` if for nothing.
    #[inline(always)]
    fn look_up(&self, bits: u64) -> Option<Entry> {
        let entry = self.entries[(bits >> (64 - LOOKED_AT)) as usize];
        if entry.is_whole() { Some(entry) } else { self.look_further(entry, bits) }
    }

    #[inline(never)]
    fn look_further(&self, entry: Entry, bits: u64) -> Option<Entry> {
        let (symbol, length) =
            if entry.0 == 0 { self.search(bits)? } else { (entry.distance() as u8, entry.length()) };
        is_possible(symbol).then(|| Entry::new(symbol, length, ((bits << length) >> 48) as u32, 16))
    }

    /// Symbol and length of the code that `bits` begin with.
    fn search(&self, bits: u64) -> Option<(u8, u32)> {
        let head = (bits >> 48) as u32;
        let index = self.ends.iter().position(|&end| head < end)?;
        let place = (head >> (15 - index)) as i32 + self.offsets[index];
        Some((*self.symbols.get(place as usize)?, index as u32 + 1))
    }
}

/// Whether a symbol can come up with samples of 8 bits. Tables for more bits may be used for 8.
fn is_possible(symbol: u8) -> bool {
    u32::from(symbol & 15) <= LARGEST_SIZE
}

/// Reads how far a first coefficient is from that of the component's block before, and gives it itself.
#[inline(always)]
pub(super) fn read_first(bits: &mut Bits, dc: &HuffmanTable, prediction: &mut i16) -> Option<i16> {
    bits.refill()?;
    let difference = bits.next(dc)?.value();
    // Four times what a picture of 8 bits can have.
    *prediction = prediction.checked_add(difference).filter(|value| value.unsigned_abs() < 1 << 12)?;
    Some(*prediction)
}

/// Reads the coefficients of one block, in [`PAIRED_ORDER`], into a `block` of zeros, and says which was the last as
/// they are coded. `prediction` is the first coefficient of the component's block before.
#[inline(always)]
pub(super) fn read_block(
    bits: &mut Bits,
    dc: &HuffmanTable,
    ac: &HuffmanTable,
    prediction: &mut i16,
    block: &mut [i16; 64],
) -> Option<usize> {
    // A copy stays in registers.
    let mut reader = *bits;
    block[0] = read_first(&mut reader, dc, prediction)?;
    let mut place = 0;
    loop {
        reader.refill()?;
        for _ in 0..2 {
            let coefficient = reader.next(ac)?;
            let before = place;
            place += coefficient.distance();
            if place < 63 {
                block[usize::from(PAIRED_ORDER[place])] = coefficient.value();
                continue;
            }
            *bits = reader;
            if place == 63 {
                block[63] = coefficient.value();
                return Some(63);
            }
            return (coefficient.distance() == END_OF_BLOCK).then_some(before);
        }
    }
}
