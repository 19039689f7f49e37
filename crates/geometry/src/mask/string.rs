//! The string form of run lengths in COCO's files: five bits a letter, the lowest first.

use super::{MaskError, RunLengths};

/// The letter of the digit 0; all letters are printable.
const ZERO: u8 = 48;
/// The bit of a digit that says that the number goes on.
const MORE: u8 = 0x20;
/// The bit of a number's last digit that says that it is negative.
const NEGATIVE: u8 = 0x10;
/// Most bits of a number's digits: a difference of two lengths has 33 bits.
const MOST_BITS: u32 = 35;

impl RunLengths {
    /// COCO's string form. From the fourth run on, it holds differences to the length two runs before, which is of the
    /// same kind and mostly similar.
    pub fn to_coco(&self) -> String {
        let counts = self.counts();
        let mut text = String::with_capacity(2 * counts.len());
        for (run, &count) in counts.iter().enumerate() {
            let before = if run > 2 { counts[run - 2] } else { 0 };
            write(i64::from(count) - i64::from(before), &mut text);
        }
        text
    }

    /// The mask of `size` (`[height, width]`) whose string form is `text`.
    ///
    /// # Errors
    /// A [`MaskError`] if `text` is no such string, or its runs do not fill the size.
    pub fn from_coco(size: [u32; 2], text: &str) -> Result<Self, MaskError> {
        let mut counts: Vec<u32> = Vec::new();
        let (mut number, mut bits) = (0_i64, 0);
        for (place, byte) in text.bytes().enumerate() {
            let run = counts.len();
            let digit = byte.wrapping_sub(ZERO);
            if digit >= 2 * MORE {
                return Err(MaskError::Letter { place, byte });
            }
            number |= i64::from(digit & (MORE - 1)) << bits;
            bits += 5;
            if digit & MORE != 0 {
                if bits >= MOST_BITS {
                    return Err(MaskError::Endless { run });
                }
                continue;
            }
            if digit & NEGATIVE != 0 {
                number |= -1 << bits;
            }
            let length = number + if run > 2 { i64::from(counts[run - 2]) } else { 0 };
            counts.push(u32::try_from(length).map_err(|_| MaskError::Length { run, length })?);
            (number, bits) = (0, 0);
        }
        if bits > 0 { Err(MaskError::Endless { run: counts.len() }) } else { Self::new(size, counts) }
    }
}

fn write(mut number: i64, text: &mut String) {
    loop {
        let digit = (number & i64::from(MORE - 1)) as u8;
        number >>= 5;
        // The sign bit of the last digit stands for all bits that are not written.
        let more = number != if digit & NEGATIVE == 0 { 0 } else { -1 };
        text.push(char::from(ZERO + digit + if more { MORE } else { 0 }));
        if !more {
            return;
        }
    }
}
