//! `cors`: which other sites' scripts may ask, as browsers enforce it (Fetch, CORS protocol).
//!
//! Preflights are answered here; what endpoints say of it is replaced, so that one place decides.

use bytes::Bytes;

use super::{Reply, RequestView, ResponseView, Verdict};
use crate::base::Reason;
use crate::config::raw::filter as raw;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
use crate::message::hops::is_token;
use crate::message::{Method, RequestHead, spelled};

/// The filter.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Box<[Origin]>,
    credentials: Credentials,
    expose: Box<str>,
    preflight: Reply,
    /// The same for who may not: it says nothing, and browsers take that for a no.
    silence: Reply,
}

/// Whether cookies and the like may come along.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Credentials {
    Allowed,
    NotAllowed,
}

/// Who may ask.
#[derive(Clone, Debug)]
enum Origin {
    /// `*`
    Any,
    /// `https://app.example.com`
    Exact(Box<str>),
    /// `https://*.example.com`: what stands before and behind the labels.
    Below(Box<str>, Box<str>),
}

const METHODS: &str = "GET, HEAD, POST";
const VARY: &[u8] = b"Origin";

impl Origin {
    fn parse(raw: &Spanned<String>) -> Result<Self, Box<Diagnostic>> {
        if raw.value == "*" {
            return Ok(Self::Any);
        }
        let wrong = |label: &str| {
            let message = format!("`{}` is not an origin", raw.escape_debug());
            let diagnostic = Diagnostic::error(Code::BadHost, raw.span, message).label(label);
            Box::new(
                diagnostic.hint("write `https://app.example.com`, `https://*.example.com` or `*`"),
            )
        };
        let (scheme, rest) = raw.split_once("://").ok_or_else(|| wrong("no scheme"))?;
        let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]".contains(c);
        let host = rest.strip_prefix('*').unwrap_or(rest);
        if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_lowercase()) {
            return Err(wrong("a scheme is lower-case letters"));
        }
        if host.is_empty() || !host.chars().all(sound) {
            return Err(wrong("a host is lower-case, without a path"));
        }
        if host.len() == rest.len() {
            return Ok(Self::Exact(raw.as_str().into()));
        }
        if !host.starts_with('.') {
            return Err(wrong("`*` stands for whole labels"));
        }
        Ok(Self::Below(format!("{scheme}://").into(), host.into()))
    }

    fn is(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => text.as_bytes() == origin,
            Self::Below(scheme, domain) => origin
                .strip_prefix(scheme.as_bytes())
                .and_then(|rest| rest.strip_suffix(domain.as_bytes()))
                .is_some_and(|labels| {
                    let label = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.".contains(byte);
                    !labels.is_empty() && labels.iter().all(label)
                }),
        }
    }
}

