//! Files that were made to do harm, or lie about themselves.

use crate::{bytes_of, message, names, read_any};

/// A pickle of protocol 4 with these instructions.
fn pickle(instructions: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"\x80\x04".to_vec();
    instructions.iter().for_each(|instruction| bytes.extend_from_slice(instruction));
    bytes.push(b'.');
    bytes
}

#[test]
fn calls_of_anything_else_are_refused_by_name() {
    let mut refused = 0;
    for name in names() {
        let Some(kind) = name.strip_prefix("hostile_") else { continue };
        let global = match kind.split(['.', '_']).next() {
            Some("os") => "posix.system",
            Some("eval") => "eval",
            // Old protocols write Python 2's name of the module, which is another.
            Some("subprocess") => ".Popen",
            // `getattr` itself is harmless, and how Python writes a member of an enum.
            _ => "__import__",
        };
        let message = message(&bytes_of(&name));
        assert!(
            message.contains(&format!("{global} is called by the file: refused; nothing was run")),
            "{message}"
        );
        refused += 1;
    }
    assert_eq!(refused, 12);
}

#[test]
fn whatever_runs_code_in_python_is_refused_by_name() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "execv"),
        ("nt", "system"),
        ("subprocess", "check_output"),
        ("builtins", "exec"),
        ("__builtin__", "execfile"),
        ("builtins", "open"),
        ("runpy", "run_path"),
        ("importlib", "import_module"),
    ] {
        let message = message(&pickle(&[format!("c{module}\n{name}\n").as_bytes()]));
        let refused = format!("{module}.{name} is called by the file: refused; nothing was run");
        assert!(message.starts_with(&refused), "{message}");
    }
    let stacked = pickle(&[b"\x8c\x02os\x8c\x06system\x93"]);
    assert!(message(&stacked).starts_with("os.system is called"));
}

#[test]
fn names_must_be_exactly_those_of_the_list_to_mean_anything() {
    let tensor = b"((U\x07storagectorch\nByteStorage\nU\x010U\x03cpuK\x01tQK\x00K\x01\x85K\x01\x85\x89}tR";
    let written = |called: &str| pickle(&[b"}U\x01w", format!("c{called}\n").as_bytes(), tensor, b"s"]);
    assert!(message(&written("torch._utils\n_rebuild_tensor_v2")).contains("storages"), "a tensor was found");
    for (module, name) in [
        ("builtins", "set.__init__"),
        ("collections", "OrderedDict.__reduce__"),
        ("torch", "load"),
        ("torch", "hub"),
        ("torch._utils", "_rebuild_tensor_v2 "),
        ("torch.cuda", "Size"),
        ("numpy", "load"),
        ("numpy.core.multiarray", "fromfile"),
        ("_codecs", "lookup"),
        ("", ""),
    ] {
        let message = message(&written(&format!("{module}\n{name}")));
        assert!(message.contains("it holds w. "), "{message}");
        assert!(message.contains(&format!("Objects of {module}.{name} are in it")), "{message}");
    }
    let unreadable = pickle(&[b"ca\x1b[31m\nb\n"]);
    assert!(message(&unreadable).contains("Objects of a.[31m.b are in it"));
}

/// Whatever is done to an object that is not read, it takes: called again, called with itself, filled, given a state.
#[test]
fn objects_that_are_not_read_hold_nothing() {
    for instructions in [
        b"ca\nb\n)R".as_slice(),
        b"ca\nb\n)\x81",
        b"ca\nb\n)}\x92",
        b"ca\nb\n)R)R)\x81",
        b"ca\nb\nq\x00h\x00\x85Rh\x00\x85R",
        b"ca\nb\n]R",
        b"ca\nb\nNR",
        b"ca\nb\n)R}b",
        b"ca\nb\n2b",
        b"ca\nb\n)RK\x01K\x02s",
        b"ca\nb\n)R(K\x01K\x02u",
        b"ca\nb\n)RK\x01a",
        b"ca\nb\n)R(K\x01e",
        b"ca\nb\n)R(K\x01\x90",
    ] {
        let weights =
            b"U\x01aNsU\x05modelcnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02u1\x85RU\x01x\x86Rs";
        let file = read_any(&pickle(&[b"}U\x06object", instructions, b"s", weights])).unwrap();
        assert_eq!((file.tensors.len(), file.unread), (1, vec!["a.b".to_owned()]), "{instructions:?}");
    }
}

#[test]
fn a_tensor_within_an_object_that_is_not_read_is_not_found() {
    let model =
        b"ctorchvision.models.resnet\nResNet\n)\x81}U\x0b_parameterscnumpy.core.multiarray\nscalar\n)Rsb";
    for file in [pickle(&[model]), pickle(&[b"}U\x05model", model, b"s"])] {
        let message = message(&file);
        assert!(message.contains("Objects of torchvision.models.resnet.ResNet are in it"), "{message}");
        assert!(message.contains("save the state dict alone"), "{message}");
    }
}

/// Names of objects are kept for the message alone: no more and no longer ones than a message has.
#[test]
fn many_names_of_objects_cost_no_more_than_their_bytes() {
    let many: Vec<u8> = (0..200_000).flat_map(|number| format!("cm\n{number}\n0").into_bytes()).collect();
    let long = [b"X\x00\x00\x10\x00".as_slice(), &b"x".repeat(1 << 20), b"q\x000"].concat();
    let long = [long, b"h\x00h\x00\x930".repeat(200_000)].concat();
    for instructions in [many, long] {
        assert!(message(&pickle(&[&instructions, b"N"])).len() < 2_000);
    }
}

