//! A head that holds something unusual, by `httparse`: what is allowed of it, and what is wrong.

use std::mem::MaybeUninit;

use super::limits::ResponseLimits;
use super::request::{FirstLine, HeadLimits, MAX_FIELDS, begin, refuse};
use super::response::{self, FirstLine as StatusLine, PHRASE};
use crate::base::{Detail, Error, Reason};
use crate::message::hops::is_token;
use crate::message::{Care, Field, Known, RequestHead, Span, Version};

/// Reads whatever a head may hold into the bytes and fields of `head`; `None` when it is not whole.
#[cold]
pub(super) fn request(
    input: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Option<(FirstLine, usize)>, Error> {
    head.fields.clear();
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let slots = slots
        .get_mut(..limits.count.min(MAX_FIELDS))
        .unwrap_or_default();
    let mut request = httparse::Request::new(&mut []);
    let config = httparse::ParserConfig::default();
    let len = match config.parse_request_with_uninit_headers(&mut request, input, slots) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(diagnose(input, error, limits)),
    };
    let bytes = input.get(..len).unwrap_or_default();
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(refuse(Detail::StartLine));
    };
    let first = FirstLine {
        method: method.len(),
        target: target.len(),
        version: match version {
            0 => Version::Http10,
            _ => Version::Http11,
        },
    };
    begin(head, bytes, first, limits)?;
    if bytes.get(first.len()..first.len() + 2) != Some(b"\r\n") {
        return Err(refuse(Detail::LineEnd));
    }
    let name = limits.name;
    collect_fields(
        bytes,
        request.headers,
        first.len() + 2,
        name,
        &mut head.fields,
    )?;
    Ok(Some((first, len)))
}

/// Turns the tokeniser's verdict into ours. Off the hot path.
#[cold]
fn diagnose(input: &[u8], error: httparse::Error, limits: &HeadLimits) -> Error {
    match error {
        httparse::Error::TooManyHeaders => Error::from(Reason::HeadersTooLarge),
        httparse::Error::Version => refuse(Detail::Version),
        httparse::Error::HeaderName => refuse(if folded(input) {
            Detail::Folding
        } else {
            Detail::FieldName
        }),
        httparse::Error::HeaderValue => refuse(Detail::FieldValue),
        httparse::Error::NewLine => refuse(Detail::LineEnd),
        httparse::Error::Token | httparse::Error::Status => {
            let line = input
                .split(|&byte| byte == b'\n')
                .next()
                .unwrap_or_default();
            if line.len() > limits.request_line + 1 {
                return Error::from(Reason::UriTooLong);
            }
            let method = line.split(|&byte| byte == b' ').next().unwrap_or_default();
            refuse(match method {
                token if token.iter().all(|&byte| is_token(byte)) && !token.is_empty() => {
                    Detail::Target
                }
                _ => Detail::Method,
            })
        }
    }
}

fn folded(input: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', input).any(|end| matches!(input.get(end + 1), Some(b' ' | b'\t')))
}

