#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| densesiam_fuzz::run(&densesiam_fuzz::detection::RESULTS, bytes));
