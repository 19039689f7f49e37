//! Named tensors to and from safetensors files, for checkpoints and exports. Tensors are written one by one, so that no
//! second copy of a whole model is held in memory.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};
use tch::{Kind, Tensor};

use super::error::TensorFileError;
use super::manifest::FileRecord;

/// Writes `tensors` to a safetensors file at `path`, with `metadata` and `format = "pt"` in its header, and syncs it
/// to the disk. The file appears under its name only when it is complete. Tensors may lie on any device and in any
/// layout; they are stored contiguous, in an order that depends on names and types alone.
///
/// # Errors
/// [`TensorFileError`] when the system refuses, a type is not supported, or a name occurs twice; no part of the file is
/// left.
pub fn tensors_to_safetensors(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<FileRecord, TensorFileError> {
    let sorted = in_file_order(path, tensors)?;
    let partial = partial_name(path);
    let written = write_file(&partial, &header(&sorted, metadata), &sorted)
        .and_then(|record| fs::rename(&partial, path).map(|()| record));
    written.map_err(|source| {
        // The caller needs the first failure; a leftover file is only untidy.
        let _ = fs::remove_file(&partial);
        TensorFileError::Write { path: path.to_owned(), source }
    })
}

/// Reads all tensors of a safetensors file onto the processor, sorted by name.
///
/// # Errors
/// [`TensorFileError`] when the file cannot be read, is not safetensors, or holds a type that is not supported.
pub fn read_safetensors(path: &Path) -> Result<Vec<(String, Tensor)>, TensorFileError> {
    let bytes = fs::read(path).map_err(|source| TensorFileError::Read { path: path.to_owned(), source })?;
    tensors_of(path, &bytes)
}

/// The tensors of a safetensors file whose contents are `bytes`; `path` names it in errors.
pub(super) fn tensors_of(path: &Path, bytes: &[u8]) -> Result<Vec<(String, Tensor)>, TensorFileError> {
    let damaged = |reason: String| TensorFileError::Format { path: path.to_owned(), reason };
    let file = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.iter() {
        let kind = kind_of(view.dtype()).ok_or_else(|| unsupported(path, name, &view.dtype()))?;
        let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
        let tensor = Tensor::f_from_data_size(view.data(), &shape, kind);
        tensors.push((name.to_owned(), tensor.map_err(|error| damaged(error.to_string()))?));
    }
    tensors.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(tensors)
}

struct Stored<'a> {
    name: &'a str,
    tensor: &'a Tensor,
    dtype: Dtype,
}

impl Stored<'_> {
    fn bytes(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}

/// Widest type first, which keeps every tensor aligned, then by name: the order of the safetensors library.
fn in_file_order<'a>(
    path: &Path,
    tensors: &'a [(String, Tensor)],
) -> Result<Vec<Stored<'a>>, TensorFileError> {
    let mut names = HashSet::new();
    let mut sorted = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        if !names.insert(name) {
            return Err(TensorFileError::Duplicate { path: path.to_owned(), name: name.clone() });
        }
        let dtype = dtype_of(tensor.kind()).ok_or_else(|| unsupported(path, name, &tensor.kind()))?;
        sorted.push(Stored { name, tensor, dtype });
    }
    sorted.sort_by(|left, right| right.dtype.cmp(&left.dtype).then(left.name.cmp(right.name)));
    Ok(sorted)
}

/// The file's JSON header, padded with spaces to a multiple of 8 bytes.
fn header(sorted: &[Stored], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut metadata = metadata.clone();
    metadata.insert("format".into(), "pt".into());
    let mut entries = Map::new();
    entries.insert("__metadata__".into(), json!(metadata));
    let mut start = 0;
    for stored in sorted {
        let end = start + stored.bytes();
        let entry =
            json!({"dtype": stored.dtype, "shape": stored.tensor.size(), "data_offsets": [start, end]});
        entries.insert(stored.name.to_owned(), entry);
        start = end;
    }
    let mut header = Value::Object(entries).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    header
}

fn write_file(path: &Path, header: &[u8], sorted: &[Stored]) -> io::Result<FileRecord> {
    let mut file = Digesting { inner: BufWriter::new(File::create(path)?), record: FileRecord::default() };
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header)?;
    let mut buffer = Vec::new();
    for stored in sorted {
        buffer.resize(stored.bytes(), 0);
        stored.tensor.f_copy_data_u8(&mut buffer, stored.tensor.numel()).map_err(io::Error::other)?;
        file.write_all(&buffer)?;
    }
    file.inner.flush()?;
    file.inner.get_ref().sync_all()?;
    Ok(file.record)
}

