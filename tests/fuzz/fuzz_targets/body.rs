//! One body, read by every reader of bodies.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(muster::dialect::fuzz::body(data)));
