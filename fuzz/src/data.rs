//! Pictures, label maps, and the lists beside them.

use std::io::Write;
use std::path::{Component, Path};

use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_data::detection::parse_voc;
use densesiam_data::index::{ImageIndex, Place};
use densesiam_data::labelled::{LabelMap, Taxonomy};
use densesiam_data::regions::{RegionFile, Regions};
use densesiam_fixtures::fuzz::{Target, crc32};

const LIMITS: DecodeLimits = DecodeLimits { max_pixels: 1 << 16 };

/// A picture of any format; a PNG is given its checksums.
pub const PICTURE: Target = Target {
    name: "picture",
    read: read_picture,
    // Decoders may hold a picture in 16-bit RGBA beside what they make of it, and tables of their own; WebP's makes room
    // for a part of the data, 16 MiB at most, before it misses it.
    most_memory: |bytes| (16 << 20) + (4 << 20) + 64 * bytes,
};

/// A label map, given its checksums, read by the classes of PASCAL VOC.
pub const LABEL: Target =
    Target { name: "label", read: read_label, most_memory: |bytes| (1 << 20) + 64 * bytes };

/// A class file.
pub const CLASSES: Target =
    Target { name: "classes", read: read_classes, most_memory: |bytes| (64 << 10) + 64 * bytes };

/// A list of pictures.
pub const INDEX: Target =
    Target { name: "index", read: read_index, most_memory: |bytes| (64 << 10) + 64 * bytes };

/// An annotation of PASCAL VOC.
pub const VOC: Target = Target { name: "voc", read: read_voc, most_memory: |bytes| (64 << 10) + 64 * bytes };

/// A tar shard, given its checksums: what it says that it holds, and the bytes of that.
pub const SHARD: Target =
    Target { name: "shard", read: read_shard, most_memory: |bytes| (512 << 10) + 64 * bytes };

/// A region file of two pictures.
pub const REGIONS: Target =
    Target { name: "regions", read: read_regions, most_memory: |bytes| (512 << 10) + 64 * bytes };

fn read_picture(bytes: &[u8]) {
    match decode(&with_checksums(bytes), &LIMITS) {
        Ok(image) => {
            let pixels = u64::from(image.width) * u64::from(image.height);
            assert!(0 < pixels && pixels <= LIMITS.max_pixels && image.pixels.len() as u64 == 3 * pixels);
        }
        // A decoder's own panic is an outcome too: it is caught, and costs a run this one picture.
        Err(error) => drop(error.to_string()),
    }
}

/// A PNG whose chunks all have the right checksum; anything else as it is.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut png = bytes.to_vec();
    let mut place = 8;
    while bytes.starts_with(b"\x89PNG\r\n\x1a\n")
        && let Some((length, _)) = bytes.get(place..).and_then(<[u8]>::split_first_chunk)
        && let Some(end) =
            place.checked_add(8).and_then(|data| data.checked_add(u32::from_be_bytes(*length) as usize))
        && let Some(checksum) = end.checked_add(4).and_then(|next| png.get_mut(end..next))
    {
        checksum.copy_from_slice(&crc32(&bytes[place + 4..end]).to_be_bytes());
        place = end + 4;
    }
    png
}

fn read_label(bytes: &[u8]) {
    let bytes = &with_checksums(bytes);
    match LabelMap::decode(
        bytes,
        &Place::File("label.png".into()),
        &Taxonomy::named("voc2012").unwrap(),
        &LIMITS,
    ) {
        Ok(map) => {
            let pixels = u64::from(map.width) * u64::from(map.height);
            assert!(0 < pixels && pixels <= LIMITS.max_pixels && map.classes.len() as u64 == pixels);
            assert!(map.classes.iter().all(|&class| class < 21 || class == 255));
        }
        Err(error) => drop(error.to_string()),
    }
}

fn read_classes(bytes: &[u8]) {
    match Taxonomy::parse(&String::from_utf8_lossy(bytes), Path::new("classes.txt")) {
        Ok(taxonomy) => {
            assert!((1..=255).contains(&taxonomy.classes.len()));
            assert!(taxonomy.names().iter().all(|name| !name.is_empty()));
            assert!((0..=255).all(|value| {
                taxonomy.class_of(value).is_none_or(|class| usize::from(class) < taxonomy.classes.len())
            }));
        }
        Err(error) => drop(error.to_string()),
    }
}

fn read_index(bytes: &[u8]) {
    match ImageIndex::from_list(bytes, Path::new("pictures/list.txt")) {
        Ok(index) => {
            assert!((0..index.len()).all(|number| !index.relative_path(number).as_os_str().is_empty()));
            let _ = (index.place(index.len() - 1), index.fingerprint());
        }
        Err(error) => drop(error.to_string()),
    }
}

fn read_voc(bytes: &[u8]) {
    match parse_voc(bytes) {
        Ok(annotation) => {
            assert!(annotation.size.is_none_or(|size| !size.contains(&0)));
            for object in annotation.objects {
                assert!(!object.name.is_empty());
                assert!(object.bbox.width().is_finite() && object.bbox.height().is_finite());
            }
        }
        Err(fault) => drop(fault.to_string()),
    }
}

fn read_shard(bytes: &[u8]) {
    // Shards are read at positions of their own, so that it has to be a file.
    let mut file = tempfile::Builder::new().suffix(".tar").tempfile().unwrap();
    file.write_all(&with_tar_checksums(bytes)).unwrap();
    match ImageIndex::scan(file.path()) {
        Ok(index) => {
            let (mut picture, mut total) = (Vec::new(), 0);
            for number in 0..index.len() {
                let place = index.place(number);
                place.read_into(&mut picture).unwrap();
                total += picture.len();
                assert!(!place.to_string().chars().any(char::is_control));
                assert!(
                    index.relative_path(number).components().all(|part| matches!(part, Component::Normal(_)))
                );
            }
            assert!(total <= bytes.len(), "pictures lie beside each other");
        }
        Err(error) => drop(error.to_string()),
    }
}

/// A tar archive whose headers, which are known by their mark, all have the right checksum: the sum of their bytes, its
/// own eight taken as spaces.
fn with_tar_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut archive = bytes.to_vec();
    for header in archive.chunks_exact_mut(512).filter(|header| header[257..].starts_with(b"ustar")) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    archive
}

fn read_regions(bytes: &[u8]) {
    // It is read at positions of its own, so that it has to be a file.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let index = ImageIndex::from_names(Path::new("pictures"), ["a.png", "b.png"]).unwrap();
    let read = RegionFile::open(file.path(), &index).and_then(|regions| {
        for (sample, [width, height]) in [[4, 3], [2, 2]].into_iter().enumerate() {
            let pixels = (width * height) as usize;
            match regions.read(sample, [width, height])? {
                Regions::Segments(map) => assert_eq!(map.values.len(), pixels),
                Regions::Saliency(map) => assert_eq!(map.values.len(), pixels),
                Regions::Boxes(boxes) => {
                    assert!(boxes.iter().all(|region| region.x0 >= 0.0 && region.x1 <= width.into()));
                }
            }
        }
        Ok(())
    });
    read.unwrap_or_else(|error| drop(error.to_string()));
}
