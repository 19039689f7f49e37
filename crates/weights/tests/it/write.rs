//! What is written is read back the same.

use std::io::Cursor;

use densesiam_weights::{
    DType, Format, StateDict, Tensor, WeightsFile, WriteError, match_names, write_detectron2, write_torch,
};

use crate::{bytes_of, read_any};

/// Tensors of every type, and among them a scalar and an empty one.
fn tensors() -> Vec<Tensor> {
    let mut tensors = read_any(&bytes_of("types.pt")).unwrap().tensors;
    let of = |name: &str, dtype, shape: &[i64], bytes: &[u8]| Tensor {
        name: name.to_owned(),
        dtype,
        shape: shape.to_vec(),
        bytes: bytes.to_vec(),
    };
    tensors.push(of("layer1.0.downsample.1.num_batches_tracked", DType::I64, &[], &[7, 0, 0, 0, 0, 0, 0, 1]));
    tensors.push(of("empty", DType::F32, &[0, 3], &[]));
    tensors
}

fn torch_file(tensors: &[Tensor], under: Option<&str>) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    write_torch(&mut out, &StateDict { tensors, under, meta: &[("architecture", "resnet18")] }).unwrap();
    out.into_inner()
}

#[test]
fn files_of_torch_are_read_back_the_same() {
    let tensors = tensors();
    for (under, prefix) in [(None, ""), (Some("state_dict"), "state_dict.")] {
        let bytes = torch_file(&tensors, under);
        let file = read_any(&bytes).unwrap();
        let mut expected = tensors.clone();
        expected.iter_mut().for_each(|tensor| tensor.name.insert_str(0, prefix));
        assert_eq!(file, WeightsFile { format: Format::TorchZip, tensors: expected, unread: Vec::new() });
        assert_eq!(bytes, torch_file(&tensors, under), "equal tensors make equal files");
    }
}

#[test]
fn storages_of_torch_are_aligned_so_that_they_can_be_mapped() {
    let mut tensors = tensors();
    tensors.truncate(1);
    tensors[0].bytes = (0..tensors[0].bytes.len()).map(|index| 0xa0 | (index as u8 & 0xf)).collect();
    let bytes = torch_file(&tensors, None);
    let found = bytes.windows(tensors[0].bytes.len()).position(|window| window == tensors[0].bytes);
    assert_eq!(found.unwrap() % 64, 0);
}

#[test]
fn files_of_detectron2_are_read_back_under_its_names() {
    let mut tensors = tensors();
    let mut out = Vec::new();
    let refused = write_detectron2(&mut out, &tensors, "us").unwrap_err();
    assert!(matches!(refused, WriteError::Unsupported { dtype: DType::BF16, .. }), "NumPy has no bf16");
    tensors.retain(|tensor| tensor.dtype != DType::BF16);
    let mut out = Vec::new();
    write_detectron2(&mut out, &tensors, "us").unwrap();
    let file = read_any(&out).unwrap();
    assert_eq!(file.format, Format::Pickle);
    assert!(
        file.tensors.iter().any(|tensor| tensor.name == "model.res2.0.shortcut.norm.num_batches_tracked")
    );
    let model: Vec<_> = tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect();
    let matching = match_names(&model, &file.tensors).unwrap();
    assert_eq!(matching.matched.len(), tensors.len(), "{matching}");
    for found in &matching.matched {
        let ours = tensors.iter().find(|tensor| tensor.name == found.name).unwrap();
        let theirs = &file.tensors[found.index];
        assert_eq!((ours.dtype, &ours.shape, &ours.bytes), (theirs.dtype, &theirs.shape, &theirs.bytes));
    }
}
