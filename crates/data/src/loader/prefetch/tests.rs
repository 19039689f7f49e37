//! Tests order, bounds, panics and reads that do not return, on batches of numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Batches of four numbers `4 step + slot`, ten bytes each; counts how many batches were opened.
struct Numbers {
    opened: Arc<AtomicU64>,
    room: usize,
    panic_at: Option<u64>,
    stall_at: Option<u64>,
    patience: Duration,
}

impl Production for Numbers {
    type Batch = (u64, [u64; 4]);
    type Scratch = ();

    fn batch_size(&self) -> usize {
        4
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn name(&self, slot: usize, batch: &Mutex<Self::Batch>) -> String {
        format!("number {}", 4 * batch.lock().unwrap().0 + slot as u64)
    }

    fn scratch(&self) {}

    fn open(&self, step: u64, _: Option<Self::Batch>) -> Self::Batch {
        self.opened.fetch_add(1, Ordering::SeqCst);
        (step, [0; 4])
    }

    fn produce(&self, slot: usize, (): &mut (), batch: &Mutex<Self::Batch>) {
        let number = 4 * batch.lock().unwrap().0 + slot as u64;
        assert_ne!(Some(number), self.panic_at, "no such number");
        if Some(number) == self.stall_at {
            std::thread::sleep(Duration::from_secs(12));
        }
        std::thread::sleep(Duration::from_micros(number * 7919 % 300));
        batch.lock().unwrap().1[slot] = number;
    }

    fn held(&self, _: &Self::Batch) -> usize {
        10
    }

    fn room(&self) -> usize {
        self.room
    }
}

impl Numbers {
    fn new(patience: Duration) -> Self {
        Self { opened: Arc::default(), room: usize::MAX, panic_at: None, stall_at: None, patience }
    }
}

fn start(panic_at: Option<u64>, workers: usize, prefetch: usize) -> (Prefetch<Numbers>, Arc<AtomicU64>) {
    let numbers = Numbers { panic_at, ..Numbers::new(Duration::from_secs(60)) };
    let opened = Arc::clone(&numbers.opened);
    (Prefetch::start(numbers, 5..25, workers, prefetch).unwrap(), opened)
}

#[test]
fn batches_come_in_order_for_any_number_of_workers() {
    for (workers, prefetch) in [(1, 1), (3, 2), (8, 1), (8, 5)] {
        let (mut prefetch, _) = start(None, workers, prefetch);
        for step in 5..25 {
            let expected = [0, 1, 2, 3].map(|slot| 4 * step + slot);
            assert_eq!(prefetch.next(), Ok(Some((step, expected))));
        }
        assert_eq!(prefetch.next(), Ok(None));
        assert_eq!(prefetch.next(), Ok(None));
    }
}

#[test]
fn the_window_bounds_what_is_opened() {
    let (mut prefetch, opened) = start(None, 4, 3);
    prefetch.next().unwrap();
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(opened.load(Ordering::SeqCst), 4);
}

#[test]
fn what_waits_for_delivery_is_bounded_in_bytes() {
    // Two batches of ten bytes exceed 15; without any room one batch is made at a time.
    for (room, ahead) in [(15, 2), (10, 1), (0, 1)] {
        let numbers = Numbers { room, ..Numbers::new(Duration::from_secs(60)) };
        let opened = Arc::clone(&numbers.opened);
        let mut prefetch = Prefetch::start(numbers, 5..25, 1, 9).unwrap();
        for delivered in 1..=20 {
            assert_eq!(prefetch.next().unwrap().unwrap().0, delivered + 4);
            std::thread::sleep(Duration::from_millis(3));
            assert!(opened.load(Ordering::SeqCst) <= delivered + ahead, "{room} bytes of room");
        }
        assert_eq!(prefetch.next(), Ok(None));
    }
}

#[test]
fn a_panic_is_reported_and_ends_the_workers() {
    let (mut prefetch, _) = start(Some(30), 3, 2);
    let mut delivered = 0;
    let message = loop {
        match prefetch.next() {
            Ok(Some(_)) => delivered += 1,
            Ok(None) => panic!("the panic was lost"),
            Err(Failure::Panicked(message)) => break message,
            Err(stalled) => panic!("{stalled:?}"),
        }
    };
    assert!(delivered <= 2 && message.contains("no such number"), "{delivered} {message}");
    assert!(prefetch.next().is_err());
}

#[test]
fn dropping_early_ends_the_workers() {
    for _ in 0..50 {
        let (mut prefetch, _) = start(None, 4, 2);
        prefetch.next().unwrap();
    }
    drop(start(None, 4, 2));
}

#[test]
fn whether_a_batch_is_ready_is_known_within_a_second() {
    let numbers = Numbers { stall_at: Some(20), ..Numbers::new(Duration::from_secs(60)) };
    let mut prefetch = Prefetch::start(numbers, 5..6, 1, 1).unwrap();
    let start = Instant::now();
    assert_eq!(prefetch.ready(), Ok(false));
    assert!(start.elapsed() < Duration::from_secs(6), "it was waited for to the end");
    let mut prefetch = self::start(None, 2, 1).0;
    while prefetch.ready() != Ok(true) {}
    assert_eq!(prefetch.next(), Ok(Some((5, [20, 21, 22, 23]))));
}

#[test]
fn a_read_that_does_not_return_is_named_and_not_waited_for() {
    let start = Instant::now();
    let numbers = Numbers { stall_at: Some(26), ..Numbers::new(Duration::from_millis(80)) };
    let mut prefetch = Prefetch::start(numbers, 5..25, 3, 2).unwrap();
    assert_eq!(prefetch.next(), Ok(Some((5, [20, 21, 22, 23]))));
    assert_eq!(prefetch.next(), Err(Failure::Stalled(0, vec!["number 26".into()])));
    drop(prefetch);
    assert!(start.elapsed() < Duration::from_secs(10), "the stalled worker was waited for");
}
