//! What a cluster is asked on behalf of a request, and what was heard. The exchange does the asking.

use std::time::Duration;

use crate::cluster::ClusterIx;
use crate::config::types::{self, ByteSize};
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
use crate::message::{Field, ResponseHead};

const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_BODY: u64 = 64 << 10;
/// It is held in memory.
const MOST_BODY: u64 = 1 << 20;

/// A question: a GET without a body. Beside what is said here it tells what every request tells of its client, and in
/// X-Forwarded-Method and X-Forwarded-Uri what that asked for.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Who is asked.
    pub cluster: ClusterIx,
    /// The canonical path that is asked for.
    pub path: Box<[u8]>,
    /// The Host, canonical; `None`: the request's.
    pub host: Option<Box<[u8]>>,
    /// Names of fields that are sent along as they came.
    pub send: Box<[Box<str>]>,
    /// How long it may take.
    pub timeout: Duration,
    /// Longest body of an answer.
    pub most: usize,
}

/// How long an answer may take, and how long it may be.
pub(super) fn compile_limits(
    timeout: Option<Spanned<types::Duration>>,
    max_body: Option<Spanned<ByteSize>>,
    diagnostics: &mut Diagnostics,
) -> Option<(Duration, usize)> {
    let mut sound = Some(());
    if let Some(raw) = timeout.filter(|timeout| timeout.is_zero()) {
        let message = "a `timeout` of 0s asks nobody";
        diagnostics.push(Diagnostic::error(Code::BadValue, raw.span, message));
        sound = None;
    }
    if let Some(raw) = max_body.filter(|size| size.bytes() > MOST_BODY) {
        let message = "an answer is held in memory, and has 1 MiB at most";
        diagnostics.push(Diagnostic::error(Code::BadValue, raw.span, message));
        sound = None;
    }
    sound?;
    let most = max_body.map_or(MAX_BODY, |size| size.bytes());
    Some((
        timeout.map_or(TIMEOUT, |timeout| timeout.get()),
        usize::try_from(most).ok()?,
    ))
}

/// A whole answer.
#[derive(Debug, Default)]
pub struct Heard {
    /// 200-999.
    pub status: u16,
    /// Its head as received.
    pub bytes: Vec<u8>,
    /// The fields in it.
    pub fields: Vec<Field>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Heard {
    /// The head.
    pub fn head(&self) -> ResponseHead<'_> {
        ResponseHead::whole(self.status, &self.bytes, &self.fields, &self.body)
    }

    /// Bytes that its buffers take.
    pub fn weight(&self) -> usize {
        self.bytes.capacity() + self.body.capacity() + self.fields.capacity() * size_of::<Field>()
    }
}
