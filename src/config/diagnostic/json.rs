//! Diagnostics for tools.

use serde_json::{Value, json};

use super::{Diagnostic, Diagnostics};
use crate::config::source::Files;
use crate::config::span::Span;

impl Diagnostics {
    /// All findings as a JSON array, in the order of the file.
    pub fn to_json(&self) -> Value {
        self.iter().map(|item| object(item, &self.files)).collect()
    }
}

fn object(item: &Diagnostic, files: &Files) -> Value {
    let others: Vec<Value> = item
        .others
        .iter()
        .map(|(span, label)| json!({ "at": place(*span, files), "label": label }))
        .collect();
    json!({
        "severity": item.severity.as_str(),
        "code": item.code.as_str(),
        "message": item.message,
        "at": place(item.span, files),
        "label": item.label,
        "others": others,
        "notes": item.notes,
        "hints": item.hints,
    })
}

/// `null` for a finding that stands nowhere in the text.
fn place(span: Span, files: &Files) -> Value {
    let Some((file, start)) = files.locate(span) else {
        return Value::Null;
    };
    let end = file.position(span.end as usize);
    json!({
        "file": file.path().to_string_lossy(),
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "start_byte": span.start,
        "end_byte": span.end,
    })
}
