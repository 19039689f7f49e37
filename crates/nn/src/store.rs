//! The named tensors of a model: its parameters and buffers, in the order of their creation.
//!
//! tch's own `VarStore` renames duplicates silently, adopts the kind of the file it loads and draws from a global
//! generator. Here a duplicate name is a bug and panics, loading is strict, and the initial value of a parameter is
//! a function of the seed and its name alone.

use std::cell::RefCell;
use std::ops::Div;

use densesiam_random::{Key, Purpose, Rng, hash};
use densesiam_torch_ext::Group;
use rand_distr::{Distribution, StandardNormal, Uniform};
use tch::{Device, Kind, Tensor};

use crate::losses::normalised;

/// What the names of a teacher's tensors begin with.
const TEACHER: &str = "key_";

/// What the names of a batch norm's buffers end with.
pub const NORM_BUFFERS: [&str; 3] = ["running_mean", "running_var", "num_batches_tracked"];

/// Initial value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// Normal with variance `2 / fan_out`: the encoder's convolutions (He et al. 2015, as torchvision).
    KaimingNormalFanOut,
    /// Uniform in `+-1/sqrt(fan_in)`: heads, linear layers and their biases (PyTorch's default; the paper, section 5.1).
    UniformFanIn(i64),
    /// Uniform in `+-sqrt(3/fan_in)`: ReSim's pyramid (Caffe2's Xavier).
    XavierFanIn(i64),
    /// Normal with this deviation: the predictors of detectors and segmenters.
    Normal(f64),
    /// The same value everywhere.
    Constant(f64),
}

/// One named tensor of a model.
#[derive(Debug)]
pub struct Entry {
    /// Full dotted name, as in a PyTorch state dict.
    pub name: String,
    /// The tensor; it shares memory with the layer that uses it.
    pub tensor: Tensor,
    /// Whether it is a parameter (trained) or a buffer (running statistics).
    pub trainable: bool,
}

/// Weights that do not fit the model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WeightsError {
    /// The model has names that the weights lack.
    #[error("{} of the model's tensors are missing, the first is {}: another architecture or heads?", .0.len(), .0[0])]
    Missing(Vec<String>),
    /// The weights have names that the model lacks.
    #[error("{} tensors do not belong to this model, the first is {}: another architecture or heads?", .0.len(), .0[0])]
    Unexpected(Vec<String>),
    /// A tensor has another shape.
    #[error("{name} has shape {found:?}, the model needs {expected:?}: another architecture or head width?")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Its shape in the model.
        expected: Vec<i64>,
        /// Its shape in the weights.
        found: Vec<i64>,
    },
}

/// The named tensors of one model, all of one kind (but for integer counters) on one device.
#[derive(Debug)]
pub struct Store {
    kind: Kind,
    device: Device,
    seed: u64,
    group: Group,
    norm_group: Group,
    entries: RefCell<Vec<Entry>>,
}

impl Store {
    /// An empty store; parameters will be of `kind`, on `device`, drawn from `seed`.
    pub fn new(kind: Kind, device: Device, seed: u64) -> Self {
        let (group, norm_group) = (Group::alone(), Group::alone());
        Self { kind, device, seed, group, norm_group, entries: RefCell::default() }
    }

    /// The same store for a model that several processes train together, with the batch statistics of all.
    pub fn with_group(self, group: Group) -> Self {
        Self { norm_group: group.clone(), group, ..self }
    }

    /// The same store for a model whose batch norms have the statistics of these processes, which are among those that train it.
    pub fn with_norm_group(self, norm_group: Group) -> Self {
        Self { norm_group, ..self }
    }

    /// The processes that train the model.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The processes that have common batch statistics.
    pub fn norm_group(&self) -> &Group {
        &self.norm_group
    }

    /// Gives all processes the mean of their running statistics, where these differ.
    ///
    /// # Panics
    /// When another process is lost.
    pub fn average_statistics(&self) {
        if self.norm_group.world() == self.group.world() {
            return;
        }
        let [mean, variance, _] = NORM_BUFFERS;
        let mut running = self.state();
        running.retain(|(name, _)| name.ends_with(mean) || name.ends_with(variance));
        let values: Vec<_> = running.iter().map(|(_, values)| values.to_kind(Kind::Double)).collect();
        let sums = Tensor::cat(&values, 0);
        self.group.sum(&sums);
        let means = sums / self.group.world() as f64;
        let sizes: Vec<_> = values.iter().map(|values| values.size()[0]).collect();
        let parts = means.split_with_sizes(&sizes, 0);
        tch::no_grad(|| running.iter_mut().zip(&parts).for_each(|((_, own), mean)| own.copy_(mean)));
    }

