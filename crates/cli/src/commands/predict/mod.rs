//! `densesiam predict`: label maps and overlays of pictures of any size, or the objects in them.

mod batches;
mod label_map;
mod labels;
mod legend;
mod names;
mod objects;
mod one_by_one;
mod page;
mod writer;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::index::{ImageIndex, Place};
use densesiam_data::loader::SampleError;
use densesiam_data::reader::{ReadPicture, Reader, ReaderSettings};
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::{Progress, Voice};
use densesiam_text::shown;

use super::{PredictArguments, interrupt, refuse_existing};
use crate::answer::answer_line;
use batches::{Batches, Waiting};
use densesiam::detection::ObjectDetection;
use densesiam::error::Error;
use densesiam::labelled_segmentation::LabelledSegmentation;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::transfer::Model;
use densesiam::run::{Contents, locate, workers_of};
use densesiam::segmentation::Segmentation;
use legend::Legend;
use names::{is_shortened, stems};
use page::{Page, Values};
use writer::Writer;

/// Predicts all pictures by a segmentation or a detector, and prints how many there were, and how fast.
pub(super) fn run(arguments: &PredictArguments) -> Result<(), Error> {
    let located = locate(&arguments.checkpoint)?;
    let (contents, settings) = (Contents::read(&located.1)?, &arguments.settings);
    match contents.model() {
        None => label_maps(arguments, &Segmentation::of(located, settings)?),
        Some(Model::Fcn) => labels::run(arguments, &LabelledSegmentation::of(located, settings)?),
        Some(Model::Detector) => objects::run(arguments, &ObjectDetection::of(located, settings)?),
    }
}

/// The pictures to predict, and the common part of the names of the files of each.
fn pictures_of(root: &Path) -> Result<(Arc<ImageIndex>, Vec<PathBuf>), Error> {
    let index = ImageIndex::at(root)?;
    let stems = stems(&(0..index.len()).map(|sample| index.relative_path(sample)).collect::<Vec<_>>());
    Ok((Arc::new(index), stems))
}

/// The bar of a prediction.
fn bar(index: &ImageIndex) -> Progress {
    Progress::new(&Voice::Terminal, "predict", 0, index.len() as u64, 1)
}

fn label_maps(arguments: &PredictArguments, trained: &Segmentation) -> Result<(), Error> {
    let recipe = &trained.recipe;
    let memory = Memory::of(recipe);
    let root = &arguments.pictures;
    let (index, stems) = pictures_of(root)?;
    refuse_replacing(&index, (&stems, LABELS), arguments)?;
    let legend = Legend::new(trained);
    let progress = bar(&index);
    legend.write(&arguments.out)?;
    progress.println(legend.summary());
    say_about(&index, &stems, &progress);

    let interrupt = interrupt()?;
    let (start, mut unreadable) = (Instant::now(), 0);
    let threads = workers_of(&recipe.common)?;
    let mut reader = Reader::new(Arc::clone(&index), memory.reader(recipe, threads, !arguments.no_overlays))?;
    let mut batches = Batches::new(memory.batch_pixels, memory.waiting);
    let writer = Writer::start(Values::of(trained), threads, memory.written)?;
    for (sample, stem) in stems.iter().enumerate() {
        let Some(read) = next(&mut reader, &interrupt, &arguments.out)? else { break };
        match read {
            Ok(picture) => {
                let full = batches.add(Waiting { stem: arguments.out.join(stem), picture });
                full.map_or(Ok(()), |batch| predict(batch, trained, &writer))?;
            }
            Err(error) => {
                unreadable += 1;
                progress.println(format!("skipped: {}", refused(&index.place(sample), error)));
            }
        }
        progress.advance(sample as u64 + 1);
    }
    while let Some(batch) = batches.rest() {
        predict(batch, trained, &writer)?;
    }
    writer.finish()?;
    progress.finish();
    let predicted = index.len() - unreadable;
    if predicted == 0 {
        return Err(Error::Picture { path: root.clone(), reason: "no picture could be read".into() });
    }
    let rate = predicted as f64 / start.elapsed().as_secs_f64();
    let written = if arguments.no_overlays { "label maps" } else { "label maps and overlays" };
    let out = shown(&arguments.out);
    answer_line(format_args!(
        "{out}: {predicted} {written}, {unreadable} pictures skipped, {rate:.1} pictures a second"
    ))
}

