//! Lines of a request's head and trailers into what all protocols share. The rules of a target and an authority are those
//! of `message`; what stands here is what only HTTP/2 can get wrong (RFC 9113, 8.2 and 8.3).

use super::hpack::{Fit, Kind, Line, OVERHEAD};
use super::streams::Half;
use crate::base::{Detail, Error, Reason};
use crate::http1::request::{HeadLimits, content_length};
use crate::message::forwarded::Proto;
use crate::message::hops::is_token;
use crate::message::method::MAX_METHOD;
use crate::message::{
    BodyLength, Care, Expect, Field, Known, Method, RequestHead, Span, Upgrade, Version, authority,
    websocket,
};

/// What is wrong with a request.
#[derive(Debug)]
pub enum Refusal {
    /// It is malformed: its stream is reset, and there is no answer.
    Malformed(Detail),
    /// It is answered with an error.
    Answered(Error),
}

impl From<Detail> for Refusal {
    fn from(detail: Detail) -> Self {
        Self::Malformed(detail)
    }
}

/// Reads one head, line by line.
#[derive(Debug)]
pub struct Reader<'a> {
    head: &'a mut RequestHead,
    limits: &'a HeadLimits,
    /// Crumbs of the cookie, put together.
    cookie: &'a mut Vec<u8>,
    scheme: Option<Proto>,
    method: Option<Span>,
    path: Option<Span>,
    authority: Option<Span>,
    host: Option<Span>,
    protocol: Option<Span>,
    /// The method that stands for it.
    get: Span,
    /// Where streams may be a WebSocket each, what the key of one is made of.
    nonce: Option<[u8; 16]>,
    length: Option<u64>,
    expects: Expects,
    /// Size of the list and number of its fields, crumbs of the cookie one by one (E-058, E-059).
    size: usize,
    count: usize,
    /// What was found first.
    malformed: Option<Detail>,
    /// What is refused though it is no fault of its making: it is over a limit, or means nothing to us.
    over: Option<(Reason, Detail)>,
    /// Whether anybody may remember the cookie.
    cookie_care: Care,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expects {
    Nothing,
    Continue,
    Else,
}

impl<'a> Reader<'a> {
    /// A reader into an empty head.
    pub fn new(head: &'a mut RequestHead, limits: &'a HeadLimits, cookie: &'a mut Vec<u8>) -> Self {
        cookie.clear();
        head.clear();
        head.version = Version::Http2;
        Self {
            head,
            limits,
            cookie,
            scheme: None,
            method: None,
            path: None,
            authority: None,
            host: None,
            protocol: None,
            get: Span::default(),
            nonce: None,
            length: None,
            expects: Expects::Nothing,
            size: 0,
            count: 0,
            malformed: None,
            over: None,
            cookie_care: Care::Usual,
        }
    }

    /// CONNECT may ask for a WebSocket, which an endpoint of HTTP/1 is asked for with a key of this.
    pub fn websockets(&mut self, nonce: [u8; 16]) {
        self.nonce = Some(nonce);
    }

    /// Takes a line.
    pub fn line(&mut self, line: &Line<'_>) {
        self.size += line.name.len() + line.value.len() + OVERHEAD;
        if self.malformed.is_some() {
            return;
        }
        if let Err(detail) = self.take(line) {
            self.malformed = Some(detail);
        }
    }

