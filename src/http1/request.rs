//! A request head: bytes to one validated, canonical [`RequestHead`].

use super::{lines, tokens};
use crate::base::{Detail, Error, Reason};
use crate::message::authority;
use crate::message::forwarded::Proto;
use crate::message::hops::is_token;
use crate::message::method::MAX_METHOD;
use crate::message::path::Policy;
use crate::message::{BodyLength, Expect, Known, Method, RequestHead, Span, Upgrade, Version};

/// Most fields that a head may have, whatever the configuration says.
pub const MAX_FIELDS: usize = 256;
/// Longest field name that is taken where nothing else is said, in bytes (E-022).
pub const MAX_NAME: usize = 256;
/// Blank lines that are skipped before a request line (RFC 9112, 2.2; E-027).
pub const MAX_BLANK_LINES: usize = 2;

/// How large a head may be, and what its path may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HeadLimits {
    /// The request line, in bytes, without its line end.
    pub request_line: usize,
    /// All field lines together, in bytes.
    pub headers: usize,
    /// Number of fields, at most [`MAX_FIELDS`].
    pub count: usize,
    /// The name of a field, in bytes.
    pub name: usize,
    /// What may stand in the path.
    pub path: Policy,
    /// The scheme of the listener: the one that a target may name.
    pub own: Proto,
}

/// How far a head has been read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// The head is whole; so many bytes belong to it and to the blank lines before it.
    Complete(usize),
    /// More bytes are needed.
    Partial,
}

pub(super) fn refuse(detail: Detail) -> Error {
    Error::new(Reason::BadRequest, detail)
}

/// Parses one request head from the beginning of `input` into `head`.
///
/// `head` is meaningful only after [`Progress::Complete`]; after an error it holds what is known for the log.
pub fn parse(input: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Result<Progress, Error> {
    let blank = blank_lines(input)?;
    let input = input.get(blank..).unwrap_or_default();
    head.clear();
    let plain = lines::find(input, limits.count, limits.name, &mut head.fields);
    let plain = plain.and_then(|lines| {
        let first = FirstLine::plain(input.get(..lines.first)?)?;
        Some((first, lines.len))
    });
    #[cfg(any(test, fuzzing))]
    if let Some(plain) = plain {
        tokens::assert_alike(input, limits, plain, &head.fields);
    }
    let (first, len) = match plain {
        Some((first, len)) => {
            begin(head, input.get(..len).unwrap_or_default(), first, limits)?;
            (first, len)
        }
        None => match tokens::request(input, limits, head)? {
            Some(found) => found,
            None => return partial(input, limits),
        },
    };
    if head.method_token.len() > MAX_METHOD {
        return Err(refuse(Detail::Method));
    }
    let decided = decide(head)?;
    let target = Span::new(first.method + 1, first.method + 1 + first.target);
    read_target(head, target, decided.host, limits)?;
    Ok(Progress::Complete(blank + len))
}

/// The parts of a request line: lengths in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FirstLine {
    pub(super) method: usize,
    pub(super) target: usize,
    pub(super) version: Version,
}

impl FirstLine {
    /// Of a line that holds nothing unusual, and only plain bytes; `None`: look closer.
    #[inline]
    fn plain(line: &[u8]) -> Option<Self> {
        let (rest, version) = line.split_last_chunk::<9>()?;
        let version = match version {
            b" HTTP/1.1" => Version::Http11,
            b" HTTP/1.0" => Version::Http10,
            _ => return None,
        };
        let method = rest.iter().position(|&byte| !is_token(byte))?;
        let (b' ', target) = rest.get(method..)?.split_first()? else {
            return None;
        };
        let whole = method > 0 && !target.is_empty() && memchr::memchr(b' ', target).is_none();
        whole.then_some(Self {
            method,
            target: target.len(),
            version,
        })
    }

    /// Length of the line.
    pub(super) fn len(self) -> usize {
        self.method + 1 + self.target + 1 + "HTTP/1.x".len()
    }
}

/// Begins a head of these bytes, whose fields are known or will be. It must be within its limits.
pub(super) fn begin(
    head: &mut RequestHead,
    bytes: &[u8],
    first: FirstLine,
    limits: &HeadLimits,
) -> Result<(), Error> {
    head.bytes.extend_from_slice(bytes);
    head.version = first.version;
    head.method_token = Span::new(0, first.method);
    head.method = Method::of(head.method_token.of(&head.bytes));
    let reason = if first.len() > limits.request_line {
        Reason::UriTooLong
    } else if bytes.len() - first.len() > limits.headers + 4 {
        Reason::HeadersTooLarge
    } else {
        return Ok(());
    };
    // Nobody is to go by what stands in a head that is too large.
    head.fields.clear();
    Err(Error::from(reason))
}

fn blank_lines(input: &[u8]) -> Result<usize, Error> {
    let mut skipped = 0;
    while input.get(skipped..skipped + 2) == Some(b"\r\n") {
        skipped += 2;
        if skipped > MAX_BLANK_LINES * 2 {
            return Err(refuse(Detail::LineEnd));
        }
    }
    match input.get(skipped..).unwrap_or_default() {
        [b'\n', ..] | [b'\r', _, ..] => Err(refuse(Detail::LineEnd)),
        _ => Ok(skipped),
    }
}

