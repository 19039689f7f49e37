//! JPEG of every kind against the pixels of libjpeg-turbo, and what becomes of those that are not whole.
//!
//! `tests/assets/jpeg/make.py` made the pictures. A folder has files that differ in their scans alone, and their pixels.

use std::collections::BTreeMap;
use std::path::Path;

use densesiam_data::decode::{DecodeError, DecodeLimits, decode, decode_into};
use densesiam_data::image::RgbImage;

type Folder = Vec<(String, Vec<u8>)>;

/// All folders by name, each with its files, whose names are whole.
fn folders() -> BTreeMap<String, Folder> {
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/assets/jpeg/libjpeg.tar.gz");
    let mut folders: BTreeMap<String, Folder> = BTreeMap::new();
    for (name, bytes) in densesiam_fixtures::packed(Path::new(archive)).unwrap() {
        let folder = name.rsplit_once('/').unwrap().0.to_owned();
        folders.entry(folder).or_default().push((name, bytes));
    }
    folders
}

fn file(name: &str) -> Vec<u8> {
    let folder = name.rsplit_once('/').unwrap().0;
    let file = folders().remove(folder).unwrap().into_iter().find(|(found, _)| found == name);
    file.unwrap_or_else(|| panic!("{name} is not there")).1
}

/// One picture in one scan, in one for each component, and in progressive ones.
fn kinds() -> [Vec<u8>; 3] {
    ["one", "each", "bits_apart"].map(|scans| file(&format!("sampling/2x2,1x1,1x1/{scans}.jpg")))
}

fn decode_default(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    decode(bytes, &DecodeLimits::default())
}

/// The mean and the largest difference of two pictures of one size.
fn differences(ours: &RgbImage, theirs: &RgbImage) -> (f64, u8) {
    assert_eq!((ours.width, ours.height), (theirs.width, theirs.height));
    let differences = ours.pixels.iter().zip(&theirs.pixels).map(|(a, b)| a.abs_diff(*b));
    let sum: f64 = differences.clone().map(f64::from).sum();
    (sum / ours.pixels.len() as f64, differences.max().unwrap())
}

/// Pixels after three lines, of which the second is the size.
fn read_ppm(ppm: &[u8]) -> RgbImage {
    let lines: Vec<_> = ppm.splitn(4, |&byte| byte == b'\n').collect();
    let [b"P6", size, b"255", pixels] = lines[..] else { panic!("no PPM of three lines and pixels") };
    let (width, height) = std::str::from_utf8(size).unwrap().split_once(' ').unwrap();
    RgbImage { width: width.parse().unwrap(), height: height.parse().unwrap(), pixels: pixels.to_vec() }
}

/// Where each segment begins, the end of image included.
fn segments(jpeg: &[u8]) -> Vec<usize> {
    let (mut starts, mut place) = (Vec::new(), 2);
    loop {
        starts.push(place);
        if jpeg[place + 1] == 0xd9 {
            return starts;
        }
        place += 2 + usize::from(u16::from_be_bytes([jpeg[place + 2], jpeg[place + 3]]));
        while jpeg[place] != 0xff || matches!(jpeg[place + 1], 0 | 0xd0..=0xd7) {
            place += 1;
        }
    }
}

/// The places of the scans' headers.
fn scans(jpeg: &[u8]) -> Vec<usize> {
    segments(jpeg).into_iter().filter(|&start| jpeg[start + 1] == 0xda).collect()
}

/// A picture with `bytes` in place of some.
fn with(jpeg: &[u8], replaced: std::ops::Range<usize>, bytes: &[u8]) -> Vec<u8> {
    [&jpeg[..replaced.start], bytes, &jpeg[replaced.end..]].concat()
}

fn frame(jpeg: &[u8]) -> usize {
    segments(jpeg).into_iter().find(|&start| matches!(jpeg[start + 1], 0xc0..=0xc2)).unwrap()
}

fn reason(bytes: &[u8]) -> (&'static str, String) {
    match decode_default(bytes) {
        Err(error @ DecodeError::Unsupported { .. }) | Err(error @ DecodeError::Damaged { .. }) => {
            (error.kind(), error.to_string())
        }
        other => panic!("{:?}", other.map(|image| (image.width, image.height))),
    }
}

