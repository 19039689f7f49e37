//! Decides which device, which precision and how many threads a run uses, from the recipe and the machine.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};
use tch::{Cuda, Device, Kind, Tensor};

/// `run.device` of a recipe: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceRequest {
    /// The first CUDA device, or the processor if there is none.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The CUDA device of this index.
    Cuda(usize),
}

/// `run.precision` of a recipe: `"auto"`, `"fp32"`, `"bf16"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionRequest {
    /// bf16 if the hardware computes it, else fp32.
    #[default]
    Auto,
    /// float32 throughout.
    Fp32,
    /// bfloat16 for convolutions and linear layers, with float32 parameters.
    Bf16,
}

/// The arithmetic of convolutions and linear layers; parameters are float32 in either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32.
    Fp32,
    /// bfloat16.
    Bf16,
}

impl Precision {
    /// The kind in which pictures enter a model.
    pub fn kind(self) -> Kind {
        match self {
            Self::Fp32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}

impl From<Precision> for PrecisionRequest {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Fp32 => Self::Fp32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// A device that is not available: the recipe's fault, or the machine's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The text does not name a device.
    #[error("run.device is {text:?}; allowed: \"auto\", \"cpu\", \"cuda\", \"cuda:1\"")]
    Syntax {
        /// The text found.
        text: String,
    },
    /// CUDA is asked for, but is not available.
    #[error("run.device asks for CUDA, but {0}; or set run.device=cpu")]
    NoCuda(CudaSupport),
    /// There are fewer CUDA devices.
    #[error("run.device is cuda:{index}, but there are {count} CUDA devices; use cuda:0 to cuda:{}", count - 1)]
    NoSuchCuda {
        /// The index asked for.
        index: usize,
        /// The devices there are.
        count: usize,
    },
    /// The libtorch in use is not the one of the build.
    #[error(
        "this program was built with libtorch {built_with} and finds libtorch {found}; build it again, or put its own first on LD_LIBRARY_PATH"
    )]
    OtherLibtorch {
        /// The version of the build.
        built_with: String,
        /// The version found.
        found: String,
    },
}

/// The state of CUDA on this machine; displayed as a part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CudaSupport {
    /// The system has no NVIDIA driver. In that case libtorch's CUDA part, whose loading takes a second, is not loaded.
    NoDriver,
    /// There is a driver, but libtorch's CUDA part cannot be loaded, for the reason given.
    NotLoaded(String),
    /// The number of devices.
    Devices(usize),
}

impl fmt::Display for CudaSupport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver => {
                f.write_str("this machine has no NVIDIA driver; check that nvidia-smi lists a device")
            }
            Self::NotLoaded(reason) => {
                write!(
                    f,
                    "libtorch's CUDA part cannot be loaded ({reason}); fetch it with `make libtorch CUDA=1`"
                )
            }
            Self::Devices(0) => f.write_str(
                "libtorch can use no device of the driver; check that nvidia-smi lists one, and that the driver is new enough for CUDA 13",
            ),
            Self::Devices(count) => write!(f, "there are {count} CUDA devices"),
        }
    }
}

/// The state of CUDA on this machine, determined once. Loads libtorch's CUDA part if there is a driver, and forbids
/// TF32, which would round float32 to 10 bits.
pub fn cuda() -> &'static CudaSupport {
    static FOUND: OnceLock<CudaSupport> = OnceLock::new();
    // The driver's own files, and the Windows interface to the driver.
    let driver = ["/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"];
    FOUND.get_or_init(|| {
        if !driver.iter().any(|file| Path::new(file).exists()) {
            return CudaSupport::NoDriver;
        }
        match densesiam_torch_ext::load_cuda() {
            Ok(()) if Cuda::is_available() => {
                densesiam_torch_ext::allow_tf32(false);
                CudaSupport::Devices(Cuda::device_count().max(0) as usize)
            }
            Ok(()) => CudaSupport::Devices(0),
            Err(reason) => CudaSupport::NotLoaded(reason),
        }
    })
}

impl DeviceRequest {
    /// The device asked for.
    ///
    /// # Errors
    /// [`DeviceError`] when CUDA is asked for and absent, or has fewer devices; or when libtorch is not the one of the
    /// build.
    pub fn resolve(self) -> Result<Device, DeviceError> {
        let device = if self == Self::Cpu { Device::Cpu } else { self.among(cuda())? };
        let (built_with, found) = (densesiam_torch_ext::built_with(), densesiam_torch_ext::version());
        match found {
            Some(found) if found != built_with => Err(DeviceError::OtherLibtorch { built_with, found }),
            _ => Ok(device),
        }
    }

