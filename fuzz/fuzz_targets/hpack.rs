//! A block of compressed lines. What must hold: `http2::hpack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidegate_fuzz::http2::hpack(input));
