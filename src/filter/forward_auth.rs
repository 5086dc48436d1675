//! `forward_auth`: a service says of each request whether it may go on.
//!
//! Whatever the service does not allow is refused: an answer that does not come, or is none that can be one, is no word for the
//! client. The fields by which it tells the endpoint who asks are taken from the client before it is asked, so nobody can write
//! them but the service (E-120).

use std::sync::Arc;

use bytes::Bytes;

use super::compile::bad_name;
use super::errand::{Errand, Heard, compile_limits};
use super::kept::{Keep, Over, Told};
use super::live::{Decision, Tally};
use super::rewrite::new_authority;
use super::{Place, Reply, RequestView, ResponseView, Until, Verdict, check_name};
use crate::base::{ClusterName, Detail, Reason};
use crate::cluster::find_cluster;
use crate::config::raw::filter as raw;
use crate::config::{Diagnostics, Spanned};
use crate::message::Edits;
use crate::message::spelled::canonical_path;

const SEND: &[&str] = &["authorization", "cookie"];
const PASS: &[&str] = &[
    "content-type",
    "location",
    "retry-after",
    "set-cookie",
    "www-authenticate",
];

/// The filter.
#[derive(Clone, Debug)]
pub struct ForwardAuth {
    errand: Arc<Errand>,
    /// Names of fields that only the service may say.
    copy: Box<[Box<str>]>,
    /// Names of fields that only the service may say to a client that it lets in.
    client: Box<[Box<str>]>,
    /// Names of fields that the client may hear.
    pass: Box<[Box<str>]>,
    unavailable: Reply,
    tally: Arc<Tally>,
}

impl ForwardAuth {
    pub(super) fn compile(
        raw: &raw::ForwardAuth,
        tally: Arc<Tally>,
        clusters: &[ClusterName],
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let cluster = find_cluster("`forward_auth`", &raw.cluster, clusters, diagnostics);
        let path = match &raw.path {
            None => Some(b"/".as_slice().into()),
            Some(path) => canonical_path(path)
                .map_err(|problem| diagnostics.push(*problem))
                .ok(),
        };
        let host = match &raw.host {
            None => Some(None),
            Some(host) => new_authority(host, diagnostics).map(Some),
        };
        let limits = compile_limits(raw.timeout, raw.max_body, diagnostics);
        let send = names(raw.send_headers.as_ref(), SEND, Place::Request, diagnostics);
        let copy = names(raw.copy_headers.as_ref(), &[], Place::Request, diagnostics);
        let raw_client = raw.client_headers.as_ref();
        let client = names(raw_client, &[], Place::Response, diagnostics);
        let pass = names(raw.pass_headers.as_ref(), PASS, Place::Reply, diagnostics);
        let (timeout, most) = limits?;
        let errand = Errand {
            cluster: cluster?,
            path: path?,
            host: host?,
            send: send?,
            timeout,
            most,
        };
        Some(Self {
            errand: Arc::new(errand),
            copy: copy?,
            client: client?,
            pass: pass?,
            unavailable: Reply::refusal(Reason::AuthUnavailable, Detail::None),
            tally,
        })
    }

    /// Asks, and decides by what was heard.
    pub fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        let Some(Over::Heard(heard)) = view.progress.answer.take() else {
            return Verdict::Wait(Until::Heard(Arc::clone(&self.errand)));
        };
        let (decision, verdict) = match heard {
            Some(heard) if (200..300).contains(&heard.status) => {
                self.copy(&heard, view.edits);
                self.keep(&heard, view);
                (Decision::Allow, Verdict::Continue)
            }
            // 304 speaks of something that the client has; nobody asked for that.
            Some(heard) if matches!(heard.status, 301 | 302 | 303 | 307 | 308 | 400..=499) => {
                (Decision::Refuse, Verdict::Respond(self.passed(heard)))
            }
            Some(_) | None => (Decision::Fail, self.unavailable.verdict()),
        };
        self.tally.count(decision);
        verdict
    }

    fn copy(&self, heard: &Heard, edits: &mut Edits) {
        let head = heard.head();
        for name in &self.copy {
            edits.remove(name.as_bytes());
            for value in head.values(name.as_bytes()) {
                edits.add(name.as_bytes(), value);
            }
        }
    }

    /// What the client is to get with its answer.
    fn keep(&self, heard: &Heard, view: &mut RequestView<'_>) {
        if self.client.is_empty() {
            return;
        }
        let head = heard.head();
        let fields = self.client.iter().flat_map(|name| {
            let values = head.values(name.as_bytes());
            values.map(|value| Told {
                name: name.as_bytes().into(),
                value: value.into(),
            })
        });
        view.keep(Keep::Fields(fields.collect()));
    }

    /// Tells the client what the service said to it. Cookies of both are set.
    pub fn on_response(&self, view: &mut ResponseView<'_>) {
        let Some(Keep::Fields(fields)) = view.kept() else {
            return;
        };
        for name in &self.client {
            if !name.eq_ignore_ascii_case("set-cookie") {
                view.edits.remove(name.as_bytes());
            }
        }
        for field in fields {
            view.edits.add(&field.name, &field.value);
        }
    }

    /// The service's own answer, as far as the client may have it.
    fn passed(&self, heard: Heard) -> Reply {
        let head = heard.head();
        let may = |name: &[u8]| {
            let mut names = self.pass.iter();
            names.any(|known| known.as_bytes().eq_ignore_ascii_case(name))
        };
        let fields = head
            .fields
            .iter()
            .map(|field| (head.name(field), head.value(field)))
            .filter(|(name, _)| may(name));
        let reason = match heard.status {
            401 => Reason::Unauthorized,
            _ => Reason::Denied,
        };
        let reply = Reply::new(heard.status, reason, fields, Bytes::new());
        reply.with_body(Bytes::from(heard.body))
    }
}

/// Names of fields that may be written there.
fn names(
    raw: Option<&Spanned<Vec<Spanned<String>>>>,
    default: &[&str],
    place: Place,
    diagnostics: &mut Diagnostics,
) -> Option<Box<[Box<str>]>> {
    let Some(raw) = raw else {
        return Some(default.iter().map(|&name| name.into()).collect());
    };
    let checked = raw.iter().map(|name| {
        check_name(name, place)
            .map_err(|error| diagnostics.push(bad_name(name, error)))
            .map(|()| name.as_str().into())
    });
    let checked: Vec<_> = checked.collect();
    checked.into_iter().collect::<Result<_, _>>().ok()
}
