//! A connection of HTTP/2, behind its preface. What must hold: `http2::session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidegate_fuzz::http2::session(input));
