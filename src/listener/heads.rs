//! What a listener does with heads: `path_policy`, `forwarding_headers`, `identity_headers`.

use std::sync::Arc;

use crate::config::raw::defaults::ListenerDefaults;
use crate::config::raw::listener::{ForwardingHeader, Listener};
use crate::config::raw::path::{DotSegments, DoubleSlash, PathPolicy, PathRule};
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
use crate::message::Known;
use crate::message::forwarded::{Header, Headers};
use crate::message::hops::is_token;
use crate::message::path::{Empty, Policy, Rule};

/// The compiled keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Heads {
    pub(super) forwarding: Headers,
    pub(super) identity: Arc<[Box<str>]>,
    pub(super) path: Policy,
}

/// The keys, of a listener or of `[defaults.listener]`.
pub(super) struct Raw<'a> {
    forwarding: Option<&'a Spanned<Vec<Spanned<ForwardingHeader>>>>,
    identity: Option<&'a Spanned<Vec<Spanned<String>>>>,
    path: Option<&'a PathPolicy>,
}

impl<'a> Raw<'a> {
    pub(super) fn of(raw: &'a Listener) -> Self {
        Self {
            forwarding: raw.forwarding_headers.as_ref(),
            identity: raw.identity_headers.as_ref(),
            path: raw.path_policy.as_deref(),
        }
    }

    pub(super) fn of_defaults(raw: &'a ListenerDefaults) -> Self {
        Self {
            forwarding: raw.forwarding_headers.as_ref(),
            identity: raw.identity_headers.as_ref(),
            path: raw.path_policy.as_deref(),
        }
    }
}

impl Heads {
    pub(super) fn compile(raw: &Raw<'_>, default: &Self, diagnostics: &mut Diagnostics) -> Self {
        Self {
            forwarding: raw.forwarding.map_or(default.forwarding, |list| {
                list.iter().map(|word| header(word)).collect()
            }),
            identity: raw.identity.map_or_else(
                || Arc::clone(&default.identity),
                |list| {
                    list.iter()
                        .filter_map(|name| identity(name, diagnostics))
                        .collect()
                },
            ),
            path: raw
                .path
                .map_or(default.path, |raw| policy(raw, default.path)),
        }
    }
}

fn header(word: &ForwardingHeader) -> Header {
    match word {
        ForwardingHeader::XForwardedFor => Header::XForwardedFor,
        ForwardingHeader::XForwardedProto => Header::XForwardedProto,
        ForwardingHeader::XForwardedHost => Header::XForwardedHost,
        ForwardingHeader::XRealIp => Header::XRealIp,
        ForwardingHeader::Forwarded => Header::Forwarded,
        ForwardingHeader::XForwardedClientCert => Header::XForwardedClientCert,
        ForwardingHeader::ClientCert => Header::ClientCert,
        ForwardingHeader::ClientCertChain => Header::ClientCertChain,
    }
}

/// A field name in lower case, if it is one that may be believed of one peer and not of another.
fn identity(name: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<Box<str>> {
    let known = Known::of(name.as_bytes());
    let problem = if name.is_empty() || !name.bytes().all(is_token) {
        "not a field name"
    } else if known.is_forwarding() && !known.is_client_certificate() {
        "removed from the requests of strangers already"
    } else if known.is_hop_by_hop()
        || matches!(known, Known::Host | Known::ContentLength | Known::Expect)
    {
        "the proxy decides on this field itself"
    } else {
        return Some(name.to_ascii_lowercase().into());
    };
    let found = name.escape_debug();
    diagnostics.push(
        Diagnostic::error(
            Code::BadField,
            name.span,
            format!("`{found}` cannot be an identity header"),
        )
        .label(problem),
    );
    None
}

fn policy(raw: &PathPolicy, default: Policy) -> Policy {
    let rule = |raw: &Option<Spanned<PathRule>>, default| match raw.as_deref() {
        None => default,
        Some(PathRule::Keep) => Rule::Keep,
        Some(PathRule::Refuse) => Rule::Refuse,
    };
    Policy {
        dot_segments: match raw.dot_segments.as_deref() {
            None => default.dot_segments,
            Some(DotSegments::Resolve) => Rule::Keep,
            Some(DotSegments::Refuse) => Rule::Refuse,
        },
        encoded_slash: rule(&raw.encoded_slash, default.encoded_slash),
        empty_segments: match raw.double_slash.as_deref() {
            None => default.empty_segments,
            Some(DoubleSlash::Keep) => Empty::Keep,
            Some(DoubleSlash::Merge) => Empty::Merge,
            Some(DoubleSlash::Refuse) => Empty::Refuse,
        },
        parameters: rule(&raw.parameters, default.parameters),
    }
}
