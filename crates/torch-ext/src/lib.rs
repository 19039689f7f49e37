//! What libtorch has, Rust needs and tch lacks, through a small C++ file (`torch_ext.cpp`).
//!
//! All unsafe code of the workspace is here. A `tch::Tensor` holds a pointer to a C++ `at::Tensor`; the C++ side
//! borrows those for the length of a call and keeps none.

use std::ffi::{CStr, c_char, c_void};

use tch::Tensor;

unsafe extern "C" {
    fn torch_ext_free(text: *mut c_char);
    fn torch_ext_keep_freed_memory();
    fn torch_ext_show_config() -> *mut c_char;
    fn torch_ext_fused_sgd(
        parameters: *const *const c_void,
        gradients: *const *const c_void,
        momentum_buffers: *const *const c_void,
        count: usize,
        weight_decay: f64,
        momentum: f64,
        learning_rate: f64,
        first_step: bool,
        found_inf: *const c_void,
    ) -> *mut c_char;
    fn torch_ext_clear_gradients(parameters: *const *const c_void, count: usize) -> *mut c_char;
    fn torch_ext_total_norm(
        tensors: *const *const c_void,
        count: usize,
        norm: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_convolution_3x3(
        input: *const c_void,
        weight: *const c_void,
        output: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_batch_norm(
        input: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        running_mean: *const c_void,
        running_var: *const c_void,
        residual: *const c_void,
        relu: bool,
        train: bool,
        momentum: f64,
        epsilon: f64,
        output: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_cuda_has_bf16() -> bool;
}

/// Takes over a C string made by `strdup`, or `None` for null.
fn owned(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, so a NUL-terminated string of strdup that is ours to free, once, here.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        torch_ext_free(text);
        Some(owned)
    }
}

/// The tensor that a C++ function leaves behind its last pointer, unless it returns a message.
///
/// # Panics
/// With that message: contracts of the callers.
fn tensor_from(name: &str, call: impl FnOnce(*mut *mut c_void) -> *mut c_char) -> Tensor {
    let mut tensor = std::ptr::null_mut();
    if let Some(message) = owned(call(&mut tensor)) {
        panic!("{name}: {message}");
    }
    // SAFETY: no failure, so `tensor` is a new at::Tensor that nobody else owns.
    unsafe { Tensor::from_ptr(tensor.cast()) }
}

fn pointers(tensors: &[Tensor]) -> Vec<*const c_void> {
    tensors.iter().map(|tensor| tensor.as_ptr() as *const c_void).collect()
}

/// Tells the C library to keep freed memory for the next tensors rather than hand it back to the system: each step takes
/// and frees the same large tensors, and having the system clear their pages anew costs about a fifth of a step. To be
/// called once, first of all; does nothing where the C library is not glibc.
pub fn keep_freed_memory() {
    // SAFETY: takes nothing, sets options of malloc.
    unsafe { torch_ext_keep_freed_memory() }
}

/// How the loaded libtorch was built: version, compiler, processor capability in use, libraries.
pub fn show_config() -> String {
    // SAFETY: takes nothing and returns a string of strdup.
    owned(unsafe { torch_ext_show_config() }).unwrap_or_default()
}

/// The settings of one group of a fused SGD step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Momentum factor, 0 for none.
    pub momentum: f64,
    /// Weight decay, added to the gradient (not decoupled).
    pub weight_decay: f64,
    /// Whether the momentum buffers hold nothing yet and are to be set to the gradient.
    pub first_step: bool,
}

/// One step of SGD with momentum over lists of equal length, in place and in one pass over memory, as
/// `torch.optim.SGD` computes it. Where `found_inf` (one float32) holds 1, nothing is changed: a step can be
/// skipped without asking the device.
///
/// # Panics
/// When the lists differ in length, a gradient's or buffer's strides differ from its parameter's (the kernel walks all
/// three as flat memory), or libtorch refuses their shapes, types or devices: contracts of the caller.
pub fn fused_sgd(
    parameters: &[Tensor],
    gradients: &[Tensor],
    momentum_buffers: &[Tensor],
    step: SgdStep,
    found_inf: Option<&Tensor>,
) {
    assert!(parameters.len() == gradients.len() && parameters.len() == momentum_buffers.len());
    let (parameters, gradients, buffers) =
        (pointers(parameters), pointers(gradients), pointers(momentum_buffers));
    // SAFETY: the three lists hold `count` pointers to tensors that outlive the call; C++ throws are returned.
    let failure = owned(unsafe {
        torch_ext_fused_sgd(
            parameters.as_ptr(),
            gradients.as_ptr(),
            buffers.as_ptr(),
            parameters.len(),
            step.weight_decay,
            step.momentum,
            step.learning_rate,
            step.first_step,
            found_inf.map_or(std::ptr::null(), |tensor| tensor.as_ptr() as *const c_void),
        )
    });
    if let Some(message) = failure {
        panic!("fused_sgd: {message}");
    }
}

/// Sets `.grad` of every parameter to undefined (PyTorch's `None`): what gets no gradient in the next backward pass
/// can then be told from what gets a zero one.
///
/// # Panics
/// When libtorch refuses: a tensor that is not a leaf, a contract of the caller.
pub fn clear_gradients(parameters: &[Tensor]) {
    let pointers = pointers(parameters);
    // SAFETY: `count` pointers to tensors that outlive the call; C++ throws are returned.
    let failure = owned(unsafe { torch_ext_clear_gradients(pointers.as_ptr(), pointers.len()) });
    if let Some(message) = failure {
        panic!("clear_gradients: {message}");
    }
}

/// The Euclidean norm of all tensors taken as one vector: a scalar of their type, computed on their device and left
/// there. `None` for an empty list.
///
/// # Panics
/// When the tensors differ in device or type, or are not of floating point: contracts of the caller.
pub fn total_norm(tensors: &[Tensor]) -> Option<Tensor> {
    if tensors.is_empty() {
        return None;
    }
    let pointers = pointers(tensors);
    // SAFETY: `count` pointers to tensors that outlive the call; C++ throws are returned.
    let norm = |norm| unsafe { torch_ext_total_norm(pointers.as_ptr(), pointers.len(), norm) };
    Some(tensor_from("total_norm", norm))
}

/// A convolution of `input` `[B, in, H, W]` with `weight` `[out, in, 3, 3]`, stride 1, padding 1, with gradients. In
/// float32 on a processor with AVX2 and for channels in multiples of 16 by Winograd's F(4x4, 3x3), which takes a quarter of
/// the products and is exact to about 1e-5 of the outputs' deviation; else by libtorch.
///
/// # Panics
/// When the shapes do not fit: a contract of the caller.
pub fn convolution_3x3(input: &Tensor, weight: &Tensor) -> Tensor {
    let [input, weight] = [input, weight].map(|tensor| tensor.as_ptr() as *const c_void);
    // SAFETY: two tensors that outlive the call; C++ throws are returned.
    tensor_from("convolution_3x3", |output| unsafe { torch_ext_convolution_3x3(input, weight, output) })
}

/// What batch norm is to do, besides normalising.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'t> {
    /// Weight and bias, `[C]` each.
    pub affine: Option<(&'t Tensor, &'t Tensor)>,
    /// Running mean and variance, `[C]` each.
    pub running: (&'t Tensor, &'t Tensor),
    /// Use the batch's statistics, and move the running ones by `momentum` (the variance unbiased).
    pub train: bool,
    /// Share of the batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
    /// Added to the normalised values, of the input's shape.
    pub residual: Option<&'t Tensor>,
    /// Whether ReLU follows.
    pub relu: bool,
}

