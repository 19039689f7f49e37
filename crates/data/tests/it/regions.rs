//! Region files: what is written is read again, and what does not fit the pictures is refused.

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_data::demo::draw_picture;
use densesiam_data::image::RgbImage;
use densesiam_data::index::ImageIndex;
use densesiam_data::loader::PATIENCE;
use densesiam_data::regions::{
    BoxFilter, Felzenszwalb, RegionError, RegionFile, RegionKind, RegionMethod, RegionSettings,
    RegionWriteSettings, Regions, SelectiveSearch, SymmetricSurround, WrittenRegions, write_regions,
};
use png::{BitDepth, ColorType};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::files::{write_label, write_png};

const LIMITS: DecodeLimits = DecodeLimits { max_pixels: 1_000_000 };

/// Pictures of every kind: colours, grey, 16 bits, one colour, one pixel, and a name with dots in a folder.
fn pictures() -> (TempDir, Arc<ImageIndex>) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("pictures");
    let path = |name: &str| root.join(name);
    fs::create_dir_all(path("more")).unwrap();
    let save = |name: &str, size: (u32, u32)| {
        let RgbImage { width, height, pixels } = draw_picture(size, 4, 0).image;
        image::save_buffer(path(name), &pixels, width, height, image::ExtendedColorType::Rgb8).unwrap();
    };
    save("a.png", (120, 90));
    save("more/b.c.jpg", (80, 130));
    let levels: Vec<u8> = (0..60 * 50).map(|pixel| (pixel % 60 * 4) as u8).collect();
    write_png(&path("grey.png"), (60, 50), ColorType::Grayscale, BitDepth::Eight, &levels);
    let deep: Vec<u8> = levels.iter().flat_map(|&level| [level, 255 - level]).collect();
    write_png(&path("deep.png"), (60, 50), ColorType::Grayscale, BitDepth::Sixteen, &deep);
    write_png(&path("one_colour.png"), (70, 40), ColorType::Grayscale, BitDepth::Eight, &[90; 70 * 40]);
    write_png(&path("pixel.png"), (1, 1), ColorType::Grayscale, BitDepth::Eight, &[200]);
    let index = Arc::new(ImageIndex::scan(&root).unwrap());
    assert_eq!(index.len(), 6);
    (folder, index)
}

fn segments() -> RegionSettings {
    RegionSettings::new(RegionMethod::Felzenszwalb(Felzenszwalb { scale: 50.0, sigma: 0.8, min_size: 20 }))
}

fn settings(path: &Path, regions: RegionSettings) -> RegionWriteSettings {
    let path = path.to_owned();
    RegionWriteSettings { path, regions, overwrite: false, workers: 2, limits: LIMITS, patience: PATIENCE }
}

fn write(index: &Arc<ImageIndex>, settings: &RegionWriteSettings) -> Result<WrittenRegions, RegionError> {
    write_regions(index, settings, &mut |_, _| {}, &|| false)
}

fn picture(index: &ImageIndex, sample: usize) -> RgbImage {
    let mut bytes = Vec::new();
    index.place(sample).read_into(&mut bytes).unwrap();
    decode(&bytes, &LIMITS).unwrap()
}

fn sizes(index: &ImageIndex) -> Vec<[u32; 2]> {
    let size = |sample| {
        let RgbImage { width, height, .. } = picture(index, sample);
        [width, height]
    };
    (0..index.len()).map(size).collect()
}

