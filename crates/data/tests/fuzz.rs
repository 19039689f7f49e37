//! What the fuzzer left in `fuzz/`, read by the functions that it runs. A program of its own with one test, for memory
//! is measured of the whole process.

use std::path::Path;

use densesiam_fixtures::fuzz::Target;
use peak_alloc::PeakAlloc;

#[path = "../../../fuzz/src/data.rs"]
#[allow(unreachable_pub, reason = "the fuzzer's programs use it too")]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
mod data;

#[path = "../../../fuzz/src/detection.rs"]
#[allow(unreachable_pub, reason = "the fuzzer's programs use it too")]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
mod detection;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[test]
#[expect(clippy::print_stderr, reason = "where a picture aborts the test, its name is the last line")]
fn every_kept_file_is_read_or_refused_within_its_memory() {
    use data::{CLASSES, INDEX, LABEL, PICTURE, REGIONS, SHARD, VOC};
    use detection::{COCO, RESULTS};
    let targets: [Target; 9] = [CLASSES, COCO, INDEX, LABEL, PICTURE, REGIONS, RESULTS, SHARD, VOC];
    targets.iter().for_each(|target| target.run_kept(&ALLOCATOR));
    // The same memory for pictures that are as they should be.
    let jpegs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/assets/jpeg/libjpeg.tar.gz");
    for (name, bytes) in densesiam_fixtures::packed(Path::new(jpegs)).unwrap() {
        eprintln!("{name}");
        PICTURE.run(&ALLOCATOR, &bytes);
    }
}
