//! The first directory of a TIFF: what its fields say, and the file under a directory of our own.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes that are not there between a file and a directory of our own: whoever reads on beyond the end of a file that was
/// cut finds its end, and not the directory.
const GAP: usize = 1;

/// The first directory of a TIFF, of either format.
pub(super) struct Directory<'a> {
    file: Numbers<'a>,
    big: bool,
    fields: BTreeMap<u16, Field>,
}

/// Where the values of a field lie, and of what kind they are.
#[derive(Clone, Copy)]
struct Field {
    kind: usize,
    count: usize,
    place: usize,
}

/// Whether a file begins as TIFFs do, BigTIFFs among them.
pub(in super::super) fn is_tiff(file: &[u8]) -> bool {
    [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|mark| file.starts_with(*mark))
}

impl<'a> Directory<'a> {
    /// `None` where the directory, or the values of any of its fields, lie beyond the end of the file. Fields may claim
    /// any length, and whoever believed them would take as much memory.
    pub(super) fn first(tiff: &'a [u8]) -> Option<Self> {
        let file = Numbers { tiff, big_endian: tiff.starts_with(b"MM") };
        let big = file.at(2, 2)? == 43;
        // Bytes of a count of fields, of one field, and of a count or an offset in it.
        let (counted, length, word) = if big { (8, 20, 8) } else { (2, 12, 4) };
        let directory = file.at(if big { 8 } else { 4 }, word)?;
        let count = file.at(directory, counted)?;
        if count > tiff.len() / length {
            return None;
        }
        let mut fields = BTreeMap::new();
        for number in 0..count {
            let place = directory.checked_add(counted + number * length)?;
            let (tag, kind, count) = (file.at(place, 2)?, file.at(place + 2, 2)?, file.at(place + 4, word)?);
            let bytes = count.checked_mul(size_of_value(kind)).filter(|&bytes| bytes <= tiff.len())?;
            let value = place + 4 + word;
            let place = if bytes <= word { value } else { file.at(value, word)? };
            place.checked_add(bytes).filter(|&end| end <= tiff.len())?;
            fields.entry(tag as u16).or_insert(Field { kind, count, place });
        }
        Some(Self { file, big, fields })
    }

    /// The values of a field of whole numbers, none where it is not there or of another kind.
    pub(super) fn numbers(&self, tag: u16) -> Vec<usize> {
        let Some(&Field { kind, count, place }) = self.fields.get(&tag) else { return Vec::new() };
        if !matches!(kind, 1 | 3 | 4 | 13 | 16 | 18) {
            return Vec::new();
        }
        let size = size_of_value(kind);
        (0..count).filter_map(|number| self.file.at(place + number * size, size)).collect()
    }

    /// The first value of a field of whole numbers.
    pub(super) fn number(&self, tag: u16) -> Option<usize> {
        self.numbers(tag).first().copied()
    }

    /// The values of a field of fractions.
    pub(super) fn fractions(&self, tag: u16) -> Option<Vec<f32>> {
        let &Field { kind: 5, count, place } = self.fields.get(&tag)? else { return None };
        let fraction = |number: usize| {
            let [above, below] = [0, 4].map(|part| self.file.at(place + 8 * number + part, 4));
            Some(above? as f32 / below.filter(|&below| below > 0)? as f32)
        };
        (0..count).map(fraction).collect()
    }

    /// The bytes of a field of bytes.
    pub(super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        let &Field { kind: 1 | 7, count, place } = self.fields.get(&tag)? else { return None };
        self.file.tiff.get(place..place + count)
    }

    /// The bytes of the file from `place` on, `length` of them as far as there are so many.
    pub(super) fn span(&self, place: usize, length: usize) -> &'a [u8] {
        let rest = self.file.tiff.get(place..).unwrap_or_default();
        &rest[..length.min(rest.len())]
    }

    /// The file under a directory of these fields alone, each with its whole numbers.
    pub(super) fn under(&self, fields: &BTreeMap<u16, Vec<usize>>) -> Rewritten<'a> {
        let (counted, word, kind) = if self.big { (8, 8, 16) } else { (2, 4, 4) };
        let write = |bytes: &mut Vec<u8>, number: usize, size: usize| {
            let little = number.to_le_bytes();
            let wanted = little[..size].iter().copied();
            if self.file.big_endian { bytes.extend(wanted.rev()) } else { bytes.extend(wanted) }
        };
        let start = self.file.tiff.len() + GAP;
        let (mut directory, mut values) = (Vec::new(), Vec::new());
        let after = start + counted + fields.len() * (4 + 2 * word) + word;
        write(&mut directory, fields.len(), counted);
        for (&tag, numbers) in fields {
            write(&mut directory, tag.into(), 2);
            write(&mut directory, kind, 2);
            write(&mut directory, numbers.len(), word);
            match &**numbers {
                [only] => write(&mut directory, *only, word),
                several => {
                    write(&mut directory, after + values.len(), word);
                    several.iter().for_each(|&number| write(&mut values, number, word));
                }
            }
        }
        write(&mut directory, 0, word);
        directory.extend(values);
        let mut header = self.span(0, if self.big { 8 } else { 4 }).to_vec();
        write(&mut header, start, word);
        Rewritten { header, file: self.file.tiff, tail: directory, position: 0 }
    }
}

/// Bytes of one value by the number of its type; of a type that is not known it is one at least.
fn size_of_value(kind: usize) -> usize {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => 1,
    }
}

/// Numbers by their place in a file, in its own order of bytes; nothing where it has ended.
struct Numbers<'a> {
    tiff: &'a [u8],
    big_endian: bool,
}

impl Numbers<'_> {
    fn at(&self, place: usize, size: usize) -> Option<usize> {
        let bytes = self.tiff.get(place..place.checked_add(size)?)?;
        let joined = |number: usize, &byte: &u8| number << 8 | usize::from(byte);
        Some(if self.big_endian { bytes.iter().fold(0, joined) } else { bytes.iter().rev().fold(0, joined) })
    }
}

/// A file with another header and, behind a gap, a directory, without a copy of what lies between.
pub(super) struct Rewritten<'a> {
    header: Vec<u8>,
    file: &'a [u8],
    tail: Vec<u8>,
    position: usize,
}

impl Rewritten<'_> {
    /// What can be read at once from here on.
    fn rest(&self) -> &[u8] {
        let (position, end) = (self.position, self.file.len());
        if position < self.header.len() {
            &self.header[position..]
        } else if position < end + GAP {
            self.file.get(position..).unwrap_or_default()
        } else {
            self.tail.get(position - end - GAP..).unwrap_or_default()
        }
    }
}

impl Read for Rewritten<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.rest().read(bytes)?;
        self.position += read;
        Ok(read)
    }
}

impl Seek for Rewritten<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => (self.position as u64).checked_add_signed(by),
            SeekFrom::End(by) => ((self.file.len() + GAP + self.tail.len()) as u64).checked_add_signed(by),
        };
        let position = position.and_then(|position| usize::try_from(position).ok());
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position as u64)
    }
}
