//! What is wrong with a configuration, where, and how to mend it.

mod code;
mod json;
mod text;

pub use code::Code;
pub use text::Color;

use super::source::Files;
use super::span::Span;

/// Whether the configuration is refused for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// Suspicious, but it works.
    Warning,
}

/// One finding. Texts are lower-case, without a period, literals in backticks.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    severity: Severity,
    code: Code,
    span: Span,
    message: String,
    label: Option<String>,
    others: Vec<(Span, String)>,
    notes: Vec<String>,
    hints: Vec<String>,
}

impl Diagnostic {
    /// A finding for which the configuration is refused. `message` says what is wrong and what was found.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, span, message.into())
    }

    /// A finding that does not stop the start.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, span, message.into())
    }

    fn new(severity: Severity, code: Code, span: Span, message: String) -> Self {
        Self {
            severity,
            code,
            span,
            message,
            label: None,
            others: Vec::new(),
            notes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// A few words at the place itself.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Another place that has to do with it, with a few words.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.others.push((span, label.into()));
        self
    }

    /// What is allowed, or why.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// What to write instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Error or warning.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Where.
    pub fn span(&self) -> Span {
        self.span
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// All findings of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    /// Findings past [`MAX_KEPT`]: counted, not kept.
    more_errors: usize,
    more_warnings: usize,
    files: Files,
}

/// Most findings that are kept: nobody reads more, and a generated file can have one in each line.
const MAX_KEPT: usize = 500;

impl Diagnostics {
    /// None so far, about these files.
    pub fn new(files: Files) -> Self {
        Self {
            files,
            ..Self::default()
        }
    }

    pub(super) fn set_files(&mut self, files: Files) {
        self.files = files;
    }

    /// Adds a finding, once: a wrong value of `[defaults]` is met by everything that starts from it.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let known = |item: &Diagnostic| {
            item.code == diagnostic.code
                && item.span == diagnostic.span
                && item.message == diagnostic.message
        };
        if diagnostic.span.is_somewhere() && self.items.iter().any(known) {
            return;
        }
        if self.items.len() < MAX_KEPT {
            self.items.push(diagnostic);
        } else {
            match diagnostic.severity {
                Severity::Error => self.more_errors += 1,
                Severity::Warning => self.more_warnings += 1,
            }
        }
    }

    /// Whether the configuration is refused.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many of a severity, those that were not kept included.
    pub fn count(&self, severity: Severity) -> usize {
        let more = match severity {
            Severity::Error => self.more_errors,
            Severity::Warning => self.more_warnings,
        };
        let kept = self.items.iter().filter(|item| item.severity == severity);
        kept.count() + more
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The findings in the order of the text: file by file, line by line; those without a place first.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        let mut items: Vec<&Diagnostic> = self.items.iter().collect();
        items.sort_by_key(|item| {
            let span = item.span;
            (span.is_somewhere(), span.file.0, span.start)
        });
        items.into_iter()
    }

    /// The files they are about.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// One line each (`file:line:column: error[C0201]: message`), for the log.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.iter().map(|item| {
            let place = self
                .files
                .locate(item.span)
                .map_or_else(String::new, |(file, at)| {
                    format!("{}:{}:{}: ", file.path().display(), at.line, at.column)
                });
            let (severity, code) = (item.severity.as_str(), item.code.as_str());
            format!("{place}{severity}[{code}]: {}", item.message)
        })
    }
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}
