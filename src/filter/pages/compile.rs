//! `[error_pages.NAME]` → [`ErrorPages`].

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    ErrorPages, Form, Kind, OfCluster, Page, PagesIx, Piece, STATUS, asks, failures, holds,
};
use crate::base::{ClusterName, PagesName};
use crate::cluster::find_cluster;
use crate::config::raw::{self, Config};
use crate::config::types::{FilePath, Named, StatusRange};
use crate::config::{Beside, Code, Diagnostic, Diagnostics, Span, Spanned, suggest};
use crate::filter::Live;
use crate::filter::errand::compile_limits;
use crate::message::spelled::canonical_path;

/// Longest page of the configuration: it is held in memory.
const MOST_FILE: u64 = 1 << 20;
const PATH: &str = "/${status}";
const WORDS: [(&str, Piece); 4] = [
    (STATUS, Piece::Status),
    ("${phrase}", Piece::Phrase),
    ("${reason}", Piece::Reason),
    ("${request_id}", Piece::RequestId),
];

/// Compiles all sets, in the order of the file.
pub fn compile(
    raw: &Config,
    clusters: &[ClusterName],
    live: &Live,
    files: &Beside,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Arc<ErrorPages>>> {
    let sets = raw.error_pages.iter().map(|(name, raw)| {
        let pages = raw
            .pages
            .iter()
            .map(|raw| page(raw, clusters, files, diagnostics));
        let pages: Vec<_> = pages.collect();
        let replaced = match &raw.endpoints {
            None => Some(Box::default()),
            Some(list) => statuses(list, diagnostics),
        };
        let name = compile_name(name, diagnostics);
        let (pages, replaced) = (pages.into_iter().collect::<Option<Box<_>>>()?, replaced?);
        never_shown(raw, &pages, &replaced, diagnostics);
        Some(Arc::new(ErrorPages {
            pages,
            replaced,
            tally: live.shown(&name?),
        }))
    });
    let sets: Vec<_> = sets.collect();
    sets.into_iter().collect()
}

/// The position of the set that somebody names.
pub fn find(
    name: Option<&Spanned<String>>,
    all: &Named<raw::ErrorPages>,
    diagnostics: &mut Diagnostics,
) -> Option<PagesIx> {
    let name = name?;
    let names = || all.iter().map(|(name, _)| name.as_str());
    if let Some(position) = names().position(|known| known == name.as_str()) {
        return u32::try_from(position).ok().map(PagesIx);
    }
    let message = format!("no error pages are called `{}`", name.escape_debug());
    let diagnostic = Diagnostic::error(Code::UnknownPages, name.span, message)
        .label("not one of `[error_pages]`");
    diagnostics.push(match suggest(name, names()) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None => diagnostic,
    });
    None
}

