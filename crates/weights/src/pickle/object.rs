//! The values of a pickle, in one arena.

use std::collections::HashMap;

use super::global::Global;

/// The number of a value in its [`Objects`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(usize);

/// A value. Texts and bytes borrow from the file.
#[derive(Debug)]
pub(crate) enum Object<'a> {
    Nothing,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits, little-endian.
    Long(&'a [u8]),
    /// A float; no property of a tensor is a float.
    Float,
    Text(&'a str),
    /// Bytes, or a text of Python 2.
    Bytes(&'a [u8]),
    Tuple(Vec<Id>),
    /// A list or a set.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// A Python object that is not on the list, or the result of calling one. It holds nothing, whatever its arguments
    /// were and whatever was put into it.
    Opaque,
    /// A value that the format keeps outside the pickle: a storage.
    Persistent(Id),
    Call(Box<Call>),
}

/// A call that the file asks for; it was recorded and not executed.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) function: Global,
    /// A tuple.
    pub(crate) arguments: Id,
    /// The argument of the result's `__setstate__`, if it was called.
    pub(crate) state: Option<Id>,
    /// Items that were then put into the result.
    pub(crate) items: Vec<(Id, Id)>,
}

/// The most bytes of a name, more than any tensor has. Without a limit, a hostile file could make us hash and copy a
/// long name again and again.
const LONGEST_NAME: usize = 1024;

/// The key of a value within another one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    Name(&'a str),
    Place(usize),
}

impl Key<'_> {
    /// The key after the `path` of its container, separated by a dot; `None` if that is too long for a name.
    pub(crate) fn below(self, path: &str) -> Option<String> {
        let dot = if path.is_empty() { "" } else { "." };
        let name = match self {
            Key::Name(name) => format!("{path}{dot}{name}"),
            Key::Place(place) => format!("{path}{dot}{place}"),
        };
        (name.len() <= LONGEST_NAME).then_some(name)
    }
}

/// The arena. An [`Id`] is only made by its own arena, which never shrinks.
#[derive(Debug, Default)]
pub(crate) struct Objects<'a> {
    all: Vec<Object<'a>>,
}

impl<'a> Objects<'a> {
    pub(super) fn add(&mut self, object: Object<'a>) -> Id {
        self.all.push(object);
        Id(self.all.len() - 1)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Object<'a> {
        &mut self.all[id.0]
    }

    pub(crate) fn get(&self, id: Id) -> &Object<'a> {
        &self.all[id.0]
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Object<'a>> {
        self.all.iter()
    }

    /// A text, including a name that Python 2 wrote as bytes.
    pub(crate) fn text(&self, id: Id) -> Option<&'a str> {
        match *self.get(id) {
            Object::Text(text) => Some(text),
            Object::Bytes(bytes) if bytes.len() <= LONGEST_NAME => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub(crate) fn int(&self, id: Id) -> Option<i64> {
        match *self.get(id) {
            Object::Int(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn call(&self, id: Id) -> Option<&Call> {
        match self.get(id) {
            Object::Call(call) => Some(call),
            _ => None,
        }
    }

    /// The elements of a tuple or list.
    pub(crate) fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Object::Tuple(elements) | Object::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// A tuple or list of integers, also as `torch.Size`; `None` if it has more elements than any tensor has axes.
    pub(crate) fn ints(&self, id: Id) -> Option<Vec<i64>> {
        const LONGEST: usize = 64;
        let id = match self.call(id) {
            Some(size) if size.function == Global::Size => *self.sequence(size.arguments)?.first()?,
            _ => id,
        };
        let elements = self.sequence(id).filter(|elements| elements.len() <= LONGEST)?;
        elements.iter().map(|&element| self.int(element)).collect()
    }

    /// Keys and values of a dictionary of any kind.
    pub(crate) fn entries(&self, id: Id) -> Option<Vec<(Id, Id)>> {
        match self.get(id) {
            Object::Dict(entries) => Some(entries.clone()),
            Object::Call(call) if call.function == Global::Collection => {
                let mut entries = self.pairs_of_python_2(call.arguments);
                entries.extend_from_slice(&call.items);
                Some(entries)
            }
            _ => None,
        }
    }

    /// Whether a value is a dictionary, a list or a tuple.
    pub(crate) fn has_members(&self, id: Id) -> bool {
        match self.get(id) {
            Object::Dict(_) | Object::List(_) | Object::Tuple(_) => true,
            Object::Call(call) => call.function == Global::Collection,
            _ => false,
        }
    }

    /// The values of a dictionary whose keys are texts, or those of a list or tuple; empty for other values. As in
    /// Python, the last value of a key is the one that counts.
    pub(crate) fn members(&self, id: Id) -> Vec<(Key<'a>, Id)> {
        if let Some(elements) = self.sequence(id) {
            return elements.iter().enumerate().map(|(place, &value)| (Key::Place(place), value)).collect();
        }
        let mut members: Vec<(Key, Id)> = Vec::new();
        let mut places = HashMap::new();
        for (key, value) in self.entries(id).unwrap_or_default() {
            let Some(name) = self.text(key).filter(|name| name.len() <= LONGEST_NAME) else { continue };
            let place = *places.entry(name).or_insert(members.len());
            match members.get_mut(place) {
                Some((_, earlier)) => *earlier = value,
                None => members.push((Key::Name(name), value)),
            }
        }
        members
    }

    /// Python 2 wrote an `OrderedDict` as a call with a list of pairs.
    fn pairs_of_python_2(&self, arguments: Id) -> Vec<(Id, Id)> {
        let pairs = self.sequence(arguments).and_then(|arguments| self.sequence(*arguments.first()?));
        let pair = |&pair: &Id| match self.sequence(pair) {
            Some(&[key, value]) => Some((key, value)),
            _ => None,
        };
        pairs.unwrap_or_default().iter().filter_map(pair).collect()
    }
}