#[test]
fn what_is_found_is_read_again() {
    let (folder, index) = pictures();
    let methods = [
        segments(),
        RegionSettings::new(RegionMethod::SelectiveSearch(SelectiveSearch::default())),
        RegionSettings::new(RegionMethod::SymmetricSurround(SymmetricSurround::default())),
        // Reduced first.
        RegionSettings { longest_side: 50, ..segments() },
        RegionSettings {
            longest_side: 100,
            ..RegionSettings::new(RegionMethod::SelectiveSearch(SelectiveSearch::default()))
        },
        RegionSettings {
            longest_side: 33,
            ..RegionSettings::new(RegionMethod::SymmetricSurround(SymmetricSurround::default()))
        },
    ];
    for (number, regions) in methods.into_iter().enumerate() {
        let settings = settings(&folder.path().join(format!("{number}.zip")), regions.clone());
        let mut told = Vec::new();
        let written =
            write_regions(&index, &settings, &mut |done, total| told.push((done, total)), &|| false).unwrap();
        assert_eq!((written.pictures, written.resumed, written.unreadable), (6, 0, vec![]));
        assert_eq!(written.bytes, fs::metadata(&settings.path).unwrap().len());
        assert_eq!(told, (0..=6).map(|done| (done, 6)).collect::<Vec<_>>());
        let file = RegionFile::open(&settings.path, &index).unwrap();
        assert_eq!((file.kind(), file.settings(), file.unreadable()), (regions.kind(), &regions, 0));
        for (sample, size) in sizes(&index).into_iter().enumerate() {
            let name = index.relative_path(sample);
            let found = regions.regions(&picture(&index, sample), &name, &LIMITS).unwrap();
            assert_eq!(file.read(sample, size).unwrap(), found, "{number} {}", name.display());
            let values = match found {
                Regions::Segments(map) => map.values.len(),
                Regions::Saliency(map) => map.values.len(),
                Regions::Boxes(boxes) => {
                    assert!(!boxes.is_empty());
                    continue;
                }
            };
            assert_eq!(values, (size[0] * size[1]) as usize);
        }
    }
}

#[test]
fn the_number_of_workers_changes_nothing_and_threads_read_at_once() {
    let (folder, index) = pictures();
    let written = |workers: usize| {
        let path = folder.path().join(format!("{workers}.zip"));
        write(&index, &RegionWriteSettings { workers, ..settings(&path, segments()) }).unwrap();
        path
    };
    let [one, seven] = [1, 7].map(written);
    assert!(fs::read(&one).unwrap() == fs::read(&seven).unwrap());
    let other = folder.path().join("other.zip");
    write(&index, &settings(&other, RegionSettings { longest_side: 50, ..segments() })).unwrap();
    let checksum = |path| RegionFile::open(path, &index).unwrap().checksum();
    assert_eq!(checksum(&one), checksum(&seven));
    assert_ne!(checksum(&one), checksum(&other));
    let (file, sizes) = (RegionFile::open(&one, &index).unwrap(), sizes(&index));
    let all = || -> Vec<Regions> { (0..6).map(|sample| file.read(sample, sizes[sample]).unwrap()).collect() };
    let expected = all();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(all)).collect();
        readers.into_iter().for_each(|reader| assert!(reader.join().unwrap() == expected));
    });
}

#[test]
fn segments_of_more_than_8_bits_are_kept() {
    let (folder, index) = pictures();
    let many = Felzenszwalb { scale: 1e-3, sigma: 0.0, min_size: 1 };
    let settings =
        settings(&folder.path().join("r.zip"), RegionSettings::new(RegionMethod::Felzenszwalb(many)));
    write(&index, &settings).unwrap();
    let file = RegionFile::open(&settings.path, &index).unwrap();
    let Regions::Segments(map) = file.read(0, [120, 90]).unwrap() else { panic!("no segments") };
    let last = *map.values.iter().max().unwrap();
    assert!(last > 1000, "{last}");
    assert_eq!(map.wrapped().values[0], 0);
    assert!(map.wrapped().values.iter().zip(&map.values).all(|(&byte, &id)| u16::from(byte) == id % 256));
}

