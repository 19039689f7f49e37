//! Collects the tensors of a state dict from the values of a pickle.

use std::collections::{HashSet, VecDeque};

use crate::budget::Budget;
use crate::error::{few, readable};
use crate::numpy::{NumpyArray, numpy_array};
use crate::pickle::Pickle;
use crate::pickle::object::{Id, Key, Objects};
use crate::strided::contiguous;
use crate::torch::{Storage, TorchTensor, torch_tensor};
use crate::{Tensor, WeightsError};

const FORMAT: &str = "pickle";

/// The bytes of storages, wherever a format keeps them.
pub(crate) trait Storages {
    fn bytes(&mut self, storage: &Storage, budget: &mut Budget) -> Result<&[u8], WeightsError>;
}

/// A plain pickle has no storages.
pub(crate) struct NoStorages;

impl Storages for NoStorages {
    fn bytes(&mut self, _: &Storage, _: &mut Budget) -> Result<&[u8], WeightsError> {
        Err(WeightsError::damaged(FORMAT, "its tensors lie in storages, and it has none"))
    }
}

/// The contents of a file.
pub(crate) struct Collected {
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) unread: Vec<String>,
}

/// Reads the tensors that dictionaries with names, lists and tuples hold at any depth, each under the keys that lead to
/// it: `state_dict.conv1.weight`. The state of an optimizer, whose keys are numbers, is not read.
pub(crate) fn collect(
    pickle: &Pickle,
    storages: &mut dyn Storages,
    budget: &mut Budget,
) -> Result<Collected, WeightsError> {
    let unread = |(module, name): &(&str, &str)| readable(format!("{module}.{name}").as_bytes());
    let mut collected = Collected { tensors: Vec::new(), unread: pickle.unread.iter().map(unread).collect() };
    let mut first_unreadable = None;
    for (name, tensor) in named_tensors(&pickle.objects, pickle.root, budget)? {
        let Some(described) = described(&pickle.objects, tensor) else { continue };
        match described {
            Ok(described) => collected.tensors.push(read(name, described, storages, budget)?),
            Err(reason) => {
                let unreadable = WeightsError::tensor(&name, reason);
                collected.note_unread(&unreadable);
                first_unreadable.get_or_insert(unreadable);
            }
        }
    }
    match (collected.tensors.is_empty(), first_unreadable) {
        (false, _) => Ok(collected),
        (true, Some(unreadable)) => Err(unreadable),
        (true, None) => Err(WeightsError::NoTensors {
            found: outline(&pickle.objects, pickle.root),
            unread: advice(&collected.unread),
        }),
    }
}

impl Collected {
    /// Notes a tensor that is described in a way that is not supported. If the tensor belongs to an encoder, it will be
    /// reported as missing. A few such notes are enough for a message.
    fn note_unread(&mut self, tensor: &WeightsError) {
        const MOST: usize = 64;
        if self.unread.len() < MOST {
            self.unread.push(tensor.to_string());
        }
    }
}

enum Described<'a> {
    Torch(TorchTensor<'a>),
    Numpy(NumpyArray<'a>),
}

fn described<'a>(objects: &Objects<'a>, id: Id) -> Option<Result<Described<'a>, String>> {
    let torch = torch_tensor(objects, id).map(|tensor| tensor.map(Described::Torch));
    torch.or_else(|| numpy_array(objects, id).map(|array| array.map(Described::Numpy)))
}

fn read(
    name: String,
    described: Described,
    storages: &mut dyn Storages,
    budget: &mut Budget,
) -> Result<Tensor, WeightsError> {
    match described {
        Described::Torch(TorchTensor { storage, view }) => {
            let bytes = contiguous(&name, &view, storages.bytes(&storage, budget)?, budget)?;
            Ok(Tensor { name, dtype: view.dtype, shape: view.shape, bytes })
        }
        Described::Numpy(array) => {
            let bytes = array.read(&name, budget)?;
            Ok(Tensor { name, dtype: array.dtype(), shape: array.shape().to_vec(), bytes })
        }
    }
}

/// Outer values come before deeper ones; otherwise the order is that of the file. A value that can be reached in
/// several ways is taken once, because a file that refers to itself would otherwise never end.
fn named_tensors(
    objects: &Objects,
    root: Id,
    budget: &mut Budget,
) -> Result<Vec<(String, Id)>, WeightsError> {
    let mut found = Vec::new();
    let mut reached = HashSet::from([root]);
    let mut waiting = VecDeque::from([(String::new(), root)]);
    while let Some((path, container)) = waiting.pop_front() {
        for (key, value) in objects.members(container) {
            let is_tensor = described(objects, value).is_some();
            let leads_on = !is_tensor && objects.has_members(value) && reached.insert(value);
            if !(is_tensor || leads_on) {
                continue;
            }
            let Some(name) = key.below(&path) else { continue };
            budget.charge(name.len())?;
            if is_tensor {
                found.push((name, value));
            } else {
                waiting.push_back((name, value));
            }
        }
    }
    Ok(found)
}

/// The value at the top, for a message.
fn outline(objects: &Objects, root: Id) -> String {
    let name = |(key, _)| if let Key::Name(name) = key { Some(readable(name.as_bytes())) } else { None };
    let names: Vec<_> = objects.members(root).into_iter().filter_map(name).collect();
    if names.is_empty() { "no dictionary with names".to_owned() } else { few(&names) }
}

/// Advice for a file whose tensors may be in Python objects, for example because a whole model was saved.
fn advice(unread: &[String]) -> String {
    if unread.is_empty() {
        return String::new();
    }
    let advice = "If you trust where the file comes from, load it in Python and save the state dict alone: \
                  torch.save(model.state_dict(), \"weights.pth\")";
    format!(". Objects of {} are in it, which are not read. {advice}", few(unread))
}