fn compile_name(raw: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<PagesName> {
    PagesName::parse(raw)
        .map_err(|error| {
            let message = format!("`{}` is not a name for error pages", raw.escape_debug());
            let diagnostic = Diagnostic::error(Code::BadName, raw.span, message);
            diagnostics.push(diagnostic.label(error.to_string()));
        })
        .ok()
}

fn statuses(
    list: &Spanned<Vec<Spanned<StatusRange>>>,
    diagnostics: &mut Diagnostics,
) -> Option<Box<[StatusRange]>> {
    let mut sound = Some(());
    if list.is_empty() {
        let diagnostic = Diagnostic::error(Code::Empty, list.span, "no status is listed");
        diagnostics.push(diagnostic.hint("write statuses or ranges: `[404, \"500-599\"]`"));
        sound = None;
    }
    for range in list.iter() {
        if range.first < 400 {
            let message = "pages are for answers that say what failed";
            let diagnostic = Diagnostic::error(Code::BadStatus, range.span, message);
            diagnostics.push(diagnostic.label("allowed are 400 to 599"));
            sound = None;
        }
    }
    sound.map(|()| list.iter().map(|range| range.value).collect())
}

fn page(
    raw: &Spanned<raw::ErrorPage>,
    clusters: &[ClusterName],
    files: &Beside,
    diagnostics: &mut Diagnostics,
) -> Option<Page> {
    let statuses = statuses(&raw.status, diagnostics);
    let mut forms = Some(Vec::new());
    for (kind, (key, text), (file_key, file)) in [
        (
            Kind::Json,
            ("json", &raw.json),
            ("json_file", &raw.json_file),
        ),
        (
            Kind::Text,
            ("text", &raw.text),
            ("text_file", &raw.text_file),
        ),
        (
            Kind::Html,
            ("html", &raw.html),
            ("html_file", &raw.html_file),
        ),
    ] {
        let text = match (text, file) {
            (None, None) => continue,
            (Some(text), Some(file)) => {
                let message = format!("`{key}` and `{file_key}` cannot stand together");
                let diagnostic = Diagnostic::error(Code::Conflict, file.span, message);
                diagnostics.push(diagnostic.also(text.span, "this is the page"));
                None
            }
            (Some(text), None) => Some(Bytes::copy_from_slice(text.as_bytes())),
            (None, Some(file)) => read(file, files, diagnostics),
        };
        forms = forms.zip(text).map(|(mut forms, text)| {
            let pieces = pieces(&text);
            forms.push(Form { kind, pieces });
            forms
        });
    }
    let cluster = of_cluster(raw, clusters, diagnostics);
    let (forms, cluster) = (forms?, cluster?);
    if forms.is_empty() && cluster.is_none() {
        let diagnostic = Diagnostic::error(Code::MissingKey, raw.span, "this page has no content");
        diagnostics.push(diagnostic.hint("add `html`, `json` or `text`, a file, or a `cluster`"));
        return None;
    }
    Some(Page {
        statuses: statuses?,
        cluster,
        forms: forms.into(),
    })
}

/// Warns of pages that no answer gets, and of answers of endpoints that are to get a page and get none.
fn never_shown(
    raw: &raw::ErrorPages,
    pages: &[Page],
    replaced: &[StatusRange],
    diagnostics: &mut Diagnostics,
) {
    let (ours, asked) = (failures(|_| true), failures(asks));
    let mut taken = BTreeSet::new();
    for (raw, page) in raw.pages.iter().zip(pages) {
        let statuses = (400..=599).filter(|&status| holds(&page.statuses, status));
        let first: Vec<u16> = statuses.filter(|&status| taken.insert(status)).collect();
        let may = if page.forms.is_empty() { &asked } else { &ours };
        let shown = |status: &u16| may.contains(status) || holds(replaced, *status);
        let why = if first.is_empty() {
            "pages before it are for all of these"
        } else if first.iter().any(shown) {
            continue;
        } else if first.iter().any(|status| ours.contains(status)) {
            "no cluster is asked when one of these is the answer"
        } else {
            "no answer of ours is one of these, and none of `endpoints` is replaced"
        };
        let message = "this page is never shown";
        let diagnostic = Diagnostic::warning(Code::Unused, raw.status.span, message);
        diagnostics.push(diagnostic.label(why));
    }
    for range in raw.endpoints.iter().flat_map(|list| list.iter()) {
        if !(range.first..=range.last).any(|status| taken.contains(&status)) {
            let message = "answers of endpoints are replaced by no page";
            let diagnostic = Diagnostic::warning(Code::Unused, range.span, message);
            diagnostics.push(diagnostic.label("none of `pages` is for this"));
        }
    }
}

fn read(file: &Spanned<FilePath>, files: &Beside, diagnostics: &mut Diagnostics) -> Option<Bytes> {
    let bytes = files.read(file, MOST_FILE, diagnostics)?;
    Some(bytes.into())
}

/// The text in pieces: what stands as it is, and variables.
pub(super) fn pieces(text: &Bytes) -> Box<[Piece]> {
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(found) = text
        .get(at..)
        .and_then(|rest| memchr::memmem::find(rest, b"${"))
    {
        let start = at + found;
        let rest = text.get(start..).unwrap_or_default();
        let word = WORDS
            .iter()
            .find(|(word, _)| rest.starts_with(word.as_bytes()));
        let Some((word, piece)) = word else {
            at = start + 2;
            continue;
        };
        if start > from {
            pieces.push(Piece::As(text.slice(from..start)));
        }
        pieces.push(piece.clone());
        (from, at) = (start + word.len(), start + word.len());
    }
    if from < text.len() || pieces.is_empty() {
        pieces.push(Piece::As(text.slice(from..)));
    }
    pieces.into()
}

#[expect(
    clippy::option_option,
    reason = "the outer says that it is sound, the inner that it is there"
)]
fn of_cluster(
    raw: &raw::ErrorPage,
    clusters: &[ClusterName],
    diagnostics: &mut Diagnostics,
) -> Option<Option<OfCluster>> {
    let Some(name) = &raw.cluster else {
        let keys: [(Option<Span>, &str); 3] = [
            (raw.path.as_ref().map(|it| it.span), "path"),
            (raw.timeout.as_ref().map(|it| it.span), "timeout"),
            (raw.max_body.as_ref().map(|it| it.span), "max_body"),
        ];
        let mut strays = keys
            .into_iter()
            .filter_map(|(span, key)| Some((span?, key)));
        let Some((span, key)) = strays.next() else {
            return Some(None);
        };
        let message = format!("`{key}` stands without `cluster`");
        let diagnostic = Diagnostic::error(Code::Conflict, span, message);
        diagnostics.push(diagnostic.label("nobody is asked"));
        return None;
    };
    let cluster = find_cluster("an error page", name, clusters, diagnostics);
    let path = raw.path.as_ref().map_or(PATH, |path| path.as_str());
    let mut sound = Some(());
    if let Some(raw) = &raw.path {
        let tried = Spanned::new(raw.replace(STATUS, "500"), raw.span);
        if let Err(problem) = canonical_path(&tried) {
            diagnostics.push(*problem);
            sound = None;
        }
    }
    let limits = compile_limits(raw.timeout, raw.max_body, diagnostics);
    sound?;
    let (timeout, most) = limits?;
    Some(Some(OfCluster {
        cluster: cluster?,
        path: path.into(),
        timeout,
        most,
    }))
}
