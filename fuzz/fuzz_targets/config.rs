//! A configuration. What must hold: `checks::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidegate_fuzz::checks::config(input));
