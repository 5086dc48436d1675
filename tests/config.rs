//! The language of the configuration: what is accepted, how refusals look, and that the pages are true.
//!
//! `UPDATE=1 cargo test --test config` writes the snapshots and `docs/configuration.md` anew.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this whole program is a test"
)]

#[path = "config/bytes.rs"]
mod bytes;
#[path = "config/certs.rs"]
mod certs;
#[path = "config/documents.rs"]
mod documents;
#[path = "config/golden.rs"]
mod golden;
#[path = "config/language.rs"]
mod language;
#[path = "config/reference.rs"]
mod reference;
#[path = "config/tried.rs"]
mod tried;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A path below the root of the repository.
fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs `tidegate check` in `directory`.
fn check(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("check")
        .args(arguments)
        .current_dir(directory)
        .env_remove("TIDEGATE_TEST_UNSET")
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

/// The files of a directory that end so, sorted. A directory that is not there has none.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    files
}

/// Compares with the committed file, or writes it when `UPDATE` is set.
fn compare(path: &Path, found: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, found).unwrap();
        return Ok(());
    }
    let wanted = std::fs::read_to_string(path).unwrap_or_default();
    if wanted == found {
        return Ok(());
    }
    Err(format!(
        "{} differs (UPDATE=1 writes it):\n--- committed\n{wanted}\n--- found\n{found}",
        path.display()
    ))
}
