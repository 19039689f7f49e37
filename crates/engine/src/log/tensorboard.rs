//! TensorBoard's event files: protocol buffers (tensorflow's `event.proto` and `summary.proto`, of which only the
//! used fields are declared) in TFRecord frames (length, masked CRC-32C of it, data, masked CRC-32C of that).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::LogError;

/// An encoded picture.
#[derive(Clone, Copy, Debug)]
pub struct Png<'a> {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The contents of a PNG file, RGB.
    pub bytes: &'a [u8],
}

/// An event file that is appended to; every call is written at once.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Starts an event file in the folder of a run.
    ///
    /// # Errors
    /// [`LogError::Write`] when the system refuses.
    pub fn create(folder: &Path) -> Result<Self, LogError> {
        let (path, file) = new_file(folder).map_err(|source| LogError::write(folder, source))?;
        let mut events = Self { path, file };
        events.write(0, What::FileVersion("brain.Event:2".into()))?;
        Ok(events)
    }

    /// Continues after `step` in a new file, which tells TensorBoard to discard the later steps of earlier files.
    ///
    /// # Errors
    /// [`LogError::Write`] when the system refuses.
    pub fn resume(folder: &Path, step: u64) -> Result<Self, LogError> {
        let mut events = Self::create(folder)?;
        // TensorBoard discards this step and all later ones.
        events.write(step + 1, What::SessionLog(SessionLog { status: SESSION_START }))?;
        Ok(events)
    }

    /// Logs numbers at `step`, each under its tag (`loss/total`).
    ///
    /// # Errors
    /// [`LogError::Write`] when the system refuses.
    pub fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), LogError> {
        let value = |&(tag, value): &(&str, f64)| SummaryValue {
            tag: tag.to_owned(),
            value: Some(OneValue::Simple(value as f32)),
        };
        self.write(step, What::Summary(Summary { value: scalars.iter().map(value).collect() }))
    }

    /// Logs a picture at `step` under `tag`.
    ///
    /// # Errors
    /// [`LogError::Write`] when the system refuses.
    pub fn image(&mut self, step: u64, tag: &str, png: Png) -> Result<(), LogError> {
        let image = Image {
            height: png.height as i32,
            width: png.width as i32,
            colorspace: COLORSPACE_RGB,
            encoded_image_string: png.bytes.to_vec(),
        };
        let value = SummaryValue { tag: tag.to_owned(), value: Some(OneValue::Image(image)) };
        self.write(step, What::Summary(Summary { value: vec![value] }))
    }

    fn write(&mut self, step: u64, what: What) -> Result<(), LogError> {
        let event = Event { wall_time: now(), step: step as i64, what: Some(what) };
        let written = self.file.write_all(&framed(&event.encode_to_vec()));
        written.map_err(|source| LogError::write(&self.path, source))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// A file whose name sorts after all earlier ones, because TensorBoard reads files in this order; this also holds if
/// the clock was set back in between.
fn new_file(folder: &Path) -> io::Result<(PathBuf, File)> {
    let seconds_of = |name: &str| name.strip_prefix(NAME)?.split('.').next()?.parse::<u64>().ok();
    let mut latest = now() as u64;
    for entry in std::fs::read_dir(folder)? {
        let earlier = entry?.file_name().to_str().and_then(seconds_of);
        latest = latest.max(earlier.map_or(0, |seconds| seconds.saturating_add(1)));
    }
    let path = folder.join(format!("{NAME}{latest:010}.densesiam"));
    Ok((path.clone(), File::create_new(&path)?))
}

/// The beginning of the names that TensorBoard recognises.
const NAME: &str = "events.out.tfevents.";

fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut frame = Vec::with_capacity(data.len() + 16);
    frame.extend(length);
    frame.extend(masked_crc(&length).to_le_bytes());
    frame.extend(data);
    frame.extend(masked_crc(data).to_le_bytes());
    frame
}

/// TFRecord's checksum, masked so that data which contains checksums does not disturb it (tensorflow's `crc32c.h`).
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

const SESSION_START: i32 = 1;
const COLORSPACE_RGB: i32 = 3;

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(oneof = "OneValue", tags = "2, 4")]
    value: Option<OneValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OneValue {
    #[prost(float, tag = "2")]
    Simple(f32),
    #[prost(message, tag = "4")]
    Image(Image),
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded_image_string: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The events of all files of a folder, file by file in name order; checks the frames.
    fn read(folder: &Path) -> Vec<Vec<Event>> {
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| events(&fs::read(path).unwrap())).collect()
    }

    fn events(mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let crc = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let data = &bytes[12..12 + length];
            assert_eq!(crc(8), masked_crc(&bytes[..8]));
            assert_eq!(crc(12 + length), masked_crc(data));
            events.push(Event::decode(data).unwrap());
            bytes = &bytes[16 + length..];
        }
        events
    }

    #[test]
    fn the_checksum_is_tensorflows() {
        // The frame of every event file's first record is known: 24 bytes of length, crc a3 7f 4b 22.
        assert_eq!(masked_crc(&24u64.to_le_bytes()).to_le_bytes(), [0xa3, 0x7f, 0x4b, 0x22]);
    }

    #[test]
    fn what_was_logged_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventFile::create(folder.path()).unwrap();
        log.scalars(3, &[("loss/total", -0.5), ("loss/pixsim", 0.25)]).unwrap();
        log.image(4, "views", Png { width: 2, height: 1, bytes: b"png" }).unwrap();
        let files = read(folder.path());
        let [version, scalars, image] = &files[0][..] else { panic!("three events") };
        assert_eq!(version.what, Some(What::FileVersion("brain.Event:2".into())));
        assert!(scalars.step == 3 && scalars.wall_time > 1.7e9);
        let Some(What::Summary(summary)) = &scalars.what else { panic!("a summary") };
        assert_eq!(summary.value[0].tag, "loss/total");
        assert_eq!(summary.value[1].value, Some(OneValue::Simple(0.25)));
        let Some(What::Summary(summary)) = &image.what else { panic!("a summary") };
        let Some(OneValue::Image(image)) = &summary.value[0].value else { panic!("an image") };
        assert_eq!((image.width, image.height, image.encoded_image_string.as_slice()), (2, 1, &b"png"[..]));
    }

    #[test]
    fn a_resumed_run_starts_a_later_file_that_says_where() {
        let folder = tempfile::tempdir().unwrap();
        EventFile::create(folder.path()).unwrap().scalars(9, &[("loss", 1.0)]).unwrap();
        EventFile::resume(folder.path(), 5).unwrap().scalars(6, &[("loss", 2.0)]).unwrap();
        let files = read(folder.path());
        assert_eq!(files.len(), 2);
        assert_eq!(files[1][1].step, 6);
        assert_eq!(files[1][1].what, Some(What::SessionLog(SessionLog { status: SESSION_START })));
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_the_order_of_the_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("events.out.tfevents.4000000000.densesiam"), []).unwrap();
        EventFile::resume(folder.path(), 5).unwrap().scalars(6, &[("loss", 2.0)]).unwrap();
        let files = read(folder.path());
        assert_eq!((files[0].len(), files[1].len()), (0, 3));
    }
}
