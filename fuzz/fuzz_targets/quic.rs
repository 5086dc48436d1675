//! The header of a QUIC packet. What must hold: `checks::quic`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidegate_fuzz::checks::quic(input));
