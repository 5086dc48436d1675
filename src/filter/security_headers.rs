//! `security_headers`: what browsers should be told of a site, where its endpoint does not say it.

use super::{ResponseView, check_value};
use crate::config::raw::filter::{self as raw, FramePolicy};
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
use crate::message::forwarded::Proto;

/// A year, in seconds.
const HSTS: u64 = 31_536_000;
const REFERRER: &str = "strict-origin-when-cross-origin";

/// The filter.
#[derive(Clone, Debug)]
pub struct SecurityHeaders {
    /// Written where the answer has no field of the name.
    fields: Vec<(&'static str, Box<str>)>,
    /// The same for clients that came over TLS: elsewhere browsers ignore it (RFC 6797, 8.1).
    transport: Option<Box<str>>,
}

/// What tells a stranger about the software behind, and nothing else.
const TELLTALE: [&[u8]; 4] = [
    b"server",
    b"x-powered-by",
    b"x-aspnet-version",
    b"x-aspnetmvc-version",
];

impl SecurityHeaders {
    pub(super) fn compile(
        raw: &raw::SecurityHeaders,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut fields: Vec<(&'static str, Box<str>)> =
            vec![("x-content-type-options", "nosniff".into())];
        match raw.frame.as_deref() {
            None | Some(FramePolicy::Deny) => fields.push(("x-frame-options", "DENY".into())),
            Some(FramePolicy::SameOrigin) => fields.push(("x-frame-options", "SAMEORIGIN".into())),
            Some(FramePolicy::Off) => {}
        }
        let given = |name, value: Option<&Spanned<String>>, diagnostics: &mut Diagnostics| {
            let Some(value) = value else {
                return Some(None);
            };
            if let Err(error) = check_value(value) {
                let message = format!("bad value of field `{name}`");
                let diagnostic = Diagnostic::error(Code::BadField, value.span, message);
                diagnostics.push(diagnostic.label(error.to_string()));
                return None;
            }
            Some(Some((name, value.as_str().into())))
        };
        let referrer = given("referrer-policy", raw.referrer_policy.as_ref(), diagnostics);
        let content = given(
            "content-security-policy",
            raw.content_security_policy.as_ref(),
            diagnostics,
        );
        let permissions = given(
            "permissions-policy",
            raw.permissions_policy.as_ref(),
            diagnostics,
        );
        let referrer = referrer?.unwrap_or_else(|| ("referrer-policy", REFERRER.into()));
        fields.push(referrer);
        fields.extend(content?);
        fields.extend(permissions?);
        let age = raw.hsts.map_or(HSTS, |age| age.get().as_secs());
        Some(Self {
            fields,
            transport: (age > 0).then(|| format!("max-age={age}").into()),
        })
    }

    /// Adds what is missing and removes what tells too much.
    pub fn on_response(&self, view: &mut ResponseView<'_>) {
        for name in TELLTALE {
            view.edits.remove(name);
        }
        let fields = self.fields.iter().map(|(name, value)| (*name, value));
        let transport = match view.facts.scheme() {
            Proto::Https => self.transport.as_ref(),
            Proto::Http => None,
        };
        let transport = transport.map(|value| ("strict-transport-security", value));
        for (name, value) in fields.chain(transport) {
            let name = name.as_bytes();
            let there = !view.edits.drops(name) && view.head.values(name).next().is_some();
            if !there && view.edits.values(name).next().is_none() {
                view.edits.add(name, value.as_bytes());
            }
        }
    }
}
