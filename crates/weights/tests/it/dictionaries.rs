//! Where the tensors of a pickle are found, however dictionaries, lists and tuples lie in each other.

use crate::{message, read_any};

/// A number of NumPy's, the shortest tensor that a pickle can hold.
const NUMBER: &[u8] = b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02u1\x85RU\x01x\x86R";

fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x04", value, b"."].concat()
}

/// A dictionary with one entry.
fn dict(key: &str, value: &[u8]) -> Vec<u8> {
    [b"}U", [key.len() as u8].as_slice(), key.as_bytes(), value, b"s"].concat()
}

fn names(value: &[u8]) -> Vec<String> {
    read_any(&pickle(value)).unwrap().tensors.into_iter().map(|tensor| tensor.name).collect()
}

#[test]
fn keys_stand_before_a_name_at_any_depth() {
    let inner = dict("conv1.weight", NUMBER);
    assert_eq!(names(&inner), ["conv1.weight"]);
    for key in ["state_dict", "ema", "anything at all"] {
        assert_eq!(names(&dict(key, &inner)), [format!("{key}.conv1.weight")]);
    }
    let deep = dict("classy_state_dict", &dict("base_model", &dict("model", &inner)));
    assert_eq!(names(&deep), ["classy_state_dict.base_model.model.conv1.weight"]);
    let ordered = [b"ccollections\nOrderedDict\n)RU\x05trunk", inner.as_slice(), b"s"].concat();
    assert_eq!(names(&dict("model", &ordered)), ["model.trunk.conv1.weight"]);
    let every_word = dict("layer1", &dict("0", &dict("conv1", &dict("weight", NUMBER))));
    assert_eq!(names(&every_word), ["layer1.0.conv1.weight"]);
}

#[test]
fn lists_and_tuples_count_their_elements() {
    let inner = dict("w", NUMBER);
    assert_eq!(names(&[inner.as_slice(), b"K\x05\x86"].concat()), ["0.w"]);
    assert_eq!(names(&[b"](K\x05", inner.as_slice(), inner.as_slice(), b"e"].concat()), ["1.w", "2.w"]);
    assert_eq!(names(&dict("models", &[b"]", inner.as_slice(), b"a"].concat())), ["models.0.w"]);
}

#[test]
fn an_optimizers_state_is_left_alone() {
    let state = [b"}K\x00", dict("momentum_buffer", NUMBER).as_slice(), b"s"].concat();
    let optimizer = dict("optimizer", &dict("state", &state));
    let file = [&optimizer[..optimizer.len()], b"U\x05model", &dict("w", NUMBER), b"s"].concat();
    assert_eq!(names(&file), ["model.w"]);
}

#[test]
fn what_is_reached_in_several_ways_is_one() {
    let twice = [b"}U\x01a", dict("w", NUMBER).as_slice(), b"q\x00sU\x01bh\x00s"].concat();
    assert_eq!(names(&twice), ["a.w"]);
    let itself = [b"}q\x00U\x01ah\x00sU\x01w", NUMBER, b"s"].concat();
    assert_eq!(names(&itself), ["w"]);
    // Each holds the one before it twice: two to the power of two hundred ways lead to the innermost.
    let mut doubling = [dict("w", NUMBER).as_slice(), b"q\x00"].concat();
    (0..200).for_each(|_| doubling.extend(b"0}U\x01ah\x00sU\x01bh\x00sq\x00"));
    assert_eq!(names(&doubling), [format!("{}w", "a.".repeat(200))]);
}

#[test]
fn names_longer_than_any_tensors_are_left_out() {
    let mut deep = dict("w", NUMBER);
    for _ in 0..300 {
        deep = dict("word", &deep);
    }
    let file = [b"}U\x01v".as_slice(), NUMBER, b"sU\x01d", &deep, b"s"].concat();
    assert_eq!(names(&file), ["v"]);
}

/// A long path costs a hostile file its bytes once; each name below it would cost us as many.
#[test]
fn names_are_bounded_by_the_size_of_the_file() {
    let path = "p".repeat(1000);
    let key = [b"X\xe8\x03\x00\x00", path.as_bytes()].concat();
    let many: Vec<u8> = (0..20_000)
        .flat_map(|number| [b"U\x05", format!("{number:05}").as_bytes(), b"h\x00"].concat())
        .collect();
    let file = [b"}", key.as_slice(), NUMBER, b"q\x000}(", many.as_slice(), b"us"].concat();
    let message = message(&pickle(&file));
    assert!(message.contains("too many for a file of its size"), "{message}");
}

#[test]
fn a_tensor_that_is_not_read_is_named_and_refuses_only_a_file_without_others() {
    let unread = b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x03c16\x85RU\x01x\x86R";
    let both = [dict("phase", unread).as_slice(), b"U\x01w", NUMBER, b"s"].concat();
    let file = read_any(&pickle(&both)).unwrap();
    let reason = "the tensor phase cannot be read: its numbers are of a type that is not read";
    assert_eq!((file.tensors.len(), file.unread), (1, vec![reason.to_owned()]));
    assert_eq!(message(&pickle(&dict("phase", unread))), reason);
}
