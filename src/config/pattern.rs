//! Regular expressions of the configuration.

use regex::bytes::{Regex, RegexBuilder};

use super::{Code, Diagnostic, Spanned};

/// Most memory that one compiled expression may take. What it is asked about is matched in time linear in its length,
/// whatever the expression.
const MAX_REGEX: usize = 1 << 20;

/// What an expression must match.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extent {
    /// All of the text, from end to end.
    Whole,
    /// Some of it.
    Part,
}

/// Compiles an expression over bytes: `.` is any byte but a line end, `\w` is ASCII.
pub fn regex(raw: &Spanned<String>, extent: Extent) -> Result<Regex, Box<Diagnostic>> {
    let build = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder.unicode(false).size_limit(MAX_REGEX).build()
    };
    // By itself first: `a)|(b` must not be made sound by the group that anchors it.
    let built = build(raw).and_then(|regex| match extent {
        Extent::Part => Ok(regex),
        Extent::Whole => build(&format!(r"\A(?:{})\z", raw.value)),
    });
    built.map_err(|error| {
        let why = match &error {
            regex::Error::CompiledTooBig(_) => "compiled it would take more than 1 MiB".to_owned(),
            error => reason(&error.to_string()),
        };
        let shown = raw.escape_debug();
        let message = format!("`{shown}` is not a regular expression");
        let syntax =
            "the syntax is that of the Rust crate `regex`: no look-around, no back-references";
        let diagnostic = Diagnostic::error(Code::BadRegex, raw.span, message).label(why);
        Box::new(match extent {
            Extent::Part => diagnostic.note(syntax),
            Extent::Whole => diagnostic.note(format!("{syntax}; it must match from end to end")),
        })
    })
}

/// The last line of what the library says; the lines before show the expression.
fn reason(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    fn compiled(text: &str, extent: Extent) -> Option<Regex> {
        regex(&Spanned::new(text.to_owned(), Span::default()), extent).ok()
    }

    #[test]
    fn the_whole_text_is_matched_by_every_branch() {
        let whole = compiled("/a|/b", Extent::Whole).unwrap();
        assert!(whole.is_match(b"/a") && whole.is_match(b"/b"));
        assert!(!whole.is_match(b"/ax") && !whole.is_match(b"x/b"));
        assert!(compiled("/a|/b", Extent::Part).unwrap().is_match(b"x/bx"));
        for broken in ["/a)|(?:/b", "(", "(?=a)", "(a{1000}){1000}"] {
            for extent in [Extent::Whole, Extent::Part] {
                assert!(compiled(broken, extent).is_none(), "{broken}");
            }
        }
    }
}
