//! `[log.access]` → [`AccessLog`].

use std::sync::Arc;

use crate::config::raw::log::{AccessOutput, Format as RawFormat};
use crate::config::types::Choice;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned, raw, suggest};

use super::plan::{AccessLog, Field, Format, Output};

impl AccessLog {
    /// Compiles the table. Opens nothing: that is [`Sink::open`](super::Sink::open).
    pub fn compile(raw: &raw::AccessLog, diagnostics: &mut Diagnostics) -> Option<Arc<Self>> {
        let output = match raw.output.as_ref().map(|output| &output.value) {
            None | Some(Choice(AccessOutput::Stdout)) => Output::Stdout,
            Some(Choice(AccessOutput::Off)) => Output::Off,
            Some(Choice(AccessOutput::File(file))) => Output::File(file.path.to_path_buf()),
        };
        let format = match raw.format.as_ref().map(|format| &format.value) {
            None | Some(RawFormat::Json) => Format::Json,
            Some(RawFormat::Text) => Format::Text,
        };
        let sample = raw.sample.as_ref().map_or(1.0, |sample| sample.value.0);
        let fields = match &raw.fields {
            Some(list) if list.is_empty() => {
                diagnostics.push(
                    Diagnostic::error(Code::Empty, list.span, "a line needs at least one field")
                        .hint("for no access log write `output = \"off\"`"),
                );
                None
            }
            Some(list) => known(list, |_| true, diagnostics),
            None => Some(Vec::new()),
        };
        let redact = match &raw.redact {
            Some(list) => known(list, Field::may_be_redacted, diagnostics),
            None => Some(Vec::new()),
        };
        Some(Self::new(output, format, sample, &fields?, &redact?))
    }
}

/// The fields of a list, each once; `None` after an error.
fn known(
    list: &[Spanned<String>],
    allowed: fn(Field) -> bool,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Field>> {
    let mut fields: Vec<Field> = Vec::with_capacity(list.len());
    let mut sound = true;
    for name in list {
        let found = Field::ALL.iter().find(|field| field.as_str() == name.value);
        match found {
            Some(field) if !allowed(*field) => {
                sound = false;
                diagnostics.push(unknown(name, "cannot be redacted", allowed));
            }
            Some(field) if fields.contains(field) => {
                sound = false;
                let message = format!("field `{}` is listed twice", name.value);
                let diagnostic = Diagnostic::error(Code::DuplicateName, name.span, message);
                diagnostics.push(diagnostic.label("a second time here"));
            }
            Some(field) => fields.push(*field),
            None => {
                sound = false;
                diagnostics.push(unknown(name, "is not a field of the access log", allowed));
            }
        }
    }
    sound.then_some(fields)
}

fn unknown(name: &Spanned<String>, what: &str, allowed: fn(Field) -> bool) -> Diagnostic {
    let names = || {
        let fields = Field::ALL.iter().filter(move |field| allowed(**field));
        fields.map(|field| field.as_str())
    };
    let shown = name.value.escape_debug();
    let list: Vec<String> = names().map(|name| format!("`{name}`")).collect();
    let diagnostic = Diagnostic::error(Code::UnknownChoice, name.span, format!("`{shown}` {what}"))
        .note(format!("allowed: {}", list.join(", ")));
    match suggest(&name.value, names()) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None => diagnostic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn compile(text: &str) -> Result<Arc<AccessLog>, Vec<String>> {
        let loaded = parse(std::path::Path::new("test.toml"), text).expect("shape");
        let mut diagnostics = loaded.diagnostics;
        AccessLog::compile(&loaded.raw.log.access, &mut diagnostics)
            .ok_or_else(|| diagnostics.iter().map(|d| d.message().to_owned()).collect())
    }

    #[test]
    fn the_default_is_json_on_stdout_with_what_every_exchange_has() {
        let log = compile("").unwrap();
        assert_eq!(*log.output(), Output::Stdout);
        assert_eq!(log.format(), Format::Json);
        assert_eq!(log.columns().len(), Field::ALL.len() - 9);
        assert!(log.samples(|| u32::MAX));
    }

    #[test]
    fn fields_come_in_the_order_of_the_list() {
        let log = compile(
            "[log.access]\noutput = \"off\"\nformat = \"text\"\nsample = 0.0\n\
             fields = [\"status\", \"time\"]\nredact = [\"query\"]\n",
        )
        .unwrap();
        let fields: Vec<Field> = log.columns().iter().map(|column| column.field).collect();
        assert_eq!(fields, [Field::Status, Field::Time]);
        assert_eq!(*log.output(), Output::Off);
        assert!(!log.samples(|| 0));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = compile(
            "[log.access]\nfields = [\"stauts\", \"path\", \"path\"]\nredact = [\"status\"]\n",
        )
        .unwrap_err();
        assert_eq!(
            faults,
            [
                "`stauts` is not a field of the access log",
                "field `path` is listed twice",
                "`status` cannot be redacted",
            ]
        );
        assert!(compile("[log.access]\nfields = []\n").is_err());
    }
}