/// Counts and checksums the bytes that pass through.
struct Digesting<W> {
    inner: W,
    record: FileRecord,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.record.extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn partial_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

fn dtype_of(kind: Kind) -> Option<Dtype> {
    match kind {
        Kind::Float => Some(Dtype::F32),
        Kind::Double => Some(Dtype::F64),
        Kind::BFloat16 => Some(Dtype::BF16),
        Kind::Int64 => Some(Dtype::I64),
        _ => None,
    }
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::F64 => Some(Kind::Double),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::I64 => Some(Kind::Int64),
        _ => None,
    }
}

fn unsupported(path: &Path, name: &str, kind: &impl std::fmt::Debug) -> TensorFileError {
    TensorFileError::Kind { path: path.to_owned(), name: name.to_owned(), kind: format!("{kind:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn mixed() -> Vec<(String, Tensor)> {
        let base = Tensor::arange(24, (Kind::Float, Device::Cpu)).reshape([2, 3, 2, 2]);
        let channels_last = base.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        let tensor = |kind| (&base * 0.37).to_kind(kind);
        vec![
            ("z.float".into(), tensor(Kind::Float).set_requires_grad(true)),
            ("b.double".into(), tensor(Kind::Double)),
            ("a.bfloat16".into(), tensor(Kind::BFloat16)),
            ("count".into(), Tensor::from(7i64)),
            ("kernel".into(), channels_last),
            ("empty".into(), Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))),
        ]
    }

    #[test]
    fn tensors_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let record = tensors_to_safetensors(&path, &mixed(), &BTreeMap::new()).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!((record.bytes, record.crc32c), (bytes.len() as u64, crc32c::crc32c(&bytes)));
        let mut expected = mixed();
        expected.sort_by(|left, right| left.0.cmp(&right.0));
        for ((name, tensor), (expected_name, expected)) in
            read_safetensors(&path).unwrap().iter().zip(&expected)
        {
            assert_eq!(
                (name, tensor.kind(), tensor.size()),
                (expected_name, expected.kind(), expected.size())
            );
            assert!(tensor.equal(expected), "{name}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_header_says_pt_and_the_bytes_do_not_depend_on_the_order() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["one", "two"].map(|name| folder.path().join(name));
        let metadata = BTreeMap::from([("source".to_owned(), "densesiam".to_owned())]);
        let reversed: Vec<_> = mixed().into_iter().rev().collect();
        tensors_to_safetensors(&paths[0], &mixed(), &metadata).unwrap();
        tensors_to_safetensors(&paths[1], &reversed, &metadata).unwrap();
        let bytes = fs::read(&paths[0]).unwrap();
        assert_eq!(bytes, fs::read(&paths[1]).unwrap());
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        assert_eq!((metadata["format"].as_str(), metadata["source"].as_str()), ("pt", "densesiam"));
    }

    #[test]
    fn what_cannot_be_stored_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let ones = || Tensor::ones([2], (Kind::Float, Device::Cpu));
        let twice = [("a".to_owned(), ones()), ("a".to_owned(), ones())];
        let error = tensors_to_safetensors(&path, &twice, &BTreeMap::new()).unwrap_err();
        assert!(matches!(error, TensorFileError::Duplicate { name, .. } if name == "a"));
        let complex = [("c".to_owned(), ones().to_kind(Kind::ComplexFloat))];
        let error = tensors_to_safetensors(&path, &complex, &BTreeMap::new()).unwrap_err();
        assert!(matches!(error, TensorFileError::Kind { name, .. } if name == "c"));
        let missing = folder.path().join("missing/model.safetensors");
        let error = tensors_to_safetensors(&missing, &[], &BTreeMap::new()).unwrap_err();
        assert!(matches!(error, TensorFileError::Write { .. }));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_foreign_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, b"not safetensors").unwrap();
        let error = read_safetensors(&path).unwrap_err();
        assert!(
            matches!(error, TensorFileError::Format { .. })
                && error.to_string().contains("model.safetensors")
        );
        assert!(matches!(read_safetensors(&folder.path().join("none")), Err(TensorFileError::Read { .. })));
    }
}
