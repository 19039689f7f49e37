//! Threads that encode and write label maps and overlays while the model continues.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use densesiam_data::loader::LoadError;

use super::page::{Page, Values};
use densesiam::error::Error;

/// The running threads. If the writer is dropped, they finish the pages that they have begun, and start no others.
pub(super) struct Writer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    values: Values,
    /// Bytes that pages may hold.
    room: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Page>,
    /// Bytes of the pages in the queue and of those being written.
    held: usize,
    /// No more pages will come.
    closed: bool,
    /// Why a page could not be written; the other pages are then not written either.
    failure: Option<Error>,
}

impl Writer {
    /// Starts this number of threads. Pages that wait to be written hold at most `room` bytes, or are a single larger
    /// page.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(values: Values, threads: usize, room: usize) -> Result<Self, Error> {
        let shared = Arc::new(Shared { values, room, state: Mutex::default(), changed: Condvar::new() });
        let mut writer = Self { shared, threads: Vec::new() };
        for number in 0..threads {
            let shared = Arc::clone(&writer.shared);
            let builder = thread::Builder::new().name(format!("writer-{number}"));
            writer.threads.push(builder.spawn(move || shared.work()).map_err(LoadError::Thread)?);
        }
        Ok(writer)
    }

    /// Hands over a page as soon as there is room.
    ///
    /// # Errors
    /// When an earlier page could not be written.
    pub(super) fn send(&self, page: Page) -> Result<(), Error> {
        let mut state = self.shared.lock();
        while state.failure.is_none() && state.held > 0 && state.held + page.bytes() > self.shared.room {
            state = self.shared.wait(state);
        }
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        state.held += page.bytes();
        state.queue.push_back(page);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits until all pages are written.
    ///
    /// # Errors
    /// When a page could not be written.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.join();
        self.shared.lock().failure.take().map_or(Ok(()), Err)
    }

    fn join(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // Panics were caught and reported inside the thread.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().queue.clear();
        self.join();
    }
}

impl Shared {
    fn work(&self) {
        while let Some(page) = self.next() {
            let bytes = page.bytes();
            let written = catch_unwind(AssertUnwindSafe(|| page.write(&self.values)));
            let written =
                written.unwrap_or_else(|_| Err(Error::Internal("a writing thread panicked".into())));
            self.wrote(bytes, written);
        }
    }

    /// The next page; `None` if no more pages will come.
    fn next(&self) -> Option<Page> {
        let mut state = self.lock();
        while state.queue.is_empty() && !state.closed {
            state = self.wait(state);
        }
        state.queue.pop_front()
    }

    fn wrote(&self, bytes: usize, written: Result<(), Error>) {
        let mut state = self.lock();
        state.held -= bytes;
        if let Err(error) = written {
            state.failure.get_or_insert(error);
            state.queue.clear();
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::label_map::ValueDepth;
    use super::*;
    use densesiam_report::pictures::{Palette, colour_of};

    /// A page of 10 x 10 pixels: 200 bytes.
    fn page(stem: PathBuf) -> Page {
        Page { stem, size: [10, 10], categories: vec![1; 100], picture: None }
    }

    fn writer(threads: usize, room: usize) -> Writer {
        let values =
            Values { of_category: vec![3, 7], depth: ValueDepth::Palette, palette: Palette(vec![None; 7]) };
        Writer::start(values, threads, room).unwrap()
    }

    #[test]
    fn all_pages_are_written_and_never_more_than_there_is_room_for_wait() {
        for (threads, room) in [(1, 0), (1, 500), (4, 500), (3, usize::MAX)] {
            let folder = tempfile::tempdir().unwrap();
            let writer = writer(threads, room);
            for number in 0..40 {
                writer.send(page(folder.path().join(format!("{number}/page")))).unwrap();
                assert!(writer.shared.lock().held <= room.max(200));
            }
            writer.finish().unwrap();
            for number in 0..40 {
                let map = std::fs::read(folder.path().join(format!("{number}/page.png"))).unwrap();
                let colour = colour_of(7);
                let map = image::load_from_memory(&map).unwrap().to_rgb8();
                assert!(map.pixels().all(|pixel| pixel.0 == colour));
            }
        }
    }

    #[test]
    fn the_first_page_that_cannot_be_written_ends_the_writing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let writer = writer(1, 1000);
        let error = (0..1000).find_map(|_| writer.send(page(folder.path().join("file/page"))).err());
        assert!(matches!(error, Some(Error::File { .. })), "{error:?}");
        let writer = self::writer(2, 1000);
        writer.send(page(folder.path().join("file/page"))).unwrap();
        assert!(matches!(writer.finish(), Err(Error::File { .. })));
    }

    #[test]
    fn a_page_that_brings_a_thread_to_panic_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(1, 1000);
        writer.send(Page { categories: vec![2], ..page(folder.path().join("page")) }).unwrap();
        assert!(matches!(writer.finish(), Err(Error::Internal(_))));
    }
}
