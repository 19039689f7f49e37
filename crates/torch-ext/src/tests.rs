//! The layers against libtorch in float64, and against themselves.

mod compiled;
mod cuda;
mod moments;
mod place;

use super::*;
use densesiam_random::{Key, Purpose};
use place::places;
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
    for (batch, channels, out, height, width) in
        [(2, 16, 16, 4, 4), (3, 32, 16, 5, 9), (1, 64, 128, 7, 3), (5, 16, 48, 1, 2), (40, 64, 64, 13, 10)]
    {
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
fn the_stem_agrees_with_the_definition_in_float64() {
    allow_tf32(false);
    // Sides odd and even.
    for (height, width) in [(32, 18), (7, 10), (8, 9)] {
        let (input, weight) = (noise(&[3, 3, height, width], 1), noise(&[16, 3, 7, 7], 2) / 12.0);
        let results = |kind: Kind, device: Device| {
            let weight = weight.to_kind(kind).to_device(device).copy().set_requires_grad(true);
            let output = convolution(&input.to_kind(kind).to_device(device), &weight, None, [2, 3]);
            (&output * &output).sum(kind).backward();
            [output.detach(), weight.grad()].map(|tensor| tensor.to_kind(Kind::Double).to_device(Device::Cpu))
        };
        let expected = results(Kind::Double, Device::Cpu);
        for place in places() {
            let device = place.device;
            for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 0.02)] {
                for (found, expected) in results(kind, device).iter().zip(&expected) {
                    let error = (found - expected).abs().max().double_value(&[]);
                    let scale = expected.abs().max().double_value(&[]);
                    assert!(
                        error < tolerance * scale,
                        "{height} x {width}, {kind:?}, {device:?}: {error:e} of {scale:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn uploaded_values_arrive() {
    let values: Vec<f64> = (0..12).map(f64::from).collect();
    for place in places() {
        let device = place.device;
        let found = upload(&values, &[3, 2, 2], device);
        assert_eq!((found.size(), found.device()), (vec![3, 2, 2], device));
        assert_eq!(Vec::<f64>::try_from(found.flatten(0, -1).to_device(Device::Cpu)).unwrap(), values);
        assert_eq!(upload::<u8>(&[], &[0, 3], device).size(), [0, 3]);
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

/// What oneDNN returned here in bfloat16 was up to 1e19, or another number at each call.
#[test]
fn a_stride_to_one_column_reads_nothing_beyond_its_map_in_bfloat16() {
    for (channels, height, width) in [(64, 9, 2), (256, 6, 2), (256, 4, 1), (64, 1, 1)] {
        let round = |tensor: Tensor| tensor.to_kind(Kind::BFloat16);
        let input = round(noise(&[2, channels, height, width], 1)).contiguous();
        let weight = round(noise(&[2 * channels, channels, 3, 3], 2) / (9.0 * channels as f64).sqrt());
        let results = |kind: Kind| {
            let leaf = |tensor: &Tensor| tensor.to_kind(kind).detach().set_requires_grad(true);
            let (input, weight) = (leaf(&input), leaf(&weight));
            let output = convolution(&input, &weight, None, [2, 1]);
            (&output * &output).sum(kind).backward();
            [output.detach(), input.grad(), weight.grad()].map(|tensor| tensor.to_kind(Kind::Double))
        };
        let expected = results(Kind::Double);
        for _ in 0..5 {
            // What lies in freed memory must not be found.
            drop(Tensor::full([1 << 16], f64::NAN, (Kind::Float, Device::Cpu)));
            for (found, expected) in results(Kind::BFloat16).iter().zip(&expected) {
                let error = (found - expected).abs().max().double_value(&[]);
                let scale = expected.abs().max().double_value(&[]);
                assert!(error < 0.03 * scale, "{height} x {width}: {error:e} of {scale:e}");
            }
        }
    }
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
            let [input, weight, bias] =
                given.each_ref().map(|tensor| tensor.to_kind(kind).detach().copy().set_requires_grad(true));
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
    for place in places() {
        let device = place.device;
        let noise = |shape: &[i64], seed: u64| noise(shape, seed).to_device(device);
        // Points outside, on borders and between; maps of one cell; channels that fill no vector.
        // The last has cells enough for a CUDA device to scatter rather than to gather.
        for (channels, height, width) in [(5, 4, 7), (32, 1, 1), (17, 3, 1), (64, 6, 5), (8, 50, 48)] {
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
}

#[test]
fn max_pooling_is_libtorchs_to_the_bit() {
    // Ties, NaN and infinities too; sides odd and even, of one; channels that fill no block.
    for (channels, height, width) in [(5, 4, 7), (64, 9, 8), (33, 1, 1), (32, 2, 1), (70, 3, 2)] {
        for kind in [Kind::Float, Kind::BFloat16] {
            let mut map = (noise(&[3, channels, height, width], 1) * 2.0).round();
            let specials = noise(&[3, channels, height, width], 2);
            for (above, value) in [(1.2, f64::NEG_INFINITY), (1.8, f64::INFINITY), (2.2, f64::NAN)] {
                map = map.masked_fill(&specials.gt(above), value);
            }
            let results = |(kind, device): (Kind, Device), pool: &dyn Fn(&Tensor) -> Tensor| {
                let map = map.to_kind(kind).to_device(device).copy().set_requires_grad(true);
                let out = pool(&map);
                let weights = noise(&out.size(), 3).to_kind(Kind::BFloat16).to_kind(kind);
                (&out * weights.to_device(device)).sum(kind).backward();
                [out.detach(), map.grad()].map(|tensor| tensor.to_kind(Kind::Float).to_device(Device::Cpu))
            };
            let libtorchs = |map: &Tensor| map.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
            let expected = results((Kind::Float, Device::Cpu), &libtorchs);
            for place in places() {
                let device = place.device;
                let found = results((kind, device), &max_pool);
                assert!(found[0].allclose(&expected[0], 0.0, 0.0, true), "{channels} {kind:?} {device:?}");
                // Sums of up to four gradients are rounded once; by libtorch, where there are no kernels, at each.
                let tolerance = if kind == Kind::Float { 0.0 } else { 0.02 };
                assert!(
                    found[1].allclose(&expected[1], tolerance, tolerance, false),
                    "{channels} {kind:?} {device:?}: gradient"
                );
            }
        }
    }
}

#[test]
fn the_contrast_is_eq_6() {
    for place in places() {
        let device = place.device;
        let noise = |shape: &[i64], seed: u64| noise(shape, seed).to_device(device);
        // More pictures than are taken at a time, which is one for 1500 rows; rows of nothing; either side without gradient.
        for (batch, rows, channels, wants) in [
            (3, 7, 5, [true, true]),
            (1, 1, 1, [true, true]),
            (4, 3, 9, [true, false]),
            (2, if place.emulated { 150 } else { 1500 }, 4, [false, true]),
            (2, 40, 300, [true, true]),
        ] {
            for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5), (Kind::BFloat16, 0.01)] {
                let rows = |seed: u64| {
                    let rows = noise(&[batch, rows, channels], seed).to_kind(Kind::BFloat16);
                    let _ = rows.get(0).get(0).zero_();
                    rows
                };
                let (q, r) = (rows(1), rows(2));
                let results = |kind: Kind, loss: &dyn Fn(&Tensor, &Tensor) -> Tensor| {
                    let [q, r] = [(&q, wants[0]), (&r, wants[1])]
                        .map(|(rows, wanted)| rows.to_kind(kind).copy().set_requires_grad(wanted));
                    let loss = loss(&q, &r);
                    (&loss * 3.0).backward();
                    let gradients =
                        [(q, wants[0]), (r, wants[1])].map(|(rows, wanted)| wanted.then(|| rows.grad()));
                    (
                        loss.double_value(&[]),
                        gradients.map(|gradient| gradient.map(|all| all.to_kind(Kind::Double))),
                    )
                };
                let found = results(kind, &|q, r| contrast(q, r, 0.3));
                let expected = results(Kind::Double, &|q, r| {
                    let unit =
                        |rows: &Tensor| rows / rows.norm_scalaropt_dim(2.0, [2i64], true).clamp_min(1e-12);
                    let logits = unit(q).bmm(&unit(r).transpose(1, 2)) / 0.3;
                    (logits.logsumexp([2], false) - logits.diagonal(0, 1, 2)).mean(Kind::Double)
                });
                assert!(
                    (found.0 - expected.0).abs() <= tolerance * expected.0.abs().max(1.0),
                    "{found:?} {expected:?}"
                );
                for (found, expected) in found.1.iter().zip(&expected.1) {
                    assert_eq!(found.is_some(), expected.is_some());
                    let Some((found, expected)) = found.as_ref().zip(expected.as_ref()) else { continue };
                    // The gradient at a row of nothing is one over the floor; it says nothing of the others.
                    let rest = |gradient: &Tensor| gradient.masked_fill(&expected.abs().gt(1e3), 0.0);
                    let error = (rest(found) - rest(expected)).abs().max().double_value(&[]);
                    let scale = rest(expected).abs().max().double_value(&[]);
                    assert!(error <= tolerance * scale, "{batch} {kind:?}: {error:e} of {scale:e}");
                }
            }
        }
    }
}

#[test]
fn the_cross_entropy_is_eq_3() {
    for place in places() {
        let device = place.device;
        // More rows than a device's threads take at once.
        let side = if place.emulated { 20 } else { 64 };
        for shape in
            [vec![3, 11, 5, 4], vec![40, 64], vec![2, 200, 7, 1], vec![2, 5, 9], vec![3, 11, side, side]]
        {
            for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5), (Kind::BFloat16, 0.01)] {
                let [p, z] =
                    [1, 2].map(|seed| (noise(&shape, seed) * 3.0).to_kind(Kind::BFloat16).to_device(device));
                let results = |kind: Kind, loss: &dyn Fn(&Tensor, &Tensor) -> Tensor| {
                    let p = p.to_kind(kind).copy().set_requires_grad(true);
                    let loss = loss(&p, &z.to_kind(kind));
                    (&loss * 3.0).backward();
                    [loss.detach(), p.grad()].map(|tensor| tensor.to_kind(Kind::Double))
                };
                let found = results(kind, &cross_entropy);
                let expected = results(Kind::Double, &|p, z| {
                    let product = p.log_softmax(1, Kind::Double) * z.softmax(1, Kind::Double);
                    -product.sum_dim_intlist(1, false, Kind::Double).mean(Kind::Double)
                });
                for (found, expected) in found.iter().zip(&expected) {
                    let error = (found - expected).abs().max().double_value(&[]);
                    let scale = expected.abs().max().double_value(&[]);
                    assert!(
                        error <= tolerance * scale,
                        "{shape:?} {kind:?} {device:?}: {error:e} of {scale:e}"
                    );
                }
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
            // A card's threads have a row each of those; of these they have many.
            shapes.extend([
                vec![64, 64, 56, 56],
                vec![16, 64, 112, 112],
                vec![64, 256, 28, 28],
                vec![1 << 20, 8],
            ]);
        }
        for shape in shapes {
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
        // Both uses have a gradient, by turns of a different size.
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
    };
    let _ = batch_norm(&input, norm);
}

#[test]
fn the_cuda_part_is_loaded_or_what_is_missing_is_said() {
    let loaded = load_cuda();
    assert!(loaded.is_ok() || !tch::Cuda::is_available());
    assert!(loaded.is_ok() || loaded.as_ref().unwrap_err().contains(".so"), "{loaded:?}");
    println!("{loaded:?}");
}

#[test]
fn the_loaded_libtorch_says_its_version() {
    assert_eq!(version(), Some(built_with()));
    assert_eq!(version_of("- Build settings: TORCH_VERSION=2.11.0, USE_CUDA=0"), Some("2.11.0".into()));
    assert_eq!(version_of("nothing"), None);
}
