//! Where in which file a value stands.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer};

use super::diagnostic::Code;

/// One file of a configuration: the main file is the first, includes follow.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FileId(pub(super) u16);

impl FileId {
    const NOWHERE: Self = Self(u16::MAX);
}

/// A range of bytes in one file. The default is nowhere: a value that no one wrote.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A place in `file`.
    pub fn new(file: FileId, range: &Range<usize>) -> Self {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            file,
            start: offset(range.start),
            end: offset(range.end),
        }
    }

    /// Whether it points into a file at all.
    pub fn is_somewhere(self) -> bool {
        self.file != FileId::NOWHERE
    }

    /// As a range for slicing.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Default for Span {
    fn default() -> Self {
        Self {
            file: FileId::NOWHERE,
            start: 0,
            end: 0,
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_somewhere() {
            write!(f, "{}:{}..{}", self.file.0, self.start, self.end)
        } else {
            f.write_str("nowhere")
        }
    }
}

/// A value and where it was written. Equality looks at the value alone, so that moving a line is not a
/// change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value at a place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// A value that no one wrote: a default, or one made in a test.
    pub fn nowhere(value: T) -> Self {
        Self::new(value, Span::default())
    }

    /// The same place with another view of the value.
    pub fn as_ref(&self) -> Spanned<&T> {
        Spanned::new(&self.value, self.span)
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let inner = toml::Spanned::<T>::deserialize(deserializer)?;
        let span = Span::new(Scope::file(), &inner.span());
        Ok(Self::new(inner.into_inner(), span))
    }
}

/// A refusal by one of our visitors; serde's error carries only a text.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// What visitors need beside the value: which file they read, where it lies, and where to leave a
/// refusal. Serde hands no context through, so it stands in a thread-local while one file is read.
#[derive(Debug)]
pub(super) struct Scope {
    file: FileId,
    directory: PathBuf,
    fault: Option<Fault>,
}

thread_local! {
    static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// Ends the scope however the reading ends.
pub(super) struct ScopeGuard(());

impl Scope {
    /// Opens the scope of one file.
    pub(super) fn enter(file: FileId, directory: &Path) -> ScopeGuard {
        SCOPE.with_borrow_mut(|scope| {
            *scope = Some(Self {
                file,
                directory: directory.to_path_buf(),
                fault: None,
            });
        });
        ScopeGuard(())
    }

    fn file() -> FileId {
        SCOPE.with_borrow(|scope| scope.as_ref().map_or(FileId::NOWHERE, |scope| scope.file))
    }

    /// Makes a path of the configuration absolute or relative to the working directory: relative paths
    /// are meant from the file that names them.
    pub(super) fn resolve(path: &str) -> PathBuf {
        SCOPE.with_borrow(|scope| {
            scope
                .as_ref()
                .map_or_else(|| PathBuf::from(path), |scope| scope.directory.join(path))
        })
    }

    /// Leaves a refusal for [`Scope::take_fault`].
    pub(super) fn refuse(fault: Fault) {
        SCOPE.with_borrow_mut(|scope| {
            if let Some(scope) = scope.as_mut() {
                scope.fault = Some(fault);
            }
        });
    }

    /// The refusal behind the serde error that was just met, if it came from one of our visitors.
    pub(super) fn take_fault() -> Option<Fault> {
        SCOPE.with_borrow_mut(|scope| scope.as_mut().and_then(|scope| scope.fault.take()))
    }
}

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        SCOPE.with_borrow_mut(|scope| *scope = None);
    }
}
