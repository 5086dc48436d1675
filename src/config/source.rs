//! The files of a configuration, kept for diagnostics.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beside::Beside;
use super::span::{FileId, Span};
use crate::base::hash::HashKey;

/// One file as it was read, its secrets masked.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Of the text before secrets were masked: it must never be shown.
    digest: u64,
}

/// Main file and includes, and the files beside them that they name. A clone is cheap, and of the same files.
#[derive(Clone, Debug, Default)]
pub struct Files {
    texts: Arc<Vec<File>>,
    beside: Arc<Beside>,
}

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
        let breaks = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        let digest = HashKey::from_seed("text").hash(text.as_bytes());
        Self {
            path,
            text,
            lines,
            digest,
        }
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
        let line = self.lines.partition_point(|start| *start <= at);
        let start = line
            .checked_sub(1)
            .and_then(|index| self.lines.get(index))
            .copied()
            .unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or_default();
        Position {
            line,
            column: before.chars().count() + 1,
        }
    }
}

impl Files {
    /// These files, the main file first.
    pub(super) fn new(files: Vec<File>) -> Self {
        Self {
            texts: Arc::new(files),
            beside: Arc::default(),
        }
    }

    /// Changes with every byte of every file, secrets included: for telling whether there is anything to
    /// reload, never for showing.
    pub fn digest(&self) -> u64 {
        let mut bytes = Vec::new();
        for file in self.iter() {
            bytes.extend_from_slice(file.path.as_os_str().as_encoded_bytes());
            bytes.extend_from_slice(&file.digest.to_le_bytes());
        }
        HashKey::from_seed("files").hash(&bytes)
    }

    /// Hash of the texts as 16 hexadecimal digits, the same on every instance with the same files. Literal
    /// secrets have no part in it, so that it can be shown.
    pub fn fingerprint(&self) -> String {
        let mut bytes = Vec::new();
        for file in self.iter() {
            bytes.extend_from_slice(&(file.text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(file.text.as_bytes());
        }
        format!("{:016x}", HashKey::from_seed("fingerprint").hash(&bytes))
    }

    /// Every file whose change may change what these say, where that is known already.
    pub fn watch(&self) -> Vec<PathBuf> {
        let own = self.iter().map(|file| file.path.clone());
        own.chain(self.beside.paths()).collect()
    }

    /// The files that were read beside these: lists, users, keys.
    pub fn beside(&self) -> &Beside {
        &self.beside
    }

    /// The file of a span.
    pub fn file(&self, id: FileId) -> Option<&File> {
        self.texts.get(usize::from(id.0))
    }

    /// All files, the main file first.
    pub fn iter(&self) -> impl Iterator<Item = &File> {
        self.texts.iter()
    }

    /// File and position of a span.
    pub fn locate(&self, span: Span) -> Option<(&File, Position)> {
        let file = self.file(span.file)?;
        Some((file, file.position(span.start as usize)))
    }
}
