//! How much memory a process holds, and has held at most.

use std::fs;

use tch::Device;

const MEGABYTE: f64 = (1 << 20) as f64;

/// Makes the peaks below those of what begins now. Freed memory that the allocator has kept, mostly of tensors of an earlier
/// training of this process, is given back to the system, because it would count as held. Where the system cannot
/// reset its peak (any but Linux), [`peak_megabytes`] stays that of the whole process.
pub fn begin_peak(device: Device) {
    densesiam_torch_ext::give_back_free_memory();
    // Written to this file, 5 sets the peak to what is held now (proc_pid_clear_refs(5)).
    let _ = fs::write("/proc/self/clear_refs", "5");
    if let Device::Cuda(index) = device {
        densesiam_torch_ext::cuda_begin_peak_memory(index);
    }
}

/// The most memory that this process has held, if the system reports it.
pub fn peak_megabytes() -> Option<f64> {
    status_megabytes("VmHWM:")
}

/// The memory that this process holds, if the system reports it.
pub fn resident_megabytes() -> Option<f64> {
    status_megabytes("VmRSS:")
}

/// The most memory that tensors on a CUDA device have held at once; `None` for the processor.
pub fn peak_device_megabytes(device: Device) -> Option<f64> {
    let Device::Cuda(index) = device else { return None };
    Some(densesiam_torch_ext::cuda_peak_memory(index) as f64 / MEGABYTE)
}

fn status_megabytes(field: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok().map(|kilobytes| 1024.0 * kilobytes / MEGABYTE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    #[test]
    #[cfg(target_os = "linux")]
    fn a_peak_begins_anew_once_what_it_held_is_freed() {
        let hold = |megabytes: i64| drop(Tensor::ones([megabytes << 18], (Kind::Float, Device::Cpu)));
        hold(512);
        let before = peak_megabytes().unwrap();
        begin_peak(Device::Cpu);
        hold(128);
        let after = peak_megabytes().unwrap();
        assert!(after < before - 256.0, "{before} MB, then {after} MB");
        assert!(after > resident_megabytes().unwrap() + 64.0, "{after} MB");
    }
}
