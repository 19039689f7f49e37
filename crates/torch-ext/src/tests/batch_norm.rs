//! Batch norm, alone and before a convolution.

use super::place::places;
use super::*;

/// Output, running statistics, and the gradients of input, residual, weight and bias, of a sum of cubes; parameters
/// and statistics of `kind`, as the maps are but for bfloat16's.
fn norm_results(input: &Tensor, residual: Option<&Tensor>, relu: bool, kind: Kind) -> Vec<Tensor> {
    let channels = input.size()[1];
    let leaf = |tensor: &Tensor| tensor.detach().copy().set_requires_grad(true);
    let (input, residual) = (leaf(input), residual.map(leaf));
    let device = input.device();
    let ramp = |from: f64| leaf(&Tensor::linspace(from, from + 1.0, channels, (kind, device)));
    let (weight, bias) = (ramp(-0.3), ramp(-0.5));
    let running = [0.5, 2.0].map(|value| Tensor::full([channels], value, (kind, device)));
    let norm = BatchNorm {
        affine: Some((&weight, &bias)),
        running: (&running[0], &running[1]),
        views: 1,
        momentum: 0.1,
        epsilon: 1e-5,
        residual: residual.as_ref(),
        relu,
        group: None,
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
    for place in places() {
        let device = place.device;
        let noise = |shape: &[i64], seed: u64| noise(shape, seed).to_device(device);
        let mut shapes =
            vec![vec![8, 64, 10, 9], vec![200, 11], vec![3, 5, 1, 2], vec![300, 264], vec![4, 264, 40, 40]];
        if device != Device::Cpu {
            // With the shapes above, each thread of a card has one row; with these it has many.
            shapes.extend([
                vec![64, 64, 56, 56],
                vec![16, 64, 112, 112],
                vec![64, 256, 28, 28],
                vec![1 << 20, 8],
            ]);
        }
        for shape in shapes {
            // A careless computation of the variance fails if the mean is far from 0.
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
}

#[test]
fn a_bfloat16_map_stays_one_and_rounds_once() {
    for place in places() {
        let device = place.device;
        let noise = |shape: &[i64], seed: u64| noise(shape, seed).to_device(device);
        let input = noise(&[64, 16, 3, 3], 1).to_kind(Kind::BFloat16);
        let running = [0.0, 1.0].map(|value| Tensor::full([16], value, (Kind::Float, device)));
        let norm = |residual| BatchNorm {
            affine: None,
            running: (&running[0], &running[1]),
            views: 1,
            momentum: 0.1,
            epsilon: 1e-5,
            residual,
            relu: false,
            group: None,
        };
        let [found, _] = batch_norm(&input, norm(Some(&input)));
        let whole = input.to_kind(Kind::Float);
        let [expected, _] = batch_norm(&whole, norm(Some(&whole)));
        assert_eq!(found.kind(), Kind::BFloat16);
        assert_eq!(found, expected.to_kind(Kind::BFloat16));
    }
}

#[test]
fn views_are_normalised_apart_and_gradients_of_two_uses_are_summed() {
    for place in places() {
        let device = place.device;
        let noise = |shape: &[i64], seed: u64| noise(shape, seed).to_device(device);
        let (channels, kind) = (12, Kind::Float);
        let views = [noise(&[4, channels, 5, 3], 1), noise(&[4, channels, 5, 3], 2) * 3.0 + 1.0];
        let residuals = [noise(&[4, channels, 5, 3], 3), noise(&[4, channels, 5, 3], 4)];
        let leaf = |tensor: &Tensor| tensor.detach().copy().set_requires_grad(true);
        // Both uses have a gradient; their sizes differ in turn.
        let results = |parts: &[(Tensor, Tensor)], count: i64| {
            let affine = [0.5, -0.2].map(|value| leaf(&Tensor::full([channels], value, (kind, device))));
            let running = [0.0, 1.0].map(|value| Tensor::full([channels], value, (kind, device)));
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
                    group: None,
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
            let leaf = |tensor: Tensor, kind| tensor.to_kind(kind).detach().copy().set_requires_grad(true);
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
                group: None,
            };
            let by = [stride, 1];
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
fn a_number_that_is_none_passes_relu() {
    for place in places() {
        let device = place.device;
        let noise = |shape: &[i64], seed: u64| noise(shape, seed).to_device(device);
        let input = noise(&[4, 16, 2, 2], 1);
        let _ = input.get(0).get(3).fill_(f64::NAN);
        let running = [0.0, 1.0].map(|value| Tensor::full([16], value, (Kind::Float, device)));
        let norm = BatchNorm {
            affine: None,
            running: (&running[0], &running[1]),
            views: 1,
            momentum: 0.1,
            epsilon: 1e-5,
            residual: None,
            relu: true,
            group: None,
        };
        let [output, _] = batch_norm(&input, norm);
        assert_eq!(
            output.isnan().any_dim(0, false).sum(Kind::Int64).int64_value(&[]),
            4,
            "a channel of 2 x 2"
        );
    }
}

#[test]
#[should_panic(expected = "a residual of")]
fn a_residual_of_another_shape_is_refused() {
    let input = noise(&[4, 16, 2, 2], 1);
    let running = [0.0, 1.0].map(|value| Tensor::full([16], value, (Kind::Float, Device::Cpu)));
    let residual = noise(&[4, 16, 1, 1], 2);
    let norm = BatchNorm {
        affine: None,
        running: (&running[0], &running[1]),
        views: 1,
        momentum: 0.1,
        epsilon: 1e-5,
        residual: Some(&residual),
        relu: true,
        group: None,
    };
    let _ = batch_norm(&input, norm);
}
