//! Weights files of every format, and whose names are whose.

use densesiam_fixtures::fuzz::{Target, crc32};
use densesiam_weights::{DType, Limits, Tensor, match_names, read_bytes};

/// Small enough that a file which gets past them is noticed at once.
const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_instructions: 20_000 };

/// A mebibyte and sixteen times the file for tensors, as [`Limits`] says, and a hundred bytes or two for each
/// instruction, of which a byte may be one.
const fn most_memory(bytes: usize) -> usize {
    (1 << 20) + (64 << 10) + (16 + 200) * bytes
}

/// A weights file of any format, as it is.
pub const WEIGHTS_FILE: Target = Target { name: "weights_file", read: read_weights, most_memory };

/// What follows the first two bytes of a pickle.
pub const PICKLE: Target = Target { name: "pickle", read: read_pickle, most_memory };

/// A file of PyTorch: the pickle's length in two bytes, the pickle, and the bytes of its storage `0`.
pub const TORCH: Target = Target { name: "torch", read: read_torch, most_memory };

/// A safetensors file: its header, and behind the first zero byte its data.
pub const SAFETENSORS: Target = Target { name: "safetensors", read: read_safetensors, most_memory };

/// Names and shapes, one tensor a line (`conv1.weight 64 3 7 7`): those of a model, an empty line, those of a file.
pub const NAMES: Target =
    Target { name: "names", read: match_any_names, most_memory: |bytes| (64 << 10) + 512 * bytes };

fn read_weights(bytes: &[u8]) {
    match read_bytes(bytes, &LIMITS) {
        Ok(file) => {
            for tensor in &file.tensors {
                let elements: usize =
                    tensor.shape.iter().map(|&size| usize::try_from(size).unwrap()).product();
                assert_eq!(tensor.bytes.len(), elements * tensor.dtype.size(), "{tensor:?}");
            }
        }
        Err(error) => drop(error.to_string()),
    }
}

fn read_pickle(bytes: &[u8]) {
    read_weights(&[b"\x80\x04", bytes].concat());
}

/// Written anew around every input: a changed byte of a whole file seldom gets past the archive's checksums.
fn read_torch(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (pickle, storage) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
    read_weights(&stored(&[("a/data.pkl", pickle), ("a/byteorder", b"little"), ("a/data/0", storage)]));
}

/// An archive that holds these as they are.
fn stored(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let (crc, size) = (crc32(data).to_le_bytes(), (data.len() as u32).to_le_bytes());
        let name_length = (name.len() as u16).to_le_bytes();
        let place = (archive.len() as u32).to_le_bytes();
        // Version, flags, method, time and date, alike in both places: all nothing but the version.
        let common: [&[u8]; 5] = [&[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0], &crc, &size, &size, &name_length];
        archive.extend([b"PK\x03\x04", common.concat().as_slice(), &[0, 0], name.as_bytes(), data].concat());
        directory.extend([b"PK\x01\x02\x14\x00", common.concat().as_slice(), &[0; 12], &place].concat());
        directory.extend(name.as_bytes());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (size, place) = ((directory.len() as u32).to_le_bytes(), (archive.len() as u32).to_le_bytes());
    let end = [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &size, &place, &[0, 0]].concat();
    [archive, directory, end].concat()
}

fn read_safetensors(bytes: &[u8]) {
    let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (header, data) = (&bytes[..length], bytes.get(length + 1..).unwrap_or_default());
    read_weights(&[&(length as u64).to_le_bytes(), header, data].concat());
}

fn match_any_names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (model, file) = text.split_once("\n\n").unwrap_or((&text, ""));
    let model: Vec<_> = model.lines().map(name_and_shape).collect();
    let tensor = |line| {
        let (name, shape) = name_and_shape(line);
        Tensor { name, dtype: DType::F32, shape, bytes: Vec::new() }
    };
    let file: Vec<Tensor> = file.lines().map(tensor).collect();
    match match_names(&model, &file) {
        Ok(matching) => {
            let found = matching.matched.len() + matching.mismatched.len();
            assert!(found > 0 && found + matching.missing.len() <= model.len());
            drop(matching.to_string());
        }
        Err(error) => drop(error.to_string()),
    }
}

fn name_and_shape(line: &str) -> (String, Vec<i64>) {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default().to_owned();
    (name, words.filter_map(|size| size.parse().ok()).collect())
}
