//! A look at the directory of a TIFF before its decoder takes it at its word.

/// Whether a file is as long as each of the fields in its first directory says. The decoder makes room for the values
/// of a field, 32 bytes each and up to 256 MiB, before it looks for them; what else is wrong it notices by itself.
pub(super) fn holds_its_values(tiff: &[u8]) -> bool {
    let numbers = Numbers { tiff, big_endian: tiff.starts_with(b"MM") };
    let Some(directory) = numbers.u32(4) else { return true };
    let fields = numbers.u16(directory).unwrap_or(0);
    (0..fields).all(|field| {
        let place = directory + 2 + 12 * field;
        let values = numbers.u16(place + 2).zip(numbers.u32(place + 4));
        values.is_none_or(|(kind, count)| count.saturating_mul(size_of_value(kind)) <= tiff.len())
    })
}

/// Bytes of one value by the number of its type; of a type that is not known it is one at least.
fn size_of_value(kind: usize) -> usize {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 => 8,
        _ => 1,
    }
}

/// Numbers by their place in a file, in its own order of bytes; nothing where it has ended.
struct Numbers<'a> {
    tiff: &'a [u8],
    big_endian: bool,
}

impl Numbers<'_> {
    fn u16(&self, place: usize) -> Option<usize> {
        let &bytes = self.tiff.get(place..)?.first_chunk()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }.into())
    }

    fn u32(&self, place: usize) -> Option<usize> {
        let &bytes = self.tiff.get(place..)?.first_chunk()?;
        let number = if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        usize::try_from(number).ok()
    }
}
