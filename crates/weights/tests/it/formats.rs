//! What PyTorch, NumPy and detectron2 wrote, against what they say is in it (`make_fixtures.py`).

use std::io::{Cursor, Write};

use densesiam_weights::{DType, Format, Limits, Tensor, WeightsError, read};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::{bytes_of, files, message, names, read_any};

/// By their names, without the keys of dictionaries that lead to the state dict.
fn sorted(mut tensors: Vec<Tensor>) -> Vec<Tensor> {
    for tensor in &mut tensors {
        let key = ["state_dict.", "model."].iter().find(|key| tensor.name.starts_with(**key));
        tensor.name.drain(..key.map_or(0, |key| key.len()));
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

#[test]
fn every_file_holds_what_its_writer_says() {
    let mut read = 0;
    for name in names() {
        if !files().join(format!("{name}.expected")).exists() {
            continue;
        }
        let found = read_any(&bytes_of(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = read_any(&bytes_of(&format!("{name}.expected"))).unwrap();
        let (found, expected) = (sorted(found.tensors), sorted(expected.tensors));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{name}");
            assert_eq!(found.bytes, expected.bytes, "{name}: {}", found.name);
        }
        read += 1;
    }
    assert_eq!(read, 21);
}

#[test]
fn the_format_is_that_of_the_content() {
    for (name, format, first) in [
        ("types.safetensors", Format::Safetensors, "float64"),
        ("types.pt", Format::TorchZip, "float64"),
        ("types_legacy.pt", Format::TorchLegacy, "float64"),
        ("moco.pth.tar", Format::TorchZip, "state_dict.module.encoder_q.conv1.weight"),
        ("moco_legacy.pth.tar", Format::TorchLegacy, "state_dict.module.encoder_q.conv1.weight"),
        ("arguments.pth", Format::TorchZip, "model.weight"),
        ("detectron2_protocol2.pkl", Format::Pickle, "model.stem.conv1.weight"),
        ("python2.pkl", Format::Pickle, "state_dict.a"),
    ] {
        let file = read_any(&bytes_of(name)).unwrap();
        assert_eq!((file.format, file.tensors[0].name.as_str()), (format, first), "{name}");
    }
}

#[test]
fn objects_beside_the_weights_are_named() {
    for name in ["trainer.pth", "trainer_legacy.pth", "trainer.pkl"] {
        let unread = read_any(&bytes_of(name)).unwrap().unread;
        for object in ["__main__.History", "datetime.datetime", "collections.Counter", "__main__.Mode"] {
            assert!(unread.iter().any(|found| found == object), "{name}: {unread:?}");
        }
        assert!(!unread.iter().any(|found| found.contains("defaultdict")), "what is on the list is read");
    }
    assert!(read_any(&bytes_of("arguments.pth")).unwrap().unread.is_empty());
}

/// Independent of the expectations, which this crate reads itself.
#[test]
fn elements_are_little_endian_and_in_a_row() {
    let file = read_any(&bytes_of("views.pt")).unwrap();
    let values = |name: &str| -> Vec<f32> {
        let tensor = file.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        assert_eq!(tensor.dtype, DType::F32);
        tensor.bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    // The storage holds 300..324 modulo 128.
    assert_eq!(values("part"), [48., 49., 50., 51., 52., 53.]);
    assert_eq!(values("transposed")[..5], [44., 50., 56., 62., 45.]);
    assert_eq!(values("expanded"), [49.; 6]);
    assert_eq!(values("inner"), [48., 51., 52., 55., 60., 63., 64., 67.]);
    assert_eq!(values("scalar"), [2.5]);
}

#[test]
fn files_are_read_by_path_and_no_larger_than_allowed() {
    let path = files().join("types.pt");
    assert_eq!(read(&path, &Limits::default()).unwrap().tensors.len(), 10);
    let small = Limits { max_bytes: 100, ..Limits::default() };
    let error = read(&path, &small).unwrap_err();
    assert!(matches!(error, WeightsError::FileTooLarge { max_bytes: 100, .. }), "{error}");
    assert!(matches!(read(&files().join("absent"), &small), Err(WeightsError::Io(_))));
    let few = Limits { max_instructions: 50, ..Limits::default() };
    let error = read(&path, &few).unwrap_err();
    assert!(matches!(error, WeightsError::TooManyInstructions { max_instructions: 50 }), "{error}");
}

#[test]
fn what_is_no_weights_file_says_what_it_looks_like() {
    assert!(message(b"").contains("empty"));
    assert!(message(b"<!DOCTYPE html><title>404").contains("a web page"));
    assert!(message(b"version https://git-lfs.github.com/spec/v1").contains("git lfs pull"));
    assert!(message(b"\x1f\x8b\x08\x00").contains("gzip"));
    assert!(message(b"\x89PNG").contains("it begins with \".PNG\""));
    assert!(message(b"\x80\x02}U\x05epochK\x03s.").ends_with("it holds epoch"));
    assert!(message(b"\x80\x02K\x03.").contains("no dictionary"));
}

/// A pickle of a dictionary with one array, and an entry for who made it.
fn pickle_with(name: &str, by: &str) -> Vec<u8> {
    const NUMBER: &[u8] = b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02u1\x85RU\x01x\x86R";
    let text = |text: &str| [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat();
    [b"}", text(name).as_slice(), b"}", &text("w"), NUMBER, b"ss", &text("by"), &text(by), b"s"].concat()
}

/// What NumPy's `save` writes of one Python object.
fn npy_with(object: &[u8]) -> Vec<u8> {
    let header = format!("{:117}\n", "{'descr': '|O', 'fortran_order': False, 'shape': (), }");
    let begin = b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01)\
                  cnumpy\ndtype\nX\x02\x00\x00\x00O8K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00|NNN\
                  J\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]";
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", length.as_slice(), header.as_bytes(), begin, object, b"atb."].concat()
}

#[test]
fn networks_of_other_frameworks_are_refused_with_the_reason() {
    let reason = "pickle of a kind that is not read here: it holds a ResNet of JAX (haiku), as BYOL's and DetCon's are, \
                  whose layers of stride 2 pad otherwise than PyTorch's ('SAME'), so that its weights would compute \
                  other features here";
    let block = "res_net50/~/block_group_0/~/block_0/~/conv_0";
    // DetCon's, and BYOL's, whose dictionaries are in an object that is not read.
    assert_eq!(message(&npy_with(&pickle_with(block, "DetCon"))), reason);
    let parameters = pickle_with(&format!("byol/{block}"), "BYOL");
    let state = [
        b"\x80\x02}X\x10\x00\x00\x00experiment_statecbyol.byol_experiment\n_ByolExperimentState\n",
        parameters.as_slice(),
        b"\x85\x81s.",
    ];
    assert_eq!(message(&state.concat()), reason);
    // The same path as a value of another file is no reason.
    let other = [b"\x80\x02", pickle_with("model", "/home/~/block").as_slice(), b"."].concat();
    assert_eq!(read_any(&other).unwrap().tensors[0].name, "model.w");
    assert!(message(&npy_with(&pickle_with("model", "someone"))).contains("no dictionary with names"));
    assert!(message(b"\x93NUMPY\x01\x00\x04\x00{} \n\x00\x00").contains("a NumPy file of one array"));
    let index = b"\x00\x00\x06base_model\x57\xfb\x80\x8b\x24\x75\x47\xdb";
    assert!(
        message(index).contains("the index of a TensorFlow checkpoint, which is not read; its networks pad")
    );
}

fn zip_with(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn flavours_that_are_not_read_say_what_they_are() {
    let script = zip_with(&[("net/data.pkl", b"\x80\x02}."), ("net/constants.pkl", b"\x80\x02).")]);
    assert!(message(&script).contains("a TorchScript program"), "{}", message(&script));
    let swapped = zip_with(&[("a/data.pkl", b"\x80\x02}."), ("a/byteorder", b"big")]);
    assert!(message(&swapped).contains("not little-endian"));
    let other = zip_with(&[("weights.npy", b"\x93NUMPY")]);
    assert!(message(&other).contains("no data.pkl"));
    let legacy = bytes_of("types_legacy.pt");
    let order = legacy.windows(13).position(|window| window == b"little_endian").unwrap() + 13;
    let truth = order + legacy[order..].iter().position(|&byte| byte == 0x88).unwrap();
    let swapped = [&legacy[..truth], &[0x89], &legacy[truth + 1..]].concat();
    assert!(message(&swapped).contains("not little-endian"), "{}", message(&swapped));
}
