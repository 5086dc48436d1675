//! What must hold for any input. The fuzz targets call [`checks`]; `tests/wire` replays the corpora through the
//! same functions and compares the parsers with the [`model`]s.

pub mod checks;
pub mod model;
