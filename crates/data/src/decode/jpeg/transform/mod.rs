//! Coefficients to samples: the inverse cosine transform of 8 x 8 in whole numbers, as the Independent JPEG Group's
//! accurate one goes.

#[cfg(target_arch = "x86_64")]
mod avx2;

#[cfg(target_arch = "x86_64")]
pub(super) use self::avx2::to_samples_avx2;

/// Where each coefficient belongs in its block, row by row, in the order in which they are coded.
const NATURAL_ORDER: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Where each coefficient is kept, in the order in which they are coded: number beside number from rows 0 and 4, then
/// 2 and 6, 1 and 3, 5 and 7, for instructions that multiply pairs.
pub(super) const PAIRED_ORDER: [u8; 64] = {
    let mut order = [0; 64];
    let mut i = 0;
    while i < 64 {
        order[i] = kept(NATURAL_ORDER[i] / 8, NATURAL_ORDER[i] % 8) as u8;
        i += 1;
    }
    order
};

const fn kept(row: usize, column: usize) -> usize {
    const PLACES: [usize; 8] = [0, 4, 2, 5, 1, 6, 3, 7];
    PLACES[row] / 2 * 16 + column * 2 + PLACES[row] % 2
}

/// Between the passes, numbers have two bits more than samples.
const COLUMN_SHIFT: u32 = 10;
const COLUMN_ROUNDING: i32 = 1 << (COLUMN_SHIFT - 1);
/// 12 bits of the weights, the two bits, and 8, by which the transform is too large. Samples are centred on 128.
const ROW_SHIFT: u32 = 17;
const ROW_ROUNDING: i32 = (1 << (ROW_SHIFT - 1)) + (128 << ROW_SHIFT) + 512;

/// Writes the 8 x 8 samples of a `block` into `out`, where a row begins every `stride` samples. Coefficients are to be
/// multiplied by `steps`; both are in [`PAIRED_ORDER`].
#[inline(always)]
pub(super) fn to_samples(block: &[i16; 64], steps: &[u16; 64], out: &mut [u8], stride: usize) {
    let value = |place: usize| i32::from(block[place]) * i32::from(steps[place]);
    let mut between = [[0; 8]; 8];
    for column in 0..8 {
        let transformed = transformed(std::array::from_fn(|row| value(kept(row, column))));
        for (row, sum) in between.iter_mut().zip(transformed) {
            row[column] = sum.wrapping_add(COLUMN_ROUNDING) >> COLUMN_SHIFT;
        }
    }
    for (index, row) in between.into_iter().enumerate() {
        let samples = transformed(row).map(|sum| sum.wrapping_add(ROW_ROUNDING) >> ROW_SHIFT);
        out[index * stride..][..8].copy_from_slice(&samples.map(|sample| sample.clamp(0, 255) as u8));
    }
}

/// The same where no coefficient but the first is other than 0.
#[inline(always)]
pub(super) fn to_flat_samples(coefficient: i16, step: u16, out: &mut [u8], stride: usize) {
    let sample = ((i32::from(coefficient) * i32::from(step) + 4) >> 3) + 128;
    for row in 0..8 {
        out[row * stride..][..8].fill(sample.clamp(0, 255) as u8);
    }
}

/// The transform of one row or column, times 4096. Numbers wrap where no picture's coefficients are so large.
#[inline(always)]
const fn transformed([a0, a1, a2, a3, a4, a5, a6, a7]: [i32; 8]) -> [i32; 8] {
    let sum = times(add(a0, a4), 4096);
    let difference = times(subtract(a0, a4), 4096);
    let both = times(add(a2, a6), 2217);
    let (outer, inner) = (add(both, times(a2, 3135)), add(both, times(a6, -7567)));
    let even = [add(sum, outer), add(difference, inner), subtract(difference, inner), subtract(sum, outer)];

    let all = times(add(add(a1, a3), add(a5, a7)), 4816);
    let b17 = add(all, times(add(a1, a7), -3685));
    let b35 = add(all, times(add(a3, a5), -10497));
    let b37 = times(add(a3, a7), -8034);
    let b15 = times(add(a1, a5), -1597);
    let odd = [
        add(times(a1, 6149), add(b17, b15)),
        add(times(a3, 12586), add(b35, b37)),
        add(times(a5, 8410), add(b35, b15)),
        add(times(a7, 1223), add(b17, b37)),
    ];
    [
        add(even[0], odd[0]),
        add(even[1], odd[1]),
        add(even[2], odd[2]),
        add(even[3], odd[3]),
        subtract(even[3], odd[3]),
        subtract(even[2], odd[2]),
        subtract(even[1], odd[1]),
        subtract(even[0], odd[0]),
    ]
}

const fn add(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}

const fn subtract(a: i32, b: i32) -> i32 {
    a.wrapping_sub(b)
}

const fn times(a: i32, b: i32) -> i32 {
    a.wrapping_mul(b)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use densesiam_random::{Key, Purpose, RngExt};
    use multiversion::multiversion;
    use multiversion::target::match_target;

    use super::*;

    #[multiversion(targets = "simd")]
    fn samples_by_pairs(block: &[i16; 64], last: usize, steps: &[u16; 64]) -> [u8; 64] {
        let mut out = [0; 64];
        match_target! {
            "x86_64+avx2" => to_samples_avx2(block, last, steps, &mut out, 8),
            _ => {
                let _ = last;
                to_samples(block, steps, &mut out, 8);
            }
        }
        out
    }

    #[test]
    fn products_of_pairs_give_the_same_samples() {
        let mut random = Key::new(1, Purpose::Demo).rng();
        // Up to coefficients that no picture has; for the largest, all sums are beyond 16 bits.
        for largest in [1, 10, 100, 1000, 4095] {
            for coefficients in [1, 2, 10, 14, 15, 64].into_iter().cycle().take(6000) {
                let steps = std::array::from_fn(|_| random.random_range(1..=255u16.min(8 * largest as u16)));
                let mut block = [0; 64];
                for &place in &PAIRED_ORDER[..coefficients] {
                    block[usize::from(place)] = random.random_range(-largest..=largest);
                }
                let mut expected = [0; 64];
                to_samples(&block, &steps, &mut expected, 8);
                assert_eq!(
                    samples_by_pairs(&block, coefficients - 1, &steps),
                    expected,
                    "{block:?} {steps:?}"
                );
                // Beyond, the transform's numbers wrap.
                if coefficients == 1 && largest <= 100 {
                    let mut flat = [0; 64];
                    to_flat_samples(block[0], steps[0], &mut flat, 8);
                    assert_eq!(flat, expected);
                }
            }
        }
    }
}
