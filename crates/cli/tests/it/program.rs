//! Runs the program on made-up pictures, small enough for a step to take milliseconds.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use densesiam_data::demo::{DemoSettings, write_demo};
use tempfile::TempDir;

/// A pre-training of six steps that takes about a second.
pub(crate) const INSTANT: [&str; 13] = [
    "encoder.architecture=resnet18",
    "augment.size=32",
    "pixsim.dim=8",
    "regionsim.dim=8",
    "global.dim=32",
    "train.batch_size=4",
    "train.duration=6 steps",
    "train.log_every=1 steps",
    "train.checkpoint_every=2 steps",
    "train.pictures_every=3 steps",
    "train.pictures=2",
    "monitor.every=2 steps",
    "run.threads=1",
];

/// Arguments as [`Place::run`] takes them.
pub(crate) fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// A folder with 16 pictures under `pictures/train/images`, in which runs are made too.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let settings = DemoSettings { train: 16, val: 1, width: 64, height: 48, seed: 3 };
        write_demo(&place.path("pictures"), &settings).unwrap();
        place
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub(crate) fn pictures(&self) -> PathBuf {
        self.path("pictures/train/images")
    }

    /// `densesiam` with these arguments, in this folder; on the processor also where there is a CUDA device, for what is
    /// promised to the bit is promised there.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_densesiam"));
        command.args(arguments).current_dir(self.folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("CUDA_VISIBLE_DEVICES", "");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        Finished(self.command(arguments).output().unwrap())
    }

    /// The arguments of an instant pre-training called `name`, with `more` after its settings.
    pub(crate) fn instant<'a>(&self, name: &'a str, more: &[&'a str]) -> Vec<String> {
        let mut arguments = vec!["pretrain".to_owned(), "folder_r18".to_owned()];
        arguments.extend([format!("run.name={name}"), format!("data.root={}", self.pictures().display())]);
        arguments.extend(INSTANT.iter().chain(more).map(|&argument| argument.to_owned()));
        arguments
    }

    pub(crate) fn pretrain(&self, name: &str, more: &[&str]) -> Finished {
        let arguments = self.instant(name, more);
        self.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(crate) fn start_pretrain(&self, name: &str, more: &[&str]) -> Child {
        let arguments = self.instant(name, more);
        self.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).spawn().unwrap()
    }

    /// The objects of a run's `metrics.jsonl`.
    pub(crate) fn metrics(&self, name: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.path(&format!("runs/{name}/metrics.jsonl"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The bytes of a run's model and optimizer at a step.
    pub(crate) fn weights(&self, name: &str, step: u64) -> [Vec<u8>; 2] {
        let folder = self.path(&format!("runs/{name}/checkpoints/{step:09}"));
        ["model.safetensors", "optimizer.safetensors"].map(|file| std::fs::read(folder.join(file)).unwrap())
    }
}

/// Waits until `path` is there.
pub(crate) fn wait_for(path: &Path, child: &mut Child) {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "{} does not appear", path.display());
        assert!(child.try_wait().unwrap().is_none(), "the program ended before {} appeared", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A program that has ended.
pub(crate) struct Finished(Output);

impl Finished {
    pub(crate) fn of(child: Child) -> Self {
        Self(child.wait_with_output().unwrap())
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub(crate) fn succeeded(self) -> Self {
        self.exited(0)
    }

    pub(crate) fn exited(self, code: i32) -> Self {
        assert_eq!(self.0.status.code(), Some(code), "{}\n{}", self.stdout(), self.stderr());
        self
    }

    /// Every part occurs in what was printed on standard output.
    pub(crate) fn prints(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stdout().contains(part), "{part:?} is not printed in:\n{}", self.stdout());
        }
        self
    }

    /// Every part occurs in what was said on standard error.
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr().contains(part), "{part:?} is not said in:\n{}", self.stderr());
        }
        self
    }
}
