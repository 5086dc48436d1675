//! Diagnostics for people: the lines of the file with marks under them.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Element, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Diagnostics, Severity};
use crate::config::source::{File, Files};
use crate::config::span::{FileId, Span};

/// Whether the output may have colour. Nothing is said by colour alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Color {
    /// A terminal.
    Always,
    /// A file, a pipe, a test.
    Never,
}

impl Diagnostics {
    /// All findings as text, in the order of the file, each followed by an empty line.
    pub fn render_text(&self, color: Color) -> String {
        let renderer = match color {
            Color::Always => Renderer::styled(),
            Color::Never => Renderer::plain(),
        }
        .decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for item in self.iter() {
            text.push_str(&renderer.render(&[group(item, &self.files)]));
            text.push_str("\n\n");
        }
        let more = self.more_errors + self.more_warnings;
        if more > 0 {
            text.push_str("and ");
            text.push_str(&more.to_string());
            text.push_str(" more\n\n");
        }
        text
    }
}

fn group<'a>(item: &'a Diagnostic, files: &'a Files) -> Group<'a> {
    let level = match item.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level
        .primary_title(item.message.as_str())
        .id(item.code.as_str());
    let mut group = Group::with_title(title);
    for snippet in snippets(item, files) {
        group = group.element(snippet);
    }
    let notes = item
        .notes
        .iter()
        .map(|note| Element::from(Level::NOTE.message(note.as_str())));
    let hints = item
        .hints
        .iter()
        .map(|hint| Element::from(Level::HELP.with_name("hint").message(hint.as_str())));
    group.elements(notes).elements(hints)
}

/// One snippet a file, that of the finding itself first.
fn snippets<'a>(item: &'a Diagnostic, files: &'a Files) -> Vec<Snippet<'a, Annotation<'a>>> {
    let mut order: Vec<FileId> = Vec::new();
    let spans = std::iter::once(item.span).chain(item.others.iter().map(|(span, _)| *span));
    for span in spans.filter(|span| span.is_somewhere()) {
        if !order.contains(&span.file) {
            order.push(span.file);
        }
    }
    order
        .into_iter()
        .filter_map(|id| files.file(id).map(|file| snippet(item, id, file)))
        .collect()
}

fn snippet<'a>(item: &'a Diagnostic, id: FileId, file: &'a File) -> Snippet<'a, Annotation<'a>> {
    let mut snippet = Snippet::source(file.text())
        .path(file.path().to_string_lossy().into_owned())
        .fold(true);
    if item.span.file == id {
        let mark = AnnotationKind::Primary.span(within(item.span, file.text()));
        snippet = snippet.annotation(mark.label(item.label.as_deref()));
    }
    for (span, label) in item.others.iter().filter(|(span, _)| span.file == id) {
        let mark = AnnotationKind::Context.span(within(*span, file.text()));
        snippet = snippet.annotation(mark.label(label.as_str()));
    }
    snippet
}

/// The part of a span to mark: inside the text, on whole characters, and only its first line, since a
/// mark over a whole table says nothing.
fn within(span: Span, text: &str) -> std::ops::Range<usize> {
    let floor = |at: u32| {
        let mut at = (at as usize).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (floor(span.start), floor(span.end.max(span.start)));
    let line = text.get(start..end).and_then(|marked| marked.find('\n'));
    start..line.map_or(end, |length| start + length)
}
