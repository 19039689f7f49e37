//! Pickles, read without running them.
//!
//! A pickle is a program for a small stack machine, and two of its instructions can call any Python function. Here
//! ([`machine`]) a call is only recorded as an [`object::Object::Call`], and only if the name is on the list of
//! [`global`]; the code that searches for tensors interprets the call later. Any other name makes an
//! [`object::Object::Opaque`], which accepts every operation and holds nothing. All values are in one arena and refer
//! to each other by number. No value is ever copied, and nothing here or later recurses, so nesting and repetition cost
//! a hostile file as many bytes as they cost us.

pub(crate) mod global;
mod input;
mod machine;
pub(crate) mod object;
mod opcode;
mod plain;

pub(crate) use machine::{Pickle, read_pickle};
