//! A response head. What must hold: `checks::response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidegate_fuzz::checks::response(input));
