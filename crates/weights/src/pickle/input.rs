//! The bytes of a pickle, from front to back.

use crate::WeightsError;

pub(crate) const FORMAT: &str = "pickle";

#[derive(Debug)]
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, place: 0 }
    }

    /// The number of bytes that were read.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], WeightsError> {
        let end = self.place.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(self.place..end));
        let taken = taken.ok_or(WeightsError::Truncated { format: FORMAT })?;
        self.place += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WeightsError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WeightsError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, WeightsError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WeightsError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WeightsError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes that are preceded by their length; the length itself takes `N` bytes.
    pub(super) fn counted<const N: usize>(&mut self) -> Result<&'a [u8], WeightsError> {
        let mut length = [0; 8];
        length[..N].copy_from_slice(self.take(N)?);
        let length = usize::try_from(u64::from_le_bytes(length));
        self.take(length.map_err(|_| WeightsError::Truncated { format: FORMAT })?)
    }

    /// The rest of the line, without its end.
    pub(super) fn line(&mut self) -> Result<&'a str, WeightsError> {
        let rest = &self.bytes[self.place..];
        let length = rest.iter().position(|&byte| byte == b'\n');
        let line = self.take(length.ok_or(WeightsError::Truncated { format: FORMAT })?)?;
        self.place += 1;
        std::str::from_utf8(line).map_err(|_| WeightsError::damaged(FORMAT, "a line is not UTF-8"))
    }
}
