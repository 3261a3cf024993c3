//! A stream of messages, however its bytes come in.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| muster::sip::fuzz::stream(data));
