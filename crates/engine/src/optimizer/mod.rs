//! SGD, LARS and Adam over named parameters. tch's own optimizers cannot save their momentum; here the state is named
//! tensors, so that a checkpoint holds all that a bit-exact resume needs.

mod groups;
mod lars;
mod settings;

use std::collections::HashMap;

use densesiam_torch_ext::{AdamState, SgdStep, clear_gradients, fused_adam, fused_sgd, total_norm};
use tch::{Device, Kind, Tensor, no_grad};

pub use self::groups::{GroupError, GroupRate, GroupRule, GroupSummary, assign};
pub use self::settings::{FixedPredictor, OptimizerKind, OptimizerSettings};

/// The prefixes of the names of a parameter's state; the parameter's name follows. Adam has all three, others the first.
const STATE: [&str; 3] = ["momentum.", "square.", "steps."];

/// A saved state that does not belong to this optimizer's parameters: the checkpoint of another model or recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A tensor is missing.
    #[error(
        "the optimizer's state lacks {name:?}; resume with the recipe that the checkpoint was written by"
    )]
    Missing {
        /// The tensor's name.
        name: String,
    },
    /// A tensor belongs to no parameter, or occurs twice.
    #[error(
        "the optimizer's state holds {name:?}, which is no parameter's or there twice; resume with the recipe that the checkpoint was written by"
    )]
    Unexpected {
        /// The tensor's name.
        name: String,
    },
    /// A tensor has another shape or element type.
    #[error("the optimizer's state holds {name:?} as {found}; expected {expected}")]
    Mismatch {
        /// The tensor's name.
        name: String,
        /// The parameter's type and shape.
        expected: String,
        /// The state's.
        found: String,
    },
}

/// Updates named parameters by their gradients, in groups, and holds their momentum.
#[derive(Debug)]
pub struct Optimizer {
    settings: OptimizerSettings,
    peak_learning_rate: f64,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    name: String,
    rate: GroupRate,
    weight_decay: f64,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    name: String,
    parameter: Tensor,
    /// Momentum, and for Adam also the mean of the squared gradients and the number of steps. Zeros until the first gradient:
    /// `momentum * 0 + gradient` is exactly what PyTorch's first step sets.
    state: Vec<Tensor>,
}

impl Optimizer {
    /// An optimizer of `parameters`, in the groups that `rules` form by their names. `batch_size` counts the pictures
    /// of a step, all processes together, and scales the learning rate. The parameters of a group that the settings do not
    /// decay, such as those of norms, become a separate group.
    ///
    /// # Errors
    /// [`GroupError`] when rules and names do not cover each other.
    pub fn new(
        settings: &OptimizerSettings,
        batch_size: u64,
        parameters: &[(String, Tensor)],
        rules: &[GroupRule],
    ) -> Result<Self, GroupError> {
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        let assigned = assign(&names, rules)?;
        let dims: HashMap<&str, usize> =
            parameters.iter().map(|(name, tensor)| (name.as_str(), tensor.dim())).collect();
        let is_decayed = |(name, tensor): &(String, Tensor)| match (tensor.dim() <= 1, settings) {
            (false, _) => true,
            (true, OptimizerSettings { decay_norms_and_biases: false, .. }) => false,
            (true, settings) => settings.decay_norms || !is_of_norm(name, &dims),
        };
        let groups = rules.iter().zip(&assigned).flat_map(|(rule, places)| {
            let (decayed, rest): (Vec<_>, Vec<_>) =
                places.iter().map(|&place| &parameters[place]).partition(|parameter| is_decayed(parameter));
            let kept = if settings.decay_norms_and_biases { "norms" } else { "norms and biases" };
            [
                Group::new(rule, &rule.name, (settings.kind, settings.weight_decay), &decayed),
                Group::new(rule, &format!("{}, {kept}", rule.name), (settings.kind, 0.0), &rest),
            ]
        });
        Ok(Self {
            settings: settings.clone(),
            peak_learning_rate: settings.peak_learning_rate(batch_size),
            groups: groups.filter(|group| !group.members.is_empty()).collect(),
        })
    }

    /// The learning rate at the schedule's peak.
    pub fn peak_learning_rate(&self) -> f64 {
        self.peak_learning_rate
    }

    /// One line for each group, in the order in which the groups are updated.
    pub fn summary(&self) -> Vec<GroupSummary> {
        self.groups.iter().map(|group| group.summary(self.peak_learning_rate)).collect()
    }

