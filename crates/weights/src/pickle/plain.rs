//! The instructions that only push a value which they contain.

use super::input::Input;
use super::machine::damaged;
use super::object::Object;
use super::opcode as op;
use crate::WeightsError;

/// The value of such an instruction; `None` for other instructions.
pub(super) fn plain_value<'a>(opcode: u8, input: &mut Input<'a>) -> Result<Option<Object<'a>>, WeightsError> {
    Ok(Some(match opcode {
        op::NONE => Object::Nothing,
        op::NEWTRUE => Object::Bool(true),
        op::NEWFALSE => Object::Bool(false),
        op::INT => decimal(input.line()?)?,
        op::BININT => Object::Int(i64::from(input.u32()?.cast_signed())),
        op::BININT1 => Object::Int(input.u8()?.into()),
        op::BININT2 => Object::Int(input.u16()?.into()),
        op::LONG1 => long(input.counted::<1>()?),
        op::LONG4 => long(input.counted::<4>()?),
        op::BINFLOAT => input.u64().map(|_| Object::Float)?,
        op::BINUNICODE => text(input.counted::<4>()?),
        op::SHORT_BINUNICODE => text(input.counted::<1>()?),
        op::BINUNICODE8 => text(input.counted::<8>()?),
        op::BINSTRING | op::BINBYTES => Object::Bytes(input.counted::<4>()?),
        op::SHORT_BINSTRING | op::SHORT_BINBYTES => Object::Bytes(input.counted::<1>()?),
        op::BINBYTES8 | op::BYTEARRAY8 => Object::Bytes(input.counted::<8>()?),
        op::EMPTY_TUPLE => Object::Tuple(Vec::new()),
        op::EMPTY_LIST | op::EMPTY_SET => Object::List(Vec::new()),
        op::EMPTY_DICT => Object::Dict(Vec::new()),
        _ => return Ok(None),
    }))
}

/// Python writes a file name that is not UTF-8 as a text with surrogates, which are not valid UTF-8 either.
fn text(bytes: &[u8]) -> Object<'_> {
    std::str::from_utf8(bytes).map_or(Object::Bytes(bytes), Object::Text)
}

/// Python 2 wrote integers beyond 32 bits in decimal, and booleans as `00` and `01`.
fn decimal(line: &str) -> Result<Object<'_>, WeightsError> {
    match line {
        "00" => Ok(Object::Bool(false)),
        "01" => Ok(Object::Bool(true)),
        _ => line.parse().map(Object::Int).map_err(|_| damaged("an integer has no digits")),
    }
}

fn long(bytes: &[u8]) -> Object<'_> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut number = [if negative { 0xff } else { 0 }; 8];
    match number.get_mut(..bytes.len()) {
        Some(low) => {
            low.copy_from_slice(bytes);
            Object::Int(i64::from_le_bytes(number))
        }
        None => Object::Long(bytes),
    }
}
