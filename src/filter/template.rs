//! Values with variables in them: `"${client_ip}, via ${listener}"`.
//!
//! **Invariants.** What a client sent goes into a value as it was received and validated; nothing is decoded on the way,
//! so that no escape can become a line end (E-040). Should a control byte get here all the same, it is left out.

use std::io::Write as _;
use std::net::IpAddr;

use super::Facts;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned, suggest};
use crate::message::RequestHead;
use crate::message::forwarded::Proto;
use crate::message::key::{KeyInput, KeySource, KeyValue};
use crate::record::ClientCertificate;

/// Where a value is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// Before an endpoint has answered.
    Request,
    /// Afterwards.
    Response,
}

/// A value: the same for all, or made for each.
#[derive(Clone, Debug)]
pub enum Value {
    /// Without variables.
    Fixed(Box<str>),
    /// With variables.
    Made(Box<[Part]>),
}

/// A piece of a value.
#[derive(Clone, Debug)]
pub enum Part {
    /// As it stands.
    Text(Box<str>),
    /// What a variable stands for.
    Variable(Variable),
}

/// What a variable stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Variable {
    /// `client_ip`
    ClientIp,
    /// `request_id`
    RequestId,
    /// `host`: without port.
    Host,
    /// `authority`: with the port, where one was given.
    Authority,
    /// `path`: canonical, as the client asked for it.
    Path,
    /// `query`: as received, without `?`.
    Query,
    /// `method`
    Method,
    /// `scheme`
    Scheme,
    /// `route`
    Route,
    /// `cluster`
    Cluster,
    /// `listener`
    Listener,
    /// `status`
    Status,
    /// `tls.version`, `tls.cipher`, `tls.server_name`: nothing without TLS.
    TlsVersion,
    /// See there.
    TlsCipher,
    /// See there.
    TlsServerName,
    /// `tls.client.subject` …: of the certificate that the client showed; nothing without one.
    TlsClient(Shown),
    /// `header:NAME`, `cookie:NAME`, `query:NAME`: of the request; nothing is decoded.
    Of(KeySource),
}

/// What of a client's certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shown {
    Subject,
    Issuer,
    Serial,
    Fingerprint,
    Names,
}

const WORDS: &[&str] = &[
    "client_ip",
    "request_id",
    "host",
    "authority",
    "path",
    "query",
    "method",
    "scheme",
    "route",
    "cluster",
    "listener",
    "status",
    "tls.version",
    "tls.cipher",
    "tls.server_name",
    "tls.client.subject",
    "tls.client.issuer",
    "tls.client.serial",
    "tls.client.fingerprint",
    "tls.client.names",
    "header:NAME",
    "cookie:NAME",
    "query:NAME",
];

/// What variables are read from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The request.
    pub request: &'a RequestHead,
    /// What is known of the exchange.
    pub facts: &'a Facts<'a>,
    /// Of the answer, where there is one.
    pub status: Option<u16>,
}

impl Variable {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "client_ip" => Self::ClientIp,
            "request_id" => Self::RequestId,
            "host" => Self::Host,
            "authority" => Self::Authority,
            "path" => Self::Path,
            "query" => Self::Query,
            "method" => Self::Method,
            "scheme" => Self::Scheme,
            "route" => Self::Route,
            "cluster" => Self::Cluster,
            "listener" => Self::Listener,
            "status" => Self::Status,
            "tls.version" => Self::TlsVersion,
            "tls.cipher" => Self::TlsCipher,
            "tls.server_name" => Self::TlsServerName,
            "tls.client.subject" => Self::TlsClient(Shown::Subject),
            "tls.client.issuer" => Self::TlsClient(Shown::Issuer),
            "tls.client.serial" => Self::TlsClient(Shown::Serial),
            "tls.client.fingerprint" => Self::TlsClient(Shown::Fingerprint),
            "tls.client.names" => Self::TlsClient(Shown::Names),
            _ if text.contains(':') => match KeySource::parse(text).ok()? {
                // The words of others go into fields by `claim_headers`, which looks at what they are.
                KeySource::Claim(_) => return None,
                source => Self::Of(source),
            },
            _ => return None,
        })
    }

    fn write(&self, sources: &Sources<'_>, out: &mut Vec<u8>) {
        let Sources {
            request,
            facts,
            status,
        } = sources;
        let bytes = match self {
            Self::ClientIp => match facts.client_text() {
                Some(text) => return out.extend_from_slice(text.as_bytes()),
                None => return address(facts.client.to_canonical(), out),
            },
            Self::Status => {
                let mut digits = itoa::Buffer::new();
                let text = status.map_or("", |status| digits.format(status));
                return out.extend_from_slice(text.as_bytes());
            }
            Self::RequestId => facts.request_id().as_bytes(),
            Self::Host => request.host(),
            Self::Authority => request.authority(),
            Self::Path => request.path(),
            Self::Query => request.query().unwrap_or_default(),
            Self::Method => request.method_token(),
            Self::Scheme => match facts.scheme() {
                Proto::Http => b"http".as_slice(),
                Proto::Https => b"https",
            },
            Self::Route => facts.route().as_bytes(),
            Self::Cluster => facts.cluster().as_bytes(),
            Self::Listener => facts.listener().as_bytes(),
            Self::TlsVersion => facts.tls().map_or("", |tls| tls.version).as_bytes(),
            Self::TlsCipher => facts.tls().map_or("", |tls| tls.cipher).as_bytes(),
            Self::TlsServerName => {
                let name = facts.tls().and_then(|tls| tls.server_name.as_deref());
                name.unwrap_or_default().as_bytes()
            }
            Self::TlsClient(shown) => {
                let client = facts.tls().and_then(|tls| tls.client.as_deref());
                client.map_or("", |it| shown.of(it)).as_bytes()
            }
            Self::Of(source) => {
                let input = KeyInput::received(request, facts.client, facts.route());
                match source.read(&input) {
                    Some(KeyValue::Bytes(bytes) | KeyValue::Encoded(bytes)) => bytes,
                    Some(KeyValue::Addr(_)) | None => &[],
                }
            }
        };
        let sound = |byte: &u8| *byte >= b' ' && *byte != 0x7f || *byte == b'\t';
        if bytes.iter().all(sound) {
            out.extend_from_slice(bytes);
        } else {
            out.extend(bytes.iter().filter(|byte| sound(byte)));
        }
    }
}

