//! One URI and its address of record.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| muster::sip::fuzz::uri(data));
