//! The parsers of the wire against others: slow models on generated inputs, corpora of the fuzzers, llhttp and h11; HTTP/2 with
//! `h2`, the crate and the package of Python.
//!
//! Everything is seeded. `TIDEGATE_FAULT_SCALE=full` makes the runs with the models a million inputs each.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by stopping, and tells what it saw"
)]
#![expect(clippy::too_many_lines, reason = "tables")]
#![expect(
    clippy::struct_excessive_bools,
    reason = "a model says each thing that a head says"
)]

#[path = "wire/corpora.rs"]
mod corpora;
#[path = "wire/differential.rs"]
mod differential;
#[path = "framing/mod.rs"]
mod framing;
#[path = "wire/generate.rs"]
mod generate;
#[path = "wire/http2.rs"]
mod http2;
#[path = "wire/models.rs"]
mod models;
#[path = "wire/peers.rs"]
mod peers;
#[path = "../fuzz/src/lib.rs"]
mod wire;

use std::path::{Path, PathBuf};

/// A path below the root of the repository.
fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