    fn among(self, cuda: &CudaSupport) -> Result<Device, DeviceError> {
        match (self, cuda) {
            (Self::Auto, CudaSupport::Devices(1..)) => Ok(Device::Cuda(0)),
            (Self::Cpu | Self::Auto, _) => Ok(Device::Cpu),
            (Self::Cuda(index), &CudaSupport::Devices(count @ 1..)) if index >= count => {
                Err(DeviceError::NoSuchCuda { index, count })
            }
            (Self::Cuda(index), CudaSupport::Devices(1..)) => Ok(Device::Cuda(index)),
            (Self::Cuda(_), none) => Err(DeviceError::NoCuda(none.clone())),
        }
    }
}

impl PrecisionRequest {
    /// The precision for `device`, and why, in words for the log.
    pub fn resolve(self, device: Device) -> (Precision, &'static str) {
        match self {
            Self::Fp32 => (Precision::Fp32, "as the recipe says"),
            Self::Bf16 => (Precision::Bf16, "as the recipe says"),
            Self::Auto => automatic(device),
        }
    }
}

fn automatic(device: Device) -> (Precision, &'static str) {
    match device {
        Device::Cpu => match processor_bf16() {
            Some(why) => (Precision::Bf16, why),
            None => (Precision::Fp32, "the processor has neither avx512_bf16 nor AMX"),
        },
        Device::Cuda(index) if densesiam_torch_ext::cuda_has_bf16(index) => {
            (Precision::Bf16, "the CUDA device is of compute capability 8.0 or later")
        }
        Device::Cuda(_) => (Precision::Fp32, "the CUDA device is of a compute capability before 8.0"),
        _ => (Precision::Fp32, "it is not known what the device computes in bf16"),
    }
}

/// The processor's bf16 instructions, if any.
fn processor_bf16() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx512bf16") {
        return Some("the processor has avx512_bf16");
    }
    // AMX has no stable detection in the standard library; the kernel lists it only if it also enables it.
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let amx =
        flags.lines().find(|line| line.starts_with("flags")).is_some_and(|line| line.contains(" amx_bf16"));
    amx.then_some("the processor has AMX")
}

/// The threads of each of the processes that share this machine: what `run.threads` says, or for 0 an equal part of what it
/// means for one. At least 1.
pub fn threads_of_each(requested: usize, processes: usize) -> usize {
    if requested > 0 { requested } else { (resolve_threads(0) / processes).max(1) }
}

/// The number of threads that `run.threads` means: itself, or for 0 the physical cores that this process may use,
/// within its affinity and its control group's share. At least 1.
pub fn resolve_threads(requested: usize) -> usize {
    if requested > 0 {
        return requested;
    }
    let logical = available_parallelism().map_or(1, NonZero::get);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    match physical_cores(&allowed_processors(&status), &siblings) {
        0 => logical,
        cores => cores.min(logical),
    }
}

/// The device of process `local_rank` of those of this machine: its own card, where it sees several; with one, a launcher has chosen.
pub fn device_of_process(device: Device, local_rank: usize) -> Device {
    match (device, cuda()) {
        (Device::Cuda(_), &CudaSupport::Devices(seen @ 2..)) => Device::Cuda(local_rank % seen),
        _ => device,
    }
}

/// Lets cuDNN try its convolution algorithms for each new shape and keep the fastest, which pays in a training that repeats its
/// shapes. In float32 some algorithms take so long that the search would cost minutes, so it is left out.
pub fn search_convolutions(device: Device, precision: Precision, repeats_shapes: bool) {
    if matches!(device, Device::Cuda(_)) {
        Cuda::cudnn_set_benchmark(repeats_shapes && precision == Precision::Bf16);
    }
}

/// Whether this program's own CUDA kernels are used on `device`, in words: `on`, or `off` and why. Compiles them if
/// they are not compiled yet.
pub fn cuda_kernels(device: Device, precision: Precision) -> String {
    match densesiam_torch_ext::cuda_kernels(&Tensor::zeros([1], (precision.kind(), device))) {
        Ok(()) => "on".to_owned(),
        Err(why) => format!("off: {why}"),
    }
}

/// Makes libtorch use `threads` threads within an operation.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
}

/// The logical processors that `/proc/self/status` allows: `Cpus_allowed_list: 0-3,8`.
fn allowed_processors(status: &str) -> Vec<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<usize>().ok()?..=last.parse().ok()?)
    };
    list.unwrap_or_default().trim().split(',').filter_map(range).flatten().collect()
}