    fn take(&mut self, line: &Line<'_>) -> Result<(), Detail> {
        let known = match line.kind {
            Kind::Field(known) => known,
            Kind::Invalid => return Err(Detail::FieldName),
            // None behind a field (RFC 9113, 8.3).
            _ if self.count > 0 => return Err(Detail::PseudoField),
            kind => return self.pseudo(kind, line),
        };
        self.count += 1;
        if line.fit == Fit::Bad {
            return Err(Detail::FieldValue);
        }
        match known {
            // What belongs to one hop of HTTP/1 (RFC 9113, 8.2.2; E-052).
            Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::TransferEncoding
            | Known::Upgrade => return Err(Detail::Connection),
            Known::Te if !line.value.eq_ignore_ascii_case(b"trailers") => {
                return Err(Detail::Connection);
            }
            Known::ContentLength => {
                let length = content_length(line.value).ok_or(Detail::ContentLength)?;
                if self.length.replace(length).is_some() {
                    return Err(Detail::ContentLength);
                }
            }
            Known::Host if self.host.is_some() => return Err(Detail::Host),
            Known::Expect => {
                self.expects = if line.value.eq_ignore_ascii_case(b"100-continue") {
                    Expects::Continue
                } else {
                    Expects::Else
                };
            }
            _ => {}
        }
        if self.size > self.limits.headers || self.count > self.limits.count {
            self.refuse(Reason::HeadersTooLarge, Detail::None);
            return Ok(());
        }
        if line.name.len() > self.limits.name {
            self.refuse(Reason::BadRequest, Detail::FieldName);
            return Ok(());
        }
        if self.protocol.is_some() && line.name == websocket::KEY {
            // It says nothing here, and the endpoint gets ours.
            return Ok(());
        }
        if known == Known::Cookie {
            if !self.cookie.is_empty() {
                self.cookie.extend_from_slice(b"; ");
            }
            self.cookie.extend_from_slice(line.value);
            if line.care == Care::NeverIndexed {
                self.cookie_care = Care::NeverIndexed;
            }
            return Ok(());
        }
        let value = self.push(known, line.care, line.name, line.value);
        if known == Known::Host {
            self.host = Some(value);
        }
        Ok(())
    }

    /// Appends a field as HTTP/1 writes it, so that it can be passed on as it stands.
    fn push(&mut self, known: Known, care: Care, name: &[u8], value: &[u8]) -> Span {
        let bytes = &mut self.head.bytes;
        let start = bytes.len();
        bytes.extend_from_slice(name);
        let name = Span::new(start, bytes.len());
        bytes.extend_from_slice(b": ");
        let start = bytes.len();
        bytes.extend_from_slice(value);
        let value = Span::new(start, bytes.len());
        bytes.extend_from_slice(b"\r\n");
        self.head.fields.push(Field {
            name,
            value,
            line_end: Span::new(0, bytes.len()).end,
            known,
            care,
        });
        value
    }

    fn refuse(&mut self, reason: Reason, detail: Detail) {
        self.over.get_or_insert((reason, detail));
    }

    fn pseudo(&mut self, kind: Kind, line: &Line<'_>) -> Result<(), Detail> {
        let value = line.value;
        if line.fit == Fit::Bad {
            return Err(Detail::FieldValue);
        }
        let room = match kind {
            Kind::Path => self.limits.request_line,
            _ => self.limits.headers,
        };
        let keep = |head: &mut RequestHead, place: &mut Option<Span>| {
            let start = head.bytes.len();
            let value = value.get(..room).unwrap_or(value);
            head.bytes.extend_from_slice(value);
            match place.replace(Span::new(start, head.bytes.len())) {
                None => Ok(()),
                Some(_) => Err(Detail::PseudoField),
            }
        };
        match kind {
            Kind::Method => {
                keep(self.head, &mut self.method)?;
                let token = value.iter().all(|&byte| is_token(byte));
                if value.is_empty() || !token {
                    return Err(Detail::Method);
                }
                if value.len() > MAX_METHOD {
                    self.refuse(Reason::BadRequest, Detail::Method);
                }
                self.head.method = Method::of(value);
                self.head.method_token = self.method.unwrap_or_default();
                Ok(())
            }
            Kind::Path => {
                if value.len() > room {
                    self.over = Some((Reason::UriTooLong, Detail::None));
                }
                keep(self.head, &mut self.path)
            }
            Kind::Authority => keep(self.head, &mut self.authority),
            Kind::Protocol if self.nonce.is_some() => {
                keep(self.head, &mut self.protocol)?;
                // What it will be, in front of all fields: between those nothing else may stand, they go on as they are.
                let start = self.head.bytes.len();
                self.head.bytes.extend_from_slice(b"GET");
                self.get = Span::new(start, self.head.bytes.len());
                Ok(())
            }
            Kind::Scheme => {
                // In any case (RFC 3986, 3.1); what else there is, nobody here speaks (RFC 9113, 8.3.1).
                let scheme = match value {
                    value if value.eq_ignore_ascii_case(b"http") => Proto::Http,
                    value if value.eq_ignore_ascii_case(b"https") => Proto::Https,
                    value if is_scheme(value) => {
                        self.refuse(Reason::BadRequest, Detail::PseudoField);
                        Proto::Http
                    }
                    _ => return Err(Detail::PseudoField),
                };
                match self.scheme.replace(scheme) {
                    None => Ok(()),
                    Some(_) => Err(Detail::PseudoField),
                }
            }
            _ => Err(Detail::PseudoField),
        }
    }

