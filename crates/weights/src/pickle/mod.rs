//! Pickles, read without running them.
//!
//! A pickle is a program for a small stack machine, two of whose instructions let it call any function of Python.
//! Here ([`machine`]) a call is only written down as an [`object::Object::Call`], and only where the name is on the
//! list of [`global`]; what the call means is read later, by the code that looks for tensors. Any other name makes an
//! [`object::Object::Opaque`], which takes whatever is done to it and holds nothing. All values lie in one
//! arena and refer to each other by number: no value is ever copied, and nothing here or later recurses, so that
//! nesting and repetition cost a hostile file as many bytes as they cost us.

pub(crate) mod global;
mod input;
mod machine;
pub(crate) mod object;
mod opcode;
mod plain;

pub(crate) use machine::{Pickle, read_pickle};
