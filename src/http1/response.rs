//! A response head from an endpoint: strict, because what passes here goes to a client.

use std::mem::MaybeUninit;

use super::limits::ResponseLimits;
use super::request::{MAX_FIELDS, collect_fields, content_length};
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

fn refuse(detail: Detail) -> Error {
    Error::new(Reason::UpstreamProtocol, detail)
}

/// Parses one response head from the beginning of `input`; `None` when more bytes are needed. `method` is
/// that of the request, which decides whether there is a body.
pub fn parse(
    input: &[u8],
    method: Method,
    limits: &ResponseLimits,
    fields: &mut Vec<Field>,
) -> Result<Option<Start>, Error> {
    fields.clear();
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let slots = slots.get_mut(..limits.header_count).unwrap_or_default();
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let len = match config.parse_response_with_uninit_headers(&mut response, input, slots) {
        Ok(httparse::Status::Complete(len)) if len <= limits.headers => len,
        Ok(httparse::Status::Partial) if input.len() < limits.headers => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(refuse(Detail::ResponseHead)),
        Err(httparse::Error::Version) => return Err(refuse(Detail::Version)),
        Err(httparse::Error::HeaderName) => return Err(refuse(Detail::FieldName)),
        Err(httparse::Error::HeaderValue) => return Err(refuse(Detail::FieldValue)),
        Err(httparse::Error::NewLine) => return Err(refuse(Detail::LineEnd)),
        Err(_) => return Err(refuse(Detail::StartLine)),
    };
    let (Some(version), Some(status), Some(phrase)) =
        (response.version, response.code, response.reason)
    else {
        return Err(refuse(Detail::StartLine));
    };
    let bytes = input.get(..len).unwrap_or_default();
    // `HTTP/1.1 200 phrase CRLF`, or without the space when there is no phrase. `httparse` leaves out a
    // phrase with obs-text, so its place is found from the line's end.
    let line = memchr::memchr(b'\n', bytes).unwrap_or_default();
    let (line_end, phrase_start) = (line.saturating_sub(1), "HTTP/1.1 200 ".len());
    if bytes.get(line_end) != Some(&b'\r') || line_end + 1 < phrase_start || status < 100 {
        return Err(refuse(Detail::StartLine));
    }
    let phrase = if phrase.is_empty() {
        Span::default()
    } else {
        Span::new(phrase_start, line_end)
    };
    let name = limits.header_name;
    collect_fields(bytes, response.headers, line + 1, name, fields)
        .map_err(|error| refuse(error.detail()))?;
    let version = if version == 0 {
        Version::Http10
    } else {
        Version::Http11
    };
    let mut start = Start {
        len,
        status,
        phrase,
        version,
        body: BodyLength::None,
        hops: Hops::default(),
        persist: Persist::Reuse,
    };
    decide(&mut start, bytes, fields, method)?;
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
