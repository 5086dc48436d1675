//! `tidegate check`: everything that is wrong, and what would run.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::{REFUSED, color, say, summary, tell};
use crate::config::{self, Diagnostics, Severity, raw};
use crate::snapshot::{self, Live, Purpose};

/// How the findings are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Output {
    /// For people: findings on standard error, the summary on standard output.
    Text,
    /// For tools: one object on standard output.
    Json,
}

/// Reads and compiles the configuration at `path`; binds nothing.
pub(super) fn run(path: &Path, output: Output) -> ExitCode {
    let (raw, diagnostics) = read(path);
    let good = raw.filter(|_| !diagnostics.has_errors());
    match output {
        Output::Text => text(path, good.as_ref(), &diagnostics),
        Output::Json => {
            let object = json!({
                "file": path.to_string_lossy(),
                "errors": diagnostics.count(Severity::Error),
                "warnings": diagnostics.count(Severity::Warning),
                "diagnostics": diagnostics.to_json(),
                "summary": good.as_ref().map(summary::json),
            });
            say(&format!("{object:#}\n"));
        }
    }
    match good {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(REFUSED),
    }
}

fn read(path: &Path) -> (Option<raw::Config>, Diagnostics) {
    match config::load(path) {
        Ok(loaded) => {
            let mut diagnostics = loaded.diagnostics;
            let (raw, files, live) = (&loaded.raw, &loaded.files, Live::default());
            let compiled = snapshot::compile(raw, files, &live, Purpose::Start, &mut diagnostics);
            if compiled.is_some() {
                config::serves(raw, &mut diagnostics);
            }
            (Some(loaded.raw), diagnostics)
        }
        Err(diagnostics) => (None, diagnostics),
    }
}

fn text(path: &Path, good: Option<&raw::Config>, diagnostics: &Diagnostics) {
    tell(&diagnostics.render_text(color()));
    let found = counted(diagnostics);
    let path = path.display();
    match good {
        Some(raw) => {
            let found = found.map_or_else(String::new, |found| format!(", {found}"));
            say(&format!("{path}: fine{found}\n\n{}", summary::text(raw)));
        }
        None => tell(&format!("{path}: refused, {}\n", found.unwrap_or_default())),
    }
}

/// `2 errors, 1 warning`.
fn counted(diagnostics: &Diagnostics) -> Option<String> {
    let part = |severity: Severity| match diagnostics.count(severity) {
        0 => None,
        1 => Some(format!("1 {}", severity.as_str())),
        many => Some(format!("{many} {}s", severity.as_str())),
    };
    let parts: Vec<String> = [part(Severity::Error), part(Severity::Warning)]
        .into_iter()
        .flatten()
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
