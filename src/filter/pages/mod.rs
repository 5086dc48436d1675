//! `[error_pages.NAME]`: what clients are shown instead of the short text that says why there is no answer.
//!
//! A page changes the body of an answer and the type of that, and nothing else: status, Retry-After, challenges and quotas stay.

mod compile;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::counts::Counts;
use super::errand::{Errand, Heard};
use super::reply::{Reply, Wording};
use crate::base::reason::Side;
use crate::base::{Detail, PagesName, Reason};
use crate::cluster::ClusterIx;
use crate::config::Spanned;
use crate::config::types::StatusRange;
use crate::http1::write::phrase_of;
use crate::message::spelled::canonical_path;
use crate::message::{RequestHead, accept};

pub use compile::{compile, find};

/// Fields of a request that say what page it wants.
const SEND: [&str; 2] = ["accept", "accept-language"];
/// Fields of a cluster's page that belong to its body.
const OF_BODY: [&[u8]; 4] = [
    b"cache-control",
    b"content-encoding",
    b"content-language",
    b"vary",
];
/// The path of a cluster's page where this stands has the status.
const STATUS: &str = "${status}";

/// Position of pages among all of a configuration: their place in the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PagesIx(u32);

impl PagesIx {
    /// As an index into that list.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One set of pages.
#[derive(Debug)]
pub struct ErrorPages {
    pages: Box<[Page]>,
    /// Of endpoints.
    replaced: Box<[StatusRange]>,
    tally: Arc<Shown>,
}

/// How often pages of one name were shown.
#[derive(Debug)]
pub struct Shown {
    /// The name.
    pub pages: PagesName,
    counts: Counts<{ Origin::ALL.len() }>,
}

/// Where a page came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    /// The configuration, or a file.
    Own,
    /// A cluster.
    Cluster,
    /// A cluster did not give it.
    Missing,
}

impl Origin {
    const ALL: [Self; 3] = [Self::Own, Self::Cluster, Self::Missing];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Cluster => "cluster",
            Self::Missing => "missing",
        }
    }
}

impl Shown {
    pub(super) fn new(pages: PagesName) -> Self {
        Self {
            pages,
            counts: Counts::default(),
        }
    }

    fn count(&self, origin: Origin) {
        self.counts.add(origin as usize);
    }

    /// Each origin with how often a page came from there.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.by(Origin::ALL.map(Origin::as_str))
    }
}

/// One page.
#[derive(Debug)]
struct Page {
    statuses: Box<[StatusRange]>,
    cluster: Option<OfCluster>,
    /// In the order of preference where a client has none.
    forms: Box<[Form]>,
}

/// A page that a cluster has.
#[derive(Debug)]
struct OfCluster {
    cluster: ClusterIx,
    path: Box<str>,
    timeout: Duration,
    most: usize,
}

/// A page as one media type.
#[derive(Debug)]
struct Form {
    kind: Kind,
    pieces: Box<[Piece]>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Json,
    Text,
    Html,
}

impl Kind {
    const fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain",
            Self::Html => "text/html",
        }
    }

    const fn content_type(self) -> &'static [u8] {
        match self {
            Self::Json => b"application/json",
            Self::Text => b"text/plain; charset=utf-8",
            Self::Html => b"text/html; charset=utf-8",
        }
    }
}

/// A piece of a page. No variable needs to be escaped in any form: the name of an exchange is made of letters, digits and
/// `-._:=+/@`.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    As(Bytes),
    Status,
    Phrase,
    Reason,
    RequestId,
}

impl ErrorPages {
    /// Whether a page takes the place of an endpoint's answer with this status.
    pub fn replaces(&self, status: u16) -> bool {
        holds(&self.replaced, status) && self.page(status).is_some()
    }

    fn page(&self, status: u16) -> Option<&Page> {
        let mut pages = self.pages.iter();
        pages.find(|page| holds(&page.statuses, status))
    }

