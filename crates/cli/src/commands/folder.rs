//! `densesiam pretrain FOLDER`: chooses size, batch and duration from the pictures and the machine, and prints them.

use std::path::Path;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::index::ImageIndex;
use densesiam_engine::device::resolve_threads;
use densesiam_settings::tables::written;
use densesiam_text::{acts, shown};
use tch::Device;

use super::hours::{Measured, Timed};
use super::processes::{Processes, voice};
use densesiam::error::Error;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::{Training, builtin, load};
use densesiam::run::{enough_to_train_on, look_at};

/// How many pictures are examined for their size.
const LOOKED_AT: usize = 32;

/// The folder recipe with the name of the pictures below `root`, before they are looked at.
pub(super) fn plain(root: &str, settings: &[String]) -> Result<PretrainRecipe, Error> {
    let Carried { recipe, text, suffix } = carried(settings)?;
    let mut named = vec![format!("run.name={}{suffix}", name(root))];
    named.extend_from_slice(settings);
    load(text, &recipe, &named)
}

/// The folder recipe of a method, and what its runs are called after the folder.
struct Carried {
    recipe: String,
    text: &'static str,
    suffix: String,
}

/// The folder recipe of the method that the settings name.
fn carried(settings: &[String]) -> Result<Carried, Error> {
    const OWN: [&str; 2] = ["densesiam", "simsiam"];
    let other = written("method", "", "the settings", settings)?.filter(|name| !OWN.contains(&name.as_str()));
    let (recipe, suffix) = match other {
        Some(method) => (format!("{method}_folder_r18"), format!("-{method}")),
        None => ("folder_r18".to_owned(), String::new()),
    };
    // A method that does not exist has no recipe, and is refused where its settings are read.
    Ok(Carried { text: builtin::find(&recipe).unwrap_or_default(), recipe, suffix })
}

/// Names of folders that name a part of a data set, and not the data set itself.
const PARTS: [&str; 7] = ["train", "training", "val", "validation", "test", "images", "jpegimages"];

/// The name of the folder itself, also for `.` and `../..`; if it only names a part, the names of the folders above
/// come first (`coco-train` for `coco/train`). For a shard, its name without the extension; for a pattern, the name up
/// to the braces. Characters that would control a terminal become `_`.
pub(super) fn name(root: &str) -> String {
    let path = Path::new(root);
    let whole = path.canonicalize().or_else(|_| std::path::absolute(path));
    let whole = whole.as_deref().unwrap_or(path);
    let last = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().replace(acts, "_");
    let is_part = |name: &str| PARTS.contains(&name.to_lowercase().as_str());
    let own = last(whole);
    let own = if path.is_dir() { &*own } else { own.split(['.', '{']).next().unwrap_or_default() };
    let mut name = own.trim_end_matches(['-', '_']).to_owned();
    let mut outermost = name.clone();
    for above in whole.ancestors().skip(1).map(last) {
        if above.is_empty() || !is_part(&outermost) {
            break;
        }
        name = format!("{above}-{name}");
        outermost = above;
    }
    if name.is_empty() { "pictures".into() } else { name }
}

