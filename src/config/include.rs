//! Bytes of files, and the files that a pattern names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::diagnostic::{Code, Diagnostic};
use super::load::{Place, Reader};
use super::span::Span;

/// Largest file that is read, in bytes: 10 000 routes are 2 MiB.
const MAX_FILE: u64 = 16 << 20;

/// What an editor leaves beside a file (`.#web.toml`, `.web.toml.swp`) is none of the configuration.
const OPTIONS: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: false,
    require_literal_leading_dot: true,
};

impl Reader {
    pub(super) fn read(&mut self, path: &Path, named_at: Span) -> Option<String> {
        let shown = path.display();
        let bytes = match read_bounded(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.refuse(
                    Diagnostic::error(
                        Code::FileUnreadable,
                        named_at,
                        format!("cannot read `{shown}`: {error}"),
                    )
                    .label("named here"),
                );
                return None;
            }
        };
        if bytes.len() as u64 > MAX_FILE {
            self.refuse(Diagnostic::error(
                Code::FileTooLarge,
                named_at,
                format!("`{shown}` is larger than 16 MiB"),
            ));
            return None;
        }
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let line = error
                    .as_bytes()
                    .iter()
                    .take(good)
                    .filter(|byte| **byte == b'\n')
                    .count()
                    + 1;
                self.refuse(Diagnostic::error(
                    Code::NotUtf8,
                    named_at,
                    format!(
                        "`{shown}` is not UTF-8 text: see line {line}, byte {good} of the file"
                    ),
                ));
                None
            }
        }
    }

    pub(super) fn includes(&mut self, directory: &Path) {
        let mut seen = BTreeSet::new();
        for pattern in self.raw.include.clone() {
            let whole = directory.join(&*pattern.value);
            self.watch.extend(directories(&whole));
            for path in self.matches(&whole, pattern.span) {
                if seen.insert(path.clone()) {
                    self.watch.insert(path.clone());
                    if let Some(text) = self.read(&path, pattern.span) {
                        self.take(&path, &text, pattern.span, Place::Included);
                    }
                }
            }
        }
    }

    /// The files that a pattern names, in the order of their names. A pattern may match none
    /// (`conf.d/*.toml` on a fresh machine); a plain path must exist.
    fn matches(&mut self, pattern: &Path, span: Span) -> Vec<PathBuf> {
        let text = pattern.to_string_lossy();
        if is_fixed(pattern) {
            return vec![pattern.to_path_buf()];
        }
        match glob::glob_with(&text, OPTIONS) {
            Ok(paths) => paths.filter_map(Result::ok).collect(),
            Err(error) => {
                self.refuse(
                    Diagnostic::error(
                        Code::BadInclude,
                        span,
                        format!("bad pattern: {}", error.msg),
                    )
                    .note(
                        "`*` stands for any name, `?` for one character, `**` for any directories",
                    ),
                );
                Vec::new()
            }
        }
    }
}

/// Reads at most one byte more than is allowed.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_fixed(path: &Path) -> bool {
    !path.to_string_lossy().contains(['*', '?', '['])
}

/// The directories in which new matches may appear: that above the first part of a pattern which is not fixed, and
/// what the parts behind it match so far, whether it holds a file yet or not.
fn directories(pattern: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for part in pattern.ancestors().skip(1) {
        if is_fixed(part) {
            let is_here = part.as_os_str().is_empty();
            found.push(if is_here { Path::new(".") } else { part }.to_path_buf());
            break;
        }
        // A pattern that is bad is refused where files are looked for.
        let matches = glob::glob_with(&part.to_string_lossy(), OPTIONS);
        let paths = matches.into_iter().flatten().filter_map(Result::ok);
        found.extend(paths.filter(|path| path.is_dir()));
    }
    found
}
