//! A header of the PROXY protocol. What must hold: `checks::preface`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidegate_fuzz::checks::preface(input));
