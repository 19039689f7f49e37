//! Sums of rows by their nearest centroid against a plain loop.

use densesiam_random::RngExt;

use super::*;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// The sums by the definition.
fn expected(rows: &[f64], centroids: &[f64], dim: usize) -> Vec<f64> {
    let (clusters, line) = (centroids.len() / dim, dim + 1);
    let mut sums = vec![0.0; (clusters + 1) * line];
    for row in rows.chunks(dim) {
        let distance = |cluster: usize| -> f64 {
            let centroid = &centroids[cluster * dim..][..dim];
            row.iter().zip(centroid).map(|(x, c)| (x - c).powi(2)).sum()
        };
        let nearest = (0..clusters).min_by(|one, two| distance(*one).total_cmp(&distance(*two))).unwrap();
        sums[nearest * line..].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        sums[nearest * line + dim] += 1.0;
        sums[clusters * line] += distance(nearest);
    }
    sums
}

#[test]
fn rows_are_summed_by_their_nearest_centroid() {
    // Fewer and more clusters than are compared at once, rows that fill no block, several chunks, and no row at all.
    for (rows, clusters, dim) in [(0, 3, 5), (5, 1, 1), (37, 11, 16), (1003, 27, 128), (20_011, 100, 7)] {
        // Random, so that no row is as near to two centroids.
        let mut stream = Key::new(rows as u64, Purpose::Demo).rng();
        let mut made = |shape: [i64; 2]| {
            let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| stream.random_range(-1.0..1.0)).collect();
            Tensor::from_slice(&values).view(shape)
        };
        let (x, centroids) = (made([rows, dim]), made([clusters, dim]));
        let expected = expected(&numbers(&x), &numbers(&centroids), dim as usize);
        for kind in [Kind::Float, Kind::Double] {
            let found = numbers(&cluster_sums(&x.to_kind(kind), &centroids.to_kind(kind)));
            let close =
                |(found, expected): (&f64, &f64)| (found - expected).abs() <= 2e-5 * expected.abs().max(1.0);
            assert!(found.iter().zip(&expected).all(close), "{rows} rows, {clusters} clusters, {kind:?}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let x = Tensor::arange(60_000 * 8, (Kind::Float, Device::Cpu)).sin().view([60_000, 8]);
    let centroids = x.narrow(0, 0, 9);
    let [one, two] = [1, 2].map(|threads| {
        tch::set_num_threads(threads);
        numbers(&cluster_sums(&x, &centroids))
    });
    assert_eq!(one, two);
}