    /// Decides, when all lines have been read. With the declared length of the body.
    pub fn finish(mut self, end: Half) -> Result<Option<u64>, Refusal> {
        if let Some(detail) = self.malformed {
            return Err(detail.into());
        }
        let length = self.length;
        let refuse = |detail| Refusal::Answered(Error::new(Reason::BadRequest, detail));
        if self.method.is_none() {
            return Err(Detail::PseudoField.into());
        }
        if let Some(protocol) = self.protocol {
            self.websocket(protocol, end)?;
        }
        if self.head.method == Method::Connect {
            // It names an authority and nothing else (RFC 9113, 8.5).
            return Err(match (self.scheme, self.path, self.authority) {
                (None, None, Some(_)) => refuse(Detail::Connect),
                _ => Detail::PseudoField.into(),
            });
        }
        let (Some(scheme), Some(path)) = (self.scheme, self.path) else {
            return Err(Detail::PseudoField.into());
        };
        self.head.body = match (length, end) {
            _ if self.protocol.is_some() => BodyLength::None,
            (None | Some(0), Half::Ended) => BodyLength::None,
            (Some(_), Half::Ended) => return Err(Detail::ContentLength.into()),
            // A length of 0 whose end has not come: in chunks it is not whole before it is.
            (None | Some(0), Half::Open) => BodyLength::Chunked,
            (Some(length), Half::Open) => BodyLength::Exact(length),
        };
        if let Some((reason, detail)) = self.over {
            return Err(Refusal::Answered(Error::new(reason, detail)));
        }
        let named = self.named(scheme)?;
        let target = match path.of(&self.head.bytes) {
            [b'/', ..] => Ok(()),
            b"*" if self.head.method == Method::Options => Err(()),
            _ => return Err(Detail::Target.into()),
        };
        if !self.cookie.is_empty() {
            let cookie = std::mem::take(self.cookie);
            self.push(Known::Cookie, self.cookie_care, b"cookie", &cookie);
            *self.cookie = cookie;
        }
        self.head.set_authority(named)?;
        match target {
            Ok(()) => self
                .head
                .set_path_and_query(path, self.limits.path)
                .map_err(refuse)?,
            Err(()) => self.head.set_asterisk(path),
        }
        match self.expects {
            Expects::Nothing => {}
            Expects::Continue => self.head.expect = Expect::Continue,
            Expects::Else => return Err(refuse(Detail::Expect)),
        }
        Ok(length)
    }

    /// A CONNECT that names a protocol (RFC 8441, 4) is what over HTTP/1 is a GET with an upgrade: so routes, filters and
    /// endpoints meet it.
    fn websocket(&mut self, protocol: Span, end: Half) -> Result<(), Refusal> {
        if self.head.method != Method::Connect || self.length.is_some() {
            return Err(Detail::PseudoField.into());
        }
        if protocol.of(&self.head.bytes) != b"websocket" || end == Half::Ended {
            let error = Error::new(Reason::BadRequest, Detail::WebSocket);
            return Err(Refusal::Answered(error));
        }
        self.head.method_token = self.get;
        self.head.method = Method::Get;
        self.head.upgrade = Upgrade::WebSocket;
        if let Some(nonce) = self.nonce {
            let key = websocket::key(nonce);
            self.push(Known::Other, Care::Usual, websocket::KEY, key.as_bytes());
        }
        Ok(())
    }

    /// The authority: of its pseudo-field or of Host, which must agree (RFC 9113, 8.3.1; E-056).
    fn named(&self, scheme: Proto) -> Result<Span, Detail> {
        let port = match scheme {
            Proto::Http => 80,
            Proto::Https => 443,
        };
        let bytes = &self.head.bytes;
        match (self.authority, self.host) {
            (Some(named), None) | (None, Some(named)) => Ok(named),
            (Some(named), Some(host))
                if authority::same_authority(named.of(bytes), host.of(bytes), port) =>
            {
                Ok(named)
            }
            (Some(_), Some(_)) => Err(Detail::Authority),
            (None, None) => Err(Detail::Host),
        }
    }
}

/// Whether this is a scheme at all (RFC 3986, 3.1).
fn is_scheme(text: &[u8]) -> bool {
    let follows = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(follows)
}