    /// Clears all gradients, so that only the parameters that the next backward pass reaches are updated.
    pub fn zero_gradients(&mut self) {
        let parameters: Vec<Tensor> = self.members().map(|member| member.parameter.shallow_clone()).collect();
        clear_gradients(&parameters);
    }

    /// The norm of all gradients taken as one vector, before any clipping: a float32 scalar on their device, 0 when
    /// there are none. Nothing is read back from the device.
    pub fn gradient_norm(&self) -> Tensor {
        let gradients: Vec<Tensor> = self.members().filter_map(Member::gradient).collect();
        match no_grad(|| total_norm(&gradients)) {
            Some(norm) => norm.to_kind(Kind::Float),
            None => Tensor::zeros([], (Kind::Float, self.device())),
        }
    }

    /// One step with the scheduled `learning_rate` (groups with a fixed one use the peak). A parameter without a
    /// gradient is left as it is, its momentum too. Nothing is changed if `found_inf` (one float32 on the parameters'
    /// device, see [`not_finite`]) holds 1.
    pub fn step(&mut self, learning_rate: f64, found_inf: Option<&Tensor>) {
        no_grad(|| {
            self.clip_gradients();
            for group in &self.groups {
                group.step(
                    &self.settings,
                    group.learning_rate(learning_rate, self.peak_learning_rate),
                    found_inf,
                );
            }
        });
    }

    /// Forgets what was learnt of the gradients of those parameters whose names begin with `prefix`, as if they had taken no step.
    pub fn forget(&mut self, prefix: &str) {
        let forgotten = self.members().filter(|member| member.name.starts_with(prefix));
        let states = forgotten.flat_map(|member| &member.state);
        no_grad(|| states.for_each(|state| drop(state.shallow_clone().zero_())));
    }

    /// The state as named tensors: `momentum.<name>` for each parameter, and for Adam also `square.<name>` and `steps.<name>`. They
    /// share memory with the optimizer: save them before the next step.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let named = self.members().flat_map(Member::named_state);
        named.map(|(name, state)| (name, state.shallow_clone())).collect()
    }

    /// Takes over a state as [`Optimizer::state`] gives it; on an error nothing is changed.
    ///
    /// # Errors
    /// [`StateError`] unless the state holds exactly this optimizer's tensors.
    pub fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<(), StateError> {
        let mut found = HashMap::new();
        for (name, tensor) in state {
            if found.insert(name.as_str(), tensor).is_some() {
                return Err(StateError::Unexpected { name: name.clone() });
            }
        }
        let mut pairs = Vec::with_capacity(found.len());
        for (name, state) in self.members().flat_map(Member::named_state) {
            let Some(tensor) = found.remove(name.as_str()) else {
                return Err(StateError::Missing { name });
            };
            accepts(name, state, tensor)?;
            pairs.push((state.shallow_clone(), tensor));
        }
        if let Some(name) = found.keys().min() {
            return Err(StateError::Unexpected { name: (*name).to_owned() });
        }
        no_grad(|| pairs.iter_mut().for_each(|(state, tensor)| state.copy_(tensor)));
        Ok(())
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.groups.iter().flat_map(|group| &group.members)
    }

    fn device(&self) -> Device {
        self.members().next().map_or(Device::Cpu, |member| member.parameter.device())
    }

    /// Scales the gradients down to the limit, as `torch.nn.utils.clip_grad_norm_` does.
    fn clip_gradients(&self) {
        let limit = self.settings.clip_gradient_norm;
        if limit > 0.0 {
            let factor = (limit / (self.gradient_norm() + 1e-6)).clamp_max(1.0);
            for mut gradient in self.members().filter_map(Member::gradient) {
                let _ = gradient.multiply_(&factor);
            }
        }
    }
}

impl Group {
    fn new(
        rule: &GroupRule,
        name: &str,
        (kind, weight_decay): (OptimizerKind, f64),
        parameters: &[&(String, Tensor)],
    ) -> Self {
        let members = parameters.iter().map(|(name, parameter)| Member::new(name, parameter, kind)).collect();
        Self { name: name.to_owned(), rate: rule.rate, weight_decay, members }
    }

    fn learning_rate(&self, scheduled: f64, peak: f64) -> f64 {
        match self.rate {
            GroupRate::Scheduled(factor) => scheduled * factor,
            GroupRate::Fixed => peak,
        }
    }

