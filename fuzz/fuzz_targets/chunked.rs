//! A chunked body. What must hold: `checks::chunked`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidegate_fuzz::checks::chunked(input));
