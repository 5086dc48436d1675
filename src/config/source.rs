//! The files of a configuration, kept for diagnostics.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::span::{FileId, Span};

/// One file as it was read, its secrets masked.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    text: String,
}

/// Main file and includes. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub struct Files(Arc<Vec<File>>);

/// A place as people count: both from 1, the column in characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl File {
    /// A file under the path by which the operator knows it.
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        Self { path, text }
    }

    /// The path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text, literal secrets masked.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Overwrites ranges, byte for byte, so that no snippet shows them.
    pub(super) fn mask(&mut self, ranges: &[Range<usize>]) {
        for range in ranges {
            if self.text.get(range.clone()).is_some() {
                self.text
                    .replace_range(range.clone(), &"*".repeat(range.len()));
            }
        }
    }

    /// Line and column of a byte.
    pub fn position(&self, at: usize) -> Position {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = self.text.get(..at).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before
                .get(line_start..)
                .map_or(0, |line| line.chars().count())
                + 1,
        }
    }
}

impl Files {
    /// These files, the main file first.
    pub(super) fn new(files: Vec<File>) -> Self {
        Self(Arc::new(files))
    }

    /// The file of a span.
    pub fn file(&self, id: FileId) -> Option<&File> {
        self.0.get(usize::from(id.0))
    }

    /// All files, the main file first.
    pub fn iter(&self) -> impl Iterator<Item = &File> {
        self.0.iter()
    }

    /// File and position of a span.
    pub fn locate(&self, span: Span) -> Option<(&File, Position)> {
        let file = self.file(span.file)?;
        Some((file, file.position(span.start as usize)))
    }
}
