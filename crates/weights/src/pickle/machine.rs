//! The stack machine of pickles, without the part that runs code.

use std::collections::HashMap;

use super::global::{Global, is_a_trap};
use super::input::{FORMAT, Input};
use super::object::{Call, Id, Object, Objects};
use super::opcode as op;
use super::plain::plain_value;
use crate::WeightsError;
use crate::error::readable;

/// The contents of a pickle.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    pub(crate) objects: Objects<'a>,
    /// The value that it stands for.
    pub(crate) root: Id,
    /// How many bytes it takes; others may follow.
    pub(crate) length: usize,
    /// Module and name of the first Python objects in it that are not read.
    pub(crate) unread: Vec<(&'a str, &'a str)>,
}

/// Reads the pickle at the front of `bytes`. Every instruction allocates a bounded amount, for which a hundred bytes is
/// a generous estimate, so `max_instructions` bounds the memory.
pub(crate) fn read_pickle(bytes: &[u8], max_instructions: u64) -> Result<Pickle<'_>, WeightsError> {
    let mut machine = Machine {
        input: Input::new(bytes),
        objects: Objects::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        unread: Vec::new(),
    };
    for _ in 0..max_instructions {
        let opcode = machine.input.u8()?;
        if opcode == op::STOP {
            let root = machine.pop()?;
            let Machine { objects, input, unread, .. } = machine;
            return Ok(Pickle { objects, root, length: input.place(), unread });
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
    unread: Vec<(&'a str, &'a str)>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<(), WeightsError> {
        if let Some(value) = plain_value(opcode, &mut self.input)? {
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
            op::NEWOBJ_EX => {
                let _keywords = self.pop()?;
                self.call()
            }
            op::BUILD => self.set_state(),
            number => Err(WeightsError::RefusedInstruction { name: op::name(number), number }),
        }
    }

    fn push(&mut self, object: Object<'a>) {
        let id = self.objects.add(object);
        self.stack.push(id);
    }

    /// Values below the last mark cannot be taken.
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
            Object::Opaque => {}
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
            Object::Opaque => {}
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
        let object = match Global::named(module, name) {
            Some(global) => Object::Global(global),
            None if is_a_trap(module, name) => {
                return Err(WeightsError::Refused {
                    global: readable(format!("{module}.{name}").as_bytes()),
                });
            }
            None => {
                self.note_unread(module, name);
                Object::Opaque
            }
        };
        self.push(object);
        Ok(())
    }

    /// A few short names are enough for a message: with a hostile file, comparing many long ones would take a long
    /// time.
    fn note_unread(&mut self, module: &'a str, name: &'a str) {
        const MOST: usize = 32;
        const LONGEST: usize = 128;
        let worth = self.unread.len() < MOST && module.len() + name.len() <= LONGEST;
        if worth && !self.unread.contains(&(module, name)) {
            self.unread.push((module, name));
        }
    }

    fn call(&mut self) -> Result<(), WeightsError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let function = match *self.objects.get(function) {
            Object::Global(function) => function,
            Object::Opaque => {
                self.push(Object::Opaque);
                return Ok(());
            }
            _ => return Err(damaged("it calls what is no function")),
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
            Object::Opaque => {}
            _ => return Err(damaged("it gives a state to what has none")),
        }
        Ok(())
    }
}

pub(super) fn damaged(reason: &str) -> WeightsError {
    WeightsError::damaged(FORMAT, reason)
}

fn pairs(values: &[Id]) -> Result<Vec<(Id, Id)>, WeightsError> {
    let (pairs, rest) = values.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(damaged("a key has no value"));
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}
