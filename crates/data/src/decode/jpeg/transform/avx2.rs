//! The transform with AVX2's products of 16 pairs of 16 bits: a third of the time.

use std::arch::x86_64::{
    __m256i, _mm256_abs_epi16, _mm256_add_epi32, _mm256_cmpgt_epi32, _mm256_madd_epi16, _mm256_mullo_epi16,
    _mm256_packs_epi32, _mm256_packus_epi16, _mm256_permutevar8x32_epi32, _mm256_set1_epi32,
    _mm256_setr_epi32, _mm256_setzero_si256, _mm256_srai_epi32, _mm256_sub_epi32, _mm256_testz_si256,
};

use bytemuck::must_cast;

use super::{COLUMN_ROUNDING, COLUMN_SHIFT, ROW_ROUNDING, ROW_SHIFT, to_samples, transformed};

/// What the values of one column may sum up to, signs left out, so that none between the passes exceeds 16 bits: with
/// the largest weight, `5900 * 5683 / 1024 < 32767`. A block of samples from 0 to 255 has at most 2896.
const LARGEST_SUM: i32 = 5900;

/// `WEIGHTS[k][i]`: what coefficient `k` counts in sample `i`.
const WEIGHTS: [[i16; 8]; 8] = {
    let mut weights = [[0; 8]; 8];
    let mut k = 0;
    while k < 8 {
        let mut coefficients = [0; 8];
        coefficients[k] = 1;
        let transformed = transformed(coefficients);
        let mut i = 0;
        while i < 8 {
            weights[k][i] = transformed[i] as i16;
            i += 1;
        }
        k += 1;
    }
    weights
};

/// `ROW_WEIGHTS[pair][i]`: what the coefficients `2 * pair` and `2 * pair + 1` count in sample `i`.
const ROW_WEIGHTS: [[[i16; 2]; 8]; 4] = {
    let mut weights = [[[0; 2]; 8]; 4];
    let mut i = 0;
    while i < 64 {
        weights[i / 16][i % 8][i / 8 % 2] = WEIGHTS[i / 8][i % 8];
        i += 1;
    }
    weights
};

/// The first coefficient, as they are coded, of the fifth column: those before it are of the first four.
const FIRST_OF_FIFTH_COLUMN: usize = 14;

/// As [`to_samples`]; no coefficient coded after `last` is other than 0.
#[target_feature(enable = "avx2")]
#[inline]
pub(in super::super) fn to_samples_avx2(
    block: &[i16; 64],
    last: usize,
    steps: &[u16; 64],
    out: &mut [u8],
    stride: usize,
) {
    let block_pairs: [__m256i; 4] = must_cast(*block);
    let step_pairs: [__m256i; 4] = must_cast(*steps);
    let mut values = [_mm256_setzero_si256(); 4];
    let mut sums = _mm256_setzero_si256();
    for i in 0..4 {
        values[i] = _mm256_mullo_epi16(block_pairs[i], step_pairs[i]);
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_abs_epi16(block_pairs[i]), step_pairs[i]));
    }
    let too_large = _mm256_cmpgt_epi32(sums, _mm256_set1_epi32(LARGEST_SUM));
    if _mm256_testz_si256(too_large, too_large) == 0 {
        return to_samples(block, steps, out, stride);
    }

    let few = last < FIRST_OF_FIFTH_COLUMN;
    let rows = along_columns(values);
    let mut samples = [_mm256_setzero_si256(); 8];
    for i in 0..4 {
        // Two rows of 16 bits, of which each half has four columns.
        let two_rows = _mm256_packs_epi32(rows[2 * i], rows[2 * i + 1]);
        let [a01, a23, b01, b23, a45, a67, b45, b67]: [i32; 8] = must_cast(two_rows);
        samples[2 * i] = along_row([a01, a23, a45, a67], few);
        samples[2 * i + 1] = along_row([b01, b23, b45, b67], few);
    }
    for (index, &[a, b, c, d]) in samples.as_chunks().0.iter().enumerate() {
        let bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        // Each half has four columns of four rows.
        let rows = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        let rows: [[u8; 8]; 4] = must_cast(rows);
        for (row, samples) in (4 * index..).zip(rows) {
            out[row * stride..][..8].copy_from_slice(&samples);
        }
    }
}

/// The rows between the passes, from the pairs of rows that `PAIRED_ORDER` makes.
#[target_feature(enable = "avx2")]
#[inline]
fn along_columns(pairs: [__m256i; 4]) -> [__m256i; 8] {
    let mut rows = [_mm256_setzero_si256(); 8];
    for i in 0..4 {
        let weights = |first: usize, second: usize| {
            _mm256_set1_epi32(must_cast([WEIGHTS[first][i], WEIGHTS[second][i]]))
        };
        let even = _mm256_add_epi32(
            _mm256_madd_epi16(pairs[0], weights(0, 4)),
            _mm256_madd_epi16(pairs[1], weights(2, 6)),
        );
        let odd = _mm256_add_epi32(
            _mm256_madd_epi16(pairs[2], weights(1, 3)),
            _mm256_madd_epi16(pairs[3], weights(5, 7)),
        );
        let even = _mm256_add_epi32(even, _mm256_set1_epi32(COLUMN_ROUNDING));
        rows[i] = _mm256_srai_epi32::<{ COLUMN_SHIFT as i32 }>(_mm256_add_epi32(even, odd));
        rows[7 - i] = _mm256_srai_epi32::<{ COLUMN_SHIFT as i32 }>(_mm256_sub_epi32(even, odd));
    }
    rows
}

/// The samples of a row, not yet within 0 to 255, from its pairs of columns; with `few` from the first two alone.
#[target_feature(enable = "avx2")]
#[inline]
fn along_row(pairs: [i32; 4], few: bool) -> __m256i {
    let weights: [__m256i; 4] = must_cast(ROW_WEIGHTS);
    let product = |i: usize| _mm256_madd_epi16(_mm256_set1_epi32(pairs[i]), weights[i]);
    let mut sums =
        _mm256_add_epi32(_mm256_add_epi32(product(0), product(1)), _mm256_set1_epi32(ROW_ROUNDING));
    if !few {
        sums = _mm256_add_epi32(sums, _mm256_add_epi32(product(2), product(3)));
    }
    _mm256_srai_epi32::<{ ROW_SHIFT as i32 }>(sums)
}