/// Chroma is interpolated with other roundings, and at an edge that is within a block with the samples beyond it, which
/// only pictures of a few pixels show.
#[test]
fn pixels_are_those_of_libjpeg_whatever_the_sampling_and_the_scans() {
    for (folder, files) in folders() {
        let (mean_allowed, largest_allowed) = if folder.starts_with("size/") { (1.5, 20) } else { (0.5, 5) };
        let theirs = read_ppm(&files[0].1);
        let ours = decode_default(&files[1].1).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let (mean, largest) = differences(&ours, &theirs);
        assert!(mean < mean_allowed && largest <= largest_allowed, "{folder}: {mean} and {largest} levels");
        for (name, bytes) in &files[2..] {
            assert!(decode_default(bytes).as_ref() == Ok(&ours), "{name}: other scans, other pixels");
        }
    }
}

#[test]
fn memory_that_is_used_again_leaves_no_trace() {
    let mut image = RgbImage::default();
    for (_, files) in folders() {
        decode_into(&files[1].1, &DecodeLimits::default(), &mut image).unwrap();
        assert!(decode_default(&files[1].1).as_ref() == Ok(&image), "{}", files[1].0);
    }
}

#[test]
fn bytes_between_segments_have_no_pixels() {
    for jpeg in kinds() {
        let whole = decode_default(&jpeg).unwrap();
        for start in segments(&jpeg) {
            for bytes in [&[0][..], &[0; 100], &[0xff; 3], b"\r\n", &[0xff, 0, 1, 2, 3]] {
                let bytes = with(&jpeg, start..start, bytes);
                assert!(decode_default(&bytes).as_ref() == Ok(&whole), "before byte {start}");
            }
        }
    }
}

#[test]
fn what_is_not_decoded_is_refused_by_its_name() {
    let codings = [
        (0xc3, "lossless"),
        (0xc5, "hierarchical"),
        (0xc6, "hierarchical"),
        (0xc7, "hierarchical lossless"),
        (0xc9, "arithmetic"),
        (0xca, "arithmetic"),
        (0xcb, "lossless arithmetic"),
        (0xcd, "hierarchical arithmetic"),
        (0xcf, "hierarchical arithmetic"),
        (0xde, "hierarchical"),
        (0xf7, "JPEG-LS"),
    ];
    for jpeg in kinds() {
        let frame = frame(&jpeg);
        let changes = codings.map(|(marker, name)| (1, vec![marker], name));
        let others = [(4, vec![12], "12 bits"), (5, vec![0, 0], "DNL"), (9, vec![2], "2 components")];
        for (place, bytes, name) in changes.into_iter().chain(others) {
            let place = frame + place;
            let (kind, message) = reason(&with(&jpeg, place..place + bytes.len(), &bytes));
            assert!(kind == "not supported" && message.contains(name), "{name}: {message}");
        }
        let factor = frame + 11;
        let (kind, message) = reason(&with(&jpeg, factor..factor + 4, &[0x31, 0, 2, 0x21]));
        assert!(kind == "not supported" && message.contains("sampling factors 3 and 2"), "{message}");
    }
}

#[test]
fn formats_called_after_jpeg_are_named() {
    for (name, bytes) in [("JPEG XL", &b"\xff\x0a\xfa"[..]), ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n\0")] {
        let error = decode_default(bytes).unwrap_err();
        assert!(matches!(&error, DecodeError::Unsupported { format, .. } if format == name), "{error}");
    }
}

#[test]
fn a_height_that_is_said_twice_must_be_the_same() {
    for jpeg in kinds() {
        let second = segments(&jpeg)[segments(&jpeg).len() - 1];
        let with_height = |height| with(&jpeg, second..second, &[0xff, 0xdc, 0, 4, 0, height]);
        assert_eq!(decode_default(&with_height(19)), decode_default(&jpeg));
        let (kind, message) = reason(&with_height(20));
        assert!(kind == "not supported" && message.contains("DNL"), "{message}");
    }
}

#[test]
fn a_picture_that_lacks_a_scan_is_refused() {
    for jpeg in kinds() {
        let (all, scans) = (segments(&jpeg), scans(&jpeg));
        for &scan in &scans {
            let next = all[all.iter().position(|&start| start == scan).unwrap() + 1];
            reason(&with(&jpeg, scan..next, b""));
            reason(&with(&jpeg, scan..jpeg.len(), b"\xff\xd9"));
            reason(&with(&jpeg, next..next, &jpeg[scan..next]));
        }
    }
}

/// Other decoders paint grey what is missing, as long as there is an end of image.
#[test]
fn a_scan_cut_short_is_refused_though_the_picture_ends() {
    for jpeg in kinds() {
        let first = scans(&jpeg)[0];
        for place in first..jpeg.len() - 4 {
            let cut = jpeg[..place].strip_suffix(b"\xff").unwrap_or(&jpeg[..place]);
            assert!(decode_default(&[cut, b"\xff\xd9"].concat()).is_err(), "cut at {place}");
        }
    }
}