#[test]
fn a_stopped_writing_goes_on_where_it_was() {
    let (folder, index) = pictures();
    fs::write(index.place(1).file().unwrap(), "no picture").unwrap();
    let [whole, parts] = ["whole.zip", "parts.zip"].map(|name| folder.path().join(name));
    let reference = write(&index, &settings(&whole, segments())).unwrap();
    assert_eq!(reference.unreadable.len(), 1);

    let (settings, done) = (settings(&parts, segments()), Cell::new(0));
    let error =
        write_regions(&index, &settings, &mut |so_far, _| done.set(so_far), &|| done.get() == 4).unwrap_err();
    assert!(matches!(error, RegionError::Interrupted { done: 4, total: 6, .. }), "{error}");
    assert!(!parts.exists() && folder.path().join("parts.zip.partial").exists());
    let written = write(&index, &settings).unwrap();
    assert_eq!((written.resumed, &written.unreadable), (4, &reference.unreadable));
    assert!(!folder.path().join("parts.zip.partial").exists());
    assert!(fs::read(&whole).unwrap() == fs::read(&parts).unwrap());

    // With other settings, or damaged, the part is of no use.
    let error = write(&index, &settings).unwrap_err();
    assert!(matches!(error, RegionError::Exists { .. }), "{error}");
    for partial in [fs::read(&whole).unwrap(), b"PK".to_vec()] {
        fs::write(folder.path().join("parts.zip.partial"), partial).unwrap();
        let other = RegionSettings { longest_side: 64, ..segments() };
        let settings = RegionWriteSettings { overwrite: true, regions: other, ..settings.clone() };
        assert_eq!(write(&index, &settings).unwrap().resumed, 0);
    }
}

#[test]
fn unreadable_pictures_are_named_and_the_others_are_used() {
    let (folder, index) = pictures();
    let sizes = sizes(&index);
    fs::write(index.place(2).file().unwrap(), "no picture").unwrap();
    fs::remove_file(index.place(3).file().unwrap()).unwrap();
    let settings = settings(&folder.path().join("r.zip"), segments());
    let written = write(&index, &settings).unwrap();
    let numbers: Vec<_> = written.unreadable.iter().map(|(sample, _)| *sample).collect();
    assert_eq!((written.pictures, numbers), (6, vec![2, 3]));
    assert!(written.unreadable[0].1.contains("not a picture"), "{:?}", written.unreadable);
    let file = RegionFile::open(&settings.path, &index).unwrap();
    assert_eq!(file.unreadable(), 2);
    let error = file.read(2, sizes[2]).unwrap_err();
    assert!(matches!(error, RegionError::WasUnreadable { .. }), "{error}");
    assert!(error.to_string().contains("not a picture"), "{error}");
    assert!(file.read(4, sizes[4]).is_ok());
}

#[test]
fn a_file_of_other_pictures_is_refused() {
    let (folder, index) = pictures();
    let settings = settings(&folder.path().join("r.zip"), segments());
    write(&index, &settings).unwrap();
    let root = folder.path().join("pictures");
    write_png(&root.join("more/z.png"), (3, 3), ColorType::Grayscale, BitDepth::Eight, &[1; 9]);
    write_png(&root.join("zz.png"), (3, 3), ColorType::Grayscale, BitDepth::Eight, &[1; 9]);
    let larger = ImageIndex::scan(&root).unwrap();
    let error = RegionFile::open(&settings.path, &larger).unwrap_err();
    let RegionError::Missing { first, missing: 2, pictures: 8, .. } = &error else { panic!("{error}") };
    assert!(first.ends_with("more/z.png"), "{first}");
    // A part of the data set is all there.
    let part = ImageIndex::from_names(&root, ["more/b.c.jpg"]).unwrap();
    let file = RegionFile::open(&settings.path, &part).unwrap();
    assert!(file.read(0, [80, 130]).is_ok());
    let error = file.read(0, [81, 130]).unwrap_err();
    let RegionError::OtherSize { found: [80, 130], picture: [81, 130], .. } = error else {
        panic!("{error}")
    };
}

