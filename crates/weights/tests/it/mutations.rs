//! Damage at every place of every test file: always a result, never a panic, and little memory.

use crate::{ALLOCATOR, bytes_of, names, read_any};

/// All tests of this binary together. The mutations take three megabytes; the pickles of `hostile.rs`, of a megabyte
/// and more each, take eighty.
const MOST_MEMORY_MB: f32 = 160.0;

#[test]
fn a_file_cut_short_anywhere_is_an_error_or_what_it_was() {
    for name in names() {
        let bytes = bytes_of(&name);
        let whole = read_any(&bytes).ok();
        for length in 0..bytes.len() {
            if let Ok(read) = read_any(&bytes[..length]) {
                assert_eq!(Some(read), whole, "{name} cut to {length} bytes");
            }
        }
    }
    assert!(ALLOCATOR.peak_usage_as_mb() < MOST_MEMORY_MB);
}

#[test]
fn no_changed_byte_is_a_panic() {
    for name in names() {
        let mut bytes = bytes_of(&name);
        for place in 0..bytes.len() {
            let right = bytes[place];
            // Two of these at each byte: all seven, tried once, take a minute.
            let wrong = [right ^ 1, right ^ 0x80, !right, 0, 0xff, b'(', b'R'];
            for turn in [place, place + 3] {
                bytes[place] = wrong[turn % wrong.len()];
                let _ = read_any(&bytes);
            }
            bytes[place] = right;
        }
    }
    assert!(ALLOCATOR.peak_usage_as_mb() < MOST_MEMORY_MB);
}

/// Damage in several places at once, from a fixed sequence.
#[test]
fn no_scrambled_file_is_a_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for name in names() {
        let bytes = bytes_of(&name);
        for _ in 0..2_000 {
            let mut scrambled = bytes.clone();
            for _ in 0..=next(8) {
                let (from, to) = (next(bytes.len()), next(bytes.len()));
                let length = 1 + next(8);
                let length = length.min(bytes.len() - from.max(to));
                scrambled[to..to + length].copy_from_slice(&bytes[from..from + length]);
                let place = next(bytes.len());
                scrambled[place] = next(256) as u8;
            }
            let _ = read_any(&scrambled);
        }
    }
    assert!(ALLOCATOR.peak_usage_as_mb() < MOST_MEMORY_MB);
}
