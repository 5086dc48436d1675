//! A TLS client hello. What must hold: `checks::hello`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidegate_fuzz::checks::hello(input));
