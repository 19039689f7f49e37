//! From the values of a pickle to the tensors of its state dict.

use std::collections::HashMap;

use crate::budget::Budget;
use crate::error::{few, readable};
use crate::numpy::{NumpyArray, numpy_array};
use crate::pickle::Pickle;
use crate::pickle::object::{Id, Objects};
use crate::strided::contiguous;
use crate::torch::{Storage, TorchTensor, torch_tensor};
use crate::{Tensor, WeightsError};

/// Where training programs put the state dict; the first that holds a tensor is taken, else the top. The teacher of a
/// self-distillation is what its authors evaluate, so that it stands before the student.
const PLACES: [&str; 6] = ["state_dict", "model", "model_state_dict", "module", "teacher", "student"];

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

/// The state dict of a file.
pub(crate) struct Collected {
    pub(crate) found_under: Option<&'static str>,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) unread: Vec<String>,
}

/// Finds the state dict and reads its tensors; all else in the file, an optimizer's state for one, is left alone.
pub(crate) fn collect(
    pickle: &Pickle,
    storages: &mut dyn Storages,
    budget: &mut Budget,
) -> Result<Collected, WeightsError> {
    let unread = |(module, name): &(&str, &str)| readable(format!("{module}.{name}").as_bytes());
    let unread: Vec<String> = pickle.unread.iter().map(unread).collect();
    let (found_under, described) = find_state_dict(&pickle.objects, pickle.root, &unread)?;
    let mut tensors = Vec::with_capacity(described.len());
    for (name, described) in described {
        tensors.push(match described.map_err(|reason| WeightsError::tensor(name, reason))? {
            Described::Torch(TorchTensor { storage, view }) => {
                let bytes = contiguous(name, &view, storages.bytes(&storage, budget)?, budget)?;
                Tensor { name: name.to_owned(), dtype: view.dtype, shape: view.shape, bytes }
            }
            Described::Numpy(array) => {
                let bytes = array.read(name, budget)?;
                let shape = array.shape().to_vec();
                Tensor { name: name.to_owned(), dtype: array.dtype(), shape, bytes }
            }
        });
    }
    Ok(Collected { found_under, tensors, unread })
}

enum Described<'a> {
    Torch(TorchTensor<'a>),
    Numpy(NumpyArray<'a>),
}

fn described<'a>(objects: &Objects<'a>, id: Id) -> Option<Result<Described<'a>, String>> {
    let torch = torch_tensor(objects, id).map(|tensor| tensor.map(Described::Torch));
    torch.or_else(|| numpy_array(objects, id).map(|array| array.map(Described::Numpy)))
}

type NamedTensors<'a> = Vec<(&'a str, Result<Described<'a>, String>)>;

fn find_state_dict<'a>(
    objects: &Objects<'a>,
    root: Id,
    unread: &[String],
) -> Result<(Option<&'static str>, NamedTensors<'a>), WeightsError> {
    let top = named_values(objects, root)?;
    for place in PLACES {
        let Some((_, nested)) = top.iter().find(|(name, _)| *name == place) else { continue };
        let tensors = tensors_among(objects, &named_values(objects, *nested)?);
        if !tensors.is_empty() {
            return Ok((Some(place), tensors));
        }
    }
    let tensors = tensors_among(objects, &top);
    if tensors.is_empty() {
        let (found, unread) = (outline(&top), advice(unread));
        return Err(WeightsError::NoTensors { places: PLACES.join(", "), found, unread });
    }
    Ok((None, tensors))
}

fn tensors_among<'a>(objects: &Objects<'a>, values: &[(&'a str, Id)]) -> NamedTensors<'a> {
    values.iter().filter_map(|&(name, value)| Some((name, described(objects, value)?))).collect()
}

/// The entries of a dictionary whose keys are texts. As in Python, the last value of a key is the one that counts.
fn named_values<'a>(objects: &Objects<'a>, dict: Id) -> Result<Vec<(&'a str, Id)>, WeightsError> {
    // Hashing and copying one long name again and again would cost a hostile file nothing.
    const LONGEST_NAME: usize = 1024;
    let mut values: Vec<(&str, Id)> = Vec::new();
    let mut places = HashMap::new();
    for (key, value) in objects.entries(dict).unwrap_or_default() {
        let Some(name) = objects.text(key) else { continue };
        if name.len() > LONGEST_NAME {
            return Err(WeightsError::damaged(FORMAT, format!("a name has {} bytes", name.len())));
        }
        match places.get(name) {
            Some(&place) => values[place] = (name, value),
            None => {
                places.insert(name, values.len());
                values.push((name, value));
            }
        }
    }
    Ok(values)
}

fn outline(top: &[(&str, Id)]) -> String {
    if top.is_empty() {
        return "no dictionary with names".to_owned();
    }
    let names: Vec<_> = top.iter().map(|(name, _)| readable(name.as_bytes())).collect();
    few(&names)
}

/// What can be done where the tensors may be in objects of Python: a whole model was saved, for one.
fn advice(unread: &[String]) -> String {
    if unread.is_empty() {
        return String::new();
    }
    let advice = "If you trust where the file comes from, load it in Python and save the state dict alone: \
                  torch.save(model.state_dict(), \"weights.pth\")";
    format!(". Objects of {} are in it, which are not read. {advice}", few(unread))
}
