//! The contrast of rows.

use super::place::places;
use super::*;

#[test]
fn the_contrast_is_eq_6() {
    for place in places() {
        let device = place.device;
        let noise = |shape: &[i64], seed: u64| noise(shape, seed).to_device(device);
        // More pictures than are processed at a time, which is one for 1500 rows; rows of zeros; either side without
        // gradient.
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
                    // The gradient of a row of zeros is one over the lower bound, and is not comparable with the
                    // others.
                    let rest = |gradient: &Tensor| gradient.masked_fill(&expected.abs().gt(1e3), 0.0);
                    let error = (rest(found) - rest(expected)).abs().max().double_value(&[]);
                    let scale = rest(expected).abs().max().double_value(&[]);
                    assert!(error <= tolerance * scale, "{batch} {kind:?}: {error:e} of {scale:e}");
                }
            }
        }
    }
}
