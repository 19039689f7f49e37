//! Writes the few instructions of pickles that weights need.

use std::io::{self, Write};

/// A pickle that is being written. Each method writes one value, or one instruction about the last values.
pub(super) struct Pickle<W> {
    out: W,
}

impl<W: Write> Pickle<W> {
    /// Protocol 2 is what `torch.save` writes; bytes need 3.
    pub(super) fn new(mut out: W, protocol: u8) -> io::Result<Self> {
        out.write_all(&[0x80, protocol])?;
        Ok(Self { out })
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(b".")?;
        Ok(self.out)
    }

    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(b"X")?;
        self.out.write_all(&length(text.len())?)?;
        self.out.write_all(text.as_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(b"B")?;
        self.out.write_all(&length(bytes.len())?)?;
        self.out.write_all(bytes)
    }

    pub(super) fn int(&mut self, number: i64) -> io::Result<()> {
        if let Ok(number) = i32::try_from(number) {
            self.out.write_all(b"J")?;
            return self.out.write_all(&number.to_le_bytes());
        }
        self.out.write_all(&[0x8a, 8])?;
        self.out.write_all(&number.to_le_bytes())
    }

    pub(super) fn bool(&mut self, value: bool) -> io::Result<()> {
        self.out.write_all(&[if value { 0x88 } else { 0x89 }])
    }

    pub(super) fn none(&mut self) -> io::Result<()> {
        self.out.write_all(b"N")
    }

    /// A Python name.
    pub(super) fn global(&mut self, module: &str, name: &str) -> io::Result<()> {
        write!(self.out, "c{module}\n{name}\n")
    }

    /// A tuple of the values that `elements` writes.
    pub(super) fn tuple(&mut self, elements: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.out.write_all(b"(")?;
        elements(self)?;
        self.out.write_all(b"t")
    }

    pub(super) fn ints(&mut self, numbers: &[i64]) -> io::Result<()> {
        self.tuple(|tuple| numbers.iter().try_for_each(|&number| tuple.int(number)))
    }

    /// A dictionary of the keys and values that `items` writes in turn.
    pub(super) fn dict(&mut self, items: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.out.write_all(b"}(")?;
        items(self)?;
        self.out.write_all(b"u")
    }

    /// An `OrderedDict` of the keys and values that `items` writes in turn.
    pub(super) fn ordered_dict(&mut self, items: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.global("collections", "OrderedDict")?;
        self.tuple(|_| Ok(()))?;
        self.call()?;
        self.out.write_all(b"(")?;
        items(self)?;
        self.out.write_all(b"u")
    }

    /// The last two values, a name and a tuple, become the result of the call.
    pub(super) fn call(&mut self) -> io::Result<()> {
        self.out.write_all(b"R")
    }

    /// The last value becomes the state of the one before.
    pub(super) fn set_state(&mut self) -> io::Result<()> {
        self.out.write_all(b"b")
    }

    /// The last value, a tuple, becomes a reference to the value that the format keeps outside under it.
    pub(super) fn outside(&mut self) -> io::Result<()> {
        self.out.write_all(b"Q")
    }
}

fn length(length: usize) -> io::Result<[u8; 4]> {
    let fits = u32::try_from(length).map_err(|_| io::Error::other("a value of 4 GiB or more"))?;
    Ok(fits.to_le_bytes())
}
