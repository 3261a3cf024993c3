//! One header line, read by every type.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| muster::sip::fuzz::line(data));