#[test]
fn no_damage_passes_unnoticed() {
    let (folder, index) = pictures();
    let search = RegionSettings::new(RegionMethod::SelectiveSearch(SelectiveSearch::default()));
    for (number, regions) in [segments(), search].into_iter().enumerate() {
        let settings = settings(&folder.path().join(format!("{number}.zip")), regions);
        write(&index, &settings).unwrap();
        let (whole, sizes) = (fs::read(&settings.path).unwrap(), sizes(&index));
        let damaged = folder.path().join("damaged.zip");
        let read_all = |bytes: &[u8]| -> Result<Vec<Regions>, RegionError> {
            fs::write(&damaged, bytes).unwrap();
            let file = RegionFile::open(&damaged, &index)?;
            sizes.iter().enumerate().map(|(sample, &size)| file.read(sample, size)).collect()
        };
        let expected = read_all(&whole).unwrap();
        for end in (0..whole.len()).step_by(whole.len() / 60) {
            assert!(read_all(&whole[..end]).is_err(), "cut at {end}");
        }
        // Some bytes are nobody's: dates, versions, and names that stand twice.
        let mut noticed = 0;
        for place in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x55;
            match read_all(&bytes) {
                Ok(found) => assert!(found == expected, "byte {place}"),
                Err(_) => noticed += 1,
            }
        }
        assert!(noticed * 7 * 2 > whole.len(), "{noticed} of {} bytes", whole.len() / 7);
    }
}

/// An archive of one picture, `a.png` of 2 x 2 pixels.
fn archive(
    folder: &Path,
    manifest: &str,
    name: &str,
    content: &[u8],
    method: CompressionMethod,
) -> RegionError {
    let path = folder.join("made.zip");
    let mut archive = ZipWriter::new(fs::File::create(&path).unwrap());
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, content) in [("regions.json", manifest.as_bytes()), (name, content)] {
        archive.start_file(name, options).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap();
    let index = ImageIndex::from_names(folder, ["a.png"]).unwrap();
    RegionFile::open(&path, &index).and_then(|file| file.read(0, [2, 2])).unwrap_err()
}

#[test]
fn archives_made_to_harm_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, stored) = (folder.path(), CompressionMethod::Stored);
    let manifest = |kind: RegionKind, name: &str| {
        format!(
            r#"{{"format":1,"kind":"{kind}","settings":{{"method":{{"name":"{name}"}},"longest_side":640}},"pictures":1}}"#
        )
    };
    let segments = manifest(RegionKind::Segments, "felzenszwalb");
    let boxes = manifest(RegionKind::Boxes, "selective_search");

    // A PNG whose header announces 2 gigapixels, one with colours, and one of 2 x 2 that ends early.
    let png = |size: (u32, u32), colour: ColorType, pixels: &[u8]| {
        let path = folder.join("made.png");
        write_png(&path, size, colour, BitDepth::Eight, pixels);
        fs::read(path).unwrap()
    };
    let small = png((2, 2), ColorType::Grayscale, &[0, 1, 2, 3]);
    let mut huge = small.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let checksum = densesiam_fixtures::fuzz::crc32(&huge[12..29]);
    huge[29..33].copy_from_slice(&checksum.to_be_bytes());
    let error = archive(folder, &segments, "pictures/a.png", &huge, stored);
    assert!(matches!(error, RegionError::OtherSize { found: [65535, 65535], .. }), "{error}");
    let colours = png((2, 2), ColorType::Rgb, &[0; 12]);
    for content in [&colours[..], &small[..small.len() - 20], b"", b"PNG"] {
        let error = archive(folder, &segments, "pictures/a.png", content, stored);
        assert!(matches!(error, RegionError::DamagedEntry { .. }), "{error}");
    }
    let error = archive(folder, &segments, "pictures/a.png", &vec![0; 2 << 20], stored);
    assert!(error.to_string().contains("more than a picture"), "{error}");
    let error = archive(folder, &segments, "pictures/a.png", &vec![0; 1 << 20], CompressionMethod::Deflated);
    assert!(error.to_string().contains("compressed"), "{error}");
    let error = archive(folder, &segments, "pictures/b.png", &small, stored);
    assert!(matches!(error, RegionError::Missing { missing: 1, pictures: 1, .. }), "{error}");

    for outside in ["[0,0,3,1]", "[-1,0,1,1]", "[1,0,1,1]", "[0,1e999,1,1]", "[0,0,1]", "[null,0,1,1]"] {
        let content = format!(r#"{{"width":2,"height":2,"boxes":[{outside}]}}"#);
        let error = archive(folder, &boxes, "pictures/a.json", content.as_bytes(), stored);
        assert!(matches!(error, RegionError::DamagedEntry { .. }), "{outside}: {error}");
    }
    let content = r#"{"width":4,"height":2,"boxes":[]}"#;
    let error = archive(folder, &boxes, "pictures/a.json", content.as_bytes(), stored);
    assert!(matches!(error, RegionError::OtherSize { found: [4, 2], .. }), "{error}");

    let newer = r#"{"format":2,"shape":"unknown"}"#;
    let error = archive(folder, newer, "pictures/a.png", &small, stored);
    assert!(matches!(error, RegionError::OtherFormat { found: 2, known: 1, .. }), "{error}");
    for manifest in ["", "{}", "[1]", r#"{"format":1}"#] {
        let error = archive(folder, manifest, "pictures/a.png", &small, stored);
        assert!(matches!(error, RegionError::Damaged { .. }), "{manifest}: {error}");
    }
    let missing =
        RegionFile::open(&folder.join("none.zip"), &ImageIndex::from_names(folder, ["a.png"]).unwrap());
    assert!(matches!(missing, Err(RegionError::Unreadable { .. })));
}