    fn step(&self, settings: &OptimizerSettings, learning_rate: f64, found_inf: Option<&Tensor>) {
        let (mut parameters, mut gradients) = (Vec::new(), Vec::new());
        let mut states: [Vec<Tensor>; STATE.len()] = Default::default();
        for member in &self.members {
            if let Some(gradient) = member.gradient() {
                gradients.push(self.update(settings, &member.parameter, gradient));
                parameters.push(member.parameter.shallow_clone());
                states
                    .iter_mut()
                    .zip(&member.state)
                    .for_each(|(list, state)| list.push(state.shallow_clone()));
            }
        }
        if parameters.is_empty() {
            return;
        }
        let [momenta, squares, steps] = states;
        if settings.kind == OptimizerKind::Adam {
            let state = AdamState { moments: &momenta, squares: &squares, steps: &steps };
            return fused_adam(
                &parameters,
                &gradients,
                &state,
                (learning_rate, self.weight_decay),
                found_inf,
            );
        }
        // LARS has already added the weight decay to the gradient, because the trust ratio scales it too.
        let weight_decay = if settings.kind == OptimizerKind::Lars { 0.0 } else { self.weight_decay };
        let step = SgdStep { learning_rate, momentum: settings.momentum, weight_decay, first_step: false };
        fused_sgd(&parameters, &gradients, &momenta, step, found_inf);
    }

    /// The update that enters the momentum, in the parameter's memory layout.
    fn update(&self, settings: &OptimizerSettings, parameter: &Tensor, gradient: Tensor) -> Tensor {
        let update = match settings.kind {
            OptimizerKind::Sgd | OptimizerKind::Adam => gradient,
            OptimizerKind::Lars => {
                lars::scaled_gradient(parameter, &gradient, self.weight_decay, settings.trust_coefficient)
            }
        };
        in_layout_of(parameter, update)
    }

    fn summary(&self, peak: f64) -> GroupSummary {
        GroupSummary {
            name: self.name.clone(),
            tensors: self.members.len(),
            parameters: self.members.iter().map(|member| member.parameter.numel() as u64).sum(),
            peak_learning_rate: self.learning_rate(peak, peak),
            fixed: self.rate == GroupRate::Fixed,
            weight_decay: self.weight_decay,
        }
    }
}

impl Member {
    fn new(name: &str, parameter: &Tensor, kind: OptimizerKind) -> Self {
        let zeros = || no_grad(|| parameter.zeros_like());
        let state = match kind {
            OptimizerKind::Sgd | OptimizerKind::Lars => vec![zeros()],
            OptimizerKind::Adam => {
                vec![zeros(), zeros(), Tensor::zeros([], (Kind::Float, parameter.device()))]
            }
        };
        Self { name: name.to_owned(), parameter: parameter.shallow_clone(), state }
    }

    fn gradient(&self) -> Option<Tensor> {
        Some(self.parameter.grad()).filter(Tensor::defined)
    }

    fn named_state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        STATE.iter().zip(&self.state).map(|(prefix, state)| (format!("{prefix}{}", self.name), state))
    }
}

fn accepts(name: String, expected: &Tensor, found: &Tensor) -> Result<(), StateError> {
    let describe = |tensor: &Tensor| format!("{:?} {:?}", tensor.kind(), tensor.size());
    let (expected, found) = (describe(expected), describe(found));
    if expected == found { Ok(()) } else { Err(StateError::Mismatch { name, expected, found }) }
}

/// Whether a parameter belongs to a norm: the weight beside it, or itself, has one axis. Those of other layers have more.
fn is_of_norm(name: &str, dims: &HashMap<&str, usize>) -> bool {
    let layer = name.rsplit_once('.').map_or("", |(layer, _)| layer);
    dims.get(format!("{layer}.weight").as_str()) == Some(&1)
}

/// `tensor` with the strides of `parameter`: the fused kernel treats both as flat memory, and would mix the elements of
/// a channels_last kernel with those of a contiguous gradient. Copied only if the order in memory differs.
fn in_layout_of(parameter: &Tensor, tensor: Tensor) -> Tensor {
    let (size, expected, found) = (parameter.size(), parameter.stride(), tensor.stride());
    if expected == found {
        return tensor;
    }
    // The stride along a side of length 1, as in 1x1 kernels, has no effect.
    if (0..size.len()).all(|axis| size[axis] == 1 || expected[axis] == found[axis]) {
        return tensor.as_strided(size, expected, None);
    }
    let mut copy = parameter.empty_like();
    copy.copy_(&tensor);
    copy
}

/// 1 if `value` (a scalar, such as a gradient norm or a loss) is infinite or not a number, else 0: a float32 scalar on
/// its device, for [`Optimizer::step`].
pub fn not_finite(value: &Tensor) -> Tensor {
    value.isfinite().logical_not().to_kind(Kind::Float)
}

#[cfg(test)]
mod tests;
