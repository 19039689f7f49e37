//! `densesiam doctor`: whether this machine and these pictures are fit for training.

use std::path::Path;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::index::ImageIndex;
use densesiam_data::survey::{Survey, Unreadable};
use densesiam_engine::device::{
    CudaSupport, DeviceRequest, PrecisionRequest, cuda, device_of_process, resolve_threads,
};
use densesiam_engine::environment::Environment;
use densesiam_engine::log::spoken;
use densesiam_text::shown;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::bench::{matrix_product_rate, sum_seconds};
use super::processes::{ProcessArguments, Processes};
use super::{folder, processes};
use crate::answer::{answer, answer_line};
use densesiam::error::Error;
use densesiam::run::{exchange, unless_lost};
use densesiam::tasks::pretrain::Plan;

/// How many pictures of a folder are decoded.
const LOOKED_AT: usize = 64;

/// Prints the findings, as lines or as JSON.
pub(super) fn run(pictures: Option<&Path>, json: bool, several: &ProcessArguments) -> Result<(), Error> {
    if let Some(processes) = processes::start(several)? {
        return together(&processes, json);
    }
    let device = DeviceRequest::Auto.resolve()?;
    let (precision, why) = PrecisionRequest::Auto.resolve(device);
    let threads = resolve_threads(0);
    let environment = Environment::collect(env!("CARGO_PKG_VERSION"), device, precision, threads);
    let mut findings = match serde_json::to_value(&environment) {
        Ok(Value::Object(findings)) => findings,
        _ => return Err(Error::Internal("the environment is no JSON object".into())),
    };
    densesiam_engine::device::set_threads(threads);
    findings.insert("precision_reason".into(), json!(why));
    findings.insert("cuda".into(), json!(cuda().to_string()));
    let rate = |kind| (matrix_product_rate(kind, device) * 10.0).round() / 10.0;
    findings.insert("gflops_fp32".into(), json!(rate(tch::Kind::Float)));
    findings.insert("gflops_bf16".into(), json!(rate(tch::Kind::BFloat16)));
    findings.insert("disk_free_bytes".into(), json!(disk_free(Path::new("."))));
    if let Some(root) = pictures {
        findings.insert("pictures".into(), look_at(root)?);
    }
    let conclusion = match pictures {
        Some(root) => fit(root).unwrap_or_else(|error| format!("not fit for training: {error}")),
        None => format!("{}; with a folder the hours are measured: densesiam doctor FOLDER", suits(device)),
    };
    if json {
        findings.insert("conclusion".into(), json!(conclusion));
        return answer_line(format_args!("{:#}", Value::Object(findings)));
    }
    answer(findings.iter().map(|(key, value)| lines(key, value)).collect::<String>())?;
    answer_line(format_args!("\n{conclusion}"))
}

/// Lets the processes of a launcher meet, and prints where they are and how fast they sum.
fn together(processes: &Processes, json: bool) -> Result<(), Error> {
    let (group, membership) = (processes.group("doctor", PATIENCE)?, &processes.membership);
    let place = format!("{} of {}, {}", membership.local_rank, processes::machine(), cuda());
    let places = exchange(&group, "doctor", &place).map_err(Error::Elsewhere)?;
    let own = match cuda() {
        CudaSupport::Devices(1..) => device_of_process(Device::Cuda(0), membership.local_rank),
        _ => Device::Cpu,
    };
    // All sum on the same kind of device.
    let have_cards = exchange(&group, "card", &(own != Device::Cpu)).map_err(Error::Elsewhere)?;
    let device = if have_cards.into_iter().all(|has_card| has_card) { own } else { Device::Cpu };
    let sums = || (sum_seconds(&group, (4 << 10, device), 200), sum_seconds(&group, (100 << 20, device), 5));
    let (latency, large) = unless_lost(&[&group], sums).map_err(Error::Elsewhere)?;
    let collectives = group.collectives(&Tensor::zeros([1], (Kind::Float, device)));
    if group.rank() > 0 {
        return Ok(());
    }
    let findings = json!({
        "launcher": membership.launcher.to_string(),
        "processes": places,
        "collectives": collectives,
        "sum_4kb_microseconds": (1e6 * latency).round(),
        "sum_100mb_seconds": (1e3 * large).round() / 1e3,
    });
    if json {
        return answer_line(format_args!("{findings:#}"));
    }
    let findings = findings.as_object().into_iter().flatten();
    answer(findings.map(|(key, value)| lines(key, value)).collect::<String>())
}

/// Seconds to wait for the processes that are to meet.
const PATIENCE: u64 = 60;

/// What a device is suitable for.
fn suits(device: Device) -> &'static str {
    match device {
        Device::Cpu => {
            "fit for a ResNet-18 on some thousand pictures; the paper's recipes take weeks on a processor"
        }
        _ => "fit for the paper's recipes",
    }
}

/// How long a training on the pictures below `root` takes on this machine, whether there are enough pictures, and how
/// to begin it.
fn fit(root: &Path) -> Result<String, Error> {
    let root = root.to_string_lossy();
    let measured = folder::recipe(&root, &[], None)?;
    let rate = measured.rate(None)?;
    let plan = Plan::new(measured.recipe)?;
    let horizon = &plan.run.horizon;
    let time = spoken((horizon.total_steps as f64 * horizon.batch_size as f64 / rate) as u64);
    let outlook = plan.outlook().map_or(String::new(), |outlook| format!("\n{outlook}"));
    Ok(format!(
        "fit for a {} on these {} pictures: about {time} at {rate:.1} pictures a second, measured. Type\n  \
         densesiam pretrain {}{outlook}",
        plan.run.architecture,
        plan.run.index.len(),
        shown(&*root)
    ))
}

/// One line for a simple value, or one line for each part of a larger one; bytes are in GB.
fn lines(key: &str, value: &Value) -> String {
    match (key.strip_suffix("_bytes"), value) {
        (_, Value::Null) => format!("{key:28} not known\n"),
        (Some(key), Value::Number(bytes)) => {
            format!("{key:28} {:.1} GB\n", bytes.as_f64().unwrap_or_default() / 1e9)
        }
        (_, Value::Object(parts)) => {
            parts.iter().map(|(part, value)| lines(&format!("{key}.{part}"), value)).collect()
        }
        (_, Value::Array(items)) => {
            let indented = items.iter().map(|item| format!("  {}\n", item.as_str().unwrap_or_default()));
            format!("{key:28} {}\n{}", items.len(), indented.collect::<String>())
        }
        (_, Value::String(text)) => format!("{key:28} {text}\n"),
        (_, value) => format!("{key:28} {value}\n"),
    }
}

fn look_at(root: &Path) -> Result<Value, Error> {
    let index = ImageIndex::scan(root)?;
    let survey = Survey::of(&index, LOOKED_AT, &DecodeLimits::default());
    let line = |bad: &Unreadable| format!("{}: {}", index.place(bad.sample), bad.why);
    let unreadable: Vec<String> = survey.unreadable.iter().map(line).collect();
    let mut findings = json!({
        "found": index.len(),
        "looked_at": survey.looked_at,
        "median_shorter_side": survey.median_shorter_side(),
        "unreadable": unreadable,
    });
    let skipped = index.skipped();
    if !skipped.is_empty() {
        findings["skipped"] = json!(skipped.to_string());
    }
    Ok(findings)
}

/// Free bytes of the file system that holds `path`.
fn disk_free(path: &Path) -> Option<u64> {
    fs4::available_space(path).ok()
}
