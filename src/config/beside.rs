//! Files that the configuration names: they are read when it is compiled, and watched as it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::types::FilePath;
use super::{Code, Diagnostic, Diagnostics, Spanned};
use crate::base::hash::HashKey;

/// What was read, by path and by how much of it was asked for: of a longer file no more is looked at later either.
#[derive(Debug, Default)]
pub struct Beside(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    read: Seen,
    /// Those that are read again by whoever uses them while the configuration stays.
    renewed: Seen,
}

/// What is kept of a file that cannot be read.
const NOTHING: u64 = 0;

impl Beside {
    /// Notes a file of which another reads at most so many bytes. Before it is read: what changes meanwhile is then found to
    /// have changed.
    pub fn note(&self, path: &Path, limit: u64) {
        let digest = digest_of(&read(path, limit));
        let mut known = self.known();
        known.read.0.insert((path.to_path_buf(), limit), digest);
    }

    /// The same for one that is renewed by whoever uses it while the configuration stays.
    pub fn note_renewed(&self, path: &Path, limit: u64) {
        let digest = digest_of(&read(path, limit));
        let mut known = self.known();
        known.renewed.0.insert((path.to_path_buf(), limit), digest);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a file of at most so many bytes, or tells what is wrong with it.
    pub fn read(
        &self,
        path: &Spanned<FilePath>,
        limit: u64,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<u8>> {
        let read = read(path, limit);
        let (key, digest) = ((path.to_path_buf(), limit), digest_of(&read));
        self.known().read.0.insert(key, digest);
        let shown = path.display();
        let problem = match read {
            Ok(bytes) if bytes.len() as u64 <= limit => return Some(bytes),
            Ok(_) => Diagnostic::error(
                Code::FileTooLarge,
                path.span,
                format!("`{shown}` is larger than {} MiB", limit >> 20),
            ),
            Err(error) => Diagnostic::error(
                Code::FileUnreadable,
                path.span,
                format!("cannot read `{shown}`"),
            )
            .label(error.to_string()),
        };
        diagnostics.push(problem);
        None
    }

    /// Reads a text, or tells what is wrong with it.
    pub fn text(
        &self,
        path: &Spanned<FilePath>,
        limit: u64,
        diagnostics: &mut Diagnostics,
    ) -> Option<String> {
        let bytes = self.read(path, limit, diagnostics)?;
        String::from_utf8(bytes)
            .map_err(|error| {
                let shown = path.display();
                let message = format!("`{shown}` is not UTF-8");
                let at = error.utf8_error().valid_up_to();
                diagnostics.push(
                    Diagnostic::error(Code::NotUtf8, path.span, message)
                        .label(format!("from byte {at} on")),
                );
            })
            .ok()
    }

    /// The paths.
    pub fn paths(&self) -> Vec<PathBuf> {
        let known = self.known();
        let all = known.read.0.keys().chain(known.renewed.0.keys());
        let mut paths: Vec<_> = all.map(|(path, _)| path.clone()).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// What was read, to be compared with what is there later.
    pub fn seen(&self) -> Seen {
        self.known().read.clone()
    }

    /// The same with what is renewed: where the configuration was refused, nobody is there to renew it.
    pub fn seen_all(&self) -> Seen {
        let known = self.known();
        let mut all = known.read.clone();
        all.0.extend(known.renewed.0.clone());
        all
    }
}

/// Files as they were once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Seen(BTreeMap<(PathBuf, u64), u64>);

impl Seen {
    /// Whether they are still so.
    pub fn is_still_so(&self) -> bool {
        self.0
            .iter()
            .all(|((path, limit), seen)| digest_of(&read(path, *limit)) == *seen)
    }
}

fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn digest_of(read: &io::Result<Vec<u8>>) -> u64 {
    let Ok(bytes) = read else { return NOTHING };
    HashKey::from_seed("beside").hash(bytes).max(NOTHING + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    #[test]
    fn what_was_read_is_known_again() {
        let path = std::env::temp_dir().join(format!("tg-beside-{}", std::process::id()));
        let name = Spanned::new(FilePath(path.clone()), Span::default());
        let beside = Beside::default();
        let mut diagnostics = Diagnostics::default();
        assert_eq!(beside.read(&name, 8, &mut diagnostics), None);
        let missing = beside.seen();
        assert!(missing.is_still_so());
        std::fs::write(&path, "12345678").unwrap();
        assert!(!missing.is_still_so());
        assert_eq!(
            beside.text(&name, 8, &mut diagnostics).as_deref(),
            Some("12345678")
        );
        assert!(beside.seen().is_still_so());
        assert_eq!(beside.read(&name, 7, &mut diagnostics), None);
        std::fs::write(&path, "12345678901234567890").unwrap();
        let short = Beside::default();
        assert_eq!(short.read(&name, 7, &mut Diagnostics::default()), None);
        assert!(short.seen().is_still_so(), "too large, and still so");
        assert!(!beside.seen().is_still_so(), "8 bytes were asked for, too");
        assert_eq!(beside.paths().len(), 1);
        std::fs::write(&path, b"\xff").unwrap();
        let beside = Beside::default();
        assert_eq!(beside.text(&name, 8, &mut diagnostics), None);
        assert!(beside.seen().is_still_so());
        assert_eq!(
            (beside.paths(), diagnostics.iter().count()),
            (vec![path.clone()], 3)
        );
        std::fs::remove_file(&path).unwrap();
        assert!(!beside.seen().is_still_so());
        beside.note(&path, 8);
        assert!(beside.seen().is_still_so());
        std::fs::write(&path, "another").unwrap();
        assert!(!beside.seen().is_still_so());
        std::fs::remove_file(&path).unwrap();
    }
}
