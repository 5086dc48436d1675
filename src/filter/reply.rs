//! An answer of our own, ready to be written.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Verdict;
use crate::base::{Detail, Reason};
use crate::http1::write::phrase_of;
use crate::message::{Care, Field, Known, ResponseHead, Span};

/// An answer of our own. Cloning and sending it copies no byte of it.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    reason: Reason,
    detail: Detail,
    lines: Bytes,
    fields: Arc<[Field]>,
    body: Bytes,
    wording: Wording,
}

/// Whose words the body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wording {
    /// What the configuration, or a service, has to say: it is sent as it is.
    Given,
    /// The short text that says why there is no answer: a page may take its place.
    Short,
}

impl Reply {
    /// An answer with these fields (name and value, both validated) and this body. Framing fields and the
    /// date are the writer's.
    pub fn new<'a>(
        status: u16,
        reason: Reason,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: Bytes,
    ) -> Self {
        let mut lines = Vec::new();
        let mut index = Vec::new();
        for (name, value) in fields {
            let start = lines.len();
            lines.extend_from_slice(name);
            let name_span = Span::new(start, lines.len());
            lines.extend_from_slice(b": ");
            let value_start = lines.len();
            lines.extend_from_slice(value);
            let value_span = Span::new(value_start, lines.len());
            lines.extend_from_slice(b"\r\n");
            index.push(Field {
                name: name_span,
                value: value_span,
                line_end: Span::new(start, lines.len()).end,
                known: Known::of(name),
                care: Care::Usual,
            });
        }
        Self {
            status,
            reason,
            detail: Detail::None,
            lines: lines.into(),
            fields: index.into(),
            body,
            wording: Wording::Given,
        }
    }

    /// The verdict of a filter that answers so. Cold: a request that passes pays nothing for the copy.
    #[cold]
    #[inline(never)]
    pub(super) fn verdict(&self) -> Verdict {
        Verdict::Respond(self.clone())
    }

    /// The answer to a request that is refused or that failed: status of the table, reason in the body.
    pub fn refusal(reason: Reason, detail: Detail) -> Self {
        Self::refusal_after(reason, detail, Self::RETRY_AFTER)
    }

    /// How long to wait where nothing better is known.
    pub const RETRY_AFTER: Duration = Duration::from_secs(1);

    /// A wait as Retry-After tells it: whole seconds, rounded up, since who waits a little longer is not refused again.
    pub fn retry_after(wait: Duration) -> String {
        wait.as_millis().div_ceil(1000).max(1).to_string()
    }

    /// The same; where it is a 503, with how long the client should wait before it asks again.
    pub fn refusal_after(reason: Reason, detail: Detail, wait: Duration) -> Self {
        let status = reason.status(detail);
        let wait = Self::retry_after(wait);
        let wait: [(&[u8], &[u8]); 1] = [(b"retry-after", wait.as_bytes())];
        let any: [(&[u8], &[u8]); 1] =
            [(b"allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH")];
        match status {
            429 | 503 => Self::told(status, reason, detail, &wait),
            405 => Self::told(status, reason, detail, &any),
            _ => Self::told(status, reason, detail, &[]),
        }
    }

    /// The same with another status than the table's, or with fields that belong to it.
    pub(super) fn told(
        status: u16,
        reason: Reason,
        detail: Detail,
        more: &[(&[u8], &[u8])],
    ) -> Self {
        let mut body = format!(
            "{status} {}\nreason: {}",
            phrase_of(status),
            reason.as_str()
        );
        if detail != Detail::None {
            body.push_str(" (");
            body.push_str(detail.as_str());
            body.push(')');
        }
        body.push('\n');
        let mut fields: Vec<(&[u8], &[u8])> = vec![(b"content-type", b"text/plain; charset=utf-8")];
        fields.extend_from_slice(more);
        Self {
            detail,
            wording: Wording::Short,
            ..Self::new(status, reason, fields, Bytes::from(body))
        }
    }

    /// The same, with what exactly was wrong.
    #[must_use]
    pub fn with_detail(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }

    /// The same with this body.
    #[must_use]
    pub fn with_body(self, body: Bytes) -> Self {
        Self { body, ..self }
    }

    /// 200-599.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// How the exchange ends with this answer.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// What exactly was wrong.
    pub const fn detail(&self) -> Detail {
        self.detail
    }

    /// Whose words its body is.
    pub const fn wording(&self) -> Wording {
        self.wording
    }

    /// The same with another body, of this type and with these fields beside those that it has.
    #[must_use]
    pub fn with_page<'a>(
        &'a self,
        kind: &'a [u8],
        more: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: Bytes,
    ) -> Self {
        let head = self.head();
        let own = head
            .fields
            .iter()
            .filter(|field| field.known != Known::ContentType)
            .map(|field| (head.name(field), head.value(field)));
        let kind: (&[u8], &[u8]) = (b"content-type", kind);
        Self {
            detail: self.detail,
            ..Self::new(
                self.status,
                self.reason,
                std::iter::once(kind).chain(own).chain(more),
                body,
            )
        }
    }

    /// What stands for an endpoint's answer that a page takes the place of: its status, and what of its fields a client needs to
    /// act on it.
    pub fn instead(head: &ResponseHead<'_>) -> Self {
        let kept = head
            .fields
            .iter()
            .map(|field| (head.name(field), head.value(field)))
            .filter(|(name, _)| {
                let mut names = Self::KEPT.iter();
                names.any(|kept| kept.eq_ignore_ascii_case(name))
            })
            .collect::<Vec<_>>();
        let body = format!("{} {}\n", head.status, phrase_of(head.status));
        Self::told(head.status, Reason::Completed, Detail::Replaced, &kept).with_body(body.into())
    }

    const KEPT: [&[u8]; 4] = [b"allow", b"retry-after", b"set-cookie", b"www-authenticate"];

    /// The fields, each `name: value CRLF`, back to back.
    pub const fn lines(&self) -> &Bytes {
        &self.lines
    }

    /// The body. Not sent to HEAD.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The answer as a head, as if an endpoint had sent it.
    pub fn head(&self) -> ResponseHead<'_> {
        ResponseHead::whole(self.status, &self.lines, &self.fields, &self.body)
    }
}