/// An address as text. That of a client of IPv4, which is wanted most, without the machinery of formats.
fn address(addr: IpAddr, out: &mut Vec<u8>) {
    let IpAddr::V4(addr) = addr else {
        // A Vec takes everything.
        let _ = write!(out, "{addr}");
        return;
    };
    // At most fifteen bytes, so that they are copied once.
    let mut text = [b'.'; 15];
    let mut end = 0;
    let mut put = |byte| {
        if let Some(place) = text.get_mut(end) {
            *place = byte;
        }
        end += 1;
    };
    for (at, octet) in addr.octets().into_iter().enumerate() {
        if at > 0 {
            put(b'.');
        }
        if octet >= 100 {
            put(b'0' + octet / 100);
        }
        if octet >= 10 {
            put(b'0' + octet / 10 % 10);
        }
        put(b'0' + octet % 10);
    }
    out.extend_from_slice(text.get(..end).unwrap_or_default());
}

impl Shown {
    fn of(self, certificate: &ClientCertificate) -> &str {
        match self {
            Self::Subject => &certificate.subject,
            Self::Issuer => &certificate.issuer,
            Self::Serial => &certificate.serial,
            Self::Fingerprint => &certificate.fingerprint,
            Self::Names => &certificate.names,
        }
    }
}

impl Value {
    /// Appends the value.
    #[inline]
    pub fn write(&self, sources: &Sources<'_>, out: &mut Vec<u8>) {
        // What is wanted most, and stands there ready.
        if let Self::Made(parts) = self
            && let [Part::Variable(Variable::ClientIp)] = &**parts
            && let Some(text) = sources.facts.client_text()
        {
            return out.extend_from_slice(text.as_bytes());
        }
        self.write_parts(sources, out);
    }

    #[inline(never)]
    fn write_parts(&self, sources: &Sources<'_>, out: &mut Vec<u8>) {
        let parts = match self {
            Self::Fixed(text) => return out.extend_from_slice(text.as_bytes()),
            Self::Made(parts) => parts,
        };
        for part in parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Variable(variable) => variable.write(sources, out),
            }
        }
    }

    /// Reads the configuration's spelling; its characters have been validated. `$${` is a plain `${`.
    pub fn compile(
        raw: &Spanned<String>,
        moment: Moment,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        if !raw.contains("${") {
            return Some(Self::Fixed(raw.as_str().into()));
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = raw.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                text.push_str(before);
                text.push_str("${");
                rest = after;
                continue;
            }
            text.push_str(before);
            let Some((word, after)) = after.split_once('}') else {
                let diagnostic =
                    Diagnostic::error(Code::BadVariable, raw.span, "`${` without a `}`");
                diagnostics.push(diagnostic.hint("a plain `${` is written `$${`"));
                return None;
            };
            let variable = variable(word, raw, moment, diagnostics)?;
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text).into()));
            }
            parts.push(Part::Variable(variable));
            rest = after;
        }
        text.push_str(rest);
        if parts.is_empty() {
            return Some(Self::Fixed(text.into()));
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.into()));
        }
        Some(Self::Made(parts.into()))
    }
}

fn variable(
    word: &str,
    raw: &Spanned<String>,
    moment: Moment,
    diagnostics: &mut Diagnostics,
) -> Option<Variable> {
    let shown = word.escape_debug();
    let message = match (Variable::parse(word), moment) {
        (Some(Variable::Status), Moment::Request) => {
            format!("`{shown}` is not known before an endpoint has answered")
        }
        (Some(variable), _) => return Some(variable),
        (None, _) => format!("`{shown}` is not a variable"),
    };
    let diagnostic = Diagnostic::error(Code::BadVariable, raw.span, message)
        .note(format!("variables: {}", WORDS.join(", ")));
    diagnostics.push(match suggest(word, WORDS.iter().copied()) {
        Some(near) if near != word => diagnostic.hint(format!("did you mean `${{{near}}}`?")),
        _ => diagnostic.hint("a plain `${` is written `$${`"),
    });
    None
}
