//! Text of other people: what is read from the files that they write, and how the names that they give are shown.
//!
//! Every text file is read through [`read`] or [`content`], so that a byte order mark is nowhere taken for content and a
//! file that is no text is refused by what it is ([`Kind`]). Every name of a file, folder or class is shown through
//! [`shown`], so that no name acts on a terminal or breaks a list.

mod kind;
mod read;
mod show;

pub use kind::{Kind, Sort, compression};
pub use read::{NotText, ReadError, content, read, read_bytes, text};
pub use show::{Shown, acts, shown};
