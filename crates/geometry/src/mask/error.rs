//! What is wrong with a mask.

/// Why run lengths are no mask, or two masks cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// There are more pixels than a run can count.
    #[error("a mask of {} x {} pixels is larger than {} pixels", size[0], size[1], u32::MAX)]
    TooLarge {
        /// Height and width.
        size: [u32; 2],
    },
    /// The runs do not fill the mask.
    #[error(
        "the runs of the mask have {counted} pixels, and its size of {} x {} has {}",
        size[0], size[1], u64::from(size[0]) * u64::from(size[1])
    )]
    Sum {
        /// Sum of the run lengths.
        counted: u64,
        /// Height and width.
        size: [u32; 2],
    },
    /// A letter that COCO's string form does not use.
    #[error("letter {place} of the run lengths is byte {byte}, outside 48 to 111")]
    Letter {
        /// Position in the string, from 0.
        place: usize,
        /// The byte.
        byte: u8,
    },
    /// A run whose length is negative or larger than any picture.
    #[error("run {run} has the length {length}, outside 0 to {}", u32::MAX)]
    Length {
        /// Position of the run, from 0.
        run: usize,
        /// Its length.
        length: i64,
    },
    /// The string ends within a number, or a number does not end.
    #[error("run {run} of the string has no end")]
    Endless {
        /// Position of the run, from 0.
        run: usize,
    },
    /// The masks belong to pictures of different sizes.
    #[error("a mask of {} x {} pixels was compared with one of {} x {}", one[0], one[1], other[0], other[1])]
    Sizes {
        /// Height and width of the one.
        one: [u32; 2],
        /// Height and width of the other.
        other: [u32; 2],
    },
}