/// Normalises `input` `[B, C, H, W]` or `[rows, C]`, adds the residual, applies ReLU, with gradients. In float32 on a
/// processor with AVX2 one sweep over memory for what libtorch needs three for; else by libtorch.
///
/// # Panics
/// When the shapes do not fit, or a batch to train on has one value a channel: contracts of the caller.
pub fn batch_norm(input: &Tensor, norm: BatchNorm<'_>) -> Tensor {
    let pointer =
        |tensor: Option<&Tensor>| tensor.map_or(std::ptr::null(), |tensor| tensor.as_ptr() as *const c_void);
    // SAFETY: pointers to tensors that outlive the call, or null; C++ throws are returned.
    tensor_from("batch_norm", |output| unsafe {
        torch_ext_batch_norm(
            pointer(Some(input)),
            pointer(norm.affine.map(|(weight, _)| weight)),
            pointer(norm.affine.map(|(_, bias)| bias)),
            pointer(Some(norm.running.0)),
            pointer(Some(norm.running.1)),
            pointer(norm.residual),
            norm.relu,
            norm.train,
            norm.momentum,
            norm.epsilon,
            output,
        )
    })
}

/// Whether the current CUDA device computes bf16 convolutions in hardware (compute capability 8.0 on). False where
/// there is no CUDA.
pub fn cuda_has_bf16() -> bool {
    // SAFETY: takes nothing, asks libtorch's hooks.
    unsafe { torch_ext_cuda_has_bf16() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use densesiam_random::{Key, Purpose};
    use rand_distr::{Distribution, StandardNormal};
    use tch::{Device, Kind};

    /// Normal noise of this shape, float32.
    fn noise(shape: &[i64], seed: u64) -> Tensor {
        let stream = StandardNormal.sample_iter(Key::new(seed, Purpose::Demo).rng());
        let values: Vec<f32> = stream.take(shape.iter().product::<i64>() as usize).collect();
        Tensor::from_slice(&values).reshape(shape)
    }

    /// Output, input gradient and weight gradient of a sum of squares.
    fn results(input: &Tensor, weight: &Tensor, kind: Kind) -> [Tensor; 3] {
        let leaf = |tensor: &Tensor| tensor.to_kind(kind).detach().set_requires_grad(true);
        let (input, weight) = (leaf(input), leaf(weight));
        let output = convolution_3x3(&input, &weight);
        (&output * &output).sum(kind).backward();
        [output.detach(), input.grad(), weight.grad()].map(|tensor| tensor.to_kind(Kind::Double))
    }

    #[test]
    fn a_3x3_convolution_in_float32_agrees_with_the_definition_in_float64() {
        for (batch, channels, out, height, width) in [
            (2, 16, 16, 4, 4),
            (3, 32, 16, 5, 9),
            (1, 64, 128, 7, 3),
            (5, 16, 48, 1, 2),
            (40, 64, 64, 13, 10),
        ] {
            let input = noise(&[batch, channels, height, width], 1);
            let weight = noise(&[out, channels, 3, 3], 2) / (9.0 * channels as f64).sqrt();
            let found = results(&input, &weight, Kind::Float);
            let expected = results(&input, &weight, Kind::Double);
            for (name, (found, expected)) in
                ["output", "input gradient", "weight gradient"].iter().zip(found.iter().zip(&expected))
            {
                let error = (found - expected).abs().max().double_value(&[]);
                let scale = expected.std(false).double_value(&[]);
                assert!(error < 1e-4 * scale, "{name} of {:?}: {error:e} of {scale:e}", input.size());
            }
        }
    }

    #[test]
    fn other_kinds_channels_and_layouts_are_served_too() {
        let (input, weight) = (noise(&[2, 3, 6, 6], 1), noise(&[5, 3, 3, 3], 2));
        let expected = input.conv2d::<&Tensor>(&weight, None, [1; 2], [1; 2], [1; 2], 1);
        assert!(convolution_3x3(&input, &weight).allclose(&expected, 1e-6, 1e-6, false));
        let half = convolution_3x3(&input.to_kind(Kind::BFloat16), &weight.to_kind(Kind::BFloat16));
        assert_eq!(half.kind(), Kind::BFloat16);
    }

    /// Output, running statistics, and the gradients of input, residual, weight and bias, of a sum of cubes.
    fn norm_results(input: &Tensor, residual: Option<&Tensor>, relu: bool, kind: Kind) -> Vec<Tensor> {
        let channels = input.size()[1];
        let leaf = |tensor: &Tensor| tensor.to_kind(kind).detach().copy().set_requires_grad(true);
        let (input, residual) = (leaf(input), residual.map(leaf));
        let ramp = |from: f64| leaf(&Tensor::linspace(from, from + 1.0, channels, (kind, Device::Cpu)));
        let (weight, bias) = (ramp(-0.3), ramp(-0.5));
        let running = [0.5, 2.0].map(|value| Tensor::full([channels], value, (kind, Device::Cpu)));
        let norm = BatchNorm {
            affine: Some((&weight, &bias)),
            running: (&running[0], &running[1]),
            train: true,
            momentum: 0.1,
            epsilon: 1e-5,
            residual: residual.as_ref(),
            relu,
        };
        let output = batch_norm(&input, norm);
        (&output * &output * &output).sum(kind).backward();
        let mut results = vec![output.detach()];
        results.extend(running);
        results.extend([input.grad(), weight.grad(), bias.grad()]);
        results.extend(residual.map(|residual| residual.grad()));
        results.iter().map(|tensor| tensor.to_kind(Kind::Double)).collect()
    }

    #[test]
    fn batch_norm_in_float32_agrees_with_libtorch_in_float64() {
        for shape in [vec![8, 64, 10, 9], vec![200, 11], vec![3, 5, 1, 2], vec![300, 128]] {
            // A mean far from 0 is where a careless variance fails.
            let input = noise(&shape, 1) * 2.0 + 30.0;
            let residual = noise(&shape, 2);
            for (residual, relu) in
                [(None, true), (None, false), (Some(&residual), true), (Some(&residual), false)]
            {
                let found = norm_results(&input, residual, relu, Kind::Float);
                let expected = norm_results(&input, residual, relu, Kind::Double);
                for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let error = (found - expected).abs().max().double_value(&[]);
                    let scale = expected.abs().max().double_value(&[]);
                    assert!(
                        error < 1e-4 * scale,
                        "{place} of {shape:?}, ReLU {relu}: {error:e} of {scale:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_result_is_the_same_each_time() {
        let (input, weight) = (noise(&[8, 32, 20, 20], 1), noise(&[32, 32, 3, 3], 2));
        let first = results(&input, &weight, Kind::Float);
        for _ in 0..5 {
            let again = results(&input, &weight, Kind::Float);
            assert!(first.iter().zip(&again).all(|(a, b)| a == b));
        }
    }
}