/// How many cores the logical processors `allowed` lie on; 0 when the system does not say.
fn physical_cores(allowed: &[usize], siblings: &impl Fn(usize) -> Option<String>) -> usize {
    allowed.iter().filter_map(|&processor| siblings(processor)).collect::<HashSet<_>>().len()
}

/// The logical processors that share a core with `processor`, as the kernel writes them.
fn siblings(processor: usize) -> Option<String> {
    let path = format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
    fs::read_to_string(path).ok()
}

impl FromStr for DeviceRequest {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let syntax = || DeviceError::Syntax { text: text.to_owned() };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(syntax),
        }
    }
}

impl fmt::Display for DeviceRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(formatter, "auto"),
            Self::Cpu => write!(formatter, "cpu"),
            Self::Cuda(index) => write!(formatter, "cuda:{index}"),
        }
    }
}

impl TryFrom<String> for DeviceRequest {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl From<DeviceRequest> for String {
    fn from(request: DeviceRequest) -> Self {
        request.to_string()
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_met_or_explained() {
        let (none, two) = (CudaSupport::NoDriver, CudaSupport::Devices(2));
        assert_eq!(DeviceRequest::Auto.among(&none), Ok(Device::Cpu));
        assert_eq!(DeviceRequest::Auto.among(&CudaSupport::NotLoaded("".into())), Ok(Device::Cpu));
        assert_eq!(DeviceRequest::Auto.among(&two), Ok(Device::Cuda(0)));
        assert_eq!(DeviceRequest::Cpu.among(&two), Ok(Device::Cpu));
        assert_eq!(DeviceRequest::Cuda(1).among(&two), Ok(Device::Cuda(1)));
        for support in
            [none, CudaSupport::NotLoaded("libcublas.so.13 is missing".into()), CudaSupport::Devices(0)]
        {
            let error = DeviceRequest::Cuda(0).among(&support).unwrap_err();
            assert!(error.to_string().contains(&support.to_string()), "{error}");
        }
        let error = DeviceRequest::Cuda(2).among(&two).unwrap_err().to_string();
        assert!(error.ends_with("there are 2 CUDA devices; use cuda:0 to cuda:1"), "{error}");
    }

    #[test]
    fn texts_name_devices() {
        for (text, request) in [
            ("auto", DeviceRequest::Auto),
            ("cpu", DeviceRequest::Cpu),
            ("cuda", DeviceRequest::Cuda(0)),
            ("cuda:3", DeviceRequest::Cuda(3)),
        ] {
            assert_eq!(text.parse(), Ok(request));
            assert_eq!(request.to_string().parse(), Ok(request));
        }
        for text in ["gpu", "cuda:", "cuda:x", "CPU", ""] {
            assert!(text.parse::<DeviceRequest>().is_err(), "{text}");
        }
    }

    #[test]
    fn precision_follows_the_recipe_and_else_the_hardware() {
        assert_eq!(PrecisionRequest::Bf16.resolve(Device::Cpu).0, Precision::Bf16);
        assert_eq!(PrecisionRequest::Fp32.resolve(Device::Cpu).0, Precision::Fp32);
        let (precision, why) = PrecisionRequest::Auto.resolve(Device::Cpu);
        assert_eq!(precision == Precision::Bf16, processor_bf16().is_some());
        assert!(why.contains("processor"));
        // Nothing is known about a device that does not exist, even if another one does.
        let beyond = Cuda::device_count().max(0) as usize;
        assert!(!densesiam_torch_ext::cuda_has_bf16(beyond));
        assert_eq!(PrecisionRequest::Auto.resolve(Device::Cuda(beyond)).0, Precision::Fp32);
    }

    #[test]
    fn cores_are_counted_once() {
        let allowed = allowed_processors("Name:\tx\nCpus_allowed_list:\t0-3,8\nMems:\t0\n");
        assert_eq!(allowed, [0, 1, 2, 3, 8]);
        let pairs = |processor: usize| Some(format!("{},{}", processor / 2 * 2, processor / 2 * 2 + 1));
        assert_eq!(physical_cores(&allowed, &pairs), 3);
        assert_eq!(physical_cores(&allowed, &|_| None), 0);
        assert_eq!(allowed_processors(""), Vec::<usize>::new());
    }

    #[test]
    fn threads_are_as_asked_or_within_what_there_is() {
        assert_eq!(resolve_threads(5), 5);
        let threads = resolve_threads(0);
        assert!(threads >= 1 && threads <= available_parallelism().unwrap().get());
    }
}
