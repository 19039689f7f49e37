//! What libtorch has, Rust needs and tch lacks, through a small C++ file (`torch_ext.cpp`).
//!
//! All unsafe code of the workspace is here. A `tch::Tensor` holds a pointer to a C++ `at::Tensor`; the C++ side
//! borrows those for the length of a call and keeps none.

use std::ffi::{CStr, c_char, c_void};

use tch::Tensor;

unsafe extern "C" {
    fn torch_ext_free(text: *mut c_char);
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
    fn torch_ext_convolution(
        input: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        stride: i64,
        padding: i64,
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
        views: i64,
        momentum: f64,
        epsilon: f64,
        output: *mut *mut c_void,
        again: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_norm_convolution(
        input: *const c_void,
        norm_weight: *const c_void,
        norm_bias: *const c_void,
        running_mean: *const c_void,
        running_var: *const c_void,
        relu: bool,
        views: i64,
        momentum: f64,
        epsilon: f64,
        weight: *const c_void,
        bias: *const c_void,
        stride: i64,
        padding: i64,
        output: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_sample(map: *const c_void, grid: *const c_void, output: *mut *mut c_void) -> *mut c_char;
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

fn pointer(tensor: Option<&Tensor>) -> *const c_void {
    tensor.map_or(std::ptr::null(), |tensor| tensor.as_ptr() as *const c_void)
}

fn pointers(tensors: &[Tensor]) -> Vec<*const c_void> {
    tensors.iter().map(|tensor| tensor.as_ptr() as *const c_void).collect()
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

/// A convolution of `input` `[B, in, H, W]` with `weight` `[out, in, k, k]` and `bias` `[out]`, with gradients. On a
/// processor with AVX2 a 3x3 one in float32 of stride 1, padding 1 and channels in multiples of 16 goes by Winograd's
/// F(4x4, 3x3), which takes a quarter of the products and is exact to about 1e-5 of the outputs' deviation; the gradient
/// of a 1x1 one's weights in bfloat16 goes by one product of matrices; all else by libtorch.
///
/// # Panics
/// When the shapes do not fit: a contract of the caller.
pub fn convolution(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    [stride, padding]: [i64; 2],
) -> Tensor {
    // SAFETY: pointers to tensors that outlive the call, or null; C++ throws are returned.
    tensor_from("convolution", |output| unsafe {
        let (input, weight) = (pointer(Some(input)), pointer(Some(weight)));
        torch_ext_convolution(input, weight, pointer(bias), stride, padding, output)
    })
}

/// What batch norm is to do, besides normalising.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'t> {
    /// Weight and bias, `[C]` each.
    pub affine: Option<(&'t Tensor, &'t Tensor)>,
    /// Running mean and variance, `[C]` each.
    pub running: (&'t Tensor, &'t Tensor),
    /// In training: how many equal parts of the batch have each their own statistics, which one after the other move the
    /// running ones by `momentum` (the variance unbiased). 0 normalises by the running ones.
    pub views: i64,
    /// Share of a view in the running statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
    /// Added to the normalised values, of the input's shape.
    pub residual: Option<&'t Tensor>,
    /// Whether ReLU follows.
    pub relu: bool,
}

/// Normalises `input` `[B, C, H, W]` or `[rows, C]`, adds the residual, applies ReLU, with gradients. On a processor with
/// AVX2, for maps in float32 or bfloat16, one sweep over memory for what libtorch needs three for; else by libtorch.
///
/// The output comes twice, over the same memory: given to two uses, their gradients are summed within the sweep.
///
/// # Panics
/// When the shapes do not fit, or a view to train on has one value a channel: contracts of the caller.
pub fn batch_norm(input: &Tensor, norm: BatchNorm<'_>) -> [Tensor; 2] {
    let mut again = std::ptr::null_mut();
    // SAFETY: pointers to tensors that outlive the call, or null; C++ throws are returned.
    let output = tensor_from("batch_norm", |output| unsafe {
        torch_ext_batch_norm(
            pointer(Some(input)),
            pointer(norm.affine.map(|(weight, _)| weight)),
            pointer(norm.affine.map(|(_, bias)| bias)),
            pointer(Some(norm.running.0)),
            pointer(Some(norm.running.1)),
            pointer(norm.residual),
            norm.relu,
            norm.views,
            norm.momentum,
            norm.epsilon,
            output,
            &mut again,
        )
    });
    // SAFETY: no failure, so `again` is a new at::Tensor too.
    [output, unsafe { Tensor::from_ptr(again.cast()) }]
}

/// A batch norm, affine and without residual, of `input` `[B, in, H, W]`, and then a convolution, with gradients; or of
/// `[rows, in]`, and then a linear layer of weight `[out, in]`. As [`batch_norm`] and [`convolution`] one after the other, but where those have kernels the map between them is not kept
/// for backward, but made again there.
///
/// # Panics
/// As those two, and when the norm has a residual or no weight: contracts of the caller.
pub fn norm_convolution(
    input: &Tensor,
    norm: BatchNorm<'_>,
    weight: &Tensor,
    bias: Option<&Tensor>,
    [stride, padding]: [i64; 2],
) -> Tensor {
    assert!(norm.residual.is_none(), "norm_convolution: a residual");
    // SAFETY: pointers to tensors that outlive the call, or null; C++ throws are returned.
    tensor_from("norm_convolution", |output| unsafe {
        torch_ext_norm_convolution(
            pointer(Some(input)),
            pointer(norm.affine.map(|(weight, _)| weight)),
            pointer(norm.affine.map(|(_, bias)| bias)),
            pointer(Some(norm.running.0)),
            pointer(Some(norm.running.1)),
            norm.relu,
            norm.views,
            norm.momentum,
            norm.epsilon,
            pointer(Some(weight)),
            pointer(bias),
            stride,
            padding,
            output,
        )
    })
}

/// `map` `[B, C, h, w]` read at `grid` `[B, H, W, 2]`, (x, y) from -1 to 1 over the map: bilinear, border padding,
/// `align_corners = false`; `[B, C, H, W]` in the map's kind, computed in the grid's. With a gradient for the map; on a
/// processor with AVX2, for a float32 grid without gradient, by vectors over channels, else by libtorch.
///
/// # Panics
/// When the shapes do not fit: a contract of the caller.
pub fn sample(map: &Tensor, grid: &Tensor) -> Tensor {
    // SAFETY: two tensors that outlive the call; C++ throws are returned.
    tensor_from("sample", |output| unsafe {
        torch_ext_sample(pointer(Some(map)), pointer(Some(grid)), output)
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
        let output = convolution(&input, &weight, None, [1, 1]);
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
        let found = convolution(&input, &weight, None, [1, 1]);
        assert!(found.allclose(&expected, 1e-6, 1e-6, false));
        let kind = Kind::BFloat16;
        assert_eq!(convolution(&input.to_kind(kind), &weight.to_kind(kind), None, [1, 1]).kind(), kind);
    }

    #[test]
    fn a_1x1_convolution_in_bfloat16_agrees_with_the_definition_in_float64() {
        // The last has rows enough for each thread to sum its own.
        for (batch, channels, out, side) in [(2, 16, 8, 5), (3, 7, 11, 4), (16, 8, 24, 32)] {
            let round = |tensor: Tensor| tensor.to_kind(Kind::BFloat16);
            let given = [
                round(noise(&[batch, channels, side, side], 1)),
                round(noise(&[out, channels, 1, 1], 2)),
                round(noise(&[out], 3)),
            ];
            let results = |kind: Kind| {
                let [input, weight, bias] = given
                    .each_ref()
                    .map(|tensor| tensor.to_kind(kind).detach().copy().set_requires_grad(true));
                let unbiased = convolution(&input, &weight, None, [1, 0]);
                let output = convolution(&input, &weight, Some(&bias), [1, 0]) + unbiased * 0.25;
                (&output * &output).to_kind(Kind::Double).sum(Kind::Double).backward();
                [output.detach(), input.grad(), weight.grad(), bias.grad()].map(|x| x.to_kind(Kind::Double))
            };
            let (found, expected) = (results(Kind::BFloat16), results(Kind::Double));
            for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let error = (found - expected).abs().max().double_value(&[]);
                let scale = expected.abs().max().double_value(&[]);
                assert!(error < 0.01 * scale, "{place} of {:?}: {error:e} of {scale:e}", given[0].size());
            }
        }
    }

    #[test]
    fn sampling_agrees_with_libtorch() {
        // Points outside, on borders and between; maps of one cell; channels that fill no vector.
        for (channels, height, width) in [(5, 4, 7), (32, 1, 1), (17, 3, 1)] {
            let grid = noise(&[3, 6, 5, 2], 2) * 0.8;
            for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::BFloat16, 0.01)] {
                let map = noise(&[3, channels, height, width], 1).to_kind(kind);
                let results = |map: &Tensor, grid: &Tensor| {
                    let map = map.detach().copy().set_requires_grad(true);
                    let out = sample(&map, grid);
                    (&out * &out).to_kind(Kind::Double).sum(Kind::Double).backward();
                    [out.detach(), map.grad()].map(|tensor| tensor.to_kind(Kind::Double))
                };
                let found = results(&map, &grid);
                let expected = results(&map.to_kind(Kind::Double), &grid.to_kind(Kind::Double));
                for (found, expected) in found.iter().zip(&expected) {
                    let error = (found - expected).abs().max().double_value(&[]);
                    let scale = expected.abs().max().double_value(&[]);
                    assert!(error < 10.0 * tolerance * scale, "{channels} {kind:?}: {error:e} of {scale:e}");
                }
            }
        }
    }

    /// Output, running statistics, and the gradients of input, residual, weight and bias, of a sum of cubes; parameters
    /// and statistics of `kind`, as the maps are but for bfloat16's.
    fn norm_results(input: &Tensor, residual: Option<&Tensor>, relu: bool, kind: Kind) -> Vec<Tensor> {
        let channels = input.size()[1];
        let leaf = |tensor: &Tensor| tensor.detach().copy().set_requires_grad(true);
        let (input, residual) = (leaf(input), residual.map(leaf));
        let ramp = |from: f64| leaf(&Tensor::linspace(from, from + 1.0, channels, (kind, Device::Cpu)));
        let (weight, bias) = (ramp(-0.3), ramp(-0.5));
        let running = [0.5, 2.0].map(|value| Tensor::full([channels], value, (kind, Device::Cpu)));
        let norm = BatchNorm {
            affine: Some((&weight, &bias)),
            running: (&running[0], &running[1]),
            views: 1,
            momentum: 0.1,
            epsilon: 1e-5,
            residual: residual.as_ref(),
            relu,
        };
        let [output, _] = batch_norm(&input, norm);
        (&output * &output * &output).to_kind(kind).sum(kind).backward();
        let mut results = vec![output.detach()];
        results.extend(running);
        results.extend([input.grad(), weight.grad(), bias.grad()]);
        results.extend(residual.map(|residual| residual.grad()));
        results.iter().map(|tensor| tensor.to_kind(Kind::Double)).collect()
    }

    #[test]
    fn batch_norm_agrees_with_libtorch_in_float64() {
        for shape in [vec![8, 64, 10, 9], vec![200, 11], vec![3, 5, 1, 2], vec![300, 128]] {
            // A mean far from 0 is where a careless variance fails.
            let input = noise(&shape, 1) * 2.0 + 30.0;
            let residual = noise(&shape, 2);
            // bfloat16 has 8 bits, and the cubes' gradient is rounded twice more before it arrives.
            for (kind, tolerance) in [(Kind::Float, 1e-4), (Kind::BFloat16, 0.02)] {
                let (input, residual) = (input.to_kind(kind), residual.to_kind(kind));
                for (residual, relu) in
                    [(None, true), (None, false), (Some(&residual), true), (Some(&residual), false)]
                {
                    let double = |map: &Tensor| map.to_kind(Kind::Double);
                    let found = norm_results(&input, residual, relu, Kind::Float);
                    let expected =
                        norm_results(&double(&input), residual.map(double).as_ref(), relu, Kind::Double);
                    for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let error = (found - expected).abs().max().double_value(&[]);
                        let scale = expected.abs().max().double_value(&[]);
                        assert!(
                            error < tolerance * scale,
                            "{place} of {shape:?}, {kind:?}, ReLU {relu}: {error:e} of {scale:e}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_bfloat16_map_stays_one_and_rounds_once() {
        let input = noise(&[64, 16, 3, 3], 1).to_kind(Kind::BFloat16);
        let running = [0.0, 1.0].map(|value| Tensor::full([16], value, (Kind::Float, Device::Cpu)));
        let norm = |residual| BatchNorm {
            affine: None,
            running: (&running[0], &running[1]),
            views: 1,
            momentum: 0.1,
            epsilon: 1e-5,
            residual,
            relu: false,
        };
        let [found, _] = batch_norm(&input, norm(Some(&input)));
        let whole = input.to_kind(Kind::Float);
        let [expected, _] = batch_norm(&whole, norm(Some(&whole)));
        assert_eq!(found.kind(), Kind::BFloat16);
        assert_eq!(found, expected.to_kind(Kind::BFloat16));
    }

    #[test]
    fn views_are_normalised_apart_and_gradients_of_two_uses_are_summed() {
        let (channels, kind) = (12, Kind::Float);
        let views = [noise(&[4, channels, 5, 3], 1), noise(&[4, channels, 5, 3], 2) * 3.0 + 1.0];
        let residuals = [noise(&[4, channels, 5, 3], 3), noise(&[4, channels, 5, 3], 4)];
        let leaf = |tensor: &Tensor| tensor.detach().copy().set_requires_grad(true);
        // Both uses have a gradient, by turns of a different size.
        let results = |parts: &[(Tensor, Tensor)], count: i64| {
            let affine = [0.5, -0.2].map(|value| leaf(&Tensor::full([channels], value, (kind, Device::Cpu))));
            let running = [0.0, 1.0].map(|value| Tensor::full([channels], value, (kind, Device::Cpu)));
            let mut all: [Vec<Tensor>; 3] = Default::default();
            for (input, residual) in parts {
                let (input, residual) = (leaf(input), leaf(residual));
                let norm = BatchNorm {
                    affine: Some((&affine[0], &affine[1])),
                    running: (&running[0], &running[1]),
                    views: count,
                    momentum: 0.1,
                    epsilon: 1e-5,
                    residual: Some(&residual),
                    relu: true,
                };
                let [one, two] = batch_norm(&input, norm);
                ((&one * &one).sum(kind) + two.sum(kind) * 0.3).backward();
                for (all, found) in all.iter_mut().zip([one.detach(), input.grad(), residual.grad()]) {
                    all.push(found);
                }
            }
            let mut results: Vec<Tensor> = all.iter().map(|parts| Tensor::cat(parts, 0)).collect();
            results.extend(affine.map(|parameter| parameter.grad()));
            results.extend(running);
            results
        };
        let stacked = |parts: &[Tensor; 2]| Tensor::cat(parts, 0);
        let together = results(&[(stacked(&views), stacked(&residuals))], 2);
        let [one, two] = views.each_ref().map(Tensor::shallow_clone);
        let [with_one, with_two] = residuals.each_ref().map(Tensor::shallow_clone);
        let apart = results(&[(one, with_one), (two, with_two)], 1);
        for (place, (together, apart)) in together.iter().zip(&apart).enumerate() {
            assert!(together.allclose(apart, 1e-5, 1e-5, false), "{place}");
        }
    }

    #[test]
    fn a_norm_and_a_convolution_together_are_the_two_apart() {
        // A kernel of 0 is a linear layer.
        for (kind, out, kernel, stride, bias) in [
            (Kind::Float, 9, 0, 1, true),
            (Kind::BFloat16, 9, 0, 1, false),
            (Kind::Double, 9, 0, 1, true),
            (Kind::Float, 32, 3, 1, false),
            (Kind::Float, 5, 1, 1, true),
            (Kind::BFloat16, 32, 3, 2, false),
            (Kind::BFloat16, 7, 1, 1, true),
            (Kind::Double, 6, 3, 1, false),
        ] {
            let parameters = if kind == Kind::Double { kind } else { Kind::Float };
            let results = |together: bool| {
                let leaf =
                    |tensor: Tensor, kind| tensor.to_kind(kind).detach().copy().set_requires_grad(true);
                let rows = kernel == 0;
                let (of_input, of_weight): (&[i64], &[i64]) =
                    if rows { (&[40, 16], &[out, 16]) } else { (&[4, 16, 6, 6], &[out, 16, kernel, kernel]) };
                let input = leaf(noise(of_input, 1) * 2.0 + 1.0, kind);
                let weight = leaf(noise(of_weight, 2), kind);
                let bias = bias.then(|| leaf(noise(&[out], 3), kind));
                let affine = [4, 5].map(|seed| leaf(noise(&[16], seed), parameters));
                let running = [0.0, 1.0].map(|value| Tensor::full([16], value, (parameters, Device::Cpu)));
                let norm = BatchNorm {
                    affine: Some((&affine[0], &affine[1])),
                    running: (&running[0], &running[1]),
                    views: 2,
                    momentum: 0.1,
                    epsilon: 1e-5,
                    residual: None,
                    relu: true,
                };
                let by = [stride, kernel / 2];
                let output = if together {
                    norm_convolution(&input, norm, &weight, bias.as_ref(), by)
                } else {
                    let [normalised, _] = batch_norm(&input, norm);
                    if rows {
                        normalised.linear(&weight, bias.as_ref())
                    } else {
                        convolution(&normalised, &weight, bias.as_ref(), by)
                    }
                };
                (&output * &output).sum(kind).backward();
                let mut results = vec![output.detach(), input.grad(), weight.grad()];
                results.extend(affine.iter().chain(&bias).map(Tensor::grad));
                results.extend(running);
                results
            };
            for (place, (together, apart)) in results(true).iter().zip(&results(false)).enumerate() {
                assert_eq!(together, apart, "{place} in {kind:?}");
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
