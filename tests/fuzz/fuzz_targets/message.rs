//! One message and the answer to it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| muster::sip::fuzz::message(data));