    /// What a cluster is to be asked for this answer's page. Nobody is asked on behalf of a request that was not taken, nor because
    /// there were too many.
    pub fn errand(&self, reply: &Reply) -> Option<Errand> {
        if reply.wording() == Wording::Given || !asks(reply.reason()) {
            return None;
        }
        let asked = self.page(reply.status())?.cluster.as_ref()?;
        let path = asked.path.replace(STATUS, &reply.status().to_string());
        Some(Errand {
            cluster: asked.cluster,
            path: canonical_path(&Spanned::nowhere(path)).ok()?,
            host: None,
            send: SEND.into_iter().map(Into::into).collect(),
            timeout: asked.timeout,
            most: asked.most,
        })
    }

    /// The answer with the page that a cluster gave, if it is one.
    pub fn heard(&self, reply: &Reply, heard: Option<Heard>) -> Option<Reply> {
        let Some(heard) = heard.filter(|heard| (200..300).contains(&heard.status)) else {
            self.tally.count(Origin::Missing);
            return None;
        };
        self.tally.count(Origin::Cluster);
        let head = heard.head();
        let kind = head.values(b"content-type").next();
        let more = head
            .fields
            .iter()
            .map(|field| (head.name(field), head.value(field)))
            .filter(|(name, _)| OF_BODY.iter().any(|of| of.eq_ignore_ascii_case(name)));
        let page = reply.with_page(
            kind.unwrap_or(Kind::Text.content_type()),
            more,
            Bytes::new(),
        );
        Some(page.with_body(heard.body.into()))
    }

    /// The answer with the form of its page that the client likes best, where there is one.
    pub fn own(&self, reply: &Reply, asked: &RequestHead, request_id: &str) -> Option<Reply> {
        if reply.wording() == Wording::Given {
            return None;
        }
        let page = self.page(reply.status())?;
        let liked = |form: &&Form| accept::quality(asked.values(b"accept"), form.kind.media());
        // The last of several that are liked best is taken: the first in the order of preference.
        let form = page.forms.iter().rev().max_by_key(liked)?;
        self.tally.count(Origin::Own);
        let vary: Option<(&[u8], &[u8])> = (page.forms.len() > 1).then_some((b"vary", b"accept"));
        let body = form.body(reply, request_id);
        Some(reply.with_page(form.kind.content_type(), vary, body))
    }
}

/// Whether a cluster is asked for the page of a failure. Those who are refused because there are too many of them, or while somebody
/// has taken load away, must not load the pages' cluster instead.
fn asks(reason: Reason) -> bool {
    let defends = matches!(
        reason,
        Reason::RateLimited
            | Reason::Overloaded
            | Reason::QueueFull
            | Reason::QueueTimeout
            | Reason::BreakerOpen
            | Reason::Maintenance
    );
    reason.side() != Side::Downstream && !defends
}

/// The statuses of our own answers to these failures.
fn failures(of: impl Fn(Reason) -> bool) -> BTreeSet<u16> {
    let reasons = Reason::ALL.iter().filter(|reason| of(**reason));
    let each = |reason: &'static Reason| Detail::ALL.iter().map(|it| reason.status(*it));
    reasons.flat_map(each).collect()
}

fn holds(ranges: &[StatusRange], status: u16) -> bool {
    ranges.iter().any(|range| range.contains(status))
}

impl Form {
    fn body(&self, reply: &Reply, request_id: &str) -> Bytes {
        if let [Piece::As(text)] = &*self.pieces {
            return text.clone();
        }
        let mut body = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::As(text) => body.extend_from_slice(text),
                Piece::Status => body.extend_from_slice(reply.status().to_string().as_bytes()),
                Piece::Phrase => body.extend_from_slice(phrase_of(reply.status()).as_bytes()),
                Piece::Reason => body.extend_from_slice(match reply.reason() {
                    // It is not known here what failed there.
                    Reason::Completed => b"endpoint",
                    reason => reason.as_str().as_bytes(),
                }),
                Piece::RequestId => body.extend_from_slice(request_id.as_bytes()),
            }
        }
        body.into()
    }
}

#[cfg(test)]
mod tests;
