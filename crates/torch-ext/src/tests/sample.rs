//! Sampling.

use super::place::places;
use super::*;

#[test]
fn sampling_agrees_with_libtorch() {
    for place in places() {
        let device = place.device;
        let noise = |shape: &[i64], seed: u64| noise(shape, seed).to_device(device);
        // Points outside, on borders and between; maps of one cell; channels that do not fill a vector. The last shape
        // has enough cells for a CUDA device to scatter instead of gathering.
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
