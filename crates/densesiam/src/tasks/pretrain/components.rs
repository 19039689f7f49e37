//! Dense features as colours: the first three principal components of the features of many positions.

use tch::{Device, Kind, Tensor};

/// A component that spreads less than this share of the features' length is only rounding noise, and is left small.
const LEAST_SPREAD: f64 = 1e-3;

/// The first three principal components of features `[P, C]`, C at least 3: `[P, 3]` in float64 on the processor, each of
/// mean 0 and, unless the features are all the same, of standard deviation 1.
///
/// The order and the signs of components do not stay the same during a training, because noise swaps and flips them.
/// Here they are chosen so that the components are most like `reference`, `[P, 3]`, which was drawn at the same
/// positions before.
pub(super) fn principal_components(features: &Tensor, reference: &Tensor) -> Tensor {
    let features = features.to_device(Device::Cpu).to_kind(Kind::Double).nan_to_num(0.0, 0.0, 0.0);
    let length = features.square().sum_dim_intlist(1, false, Kind::Double).mean(Kind::Double).sqrt();
    let centred = &features - features.mean_dim(0, true, Kind::Double);
    let (_, largest) = largest_axes(&centred);
    let components = standardised(&centred.matmul(&largest), LEAST_SPREAD * length.double_value(&[]));

    let reference = standardised(&reference.to_device(Device::Cpu).to_kind(Kind::Double), 0.0);
    let likeness = reference.tr().matmul(&components);
    let likeness = std::array::from_fn(|place| {
        std::array::from_fn(|i| likeness.double_value(&[place as i64, i as i64]))
    });
    let placed = most_like(likeness).map(|(component, sign)| components.select(1, component as i64) * sign);
    Tensor::stack(&placed, 1)
}

/// The three axes along which rows `[P, C]` of mean 0 spread most, the largest first: the sums of squares along them, `[3]`, and the axes
/// as columns, `[C, 3]`.
pub(crate) fn largest_axes(centred: &Tensor) -> (Tensor, Tensor) {
    // Of the covariance, the largest eigenvalue last, eigenvectors as columns.
    let (sums, axes) = centred.tr().matmul(centred).linalg_eigh("L");
    let channels = centred.size()[1];
    let three = |of: &Tensor, dimension: i64| of.narrow(dimension, channels - 3, 3).flip([dimension]);
    (three(&sums, 0), three(&axes, 1))
}

/// Components of deviation 1 as bytes of a colour: two deviations in each direction span its whole range.
pub(crate) fn as_colours(components: &Tensor) -> Tensor {
    ((components * 0.25 + 0.5).clamp(0.0, 1.0) * 255.0).round().to_kind(Kind::Uint8)
}

/// Columns of mean 0 and deviation 1, or less if the deviation is below `least`.
fn standardised(columns: &Tensor, least: f64) -> Tensor {
    let centred = columns - columns.mean_dim(0, true, Kind::Double);
    let deviation = centred.square().mean_dim(0, true, Kind::Double).sqrt();
    &centred / deviation.clamp_min(least.max(f64::MIN_POSITIVE))
}

/// For each of three places the component to put there, and its sign; `likeness[place][component]`.
fn most_like(likeness: [[f64; 3]; 3]) -> [(usize, f64); 3] {
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let alike = |order: &[usize; 3]| -> f64 { (0..3).map(|place| likeness[place][order[place]].abs()).sum() };
    let best = ORDERS.into_iter().max_by(|one, other| alike(one).total_cmp(&alike(other)));
    let best = best.unwrap_or(ORDERS[0]);
    std::array::from_fn(|place| (best[place], 1f64.copysign(likeness[place][best[place]])))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three signals `[50, 3]` of mean 0 that have nothing in common, of deviations 3, 2 and 1.
    fn signals() -> Tensor {
        let at = (Tensor::arange(50, (Kind::Double, Device::Cpu)) + 0.5) * (std::f64::consts::PI / 50.0);
        let wave = |turns: f64, deviation: f64| (&at * turns).cos() * (deviation * 2f64.sqrt());
        Tensor::stack(&[wave(1.0, 3.0), wave(2.0, 2.0), wave(3.0, 1.0)], 1)
    }

    /// Features `[50, 8]` in which the signals lie along skew axes, far from 0, with a constant channel.
    fn features() -> Tensor {
        let turn = Tensor::from_slice(&[0.6, 0.8, 0.0, -0.8, 0.6, 0.0, 0.0, 0.0, 1.0]).view([3, 3]);
        let rotated = signals().matmul(&turn);
        let rest = Tensor::ones([50, 5], (Kind::Double, Device::Cpu)) * 7.0;
        Tensor::cat(&[rotated + 20.0, rest], 1)
    }

    fn difference(one: &Tensor, other: &Tensor) -> f64 {
        (one - other).abs().max().double_value(&[])
    }

    #[test]
    fn components_are_the_signals_in_the_order_and_with_the_signs_of_the_reference() {
        let expected = standardised(&signals(), 0.0);
        for (order, signs) in [([0, 1, 2], [1.0, 1.0, 1.0]), ([2, 0, 1], [-1.0, 1.0, -1.0])] {
            let columns: Vec<_> =
                (0..3).map(|place| expected.select(1, order[place]) * signs[place]).collect();
            let expected = Tensor::stack(&columns, 1);
            // The reference is similar to the result but not equal: each place is mixed with the next one.
            let reference = &expected + expected.roll([1], [1]) * 0.4 + 5.0;
            let found = principal_components(&features(), &reference);
            assert!(difference(&found, &expected) < 1e-9, "{order:?}");
            assert!(difference(&principal_components(&features(), &found), &found) < 1e-9, "it stays");
        }
    }

    #[test]
    fn features_that_are_all_the_same_have_no_colour() {
        let rounding = signals() * 1e-6;
        let same = Tensor::cat(&[rounding, Tensor::ones([50, 4], (Kind::Double, Device::Cpu))], 1);
        assert!(principal_components(&same, &signals()).abs().max().double_value(&[]) < 0.01);
        let lost = same * f64::NAN;
        assert_eq!(principal_components(&lost, &signals()).abs().max().double_value(&[]), 0.0);
        let one = Tensor::ones([1, 8], (Kind::Float, Device::Cpu));
        assert_eq!(
            principal_components(&one, &Tensor::zeros([1, 3], (Kind::Float, Device::Cpu))).size(),
            [1, 3]
        );
    }

    #[test]
    fn the_best_order_is_not_the_greedy_one() {
        let likeness = [[0.9, -0.8, 0.0], [0.8, 0.1, 0.0], [0.0, 0.0, -0.3]];
        assert_eq!(most_like(likeness), [(1, -1.0), (0, 1.0), (2, -1.0)]);
    }
}
