//! A request head. What must hold: `checks::head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidegate_fuzz::checks::head(input));
