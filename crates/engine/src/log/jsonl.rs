//! `metrics.jsonl`: one JSON object in each line, for programs. A resumed run drops the lines that an earlier process
//! wrote beyond the checkpoint, so that every step occurs once.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::LogError;

/// A file of JSON lines that is appended to.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Starts an empty log at `path`.
    ///
    /// # Errors
    /// [`LogError::Write`] when the system refuses.
    pub fn create(path: &Path) -> Result<Self, LogError> {
        let file = File::create(path).map_err(|source| LogError::write(path, source))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Continues the log at `path` after `step`: lines whose `"step"` is later are dropped, and so are lines that are
    /// not JSON (a line cut off by a kill). A missing log is started.
    ///
    /// # Errors
    /// [`LogError`] when the system refuses to read or write.
    pub fn resume(path: &Path, step: u64) -> Result<Self, LogError> {
        let old = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::create(path),
            opened => opened.map_err(|source| LogError::Read { path: path.to_owned(), source })?,
        };
        let kept = path.with_extension("jsonl.partial");
        keep_until(old, &kept, step)
            .and_then(|()| fs::rename(&kept, path))
            .and_then(|()| File::options().append(true).open(path))
            .map(|file| Self { path: path.to_owned(), file })
            .map_err(|source| LogError::write(path, source))
    }

    /// Appends one line, written at once. `record` is an object, with its step under `"step"`; numbers that are not
    /// finite become `null`, because JSON cannot represent them.
    ///
    /// # Errors
    /// [`LogError::Write`] when the system refuses.
    pub fn append(&mut self, record: &impl Serialize) -> Result<(), LogError> {
        let line = serde_json::to_vec(record).map_err(io::Error::from);
        let written = line.and_then(|mut line| {
            line.push(b'\n');
            self.file.write_all(&line)
        });
        written.map_err(|source| LogError::write(&self.path, source))
    }
}

/// Copies the complete lines of `old` up to `step` to `path`.
fn keep_until(old: File, path: &Path, step: u64) -> io::Result<()> {
    let mut kept = BufWriter::new(File::create(path)?);
    for line in BufReader::new(old).split(b'\n') {
        let line = line?;
        if is_kept(&line, step) {
            kept.write_all(&line)?;
            kept.write_all(b"\n")?;
        }
    }
    kept.into_inner()?.sync_all()
}

fn is_kept(line: &[u8], step: u64) -> bool {
    serde_json::from_slice::<Value>(line).is_ok_and(|record| {
        record.is_object() && record.get("step").and_then(Value::as_u64).is_none_or(|found| found <= step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn log(path: &Path, steps: std::ops::RangeInclusive<u64>) {
        let mut log = MetricsLog::create(path).unwrap();
        log.append(&json!({"start": true})).unwrap();
        for step in steps {
            log.append(&json!({"step": step, "loss": f64::NAN})).unwrap();
        }
    }

    #[test]
    fn resumed_at_a_step_the_log_reads_as_if_never_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, cut) = (folder.path().join("whole.jsonl"), folder.path().join("metrics.jsonl"));
        log(&whole, 1..=6);
        log(&cut, 1..=5);
        File::options().append(true).open(&cut).unwrap().write_all(b"{\"step\": 6, \"lo").unwrap();
        let mut resumed = MetricsLog::resume(&cut, 3).unwrap();
        for step in 4..=6 {
            resumed.append(&json!({"step": step, "loss": null})).unwrap();
        }
        assert_eq!(fs::read_to_string(&cut).unwrap(), fs::read_to_string(&whole).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_torn_line_is_dropped_even_when_its_step_would_be_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "{\"step\":1}\n{\"step\":2").unwrap();
        MetricsLog::resume(&path, 10).unwrap().append(&json!({"step": 2})).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":1}\n{\"step\":2}\n");
    }

    #[test]
    fn a_missing_log_is_started_and_an_impossible_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        MetricsLog::resume(&folder.path().join("metrics.jsonl"), 3).unwrap();
        let error = MetricsLog::create(&folder.path().join("none/metrics.jsonl")).unwrap_err();
        assert!(matches!(error, LogError::Write { .. }));
    }
}