#[test]
fn saliency_maps_of_others_are_taken_as_they_are() {
    let (folder, index) = pictures();
    let maps = folder.path().join("maps");
    for (sample, [width, height]) in sizes(&index).into_iter().enumerate() {
        let levels: Vec<u8> = (0..width * height).map(|pixel| (pixel * 7 % 256) as u8).collect();
        let path = maps.join(index.relative_path(sample).with_extension("png"));
        match sample {
            0 => {}
            1 => write_label(&path, (width + 1, height), &vec![0; ((width + 1) * height) as usize]),
            _ => write_label(&path, (width, height), &levels),
        }
    }
    let regions = RegionSettings::new(RegionMethod::Maps { folder: maps.clone() });
    let settings = settings(&folder.path().join("r.zip"), regions);
    let written = write(&index, &settings).unwrap();
    let [(0, absent), (1, other)] = &written.unreadable[..] else { panic!("{:?}", written.unreadable) };
    assert!(absent.contains("cannot be read") && other.contains("pixels, the picture"), "{absent} {other}");
    let file = RegionFile::open(&settings.path, &index).unwrap();
    assert_eq!(file.kind(), RegionKind::Saliency);
    for (sample, size) in sizes(&index).into_iter().enumerate().skip(2) {
        let Regions::Saliency(map) = file.read(sample, size).unwrap() else { panic!("no saliency") };
        assert!(map.values.iter().enumerate().all(|(pixel, &level)| usize::from(level) == pixel * 7 % 256));
    }
    // Where the maps were is not written.
    let bytes = fs::read(&settings.path).unwrap();
    let name = maps.to_str().unwrap().as_bytes();
    assert!(!bytes[..1000].windows(name.len()).any(|window| window == name));
}

#[test]
fn settings_out_of_range_are_refused() {
    let (folder, index) = pictures();
    let method = |settings| RegionSettings::new(RegionMethod::Felzenszwalb(settings));
    let search = |filter| {
        let search = SelectiveSearch { filter, ..SelectiveSearch::default() };
        RegionSettings::new(RegionMethod::SelectiveSearch(search))
    };
    let filter = SelectiveSearch::default().filter;
    for regions in [
        method(Felzenszwalb { scale: 0.0, ..Felzenszwalb::default() }),
        method(Felzenszwalb { sigma: f64::NAN, ..Felzenszwalb::default() }),
        method(Felzenszwalb { min_size: 0, ..Felzenszwalb::default() }),
        RegionSettings { longest_side: 0, ..segments() },
        RegionSettings { longest_side: 1000, ..search(filter) },
        search(BoxFilter { share: [0.8, 0.3], ..filter }),
        search(BoxFilter { max_aspect: 0.5, ..filter }),
    ] {
        let error = write(&index, &settings(&folder.path().join("r.zip"), regions)).unwrap_err();
        assert!(matches!(error, RegionError::Setting(_)), "{error}");
    }
    let nowhere = settings(&folder.path().join("no/folder/r.zip"), segments());
    assert!(matches!(write(&index, &nowhere).unwrap_err(), RegionError::Write { .. }));
}
