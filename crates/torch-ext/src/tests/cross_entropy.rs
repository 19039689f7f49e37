//! The cross-entropy of softmax outputs.

use super::place::places;
use super::*;

#[test]
fn the_cross_entropy_is_eq_3() {
    for place in places() {
        let device = place.device;
        // More rows than the threads of a device process at once.
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