/// The folder recipe for the pictures below `root`, measured by all `processes`.
pub(super) fn recipe(
    root: &str,
    settings: &[String],
    processes: Option<&Processes>,
) -> Result<Measured<PretrainRecipe>, Error> {
    let index = ImageIndex::scan(Path::new(root))?;
    enough_to_train_on(&index)?;
    let Carried { recipe: named, text, suffix } = carried(settings)?;
    let plain: PretrainRecipe = load(text, &named, settings)?;
    let device = plain.common.run.device.resolve()?;
    let threads = resolve_threads(plain.common.run.threads);
    let limits = DecodeLimits { max_pixels: plain.common.data.max_pixels };
    let shorter_side = look_at(&index, LOOKED_AT, &limits)?.median_shorter_side().unwrap_or_default();
    let stride = plain.architecture().stride();
    let given = |key: &str| settings.iter().any(|setting| setting.split('=').next() == Some(key));
    let size = if given("augment.size") { plain.augment.size } else { size(shorter_side, stride, device) };
    let batch = batch_size(index.len(), device);
    let mut chosen = vec![
        ("run.name", name(root) + &suffix, "the folder's name".to_owned()),
        ("data.root", root.to_owned(), "as you said".to_owned()),
        (
            "augment.size",
            size.to_string(),
            format!("their shorter side is {shorter_side} px (median), on {}", place(device, threads)),
        ),
        ("train.batch_size", batch.to_string(), "a power of two, with some steps an epoch".to_owned()),
    ];
    let mut known_rate = None;
    if !given("train.duration") {
        let so_far =
            chosen.iter().filter(|(key, ..)| !given(key)).map(|(key, value, _)| format!("{key}={value}"));
        let so_far: Vec<_> = so_far.chain(settings.iter().cloned()).collect();
        let rate = load::<PretrainRecipe>(text, &named, &so_far)?.rate(processes)?;
        known_rate = Some(rate);
        chosen.push((
            "train.duration",
            format!("{} epochs", epochs(index.len(), rate)),
            format!(
                "what two hours allow at {rate:.1} pictures a second, measured, within 20 and 800 epochs"
            ),
        ));
    }
    let voice = voice();
    voice.say(format_args!(
        "chosen for {} pictures in {}; say otherwise with key=value:",
        index.len(),
        shown(root)
    ));
    let mut all = Vec::new();
    for (key, value, why) in chosen.into_iter().filter(|(key, ..)| !given(key)) {
        voice.say(format_args!("  {key}={}: {why}", shown(&value)));
        all.push(format!("{key}={value}"));
    }
    all.extend_from_slice(settings);
    Ok(Measured { recipe: load(text, &named, &all)?, known_rate })
}

fn place(device: Device, threads: usize) -> String {
    match device {
        Device::Cpu => format!("a processor with {threads} threads"),
        other => format!("{other:?}"),
    }
}

/// A multiple of the encoder's stride, at most 224 on a card and 128 on a processor, at least 64, and within these no
/// larger than the pictures.
fn size(shorter_side: u32, stride: u32, device: Device) -> u32 {
    let most = if device == Device::Cpu { 128 } else { 224 };
    (shorter_side / stride * stride).clamp(64, most)
}

/// A size that gives at least four batches in an epoch, as far as batch norm allows.
fn batch_size(pictures: usize, device: Device) -> usize {
    let most = if device == Device::Cpu { 64 } else { 256 };
    let quarter = (pictures / 4).max(2);
    let power = 1 << quarter.ilog2();
    power.min(most).max(8.min(pictures))
}

/// The epochs that two hours allow at this rate, in pictures per second, between 20 and 800: with fewer little is
/// learned, and the paper never uses more.
fn epochs(pictures: usize, rate: f64) -> usize {
    ((7200.0 * rate / pictures as f64).round() as usize).clamp(20, 800)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_multiples_of_the_stride_within_their_bounds() {
        assert_eq!(size(375, 32, Device::Cpu), 128);
        assert_eq!(size(375, 32, Device::Cuda(0)), 224);
        assert_eq!(size(100, 32, Device::Cpu), 96);
        assert_eq!(size(20, 32, Device::Cpu), 64);
    }

    #[test]
    fn a_run_is_named_after_the_data_set_and_not_its_part_alone() {
        let place = tempfile::tempdir().unwrap();
        for (folder, expected) in [
            ("coco", "coco"),
            ("coco/train", "coco-train"),
            ("other/train", "other-train"),
            ("other/Train/images", "other-Train-images"),
            ("other/train/cats", "cats"),
            ("train2017", "train2017"),
        ] {
            let path = place.path().join(folder);
            std::fs::create_dir_all(&path).unwrap();
            assert_eq!(name(path.to_str().unwrap()), expected);
        }
        let shards = |name: &str| place.path().join("coco").join(name).display().to_string();
        assert_eq!(name(&shards("train-{000..012}.tar")), "coco-train");
        assert_eq!(name(&shards("cats-{000..012}.tar")), "cats");
        assert_eq!(name("/train"), "train");
    }

    #[test]
    fn batches_leave_some_steps_an_epoch() {
        assert_eq!(batch_size(500, Device::Cpu), 64);
        assert_eq!(batch_size(100, Device::Cpu), 16);
        assert_eq!(batch_size(6, Device::Cpu), 6);
        assert_eq!(batch_size(100_000, Device::Cuda(0)), 256);
    }

    #[test]
    fn epochs_are_bounded() {
        assert_eq!(epochs(10, 20.0), 800);
        assert_eq!(epochs(1_000_000, 20.0), 20);
        assert_eq!(epochs(500, 20.0), 288);
    }
}
