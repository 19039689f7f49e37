//! What the Python package `densesiam` has in Rust: the loader of pre-training, for a training loop of one's own. It needs no
//! libtorch. The Python files beside it turn its arrays into tensors, and start the program for everything else.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use densesiam_data::index::ImageIndex;
use densesiam_data::loader::{Batch, Loader, LoaderSettings};
use densesiam_data::order::steps_per_epoch;
use densesiam_data::views::random::{RandomPair, RandomViews};
use densesiam_geometry::View;
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// Batches of two augmented views of each picture, prepared by threads in advance, in the order and with the pixels that
/// `densesiam pretrain` has for the same seed.
#[pyclass(frozen, module = "densesiam._native")]
struct PairLoader {
    /// Waited for by one thread of Python at a time.
    loader: Mutex<Loader<RandomViews>>,
    size: usize,
    grid: usize,
    #[pyo3(get)]
    pictures: usize,
    #[pyo3(get)]
    steps_per_epoch: u64,
}

/// One batch: `views`, two arrays of bytes `[B, size, size, 3]`; `grids`, two arrays of float32 `[B, K, K, 2]`, where the same
/// points lie in either view, as `torch.nn.functional.grid_sample` takes them with `align_corners=False`; `overlaps`, whether
/// the views of a picture share any part of it (its grid is zero where they do not); `samples`, the numbers of the pictures.
#[pyclass(frozen, get_all, module = "densesiam._native")]
struct PairBatch {
    step: u64,
    epoch: u64,
    views: [Py<PyArrayDyn<u8>>; 2],
    grids: [Py<PyArrayDyn<f32>>; 2],
    overlaps: Py<PyArray1<bool>>,
    samples: Py<PyArray1<i64>>,
}

#[pymethods]
impl PairLoader {
    /// `augment` is the table of that name of a recipe, as JSON. Batches come without end, from the step `start` on.
    #[new]
    #[pyo3(signature = (root, augment, batch_size, seed, workers, prefetch, grid, start))]
    #[allow(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "Python hands them over by name"
    )]
    fn new(
        py: Python<'_>,
        root: PathBuf,
        augment: &str,
        batch_size: usize,
        seed: u64,
        workers: usize,
        prefetch: usize,
        grid: usize,
        start: u64,
    ) -> PyResult<Self> {
        let wrong = |error: &dyn std::fmt::Display| PyValueError::new_err(error.to_string());
        let augmentation: RandomViews = serde_json::from_str(augment).map_err(|error| wrong(&error))?;
        let size = augmentation.size as usize;
        let settings = LoaderSettings {
            augmentation,
            batch_size,
            seed,
            workers: if workers > 0 { workers } else { available_parallelism().map_or(1, NonZero::get) },
            prefetch_batches: prefetch,
            start_step: start,
            ..LoaderSettings::default()
        };
        py.detach(|| {
            let index = Arc::new(ImageIndex::scan(&root).map_err(|error| wrong(&error))?);
            let pictures = index.len();
            let loader = Loader::new(index, settings).map_err(|error| wrong(&error))?;
            let steps_per_epoch = steps_per_epoch(pictures, batch_size);
            Ok(Self { loader: Mutex::new(loader), size, grid, pictures, steps_per_epoch })
        })
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<PairBatch>> {
        let failed = |error: densesiam_data::loader::LoadError| PyRuntimeError::new_err(error.to_string());
        loop {
            let ready = py.detach(|| {
                let mut loader = self.loader.lock().unwrap_or_else(PoisonError::into_inner);
                if loader.ready()? { loader.next().map(Some) } else { Ok(None) }
            });
            match ready.map_err(failed)? {
                Some(Some(batch)) => return self.in_python(py, batch).map(Some),
                Some(None) => return Ok(None),
                // Ctrl-C is seen within a second.
                None => py.check_signals()?,
            }
        }
    }

    /// The unreadable files met so far: number and reason.
    fn bad_files(&self, py: Python<'_>) -> Vec<(u64, String)> {
        py.detach(|| self.loader.lock().unwrap_or_else(PoisonError::into_inner).bad_files())
    }
}

impl PairLoader {
    fn in_python(&self, py: Python<'_>, batch: Batch<RandomPair>) -> PyResult<PairBatch> {
        let Batch { step, epoch, samples, views, drawn, .. } = batch;
        let (count, k) = (drawn.len(), self.grid);
        let pixels = |view: Vec<u8>| -> PyResult<Py<PyArrayDyn<u8>>> {
            Ok(view.into_pyarray(py).reshape(vec![count, self.size, self.size, 3])?.unbind())
        };
        let [one, two] = <[Vec<u8>; 2]>::try_from(views)
            .map_err(|views| PyRuntimeError::new_err(format!("{} views in place of two", views.len())))?;
        let grid = |view: usize| -> PyResult<Py<PyArrayDyn<f32>>> {
            let points: Vec<f32> = drawn.iter().flat_map(|pair| grid_of(pair, view, k)).collect();
            Ok(points.into_pyarray(py).reshape(vec![count, k, k, 2])?.unbind())
        };
        let overlaps: Vec<bool> = drawn.iter().map(|pair| pair.overlap.is_some()).collect();
        let samples: Vec<i64> = samples.into_iter().map(|sample| sample as i64).collect();
        Ok(PairBatch {
            step,
            epoch,
            views: [pixels(one)?, pixels(two)?],
            grids: [grid(0)?, grid(1)?],
            overlaps: overlaps.into_pyarray(py).unbind(),
            samples: samples.into_pyarray(py).unbind(),
        })
    }
}

/// Where the points of the overlap's `k x k` grid lie in one of both views, x before y; zero where there is no overlap.
fn grid_of(pair: &RandomPair, view: usize, k: usize) -> Vec<f32> {
    let Some(overlap) = pair.overlap else { return vec![0.0; 2 * k * k] };
    let view: View = pair.geometry()[view];
    let points = overlap.cell_centres(k).into_iter().map(|point| view.view_from_image(point));
    points.flat_map(|point| [point.x as f32, point.y as f32]).collect()
}

/// Batches of views for a training loop in Python.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{PairBatch, PairLoader};
}