impl Cors {
    pub(super) fn compile(raw: &raw::Cors, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.iter().count();
        if raw.allow_origins.is_empty() {
            let diagnostic = Diagnostic::error(
                Code::Empty,
                raw.allow_origins.span,
                "`allow_origins` is empty",
            );
            diagnostics.push(diagnostic.hint("without the filter no other site may ask"));
        }
        let mut origins = Vec::new();
        for origin in raw.allow_origins.iter() {
            match Origin::parse(origin) {
                Ok(origin) => origins.push(origin),
                Err(diagnostic) => diagnostics.push(*diagnostic),
            }
        }
        let any = origins.iter().any(|origin| matches!(origin, Origin::Any));
        let credentials = match raw.credentials.as_ref() {
            Some(credentials) if credentials.value == raw::CorsCredentials::Allow => {
                if any {
                    let message = "`*` and credentials cannot stand together";
                    let diagnostic = Diagnostic::error(Code::Conflict, credentials.span, message);
                    diagnostics.push(
                        diagnostic
                            .also(raw.allow_origins.span, "any site")
                            .note("any site could act in the name of a user who is signed in"),
                    );
                }
                Credentials::Allowed
            }
            _ => Credentials::NotAllowed,
        };
        let mut methods = Vec::new();
        for method in raw.allow_methods.iter().flat_map(|list| list.iter()) {
            match spelled::method(method) {
                Ok(method) => methods.push(method),
                Err(diagnostic) => diagnostics.push(*diagnostic),
            }
        }
        let headers = names(raw.allow_headers.as_ref(), diagnostics);
        let expose = names(raw.expose_headers.as_ref(), diagnostics);
        if diagnostics.iter().count() > before {
            return None;
        }
        let methods = match methods.as_slice() {
            [] => METHODS.to_owned(),
            methods => methods.join(", "),
        };
        let age = raw.max_age.map(|age| age.get().as_secs().to_string());
        let mut fields: Vec<(&[u8], &[u8])> =
            vec![(b"access-control-allow-methods", methods.as_bytes())];
        if !headers.is_empty() {
            fields.push((b"access-control-allow-headers", headers.as_bytes()));
        }
        if let Some(age) = &age {
            fields.push((b"access-control-max-age", age.as_bytes()));
        }
        Some(Self {
            origins: origins.into(),
            credentials,
            expose: expose.into(),
            preflight: Reply::new(204, Reason::LocalReply, fields, Bytes::new()),
            silence: Reply::new(204, Reason::LocalReply, [], Bytes::new()),
        })
    }

    /// Answers preflights.
    pub fn on_request(&self, view: &RequestView<'_>) -> Verdict {
        let head = view.head;
        let asks = |name: &[u8]| head.values(name).next().is_some();
        if head.method() != Method::Options
            || !asks(b"origin")
            || !asks(b"access-control-request-method")
        {
            return Verdict::Continue;
        }
        Verdict::Respond(match self.origin(head) {
            Some(_) => self.preflight.clone(),
            None => self.silence.clone(),
        })
    }

    /// Says who may read the answer.
    pub fn on_response(&self, view: &mut ResponseView<'_>) {
        let edits = &mut *view.edits;
        for name in [
            b"access-control-allow-origin".as_slice(),
            b"access-control-allow-credentials",
            b"access-control-expose-headers",
        ] {
            edits.remove(name);
        }
        let for_all = matches!(&*self.origins, [Origin::Any]);
        if !for_all {
            // Also where nobody may: a cache must not give this answer to who may.
            edits.append(b"vary", view.head.values(b"vary"), |out| {
                out.extend_from_slice(VARY);
            });
        }
        let Some(origin) = self.origin(view.request) else {
            return;
        };
        let shown = if for_all { b"*" } else { origin };
        edits.add(b"access-control-allow-origin", shown);
        if self.credentials == Credentials::Allowed {
            edits.add(b"access-control-allow-credentials", b"true");
        }
        if !self.expose.is_empty() {
            edits.add(b"access-control-expose-headers", self.expose.as_bytes());
        }
    }

    /// The origin that asks, where it may.
    fn origin<'r>(&self, head: &'r RequestHead) -> Option<&'r [u8]> {
        let mut given = head.values(b"origin");
        let (Some(origin), None) = (given.next(), given.next()) else {
            return None;
        };
        self.origins
            .iter()
            .any(|known| known.is(origin))
            .then_some(origin)
    }
}

/// Field names, as one list.
fn names(raw: Option<&Spanned<Vec<Spanned<String>>>>, diagnostics: &mut Diagnostics) -> String {
    let mut list: Vec<&str> = Vec::new();
    for name in raw.iter().flat_map(|list| list.iter()) {
        if name.is_empty() || !name.bytes().all(is_token) {
            let message = format!("`{}` is not a field name", name.escape_debug());
            diagnostics.push(Diagnostic::error(Code::BadField, name.span, message));
        } else {
            list.push(name);
        }
    }
    list.join(", ")
}
