//! Convolutions, the stem's among them.

use densesiam_geometry::DilatedConvolution;

use super::place::places;
use super::*;

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
fn a_dilated_convolution_agrees_with_libtorchs_in_float64() {
    // Channels that suit Winograd's kernels and others; sides that the dilation divides and others.
    for (channels, out, height, width, dilation) in
        [(16, 32, 6, 6, 2), (32, 16, 7, 5, 2), (16, 16, 9, 3, 4), (3, 5, 6, 7, 2), (16, 16, 1, 1, 2)]
    {
        let input = noise(&[3, channels, height, width], 1);
        let weight = noise(&[out, channels, 3, 3], 2) / (9.0 * channels as f64).sqrt();
        let bias = noise(&[out], 3);
        let results = |kind: Kind, convolved: &dyn Fn([&Tensor; 3]) -> Tensor| {
            let [input, weight, bias] = [&input, &weight, &bias]
                .map(|tensor| tensor.to_kind(kind).detach().copy().set_requires_grad(true));
            let output = convolved([&input, &weight, &bias]);
            (&output * &output).sum(kind).backward();
            [output.detach(), input.grad(), weight.grad(), bias.grad()].map(|x| x.to_kind(Kind::Double))
        };
        let found = results(Kind::Float, &|[input, weight, bias]| {
            convolution(input, weight, Some(bias), [1, dilation])
        });
        let expected = results(Kind::Double, &|[input, weight, bias]| {
            input.conv2d(weight, Some(bias), [1; 2], [dilation; 2], [dilation; 2], 1)
        });
        for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let error = (found - expected).abs().max().double_value(&[]);
            let scale = expected.abs().max().double_value(&[]);
            assert!(error < 1e-4 * scale, "{place} of {height} x {width}: {error:e} of {scale:e}");
        }
    }
}

#[test]
fn a_dilated_convolution_agrees_with_the_plain_loop() {
    let numbers =
        |tensor: &Tensor| Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap();
    for (channels, out, height, width, dilation) in [(16, 32, 6, 6, 2), (16, 16, 9, 3, 4), (3, 5, 6, 7, 2)] {
        let [input, weight, of_output] =
            [[1, channels, height, width], [out, channels, 3, 3], [1, out, height, width]];
        let leaf =
            |shape: &[i64], seed| noise(shape, seed).to_kind(Kind::Float).detach().set_requires_grad(true);
        let (input, weight) = (leaf(&input, 1), leaf(&weight, 2));
        let of_output = noise(&of_output, 3).to_kind(Kind::Float);
        let output = convolution(&input, &weight, None, [1, dilation]);
        (&output * &of_output).sum(Kind::Float).backward();
        let plain = DilatedConvolution {
            kernel: 3,
            dilation: dilation as usize,
            channels: channels as usize,
            out: out as usize,
        };
        let (maps, weights, size) = (numbers(&input), numbers(&weight), [height as usize, width as usize]);
        let [of_maps, of_weights] = plain.gradients(&numbers(&of_output), &maps, size, &weights);
        let expected = [plain.apply(&maps, size, &weights), of_maps, of_weights];
        for (found, expected) in [output.detach(), input.grad(), weight.grad()].iter().zip(&expected) {
            let scale = expected.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            for (found, expected) in numbers(found).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5 * scale, "{found} {expected}");
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

#[test]
fn the_stem_agrees_with_the_definition_in_float64() {
    allow_tf32(false);
    // Sides odd and even.
    for (height, width) in [(32, 18), (7, 10), (8, 9)] {
        let (input, weight) = (noise(&[3, 3, height, width], 1), noise(&[16, 3, 7, 7], 2) / 12.0);
        let results = |kind: Kind, device: Device| {
            let weight = weight.to_kind(kind).to_device(device).copy().set_requires_grad(true);
            let output = convolution(&input.to_kind(kind).to_device(device), &weight, None, [2, 1]);
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
fn other_kinds_channels_and_layouts_are_served_too() {
    let (input, weight) = (noise(&[2, 3, 6, 6], 1), noise(&[5, 3, 3, 3], 2));
    let expected = input.conv2d::<&Tensor>(&weight, None, [1; 2], [1; 2], [1; 2], 1);
    let found = convolution(&input, &weight, None, [1, 1]);
    assert!(found.allclose(&expected, 1e-6, 1e-6, false));
    let kind = Kind::BFloat16;
    assert_eq!(convolution(&input.to_kind(kind), &weight.to_kind(kind), None, [1, 1]).kind(), kind);
}

/// Here oneDNN returned numbers up to 1e19 in bfloat16, or different numbers at each call.
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
            // The values in freed memory must not appear in the result.
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
    // The last shape has enough rows for each thread to sum its own.
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
            let unbiased = convolution(&input, &weight, None, [1, 1]);
            let output = convolution(&input, &weight, Some(&bias), [1, 1]) + unbiased * 0.25;
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