/// Turns the tokeniser's slices into offsets, and proves that each line is exactly `name: value CRLF`.
pub(super) fn collect_fields(
    bytes: &[u8],
    headers: &[httparse::Header<'_>],
    start: usize,
    longest_name: usize,
    fields: &mut Vec<Field>,
) -> Result<(), Error> {
    let base = bytes.as_ptr() as usize;
    let last = bytes.len().saturating_sub(2);
    let offset = |slice: &[u8]| (slice.as_ptr() as usize).wrapping_sub(base);
    let mut expected = start;
    for (index, header) in headers.iter().enumerate() {
        let name = header.name.as_bytes();
        let name_start = offset(name);
        if name_start != expected {
            return Err(refuse(Detail::LineEnd));
        }
        if name.is_empty() || name.len() > longest_name {
            return Err(refuse(Detail::FieldName));
        }
        let line_end = headers
            .get(index + 1)
            .map_or(last, |next| offset(next.name.as_bytes()));
        if line_end < 2 || bytes.get(line_end - 2..line_end) != Some(b"\r\n") {
            return Err(refuse(Detail::LineEnd));
        }
        let value_start = if header.value.is_empty() {
            line_end - 2
        } else {
            offset(header.value)
        };
        let value = header.value.trim_ascii();
        let value = Span::new(value_start, value_start + value.len());
        fields.push(Field {
            name: Span::new(name_start, name_start + name.len()),
            value,
            line_end: Span::new(0, line_end).end,
            known: Known::of(name),
            care: Care::Usual,
        });
        expected = line_end;
    }
    if expected != last || bytes.get(last..) != Some(b"\r\n") {
        return Err(refuse(Detail::LineEnd));
    }
    Ok(())
}

/// Reads whatever a response's head may hold into `fields`; `None` when it is not whole.
#[cold]
pub(super) fn response(
    input: &[u8],
    limits: &ResponseLimits,
    fields: &mut Vec<Field>,
) -> Result<Option<(StatusLine, usize)>, Error> {
    fields.clear();
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let slots = slots.get_mut(..limits.header_count).unwrap_or_default();
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let len = match config.parse_response_with_uninit_headers(&mut response, input, slots) {
        Ok(httparse::Status::Complete(len)) if len <= limits.headers => len,
        Ok(httparse::Status::Partial) if input.len() < limits.headers => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err(response::refuse(Detail::ResponseHead));
        }
        Err(httparse::Error::Version) => return Err(response::refuse(Detail::Version)),
        Err(httparse::Error::HeaderName) => return Err(response::refuse(Detail::FieldName)),
        Err(httparse::Error::HeaderValue) => return Err(response::refuse(Detail::FieldValue)),
        Err(httparse::Error::NewLine) => return Err(response::refuse(Detail::LineEnd)),
        Err(_) => return Err(response::refuse(Detail::StartLine)),
    };
    let (Some(version), Some(status), Some(phrase)) =
        (response.version, response.code, response.reason)
    else {
        return Err(response::refuse(Detail::StartLine));
    };
    let bytes = input.get(..len).unwrap_or_default();
    // `HTTP/1.1 200 phrase CRLF`, or without the space when there is no phrase. `httparse` leaves out a
    // phrase with obs-text, so its place is found from the line's end.
    let line = memchr::memchr(b'\n', bytes).unwrap_or_default();
    let (line_end, phrase_start) = (line.saturating_sub(1), PHRASE);
    if bytes.get(line_end) != Some(&b'\r') || line_end + 1 < phrase_start || status < 100 {
        return Err(response::refuse(Detail::StartLine));
    }
    let phrase = if phrase.is_empty() {
        Span::default()
    } else {
        Span::new(phrase_start, line_end)
    };
    let name = limits.header_name;
    collect_fields(bytes, response.headers, line + 1, name, fields)
        .map_err(|error| response::refuse(error.detail()))?;
    let first = StatusLine {
        version: match version {
            0 => Version::Http10,
            _ => Version::Http11,
        },
        status,
        phrase,
    };
    Ok(Some((first, len)))
}

/// What `lines` made of an input is what is made of it here.
#[cfg(any(test, fuzzing))]
pub(super) fn assert_alike(
    input: &[u8],
    limits: &HeadLimits,
    plain: (FirstLine, usize),
    fields: &[Field],
) {
    let mut head = RequestHead::default();
    let found = request(input, limits, &mut head);
    // How large it is is looked at after both.
    let is_large =
        |error: &Error| matches!(error.reason(), Reason::UriTooLong | Reason::HeadersTooLarge);
    if !found.as_ref().is_err_and(is_large) {
        assert_eq!(found.ok().flatten(), Some(plain));
        assert_eq!(format!("{fields:?}"), format!("{:?}", head.fields));
    }
}

/// The same of a response.
#[cfg(any(test, fuzzing))]
pub(super) fn assert_response_alike(
    input: &[u8],
    limits: &ResponseLimits,
    plain: (StatusLine, usize),
    fields: &[Field],
) {
    let mut found = Vec::new();
    let other = response(input, limits, &mut found).ok().flatten();
    assert_eq!(other, Some(plain));
    assert_eq!(format!("{fields:?}"), format!("{found:?}"));
}
