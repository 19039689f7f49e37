//! The choice among the processor's kernels.

use super::*;

/// Without kernels the other tests would compare libtorch with itself.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_processor_with_avx2_has_kernels() {
    use std::arch::is_x86_feature_detected as has;

    // x86-64-v3 and x86-64-v4, as build.rs compiles for.
    let avx2 = has!("avx2") && has!("bmi1") && has!("bmi2") && has!("f16c") && has!("fma") && has!("lzcnt");
    let avx512 =
        has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    let expected = if avx2 && avx512 { Some("avx512") } else { avx2.then_some("avx2") };
    assert_eq!(processor_kernels(), expected);
}
