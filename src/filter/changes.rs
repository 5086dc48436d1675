//! What to change in the fields of a head.

use std::collections::HashMap;

use super::compile::{bad_name, compile_fields};
use super::template::{Moment, Sources, Value};
use super::{Place, check_name};
use crate::config::raw::filter::HeaderEdits;
use crate::config::types::Named;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
use crate::message::{Begun, Edits, Fixed, Known, RequestHead, ResponseHead};

/// Validated changes: first the removals, then what is set, then what is added, then what is appended. A value that
/// comes out empty because its variables stand for nothing makes no field.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Every name that is removed or set; and the lines, where none is made.
    fixed: Fixed,
    /// Values that are made, each with the lines before it.
    made: Box<[(Begun, Value)]>,
    /// The lines behind the last of those.
    last: Fixed,
    /// Names and values; each goes behind the values of its name, into one field.
    append: Box<[(Box<str>, Value)]>,
}

type Fields = Vec<(Box<str>, Value)>;

fn bytes(lines: &[(Box<str>, Box<str>)]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = lines.iter();
    lines.map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

/// The head whose fields are changed.
#[derive(Clone, Copy, Debug)]
pub enum Received<'a> {
    /// A request's.
    Request(&'a RequestHead),
    /// A response's.
    Response(&'a ResponseHead<'a>),
}

impl Changes {
    /// Changes of these kinds: names that are removed, fields that replace all of their name, fields that stand beside them,
    /// and values that go behind theirs.
    pub fn new(remove: &[Box<str>], set: Fields, add: Fields, append: Fields) -> Self {
        let gone = remove.iter().chain(set.iter().map(|(name, _)| name));
        // Those of `set` are moved away below.
        let gone: Vec<Box<str>> = gone.cloned().collect();
        let gone = gone.iter().map(|name| name.as_bytes());
        let mut lines: Vec<(Box<str>, Box<str>)> = Vec::new();
        let mut made = Vec::new();
        for (name, value) in set.into_iter().chain(add) {
            match value {
                Value::Fixed(text) => lines.push((name, text)),
                value @ Value::Made(_) => {
                    made.push((Begun::new(bytes(&lines), name.as_bytes(), b""), value));
                    lines.clear();
                }
            }
        }
        let (fixed, last) = if made.is_empty() {
            (Fixed::new(gone, bytes(&lines)), Fixed::default())
        } else {
            (Fixed::new(gone, []), Fixed::new([], bytes(&lines)))
        };
        Self {
            fixed,
            made: made.into(),
            last,
            append: append.into(),
        }
    }

    /// Notes the changes; the writer makes them.
    pub fn apply(&self, edits: &mut Edits, received: Received<'_>, sources: &Sources<'_>) {
        edits.apply(&self.fixed);
        if !self.made.is_empty() {
            for (begun, value) in &self.made {
                edits.finish(begun, |out| value.write(sources, out));
            }
            if !self.last.is_empty() {
                edits.apply(&self.last);
            }
        }
        if !self.append.is_empty() {
            self.append(edits, received, sources);
        }
    }

    /// Not inlined: few filters have it, and it would take registers from what all have.
    #[inline(never)]
    fn append(&self, edits: &mut Edits, received: Received<'_>, sources: &Sources<'_>) {
        for (name, value) in &self.append {
            let write = |out: &mut Vec<u8>| value.write(sources, out);
            let name = name.as_bytes();
            match received {
                Received::Request(head) => edits.append(name, head.values(name), write),
                Received::Response(head) => edits.append(name, head.values(name), write),
            }
        }
    }

    /// Compiles the table of a filter.
    pub(super) fn compile(
        raw: &HeaderEdits,
        place: Place,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let set = values(&raw.set, place, diagnostics);
        let add = values(&raw.add, place, diagnostics);
        let append = values(&raw.append, place, diagnostics);
        let lists = no_list(&raw.append, diagnostics);
        let remove = removals(raw, place, diagnostics);
        lists?;
        Some(Self::new(&remove?, set?, add?, append?))
    }
}

fn values(
    raw: &Named<Spanned<String>>,
    place: Place,
    diagnostics: &mut Diagnostics,
) -> Option<Fields> {
    let moment = match place {
        Place::Request => Moment::Request,
        Place::Response | Place::Reply => Moment::Response,
    };
    let fields = compile_fields(raw, place, diagnostics);
    let made: Vec<_> = raw
        .iter()
        .map(|(_, value)| Value::compile(value, moment, diagnostics))
        .collect();
    let made: Option<Vec<_>> = made.into_iter().collect();
    let names = fields?.into_iter().map(|(name, _)| name);
    Some(names.zip(made?).collect())
}

/// Cookies are not lists: their commas mean something else (RFC 9110, 5.3).
fn no_list(raw: &Named<Spanned<String>>, diagnostics: &mut Diagnostics) -> Option<()> {
    let known = |name: &str| Known::of(name.as_bytes());
    let cookie = raw
        .iter()
        .find(|(name, _)| matches!(known(name), Known::SetCookie | Known::Cookie));
    let Some((name, _)) = cookie else {
        return Some(());
    };
    let message = format!("the values of `{}` are not a list", name.value);
    let diagnostic = Diagnostic::error(Code::BadField, name.span, message);
    diagnostics.push(diagnostic.hint("`add` writes a field of its own"));
    None
}

fn removals(
    raw: &HeaderEdits,
    place: Place,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Box<str>>> {
    let set: HashMap<_, _> = raw
        .set
        .iter()
        .map(|(name, _)| (name.to_ascii_lowercase(), name.span))
        .collect();
    let mut names = Some(Vec::with_capacity(raw.remove.len()));
    for name in &raw.remove {
        let set = set.get(&name.to_ascii_lowercase());
        let problem = match (check_name(name, place), set) {
            (Err(error), _) => Some(bad_name(name, error)),
            (Ok(()), Some(set)) => Some(
                Diagnostic::error(
                    Code::Conflict,
                    name.span,
                    format!("field `{}` is both removed and set", name.value),
                )
                .label("removed here")
                .also(*set, "set here")
                .hint("`set` alone replaces every field of the name"),
            ),
            (Ok(()), None) => None,
        };
        match (problem, &mut names) {
            (None, Some(names)) => names.push(name.as_str().into()),
            (None, None) => {}
            (Some(problem), _) => {
                diagnostics.push(problem);
                names = None;
            }
        }
    }
    names
}
