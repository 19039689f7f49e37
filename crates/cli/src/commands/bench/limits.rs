//! The limits of a machine. Compared with these limits, a figure measures the program and not the machine.

use std::time::Instant;

use densesiam_nn::Group;
use tch::{Cuda, Device, Kind, Tensor};

use super::median;

/// GFLOP/s of a product of two matrices of 2048 x 2048, the best of five.
pub(in crate::commands) fn matrix_product_rate(kind: Kind, device: Device) -> f64 {
    /// Below this rate a large product takes too long to measure, as with bf16 on processors without bf16 instructions.
    const SLOW: f64 = 20.0;
    let rate = |side: i64| {
        let matrix = Tensor::ones([side, side], (kind, device));
        let best = best_of_five(|| matrix.matmul(&matrix).get(0).get(0));
        2.0 * (side as f64).powi(3) / best / 1e9
    };
    let small = rate(256);
    if small < SLOW { small } else { rate(2048) }
}

/// Seconds in which the processes of a group sum so many bytes of float32 on a device, the median of `times`; on a CUDA device with
/// the reading of a number, which waits for it.
pub(in crate::commands) fn sum_seconds(group: &Group, (bytes, device): (i64, Device), times: usize) -> f64 {
    let numbers = Tensor::zeros([bytes / 4], (Kind::Float, device));
    let laps = (0..=times).map(|_| {
        let start = Instant::now();
        group.sum(&numbers);
        let _ = numbers.double_value(&[0]);
        start.elapsed().as_secs_f64()
    });
    // In the first the processes, or their devices, meet.
    median(&laps.skip(1).collect::<Vec<_>>())
}

/// GB/s of a copy of a tensor of 256 MiB, bytes read and bytes written together, the best of five.
pub(super) fn copy_rate(device: Device) -> f64 {
    let bytes: i64 = 256 << 20;
    let source = Tensor::ones([bytes / 4], (Kind::Float, device));
    let mut target = source.zeros_like();
    let best = best_of_five(|| {
        target.copy_(&source);
        target.get(0)
    });
    2.0 * bytes as f64 / best / 1e9
}

/// The shortest time of five runs in seconds; `work` returns one number, and reading it waits for the device.
fn best_of_five(mut work: impl FnMut() -> Tensor) -> f64 {
    let mut seconds = |_| {
        let start = Instant::now();
        let _ = work().double_value(&[]);
        start.elapsed().as_secs_f64()
    };
    (0..5).map(&mut seconds).fold(f64::INFINITY, f64::min)
}

/// Waits until the device has finished all queued work.
pub(super) fn wait_for(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}
