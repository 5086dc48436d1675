//! Errors of the TOML reader and of serde, said in our words.

use std::ops::Range;

use super::diagnostic::{Code, Diagnostic};
use super::span::{Fault, FileId, Span};
use super::suggest::suggest;

/// A text that is not TOML.
pub(super) fn syntax(error: &toml::de::Error, file: FileId, end: usize) -> Diagnostic {
    let span = Span::new(file, &error.span().unwrap_or(end..end));
    let message = error.message();
    if message.contains("duplicate key") {
        return Diagnostic::error(Code::DuplicateKey, span, "the same key is written twice")
            .label("a second time here");
    }
    Diagnostic::error(
        Code::Syntax,
        span,
        format!("not valid TOML: {}", one_line(message)),
    )
}

/// A table that does not have the shape it should have.
pub(super) fn shape(
    error: &toml::de::Error,
    fault: Option<Fault>,
    file: FileId,
    outer: &Range<usize>,
) -> Diagnostic {
    let span = Span::new(file, &error.span().unwrap_or_else(|| outer.clone()));
    if let Some(fault) = fault {
        let diagnostic = Diagnostic::error(fault.code, span, fault.message);
        return match fault.hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        };
    }
    let message = error.message();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let (found, allowed) = words(rest);
        return unknown_key(found, &allowed, span);
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let (found, allowed) = words(rest);
        return unknown_choice(found, &allowed, span);
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        let (key, _) = words(rest);
        return Diagnostic::error(Code::MissingKey, span, format!("`{key}` is missing"))
            .label(format!("this table needs `{key}`"));
    }
    if let Some(rest) = message.strip_prefix("invalid type: ") {
        return wrong(Code::WrongType, "wrong type", rest, span);
    }
    if let Some(rest) = message.strip_prefix("invalid value: ") {
        return wrong(Code::BadValue, "value out of range", rest, span);
    }
    Diagnostic::error(Code::BadValue, span, one_line(message))
}

/// A key that is not one of `allowed`.
pub(super) fn unknown_key(found: &str, allowed: &[&str], span: Span) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::UnknownKey, span, format!("unknown key `{found}`"))
        .label("no such key here")
        .note(allowed_note("allowed here", allowed));
    with_suggestion(diagnostic, found, allowed)
}

fn unknown_choice(found: &str, allowed: &[&str], span: Span) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        Code::UnknownChoice,
        span,
        format!("unknown choice `{found}`"),
    )
    .label("not one of the choices")
    .note(allowed_note("the choices", allowed));
    with_suggestion(diagnostic, found, allowed)
}

fn with_suggestion(diagnostic: Diagnostic, found: &str, allowed: &[&str]) -> Diagnostic {
    match suggest(found, allowed.iter().copied()) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None => diagnostic,
    }
}

fn allowed_note(what: &str, allowed: &[&str]) -> String {
    let list: Vec<String> = allowed.iter().map(|word| format!("`{word}`")).collect();
    format!("{what}: {}", list.join(", "))
}

fn wrong(code: Code, what: &str, rest: &str, span: Span) -> Diagnostic {
    match rest.rsplit_once(", expected ") {
        Some((found, expected)) => {
            let (found, expected) = (kind(found), kind(expected));
            Diagnostic::error(
                code,
                span,
                format!("{what}: found {found}, expected {expected}"),
            )
            .label(format!("expected {expected}"))
        }
        None => Diagnostic::error(code, span, format!("{what}: {}", one_line(rest))),
    }
}

/// Rust's and serde's words for kinds of values, in the words of TOML.
fn kind(text: &str) -> String {
    let named = match text {
        "map" | "a map" => "a table",
        "sequence" | "a sequence" => "an array",
        "u8" => "a whole number, 0-255",
        "u16" => "a whole number, 0-65535",
        "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        _ if text.starts_with("struct ") => "a table",
        _ => return one_line(text),
    };
    named.to_owned()
}

/// The first word between backticks, and the others.
fn words(text: &str) -> (&str, Vec<&str>) {
    let mut quoted = text.split('`').skip(1).step_by(2);
    let found = quoted.next().unwrap_or_default();
    (found, quoted.collect())
}

fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join("; ")
}
