//! The software and hardware of a run, for `environment.json`: enough to explain a difference between two runs, and
//! nothing that identifies the machine or its user.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use serde::Serialize;
use serde_json::Value;
use tch::Device;

use crate::device::{Precision, cuda_kernels};
use crate::processes::membership::launches;

/// Versions and hardware. A value that the system does not report is `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Environment {
    /// The program's version.
    pub program: String,
    /// The git commit of the working folder, with `-dirty` if the folder differs from the commit.
    pub git: Option<String>,
    /// libtorch's version.
    pub libtorch: Option<String>,
    /// The kind of processor.
    pub processor: Option<String>,
    /// Logical processors that this process may use.
    pub processors: usize,
    /// Main memory in bytes.
    pub memory_bytes: Option<u64>,
    /// The operating system and its kernel.
    pub operating_system: String,
    /// The device: `cpu`, `cuda:0`.
    pub device: String,
    /// The arithmetic of convolutions and linear layers.
    pub precision: Precision,
    /// Whether the program's own CUDA kernels are used on the device: `on`, or `off` and why.
    pub cuda_kernels: String,
    /// Threads within a libtorch operation.
    pub threads: usize,
    /// The launches of a launcher that the run has begun or gone on in: see [`launches`].
    pub launches: Vec<String>,
}

impl Environment {
    /// Collects the values. `program` is the program's version; the other arguments are what the run has resolved.
    pub fn collect(program: &str, device: Device, precision: Precision, threads: usize) -> Self {
        Self {
            program: program.to_owned(),
            git: git_revision(),
            libtorch: densesiam_torch_ext::version(),
            processor: processor_of(&read("/proc/cpuinfo")),
            processors: available_parallelism().map_or(1, NonZero::get),
            memory_bytes: memory_bytes(),
            operating_system: operating_system(&read("/etc/os-release"), &read("/proc/sys/kernel/osrelease")),
            device: device_name(device),
            precision,
            cuda_kernels: cuda_kernels(device, precision),
            threads,
            launches: launches(&|name| std::env::var(name).ok(), false),
        }
    }

    /// The launches that a run's `environment.json` names; none where there is no such file.
    pub fn launches_of(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut said: Value = serde_json::from_str(&text).unwrap_or_default();
        serde_json::from_value(said["launches"].take()).unwrap_or_default()
    }
}

/// Main memory in bytes, if the system reports it.
pub fn memory_bytes() -> Option<u64> {
    memory_of(&read("/proc/meminfo"))
}

/// `cpu`, `cuda:0`, as recipes write devices.
fn device_name(device: Device) -> String {
    match device {
        Device::Cpu => "cpu".to_owned(),
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// A file's text; empty if the file does not exist, as on systems other than Linux.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn processor_of(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

fn memory_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn operating_system(os_release: &str, kernel: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map_or(std::env::consts::OS, |name| name.trim_matches('"'));
    format!("{name} {} {}", kernel.trim(), std::env::consts::ARCH)
}

/// The commit of the working folder, if it is a git repository and git is there.
fn git_revision() -> Option<String> {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|revision| revision.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_writes_is_understood() {
        assert_eq!(
            processor_of("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\n"),
            Some("A CPU @ 2 GHz".into())
        );
        assert_eq!(memory_of("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16_777_216));
        let system = operating_system("NAME=x\nPRETTY_NAME=\"Debian 12\"\n", "6.1.0\n");
        assert_eq!(system, format!("Debian 12 6.1.0 {}", std::env::consts::ARCH));
        assert!(processor_of("").is_none() && memory_of("").is_none());
    }

    #[test]
    fn the_environment_is_json_without_the_hosts_name() {
        let environment = Environment::collect("0.1.0", Device::Cpu, Precision::Fp32, 2);
        let json = serde_json::to_value(&environment).unwrap();
        assert_eq!(json["device"], "cpu");
        assert_eq!(json["precision"], "fp32");
        assert_eq!(json["cuda_kernels"], "off: they are for float32 and bfloat16 on a CUDA device");
        assert!(json.get("hostname").is_none() && json.get("host").is_none());
    }
}