/// An unfinished head is refused as soon as it is over its limits.
fn partial(input: &[u8], limits: &HeadLimits) -> Result<Progress, Error> {
    match memchr::memchr(b'\n', input) {
        None if input.len() > limits.request_line + 1 => Err(Error::from(Reason::UriTooLong)),
        Some(end) if end > limits.request_line + 1 => Err(Error::from(Reason::UriTooLong)),
        Some(end) if input.len() - end > limits.headers + 3 => {
            Err(Error::from(Reason::HeadersTooLarge))
        }
        _ => Ok(Progress::Partial),
    }
}

/// What the fields decide before the target is read.
struct Decided {
    host: Option<Span>,
}

/// Reads the fields that decide framing, persistence and authority.
fn decide(head: &mut RequestHead) -> Result<Decided, Error> {
    let mut length: Option<u64> = None;
    let mut coding: Option<Span> = None;
    let mut host: Option<Span> = None;
    let mut upgrade = Upgrade::None;
    for field in &head.fields {
        let value = field.value.of(&head.bytes);
        match field.known {
            Known::Host if host.replace(field.value).is_some() => return Err(refuse(Detail::Host)),
            Known::ContentLength => {
                let number = content_length(value).ok_or_else(|| refuse(Detail::ContentLength))?;
                if length.replace(number).is_some() {
                    return Err(refuse(Detail::ContentLength));
                }
            }
            Known::TransferEncoding if coding.replace(field.value).is_some() => {
                return Err(refuse(Detail::TransferEncoding));
            }
            Known::Connection => head.hops.read(value).map_err(refuse)?,
            Known::Expect => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(refuse(Detail::Expect));
                }
                head.expect = Expect::Continue;
            }
            Known::Upgrade
                if crate::message::hops::tokens(value)
                    .any(|token| token.eq_ignore_ascii_case(b"websocket")) =>
            {
                upgrade = Upgrade::WebSocket;
            }
            _ => {}
        }
    }
    if host.is_none() && head.version == Version::Http11 {
        return Err(refuse(Detail::Host));
    }
    head.body = match (coding, length) {
        (Some(_), Some(_)) => return Err(refuse(Detail::FramingConflict)),
        (Some(coding), None) => transfer_encoding(coding.of(&head.bytes), head.version)?,
        (None, Some(0) | None) => BodyLength::None,
        (None, Some(length)) => BodyLength::Exact(length),
    };
    if head.version == Version::Http10 {
        // A 1.0 client does not know interim responses or upgrades (RFC 9110, 10.1.1 and 7.8).
        head.expect = Expect::Nothing;
    } else if head.hops.upgrade && upgrade == Upgrade::WebSocket {
        if head.body != BodyLength::None {
            return Err(refuse(Detail::Upgrade));
        }
        head.upgrade = upgrade;
    }
    Ok(Decided { host })
}

/// `1*19DIGIT` and nothing else (E-008): 19 digits always fit.
pub fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0u64, |number, &byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u64::from(byte - b'0'))
    })
}

/// Exactly `chunked` (E-004, E-006, E-007).
fn transfer_encoding(value: &[u8], version: Version) -> Result<BodyLength, Error> {
    if version == Version::Http10 {
        return Err(refuse(Detail::TransferEncoding));
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(BodyLength::Chunked);
    }
    // One coding that we do not know (RFC 9112, 6.1), or nothing that could be one.
    let token = !value.is_empty() && value.iter().all(|&byte| is_token(byte));
    Err(refuse(if token {
        Detail::TeUnsupported
    } else {
        Detail::TransferEncoding
    }))
}

/// Splits the target and makes authority and path canonical.
fn read_target(
    head: &mut RequestHead,
    target: Span,
    host: Option<Span>,
    limits: &HeadLimits,
) -> Result<(), Error> {
    let bytes = &head.bytes;
    let text = target.of(bytes);
    let start = target.start as usize;
    let mut authority = host;
    let path_start = match text {
        _ if head.method == Method::Connect => return Err(refuse(Detail::Connect)),
        [b'/', ..] => 0,
        b"*" if head.method == Method::Options => {
            head.set_asterisk(target);
            return set_authority(head, authority);
        }
        _ => {
            let (scheme, port): (&[u8], _) = match limits.own {
                Proto::Http => (b"http://", 80),
                Proto::Https => (b"https://", 443),
            };
            let after = strip_scheme(text, scheme).ok_or_else(|| refuse(Detail::Target))?;
            let rest = text.get(after..).unwrap_or_default();
            let len = rest
                .iter()
                .position(|byte| matches!(byte, b'/' | b'?'))
                .unwrap_or(rest.len());
            let named = Span::new(start + after, start + after + len);
            if let Some(host) = host
                && !authority::same_authority(named.of(bytes), host.of(bytes), port)
            {
                return Err(refuse(Detail::Authority));
            }
            authority = Some(named);
            after + len
        }
    };
    let rest = Span::new(start + path_start, start + text.len());
    if rest.is_empty() && head.method == Method::Options {
        head.make_asterisk();
        return set_authority(head, authority);
    }
    head.set_path_and_query(rest, limits.path).map_err(refuse)?;
    set_authority(head, authority)
}

/// Length of `scheme`, in any case, if `target` begins with it. Only the listener's own is served.
fn strip_scheme(target: &[u8], scheme: &[u8]) -> Option<usize> {
    let found = target.get(..scheme.len())?;
    found.eq_ignore_ascii_case(scheme).then_some(scheme.len())
}

fn set_authority(head: &mut RequestHead, authority: Option<Span>) -> Result<(), Error> {
    match authority {
        Some(span) => head.set_authority(span).map_err(refuse),
        None => Ok(()),
    }
}