    /// The device of the tensors.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The scope without a prefix.
    pub fn root(&self) -> Scope<'_> {
        Scope { store: self, prefix: String::new(), teacher: false }
    }

    /// The scope of a teacher: a network built in it has the names of the student's tensors after `key_`, begins equal to the
    /// student, and is not trained. `key_encoder.conv1.weight` belongs to `encoder.conv1.weight`.
    pub fn teacher(&self) -> Scope<'_> {
        Scope { store: self, prefix: String::new(), teacher: true }
    }

    /// Each tensor of the student that a teacher follows, and the teacher's: parameters, and with `buffers` also those.
    pub fn student_and_teacher(&self, buffers: bool) -> Vec<[Tensor; 2]> {
        let entries = self.entries();
        let students = entries.iter().filter(|student| student.trainable || buffers);
        let pair = |student: &Entry| {
            let teacher =
                entries.iter().find(|entry| entry.name.strip_prefix(TEACHER) == Some(&student.name))?;
            Some([student.tensor.shallow_clone(), teacher.tensor.shallow_clone()])
        };
        students.filter_map(pair).collect()
    }

    /// Makes the teacher equal to the student, whose weights were read from a file.
    pub fn begin_teacher(&self) {
        let copy = |[student, mut teacher]: [Tensor; 2]| teacher.copy_(&student);
        tch::no_grad(|| self.student_and_teacher(true).into_iter().for_each(copy));
    }

    /// All entries, in the order of their creation.
    pub fn entries(&self) -> Vec<Entry> {
        let copy = |entry: &Entry| Entry {
            name: entry.name.clone(),
            tensor: entry.tensor.shallow_clone(),
            trainable: entry.trainable,
        };
        self.entries.borrow().iter().map(copy).collect()
    }

    /// Names and tensors, parameters and buffers alike: the state dict.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.entries().into_iter().map(|entry| (entry.name, entry.tensor)).collect()
    }

    /// Names and tensors of the parameters alone.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let parameters = self.entries().into_iter().filter(|entry| entry.trainable);
        parameters.map(|entry| (entry.name, entry.tensor)).collect()
    }

    /// The buffers: running statistics, teachers, queues, clusters.
    pub fn buffers(&self) -> Vec<Tensor> {
        self.entries().into_iter().filter(|entry| !entry.trainable).map(|entry| entry.tensor).collect()
    }

    /// Copies `state` into the model's tensors, casting to their kind. Every name must occur on both sides.
    ///
    /// # Errors
    /// [`WeightsError`]; nothing is copied in that case.
    pub fn load(&self, state: &[(String, Tensor)]) -> Result<(), WeightsError> {
        let entries = self.entries();
        let find = |name: &str| state.iter().find(|(other, _)| other == name).map(|(_, tensor)| tensor);
        let missing: Vec<_> =
            entries.iter().filter(|e| find(&e.name).is_none()).map(|e| e.name.clone()).collect();
        let known = |name: &String| entries.iter().any(|entry| entry.name == *name);
        let unexpected: Vec<_> =
            state.iter().map(|(name, _)| name.clone()).filter(|name| !known(name)).collect();
        if !missing.is_empty() {
            return Err(WeightsError::Missing(missing));
        }
        if !unexpected.is_empty() {
            return Err(WeightsError::Unexpected(unexpected));
        }
        let pairs = || entries.iter().filter_map(|entry| Some((entry, find(&entry.name)?)));
        for (entry, tensor) in pairs() {
            let (expected, found) = (entry.tensor.size(), tensor.size());
            if expected != found {
                return Err(WeightsError::Shape { name: entry.name.clone(), expected, found });
            }
        }
        tch::no_grad(|| pairs().for_each(|(entry, tensor)| entry.tensor.shallow_clone().copy_(tensor)));
        Ok(())
    }
}

/// A place in a store's hierarchy of names; `&scope / "layer1"` is the place `layer1` below `scope`.
#[derive(Clone, Debug)]
pub struct Scope<'s> {
    store: &'s Store,
    prefix: String,
    teacher: bool,
}

