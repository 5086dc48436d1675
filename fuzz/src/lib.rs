//! What must hold for any input. The fuzz targets call [`checks`] and [`http2`]; `tests/wire` replays the corpora through the
//! same functions and compares the parsers with the [`model`]s.

pub mod checks;
pub mod http2;
pub mod model;