#[test]
fn a_picture_cut_anywhere_is_truncated() {
    for jpeg in kinds() {
        for length in 4..jpeg.len() {
            let error = decode_default(&jpeg[..length]).unwrap_err();
            assert_eq!(error, DecodeError::Truncated { format: "JPEG".into() }, "cut at {length}");
        }
    }
}

/// Damage may go unnoticed inside of codes, but it must never stop the program.
#[test]
fn changed_bytes_never_panic() {
    let limits = DecodeLimits { max_pixels: 1 << 20 };
    for jpeg in kinds() {
        for place in 0..jpeg.len() {
            for change in [0x01, 0x10, 0x80, 0xff] {
                let result = decode(&with(&jpeg, place..place + 1, &[jpeg[place] ^ change]), &limits);
                let panicked = matches!(result, Err(DecodeError::DecoderPanicked { .. }));
                assert!(!panicked, "byte {place} changed by {change:#x}: {result:?}");
            }
        }
    }
}

#[test]
fn restarts_out_of_their_order_are_refused_and_one_too_many_is_not() {
    for scans in ["one", "each", "progressive"] {
        let jpeg = file(&format!("restarts/2x2/1B/{scans}.jpg"));
        let is_restart = |&place: &usize| jpeg[place] == 0xff && matches!(jpeg[place + 1], 0xd0..=0xd7);
        let restart = (0..jpeg.len() - 1).find(is_restart).unwrap();
        let (kind, message) = reason(&with(&jpeg, restart + 1..restart + 2, &[0xd5]));
        assert!(kind == "damaged" && message.contains("the codes of a scan"), "{message}");
        reason(&with(&jpeg, restart..restart + 2, b""));
        let end = jpeg.len() - 2;
        assert_eq!(decode_default(&with(&jpeg, end..end, b"\xff\xd3")), decode_default(&jpeg));
    }
}

/// The frames of films: every program has their codes.
#[test]
fn codes_that_a_file_does_not_define_are_the_standard_ones() {
    for sequential in &kinds()[..2] {
        let mut jpeg = sequential.clone();
        for start in segments(sequential).into_iter().rev().filter(|&start| sequential[start + 1] == 0xc4) {
            let length = usize::from(u16::from_be_bytes([jpeg[start + 2], jpeg[start + 3]]));
            jpeg.drain(start..start + 2 + length);
        }
        assert!(jpeg.len() < sequential.len());
        assert_eq!(decode_default(&jpeg), decode_default(sequential));
    }
}

#[test]
fn sizes_are_believed_where_there_is_data_for_them() {
    for jpeg in kinds() {
        let size = frame(&jpeg) + 5;
        let (kind, message) = reason(&with(&jpeg, size..size + 4, &[0x20, 0, 0x20, 0]));
        assert!(kind == "damaged" && message.contains("less data than blocks"), "{message}");
    }
}

/// A grey block whose coefficients, all 0, each come in `bits` scans of one bit of data.
fn many_scans(bits: u8) -> Vec<u8> {
    let segment = |marker: u8, content: &[u8]| {
        [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
    };
    // One code of one bit, for 0: no difference, and no more coefficients.
    let codes = |kind: u8| segment(0xc4, &[&[kind, 1][..], &[0; 15], &[0]].concat());
    let scan = |coefficient: u8, bits: u8| {
        [&segment(0xda, &[1, 1, 0, coefficient, coefficient, bits])[..], &[0x7f]].concat()
    };
    let start = [
        vec![0xff, 0xd8],
        segment(0xdb, &[&[0][..], &[1; 64]].concat()),
        segment(0xc2, &[8, 0, 8, 0, 8, 1, 1, 0x11, 0]),
        codes(0x00),
        codes(0x10),
        scan(0, 0),
    ];
    let others = (1..64).flat_map(|coefficient| {
        (0..bits)
            .rev()
            .map(move |low| scan(coefficient, if low + 1 == bits { low } else { (low + 1) << 4 | low }))
    });
    [start.concat(), others.flatten().collect(), vec![0xff, 0xd9]].concat()
}

#[test]
fn more_scans_than_any_program_writes_are_refused() {
    assert!(decode_default(&many_scans(7)).unwrap().pixels.iter().all(|&level| level == 128));
    let (kind, message) = reason(&many_scans(8));
    assert!(kind == "not supported" && message.contains("more than 500 scans"), "{message}");
}