impl<'s> Div<&str> for &Scope<'s> {
    type Output = Scope<'s>;

    fn div(self, name: &str) -> Scope<'s> {
        Scope { store: self.store, prefix: self.below(name), teacher: self.teacher }
    }
}

impl Scope<'_> {
    /// The processes that train the model.
    pub fn group(&self) -> &Group {
        &self.store.group
    }

    /// The processes that have common batch statistics.
    pub fn norm_group(&self) -> &Group {
        &self.store.norm_group
    }

    /// The student's name of a tensor of this scope.
    fn below(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    fn full_name(&self, name: &str) -> String {
        if self.teacher { format!("{TEACHER}{}", self.below(name)) } else { self.below(name) }
    }

    /// A new parameter, or a teacher's copy of it. Four-dimensional ones are laid out channels last.
    pub fn parameter(&self, name: &str, shape: &[i64], initial: Initial) -> Tensor {
        let value = initial_value(self.store, &self.below(name), shape, initial);
        let trained = !self.teacher;
        self.add(self.full_name(name), value.set_requires_grad(trained), trained)
    }

    /// A new buffer of normal numbers `[D, K]`, of which each column has length 1.
    pub fn unit_columns(&self, name: &str, shape: [i64; 2]) -> Tensor {
        let value = initial_value(self.store, &self.below(name), &shape, Initial::KaimingNormalFanOut);
        self.add(self.full_name(name), normalised(&value, 0), false)
    }

    /// A new buffer whose values are drawn as those of a parameter.
    pub fn random_buffer(&self, name: &str, shape: &[i64], initial: Initial) -> Tensor {
        let value = initial_value(self.store, &self.below(name), shape, initial);
        self.add(self.full_name(name), value, false)
    }

    /// A new buffer of the store's kind, filled with `value`.
    pub fn buffer(&self, name: &str, shape: &[i64], value: f64) -> Tensor {
        let tensor = Tensor::full(shape, value, (self.store.kind, self.store.device));
        self.add(self.full_name(name), tensor, false)
    }

    /// A new integer scalar that starts at 0.
    pub fn counter(&self, name: &str) -> Tensor {
        let tensor = Tensor::zeros([0i64; 0], (Kind::Int64, self.store.device));
        self.add(self.full_name(name), tensor, false)
    }

    fn add(&self, name: String, tensor: Tensor, trainable: bool) -> Tensor {
        let mut entries = self.store.entries.borrow_mut();
        assert!(entries.iter().all(|entry| entry.name != name), "the name {name} is taken");
        entries.push(Entry { name, tensor: tensor.shallow_clone(), trainable });
        tensor
    }
}

fn initial_value(store: &Store, name: &str, shape: &[i64], initial: Initial) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    let mut stream = Key::new(store.seed, Purpose::Weights).sample(hash(name.as_bytes())).rng();
    let values: Vec<f32> = match initial {
        Initial::Constant(value) => vec![value as f32; count],
        Initial::KaimingNormalFanOut => {
            let fan_out = shape[0] * shape[2..].iter().product::<i64>();
            normal((2.0 / fan_out as f64).sqrt(), count, &mut stream)
        }
        Initial::Normal(deviation) => normal(deviation, count, &mut stream),
        Initial::UniformFanIn(fan_in) => uniform(1.0 / (fan_in as f32).sqrt(), count, &mut stream),
        Initial::XavierFanIn(fan_in) => uniform((3.0 / fan_in as f32).sqrt(), count, &mut stream),
    };
    let tensor = Tensor::from_slice(&values).reshape(shape).to_kind(store.kind).to_device(store.device);
    if shape.len() == 4 { channels_last(&tensor) } else { tensor }
}

fn normal(deviation: f64, count: usize, stream: &mut impl Rng) -> Vec<f32> {
    StandardNormal.sample_iter(stream).map(|x: f32| x * deviation as f32).take(count).collect()
}

fn uniform(bound: f32, count: usize, stream: &mut impl Rng) -> Vec<f32> {
    // The bounds are finite and in order, so the distribution always exists.
    Uniform::new_inclusive(-bound, bound)
        .map(|uniform| uniform.sample_iter(stream).take(count).collect())
        .unwrap_or_default()
}

/// The same `[B, C, H, W]` tensor with its channels next to each other in memory (PyTorch's channels_last).
pub fn channels_last(tensor: &Tensor) -> Tensor {
    tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}
