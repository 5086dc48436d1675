//! A response head from an endpoint: strict, because what passes here goes to a client.

use super::limits::ResponseLimits;
use super::request::content_length;
use super::{lines, tokens};
use crate::base::{Detail, Error, Reason};
use crate::message::{BodyLength, Field, Hops, Known, Method, ResponseHead, Span, Version};

/// Whether the endpoint's connection may serve another request after this response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Persist {
    /// It may.
    Reuse,
    /// It may after a while: the answer had no body but spoke of one, and an endpoint that sends it all the same
    /// must not be heard by the next client (E-037).
    Later,
    /// It must be closed.
    Close,
}

/// What was parsed, apart from the fields.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Length of the head in bytes.
    pub len: usize,
    status: u16,
    phrase: Span,
    version: Version,
    body: BodyLength,
    hops: Hops,
    /// Whether the connection may be used again.
    pub persist: Persist,
}

impl Start {
    /// A head that another codec read, of so many bytes.
    pub fn new(len: usize, status: u16, version: Version, body: BodyLength) -> Self {
        Self {
            len,
            status,
            phrase: Span::default(),
            version,
            body,
            hops: Hops::default(),
            persist: Persist::Close,
        }
    }

    /// A head of so many bytes by which the protocol was changed.
    pub fn switched(len: usize) -> Self {
        let mut start = Self::new(len, 101, Version::Http2, BodyLength::None);
        start.hops.upgrade = true;
        start
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// How long the body is.
    pub fn body(&self) -> BodyLength {
        self.body
    }

    /// The head, over the bytes and fields that were parsed.
    pub fn head<'a>(&self, input: &'a [u8], fields: &'a [Field]) -> ResponseHead<'a> {
        ResponseHead {
            bytes: input.get(..self.len).unwrap_or_default(),
            fields,
            status: self.status,
            phrase: self.phrase,
            version: self.version,
            body: self.body,
            hops: self.hops,
        }
    }
}

pub(super) fn refuse(detail: Detail) -> Error {
    Error::new(Reason::UpstreamProtocol, detail)
}

/// The parts of a status line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FirstLine {
    pub(super) version: Version,
    pub(super) status: u16,
    pub(super) phrase: Span,
}

impl FirstLine {
    /// Of a line that holds nothing unusual, and only plain bytes; `None`: look closer.
    #[inline]
    fn plain(line: &[u8]) -> Option<Self> {
        let (start, rest) = line.split_first_chunk::<9>()?;
        let version = match start {
            b"HTTP/1.1 " => Version::Http11,
            b"HTTP/1.0 " => Version::Http10,
            _ => return None,
        };
        let (code, phrase) = rest.split_first_chunk::<3>()?;
        let [hundreds @ b'1'..=b'9', tens, ones] = code else {
            return None;
        };
        let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
        let status = digit(hundreds)? * 100 + digit(tens)? * 10 + digit(ones)?;
        let phrase = match phrase {
            [] | [b' '] => Span::default(),
            [b' ', ..] => Span::new(PHRASE, line.len()),
            _ => return None,
        };
        Some(Self {
            version,
            status,
            phrase,
        })
    }
}

/// Where the phrase begins.
pub(super) const PHRASE: usize = "HTTP/1.1 200 ".len();

/// Parses one response head from the beginning of `input`; `None` when more bytes are needed. `method` is
/// that of the request, which decides whether there is a body.
pub fn parse(
    input: &[u8],
    method: Method,
    limits: &ResponseLimits,
    fields: &mut Vec<Field>,
) -> Result<Option<Start>, Error> {
    fields.clear();
    let plain = lines::find(input, limits.header_count, limits.header_name, fields);
    let plain = plain.and_then(|lines| {
        let first = FirstLine::plain(input.get(..lines.first)?)?;
        (lines.len <= limits.headers).then_some((first, lines.len))
    });
    #[cfg(any(test, fuzzing))]
    if let Some(plain) = plain {
        tokens::assert_response_alike(input, limits, plain, fields);
    }
    let found = match plain {
        Some(found) => Some(found),
        None => tokens::response(input, limits, fields)?,
    };
    let Some((first, len)) = found else {
        return Ok(None);
    };
    let FirstLine {
        version,
        status,
        phrase,
    } = first;
    let mut start = Start {
        len,
        status,
        phrase,
        version,
        body: BodyLength::None,
        hops: Hops::default(),
        persist: Persist::Reuse,
    };
    decide(
        &mut start,
        input.get(..len).unwrap_or_default(),
        fields,
        method,
    )?;
    Ok(Some(start))
}

/// Framing and persistence (RFC 9112, 6.3 and 9.3).
fn decide(start: &mut Start, bytes: &[u8], fields: &[Field], method: Method) -> Result<(), Error> {
    let mut length: Option<u64> = None;
    let mut chunked = false;
    for field in fields {
        let value = field.value.of(bytes);
        match field.known {
            Known::ContentLength => {
                let number = content_length(value).ok_or_else(|| refuse(Detail::ContentLength))?;
                if length.replace(number).is_some() {
                    return Err(refuse(Detail::ContentLength));
                }
            }
            Known::TransferEncoding => {
                if chunked
                    || start.version == Version::Http10
                    || !value.eq_ignore_ascii_case(b"chunked")
                {
                    return Err(refuse(Detail::TransferEncoding));
                }
                chunked = true;
            }
            Known::Connection => start.hops.read(value).map_err(refuse)?,
            _ => {}
        }
    }
    let bodiless = method == Method::Head || matches!(start.status, 100..=199 | 204 | 304);
    start.body = match (bodiless, chunked, length) {
        (true, ..) => BodyLength::None,
        (false, true, _) => BodyLength::Chunked,
        (false, false, Some(length)) => BodyLength::Exact(length),
        (false, false, None) => BodyLength::UntilClose,
    };
    let persists = match start.version {
        Version::Http11 | Version::Http2 => !start.hops.close,
        Version::Http10 => start.hops.keep_alive && !start.hops.close,
    };
    let ambiguous = chunked && length.is_some();
    let spoke_of_body = chunked || length.is_some_and(|length| length > 0);
    let forbidden = spoke_of_body && matches!(start.status, 100..=199 | 204);
    if !persists || ambiguous || forbidden || start.body == BodyLength::UntilClose {
        start.persist = Persist::Close;
    } else if bodiless && spoke_of_body {
        start.persist = Persist::Later;
    }
    Ok(())
}