#[test]
fn instructions_that_weights_do_not_need_are_refused_by_name_and_number() {
    for (number, name) in [
        (b'i', "INST"),
        (b'o', "OBJ"),
        (0x82, "EXT1"),
        (0x83, "EXT2"),
        (0x84, "EXT4"),
        (b'P', "PERSID"),
        (b'S', "STRING"),
        (0x97, "NEXT_BUFFER"),
        (0xff, "without a name"),
        (0, "without a name"),
    ] {
        let message = message(&pickle(&[&[b'(', number], b"os\nsystem\n"]));
        assert!(
            message.starts_with(&format!("the pickle instruction {name} ({number:#04x}) is not")),
            "{message}"
        );
    }
}

#[test]
fn only_listed_functions_can_be_called_and_only_with_tuples() {
    for instructions in [
        b"\x8c\x06system)R".as_slice(),
        b"ctorch\nfloat32\n)R",
        b"ctorch\nFloatStorage\n)\x81",
        b"ccollections\nOrderedDict\n]}\x92",
        b"ccollections\nOrderedDict\n]R",
        b"ccollections\nOrderedDict\n)R)R",
        b"}}b",
        b"K\x01K\x02a",
        b"K\x01K\x02K\x03s",
        b"(K\x01K\x02K\x03d",
        b"0",
        b"h\x00",
        b"t",
    ] {
        let message = message(&pickle(&[instructions]));
        assert!(message.starts_with("damaged pickle data"), "{message}");
    }
}

#[test]
fn lengths_beyond_the_file_allocate_nothing() {
    for instruction in [
        b"\x8b\xff\xff\xff\x7f".as_slice(),
        b"\x8b\xff\xff\xff\xff",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x96\x00\x00\x00\x00\x00\x01\x00\x00",
        b"X\xff\xff\xff\xff",
        b"T\xff\xff\xff\x7f",
        b"cos",
    ] {
        assert!(message(&pickle(&[instruction])).contains("ends early"));
    }
}

#[test]
fn depth_and_repetition_cost_no_more_than_their_bytes() {
    const MANY: usize = 300_000;
    let deep_list = [b"]".repeat(MANY), b"a".repeat(MANY - 1)].concat();
    let deep_tuple = [b")".to_vec(), b"\x85".repeat(MANY)].concat();
    let deep_calls = [b"ccollections\nOrderedDict\nq\x000".to_vec(), b"h\x00".repeat(MANY)].concat();
    let deep_calls = [deep_calls, b")R".to_vec(), b"\x85R".repeat(MANY - 1)].concat();
    let doubling = [b")".to_vec(), b"2\x86".repeat(MANY)].concat();
    let memo = [b")\x94".to_vec(), b"(h\x00h\x00h\x00t\x94q\x00".repeat(MANY / 4)].concat();
    let itself = b"}\x94\x8c\x0astate_dicth\x00s".to_vec();
    let marks = b"(".repeat(MANY);
    for instructions in [deep_list, deep_tuple, deep_calls, doubling, memo, itself, marks] {
        let message = message(&pickle(&[&instructions]));
        assert!(message.contains("no tensors") || message.starts_with("damaged pickle"), "{message}");
    }
    let endless = b"N0".repeat(2_000_000);
    assert!(message(&pickle(&[&endless])).contains("more than 2000000 instructions"));
}

#[test]
fn tensors_and_storages_that_lie_are_errors() {
    for (name, reason) in [
        ("lying_short_storage.pth", "data/0 holds 252 bytes and should hold 64 elements of f32"),
        ("lying_no_storage.pth", "not found"),
        ("lying_elements.pth", "data/0 holds 256 bytes and should hold 2147483647 elements of f32"),
        ("lying_negative_elements.pth", "its storage is described in a way that PyTorch does not"),
        ("lying_shape.pth", "shape [65], strides [1] and offset 0 do not fit its storage"),
        ("lying_offset.pth", "shape [64], strides [1] and offset 1 do not fit its storage"),
        ("lying_type.pth", "data/0 holds 256 bytes and should hold 64 elements of f64"),
        ("lying_expanded.pth", "too many for a file of its size"),
        ("bomb_zeros.pth", "too many for a file of its size"),
    ] {
        let message = message(&bytes_of(name));
        assert!(message.contains(reason), "{name}: {message}");
    }
}

/// The directory of a zip archive can claim other sizes than its entries have.
#[test]
fn a_zip_directory_that_lies_is_an_error() {
    let good = bytes_of("types.pt");
    let entry = position(&good, b"PK\x01\x02").unwrap();
    for (field, claim) in
        [(20, 1u32), (20, u32::MAX - 1), (24, 1), (24, u32::MAX - 1), (42, 7), (42, u32::MAX - 1)]
    {
        let mut lying = good.clone();
        lying[entry + field..entry + field + 4].copy_from_slice(&claim.to_le_bytes());
        let message = message(&lying);
        assert!(message.contains("damaged") || message.contains("too many for a file"), "{message}");
    }
}

#[test]
fn weights_that_were_changed_by_one_bit_are_noticed() {
    let mut bytes = bytes_of("lying_offset.pth");
    let bytes_of_64 = 63f32 + 100. - 128.;
    let place = position(&bytes, &bytes_of_64.to_le_bytes()).unwrap();
    bytes[place] ^= 1;
    assert!(message(&bytes).contains("checksum"), "{}", message(&bytes));
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
