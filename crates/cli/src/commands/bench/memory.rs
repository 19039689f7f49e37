//! Peak memory over SimSiam by grid number, the paper's memory column. The peak of a process never falls, so each grid
//! number is measured in a separate process, this program's `bench step`.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::step::pretrain_recipe;
use crate::answer::answer_line;
use densesiam::error::Error;

/// `densesiam bench memory`
pub(super) fn run(settings: &[String], grids: &[usize], steps: usize, repeats: usize) -> Result<(), Error> {
    // Errors in the settings are reported once, before anything is measured.
    let recipe = pretrain_recipe(settings)?;
    recipe.common.run.device.resolve()?;
    let simsiam = least_peak_at(0, settings, steps, repeats)?;
    print(0, &simsiam, simsiam.megabytes)?;
    for &grid in grids.iter().filter(|&&grid| grid > 0) {
        print(grid, &least_peak_at(grid, settings, steps, repeats)?, simsiam.megabytes)?;
    }
    Ok(())
}

/// The least of several peaks, because the variation of the system and the allocator only ever adds memory.
fn least_peak_at(grid: usize, settings: &[String], steps: usize, repeats: usize) -> Result<Peak, Error> {
    let mut least = peak_at(grid, settings, steps)?;
    for _ in 1..repeats {
        let again = peak_at(grid, settings, steps)?;
        if again.megabytes < least.megabytes {
            least = again;
        }
    }
    Ok(least)
}

struct Peak {
    megabytes: f64,
    /// What `bench step` printed.
    step: Value,
}

fn print(grid: usize, peak: &Peak, simsiam: f64) -> Result<(), Error> {
    let step = &peak.step;
    let line = json!({
        "bench": "memory", "program": "densesiam", "architecture": step["architecture"], "size": step["size"],
        "batch": step["batch"], "precision": step["precision"], "threads": step["threads"],
        "grid": grid, "peak_memory_megabytes": peak.megabytes,
        "percent_over_simsiam": 100.0 * (peak.megabytes / simsiam - 1.0),
    });
    answer_line(line)
}

/// Runs `bench step` at a grid number; at 0, without PixSim and RegionSim.
fn peak_at(grid: usize, settings: &[String], steps: usize) -> Result<Peak, Error> {
    let program = std::env::current_exe().map_err(|error| Error::file("this program", error))?;
    let steps = steps.to_string();
    let mut command = Command::new(&program);
    command.args(["bench", "step", "--no-limits", "--warmup", "0", "--steps", &steps]).args(settings);
    match grid {
        0 => command.args(["pixsim.weight=0", "regionsim.weight=0"]),
        grid => command.arg(format!("pixsim.grid={grid}")),
    };
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| Error::file(program, error))?;
    if !output.status.success() {
        return Err(Error::Measurement { what: format!("grid number {grid}"), status: output.status });
    }
    let step: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| Error::Internal(error.to_string()))?;
    // On a CUDA device the memory of the device is the limit.
    let of_device = step["peak_device_memory_megabytes"].as_f64();
    let megabytes = of_device.or(step["peak_memory_megabytes"].as_f64());
    let megabytes = megabytes
        .ok_or_else(|| Error::Usage("this system does not say how much memory a process held".into()))?;
    Ok(Peak { megabytes, step })
}
