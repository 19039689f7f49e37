//! The stack machine of pickles, without the part that runs anything.

use std::collections::HashMap;

use super::global::Global;
use super::input::{FORMAT, Input};
use super::object::{Call, Id, Object, Objects};
use super::opcode as op;
use crate::WeightsError;
use crate::error::readable;

/// What a pickle holds.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    pub(crate) objects: Objects<'a>,
    /// The value that it stands for.
    pub(crate) root: Id,
    /// How many bytes it takes; others may follow.
    pub(crate) length: usize,
}

/// Reads the pickle at the front of `bytes`. Every instruction allocates a bounded amount, of which a hundred bytes
/// is a generous estimate, so that `max_instructions` bounds the memory.
pub(crate) fn read_pickle(bytes: &[u8], max_instructions: u64) -> Result<Pickle<'_>, WeightsError> {
    let mut machine = Machine {
        input: Input::new(bytes),
        objects: Objects::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    for _ in 0..max_instructions {
        let opcode = machine.input.u8()?;
        if opcode == op::STOP {
            let root = machine.pop()?;
            return Ok(Pickle { objects: machine.objects, root, length: machine.input.place() });
        }
        machine.step(opcode)?;
    }
    Err(WeightsError::TooManyInstructions { max_instructions })
}

struct Machine<'a> {
    input: Input<'a>,
    objects: Objects<'a>,
    stack: Vec<Id>,
    /// Heights of the stack at which marks were set.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<(), WeightsError> {
        if let Some(value) = self.plain_value(opcode)? {
            self.push(value);
            return Ok(());
        }
        match opcode {
            op::PROTO => self.input.u8().map(|_| ()),
            op::FRAME => self.input.u64().map(|_| ()),
            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => self.pop_or_unmark(),
            op::POP_MARK => self.pop_to_mark().map(|_| ()),
            op::DUP => self.top().map(|top| self.stack.push(top)),
            op::TUPLE | op::LIST | op::FROZENSET | op::TUPLE1 | op::TUPLE2 | op::TUPLE3 | op::DICT => {
                self.collect(opcode)
            }
            op::APPEND | op::APPENDS | op::ADDITEMS => self.extend_list(opcode),
            op::SETITEM | op::SETITEMS => self.extend_dict(opcode),
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.remember(opcode),
            op::BINGET | op::LONG_BINGET => self.recall(opcode),
            op::GLOBAL | op::STACK_GLOBAL => self.global(opcode),
            op::BINPERSID => {
                let key = self.pop()?;
                self.push(Object::Persistent(key));
                Ok(())
            }
            op::REDUCE | op::NEWOBJ => self.call(),
            op::BUILD => self.set_state(),
            number => Err(WeightsError::RefusedInstruction { name: op::name(number), number }),
        }
    }

    /// The value of an instruction that does nothing but push one.
    fn plain_value(&mut self, opcode: u8) -> Result<Option<Object<'a>>, WeightsError> {
        let input = &mut self.input;
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
            op::BINUNICODE => Object::Text(input.text::<4>()?),
            op::SHORT_BINUNICODE => Object::Text(input.text::<1>()?),
            op::BINUNICODE8 => Object::Text(input.text::<8>()?),
            op::BINSTRING | op::BINBYTES => Object::Bytes(input.counted::<4>()?),
            op::SHORT_BINSTRING | op::SHORT_BINBYTES => Object::Bytes(input.counted::<1>()?),
            op::BINBYTES8 | op::BYTEARRAY8 => Object::Bytes(input.counted::<8>()?),
            op::EMPTY_TUPLE => Object::Tuple(Vec::new()),
            op::EMPTY_LIST | op::EMPTY_SET => Object::List(Vec::new()),
            op::EMPTY_DICT => Object::Dict(Vec::new()),
            _ => return Ok(None),
        }))
    }

    fn push(&mut self, object: Object<'a>) {
        let id = self.objects.add(object);
        self.stack.push(id);
    }

    /// What lies under the last mark cannot be taken.
    fn top(&self) -> Result<Id, WeightsError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.get(floor..).and_then(<[Id]>::last).copied().ok_or_else(|| damaged("its stack is empty"))
    }

    fn pop(&mut self) -> Result<Id, WeightsError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, WeightsError> {
        let mark = self.marks.pop().ok_or_else(|| damaged("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    fn pop_or_unmark(&mut self) -> Result<(), WeightsError> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(|_| ())
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, WeightsError> {
        let mut values = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        values.reverse();
        Ok(values)
    }

    fn collect(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let collection = match opcode {
            op::TUPLE1 => Object::Tuple(self.pop_many(1)?),
            op::TUPLE2 => Object::Tuple(self.pop_many(2)?),
            op::TUPLE3 => Object::Tuple(self.pop_many(3)?),
            op::TUPLE => Object::Tuple(self.pop_to_mark()?),
            op::DICT => Object::Dict(pairs(&self.pop_to_mark()?)?),
            _ => Object::List(self.pop_to_mark()?),
        };
        self.push(collection);
        Ok(())
    }

    fn extend_list(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let values = if opcode == op::APPEND { self.pop_many(1)? } else { self.pop_to_mark()? };
        let list = self.top()?;
        match self.objects.get_mut(list) {
            Object::List(elements) => elements.extend(values),
            _ => return Err(damaged("it appends to what is no list")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let values = if opcode == op::SETITEM { self.pop_many(2)? } else { self.pop_to_mark()? };
        let values = pairs(&values)?;
        let dict = self.top()?;
        match self.objects.get_mut(dict) {
            Object::Dict(entries) => entries.extend(values),
            Object::Call(call) if call.function == Global::Collection => call.items.extend(values),
            _ => return Err(damaged("it sets items of what is no dictionary")),
        }
        Ok(())
    }

    fn remember(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let place = match opcode {
            op::BINPUT => self.input.u8()?.into(),
            op::LONG_BINPUT => self.input.u32()?.into(),
            _ => self.memo.len() as u64,
        };
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let place = if opcode == op::BINGET { self.input.u8()?.into() } else { u64::from(self.input.u32()?) };
        let id = self.memo.get(&place).ok_or_else(|| damaged("it recalls what it never kept"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let (module, name) = if opcode == op::GLOBAL {
            (self.input.line()?, self.input.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            let text = |id| self.objects.text(id).ok_or_else(|| damaged("a name is no text"));
            (text(module)?, text(name)?)
        };
        let refused = || WeightsError::Refused { global: readable(format!("{module}.{name}").as_bytes()) };
        let global = Global::named(module, name).ok_or_else(refused)?;
        self.push(Object::Global(global));
        Ok(())
    }

    fn call(&mut self) -> Result<(), WeightsError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Object::Global(function) = *self.objects.get(function) else {
            return Err(damaged("it calls what is no function"));
        };
        if !function.is_callable() || !matches!(self.objects.get(arguments), Object::Tuple(_)) {
            return Err(damaged("a call is not one that Python writes"));
        }
        self.push(Object::Call(Box::new(Call { function, arguments, state: None, items: Vec::new() })));
        Ok(())
    }

    fn set_state(&mut self) -> Result<(), WeightsError> {
        let (state, object) = (self.pop()?, self.top()?);
        match self.objects.get_mut(object) {
            Object::Call(call) => call.state = Some(state),
            _ => return Err(damaged("it gives a state to what has none")),
        }
        Ok(())
    }
}

fn damaged(reason: &str) -> WeightsError {
    WeightsError::damaged(FORMAT, reason)
}

fn pairs(values: &[Id]) -> Result<Vec<(Id, Id)>, WeightsError> {
    let (pairs, rest) = values.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(damaged("a key has no value"));
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

/// Python 2 wrote integers beyond 32 bits in decimals, and truth values as `00` and `01`.
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
