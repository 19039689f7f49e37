//! `densesiam data pack`: pictures into tar shards.

use std::path::Path;

use densesiam_data::decode::{DecodeLimits, decode_into};
use densesiam_data::image::RgbImage;
use densesiam_data::index::{ImageIndex, Place};
use densesiam_data::loader::SampleError;
use densesiam_data::order::Order;
use densesiam_data::pack::{PackSettings, ShardLimit, ShardWriter, extension, keys};
use densesiam_engine::log::{Progress, Voice, say};
use densesiam_text::shown;

use super::PackArguments;
use crate::answer::answer_line;
use crate::commands::folder::name;
use densesiam::error::Error;

/// Packs all pictures, and prints where they are and what was left out.
pub(super) fn run(arguments: &PackArguments) -> Result<(), Error> {
    let index = ImageIndex::scan(Path::new(&arguments.pictures))?;
    refuse_source(&index, arguments)?;
    let name = arguments.name.clone().unwrap_or_else(|| plain(&name(&arguments.pictures)));
    let limit =
        arguments.pictures_per_shard.map_or(ShardLimit::Bytes(arguments.shard_size), ShardLimit::Pictures);
    let (folder, overwrite) = (arguments.out.clone(), arguments.overwrite);
    let mut writer = ShardWriter::new(PackSettings { folder, name: name.clone(), limit, overwrite })?;

    let keys = keys(&index);
    let order: Vec<u64> = match arguments.seed {
        Some(seed) => Order::new(index.len(), seed, 0).batch(0, index.len()),
        None => (0..index.len() as u64).collect(),
    };
    if !index.skipped().is_empty() {
        say(format_args!("skipped: {}", index.skipped()));
    }
    let progress = Progress::new(&Voice::Terminal, "pack", 0, index.len() as u64, 1);
    let (mut bytes, mut image) = (Vec::new(), RgbImage::default());
    for (done, sample) in order.into_iter().enumerate() {
        let sample = sample as usize;
        let place = index.place(sample);
        match read(&place, arguments.check, &mut bytes, &mut image) {
            Err(error) => progress.println(format!("skipped: {place}: {error}")),
            Ok(()) => match extension(&index.relative_path(sample), &bytes) {
                Some(extension) => writer.append(&keys[sample], extension, &bytes)?,
                None => progress.println(format!("skipped: {place}: no picture, by its name or its content")),
            },
        }
        progress.advance(done as u64 + 1);
    }
    progress.finish();
    let packed = writer.finish()?;
    let skipped = index.len() as u64 - packed.pictures;
    let shards = match packed.shards.len() {
        1 => format!("{name}-000000.tar"),
        count => format!("{name}-{{000000..{:06}}}.tar", count - 1),
    };
    answer_line(format_args!(
        "{}: {} pictures in {:.1} MB, {skipped} skipped",
        shown(&arguments.out.join(shards)),
        packed.pictures,
        packed.bytes as f64 / 1e6
    ))
}

/// The bytes of a picture, which is also decoded if that is asked for.
fn read(
    place: &Place<'_>,
    check: bool,
    bytes: &mut Vec<u8>,
    image: &mut RgbImage,
) -> Result<(), SampleError> {
    place.read_into(bytes)?;
    if check {
        decode_into(bytes, &DecodeLimits::default(), image)?;
    }
    Ok(())
}

/// Fails if the shards would become part of the pictures to pack, or would replace them.
fn refuse_source(index: &ImageIndex, arguments: &PackArguments) -> Result<(), Error> {
    let out = &arguments.out;
    let whole = |path: &Path| path.canonicalize().ok();
    let root = whole(if index.root().as_os_str().is_empty() { Path::new(".") } else { index.root() });
    // A path that does not exist yet is judged by its nearest parent folder that exists.
    let absolute = std::path::absolute(out).map_err(|source| Error::file(out, source))?;
    let nearest = absolute.ancestors().find_map(whole);
    let refused = nearest.zip(root).is_some_and(|(nearest, root)| {
        let searched = Path::new(&arguments.pictures).is_dir() && nearest.starts_with(&root);
        searched || (index.shards() > 0 && out.exists() && nearest == root)
    });
    // The shards of a pattern may lie in different folders.
    let holds_a_shard =
        index.shard_folders().iter().any(|folder| whole(out).is_some_and(|out| whole(folder) == Some(out)));
    if refused || holds_a_shard {
        let message = format!("--out {} lies in the folder that is packed; name one beside it", shown(out));
        return Err(Error::Usage(message));
    }
    Ok(())
}

/// Reduces a name to the characters that the name of shards may have.
fn plain(name: &str) -> String {
    name.replace(|letter: char| !letter.is_alphanumeric() && !"-_".contains(letter), "_")
}
