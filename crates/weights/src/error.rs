//! The errors of reading a weights file.

use std::io;

/// What is wrong with a weights file. Every variant is about this one file; the caller adds its path to the message.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The operating system could not read it.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file has no bytes.
    #[error("the file is empty; copy or download it again")]
    Empty,
    /// The file is larger than the limit.
    #[error("{bytes} bytes exceed the limit of {max_bytes} for a weights file")]
    FileTooLarge {
        /// Size of the file in bytes.
        bytes: u64,
        /// The limit that it exceeds.
        max_bytes: u64,
    },
    /// Its tensors, written out, are larger than a file of this size can honestly hold, or than the limit.
    #[error("its tensors would take more than {max_bytes} bytes of memory, too many for a file of its size")]
    TensorsTooLarge {
        /// The limit that they exceed, in bytes.
        max_bytes: u64,
    },
    /// No known weights format begins like this.
    #[error("not a weights file ({reason}): it begins with {start:?}")]
    NotWeights {
        /// The first bytes, in printable form.
        start: String,
        /// What it looks like instead.
        reason: &'static str,
    },
    /// The pickle refers to a Python name that starts programs or runs code, which no honest weights do.
    #[error(
        "{global} is called by the file: refused; nothing was run. Loaded in Python, the file would run it: do not \
         do that, and get the weights from where you trust"
    )]
    Refused {
        /// Module and name.
        global: String,
    },
    /// The pickle has an instruction that weights do not need.
    #[error(
        "the pickle instruction {name} ({number:#04x}) is not one that weights need: refused; nothing was run"
    )]
    RefusedInstruction {
        /// Its name in Python's pickletools.
        name: &'static str,
        /// Its number.
        number: u8,
    },
    /// The pickle is longer than any weights need.
    #[error("its pickle has more than {max_instructions} instructions, which no weights need: refused")]
    TooManyInstructions {
        /// The limit that it exceeds.
        max_instructions: u64,
    },
    /// A format, or a variant of one, that is not supported.
    #[error("{format} of a kind that is not read here: {reason}")]
    Unsupported {
        /// The format that the content showed.
        format: &'static str,
        /// What is not supported in the file.
        reason: String,
    },
    /// The data ends before the file's own description does.
    #[error("the {format} data ends early; the file was cut short, copy or download it again")]
    Truncated {
        /// The format that the content showed.
        format: &'static str,
    },
    /// The data contradicts its format.
    #[error("damaged {format} data ({reason}); copy or download the file again")]
    Damaged {
        /// The format that the content showed.
        format: &'static str,
        /// The contradiction.
        reason: String,
    },
    /// One tensor contradicts its bytes, or has a type that is not supported.
    #[error("the tensor {name} cannot be read: {reason}")]
    Tensor {
        /// Its name in the file.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file holds no dictionary of tensors.
    #[error("no tensors by name are in it; it holds {found}{unread}")]
    NoTensors {
        /// What is at its top instead.
        found: String,
        /// Python objects in it that are not read, as a clause with advice; empty if there are none.
        unread: String,
    },
}

impl WeightsError {
    pub(crate) fn damaged(format: &'static str, reason: impl Into<String>) -> Self {
        Self::Damaged { format, reason: reason.into() }
    }

    pub(crate) fn unsupported(format: &'static str, reason: impl Into<String>) -> Self {
        Self::Unsupported { format, reason: reason.into() }
    }

    pub(crate) fn tensor(name: &str, reason: impl Into<String>) -> Self {
        Self::Tensor { name: readable(name.as_bytes()), reason: reason.into() }
    }
}

/// Some items of a list for a message, and how many more there are.
pub(crate) fn few(items: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = items[..items.len().min(SHOWN)].join(", ");
    match items.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Text of a file for a message: its beginning, without control characters.
pub(crate) fn readable(words: &[u8]) -> String {
    const LONGEST: usize = 80;
    let shown = words.iter().take(LONGEST);
    let mut text: String =
        shown.map(|&byte| if byte.is_ascii_graphic() || byte == b' ' { byte as char } else { '.' }).collect();
    if words.len() > LONGEST {
        text.push_str("...");
    }
    text
}
