//! Max pooling.

use super::place::places;
use super::*;

#[test]
fn max_pooling_is_libtorchs_to_the_bit() {
    // Ties, NaN and infinities too; odd and even sides, and sides of one; channels that do not fill a block.
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
                // Sums of up to four gradients are rounded once; libtorch, which is used if there are no kernels,
                // rounds after each addition.
                let tolerance = if kind == Kind::Float { 0.0 } else { 0.02 };
                assert!(
                    found[1].allclose(&expected[1], tolerance, tolerance, false),
                    "{channels} {kind:?} {device:?}: gradient"
                );
            }
        }
    }
}