/// Prints which pictures are left out, and which names are too long for the files to write.
fn say_about(index: &ImageIndex, stems: &[PathBuf], progress: &Progress) {
    if !index.skipped().is_empty() {
        progress.println(format!("skipped: {}", index.skipped()));
    }
    for (sample, stem) in stems.iter().enumerate() {
        if is_shortened(stem, &index.relative_path(sample)) {
            let (place, labels) = (index.place(sample), labels_path(stem));
            progress.println(format!("the name {place} is too long: its label map is {}", shown(&labels)));
        }
    }
}

/// The most memory that may be used at once.
struct Memory {
    /// Pixels that the model sees.
    batch_pixels: usize,
    /// Bytes of pictures that were read ahead.
    ahead: usize,
    /// Bytes of pictures that wait for their batch.
    waiting: usize,
    /// Bytes of predictions that wait to be written.
    written: usize,
}

impl Memory {
    /// Divides `predict.memory`; the model gets the memory of an evaluation.
    fn of(recipe: &SegmentRecipe) -> Self {
        let (evaluate, megabytes) = (&recipe.evaluate, recipe.predict.memory);
        let picture_pixels = evaluate.size as usize * evaluate.size as usize;
        let batch_pixels = evaluate.batch_size.saturating_mul(picture_pixels);
        let quarter = megabytes << 18;
        Self { batch_pixels, ahead: quarter, waiting: 2 * quarter, written: quarter }
    }

    fn reader(&self, recipe: &SegmentRecipe, workers: usize, keep_decoded: bool) -> ReaderSettings {
        let (data, evaluate) = (&recipe.common.data, &recipe.evaluate);
        ReaderSettings {
            size: evaluate.size,
            keep_decoded,
            workers,
            ahead: data.prefetch.max(1).saturating_mul(evaluate.batch_size),
            ahead_bytes: self.ahead,
            limits: DecodeLimits { max_pixels: data.max_pixels },
            patience: data.patience(),
        }
    }
}

/// Waits for the next picture, until a signal asks to stop.
fn next(
    reader: &mut Reader,
    interrupt: &Interrupt,
    out: &Path,
) -> Result<Option<Result<ReadPicture, SampleError>>, Error> {
    loop {
        if let Some(signal) = interrupt.requested() {
            return Err(Error::Stopped { signal, out: out.to_owned() });
        }
        if reader.ready()? {
            return Ok(reader.next().transpose()?);
        }
    }
}

/// Predicts pictures that the model sees at one size: the category of each pixel at each picture's own size.
fn predict(batch: Vec<Waiting>, trained: &Segmentation, writer: &Writer) -> Result<(), Error> {
    let seen: Vec<_> = batch.iter().map(|one| &one.picture.seen).collect();
    let sizes: Vec<_> = batch.iter().map(|one| one.picture.size).collect();
    let categories = trained.categories_of(&seen, &sizes);
    for (Waiting { stem, picture }, categories) in batch.into_iter().zip(categories) {
        let ReadPicture { size, decoded, .. } = picture;
        writer.send(Page { stem, size, categories: categories?, picture: decoded })?;
    }
    Ok(())
}

fn refused(place: &Place<'_>, error: SampleError) -> Error {
    match error {
        SampleError::Read(source) => Error::file(place.to_string(), source),
        error => Error::Picture { path: place.to_string().into(), reason: error.to_string() },
    }
}

/// Fails if pictures would be replaced or, unless that is asked for, the files that are written for each, with this suffix.
fn refuse_replacing(
    index: &ImageIndex,
    (stems, suffix): (&[PathBuf], &str),
    arguments: &PredictArguments,
) -> Result<(), Error> {
    let out = &arguments.out;
    let whole = |path: &Path| path.canonicalize().ok();
    if whole(out).is_some_and(|out| Some(out) == whole(index.root())) {
        let message = "--out is the folder of the pictures, among which the files would lie; name another";
        return Err(Error::Usage(message.into()));
    }
    let mut taken = HashSet::new();
    for stem in stems {
        let target = with_suffix(&out.join(stem), suffix);
        refuse_existing(&target, arguments.overwrite)?;
        if !taken.insert(stem) {
            // Files have different paths, but members of a shard may share a name.
            let target = shown(&target);
            return Err(Error::Usage(format!(
                "two pictures have the same name and would both become {target}"
            )));
        }
    }
    Ok(())
}

/// The suffix of a label map.
const LABELS: &str = ".png";

fn labels_path(stem: &Path) -> PathBuf {
    with_suffix(stem, LABELS)
}

fn with_suffix(stem: &Path, suffix: &str) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
