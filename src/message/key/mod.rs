//! What tells requests apart: the spelling of the configuration, and the reading of it from a request.
//!
//! One home for limiters, splits and balancers by hash, so that `header:x-api-key` means the same everywhere.

mod encoded;
mod input;
mod strip;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::field::Known;
use super::head::RequestHead;
use super::hops::is_token;
use crate::base::cidr::canonical;
use crate::base::hash::{HashKey, Hasher128};
use crate::config::types::OneOrMany;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned, suggest};
use encoded::{decoded, is_encoded, parameter};

pub use input::KeyInput;

/// The network of an IPv6 client that counts as one (RFC 6177: a subscriber commonly holds a whole /64).
const IPV6_PREFIX: u8 = 64;

/// What may be a key in one place of the configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Words {
    /// Everything.
    All,
    /// What tells requests apart: not `global`, which would send them all one way.
    Apart,
}

impl Words {
    /// As they are spelled.
    const fn spelled(self) -> &'static [&'static str] {
        const APART: &[&str] = &[
            "client_ip",
            "route",
            "host",
            "path",
            "header:NAME",
            "cookie:NAME",
            "query:NAME",
        ];
        const ALL: &[&str] = &[
            "client_ip",
            "global",
            "route",
            "host",
            "path",
            "header:NAME",
            "cookie:NAME",
            "query:NAME",
            "claim:NAME",
        ];
        match self {
            Self::All => ALL,
            Self::Apart => APART,
        }
    }
}

/// One property of a request.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum KeySource {
    /// `client_ip`: the address of the client, behind trusted proxies; of an IPv6 address so many leading bits.
    ClientIp(u8),
    /// `global`: the same for all.
    Global,
    /// `route`: the name of the route.
    Route,
    /// `host`: without port, in lower case.
    Host,
    /// `path`: canonical, without the query.
    Path,
    /// `header:NAME`: the first field of the name.
    Header(Box<str>),
    /// `cookie:NAME`: the first cookie of the name.
    Cookie(Box<str>),
    /// `query:NAME`: the first parameter of the name, decoded.
    Query(Box<str>),
    /// `claim:NAME`: what a token says that was found sound.
    Claim(Box<str>),
}

/// A property that was read.
#[derive(Clone, Copy, Debug)]
pub enum KeyValue<'a> {
    /// It stands in the request.
    Bytes(&'a [u8]),
    /// It stands there, percent-encoded.
    Encoded(&'a [u8]),
    /// An IPv4 address, or the network of an IPv6 address.
    Addr(IpAddr),
}

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyError {
    /// No word that we know.
    Unknown,
    /// `header:`, `cookie:` or `query:` without a name that could be one.
    Name,
    /// `client_ip/N` with an N that is not 1 to 128.
    Prefix,
    /// `global`, where requests must be told apart.
    Same,
    /// `claim:NAME`, where no token has been looked at yet.
    Early,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "not something that a request has",
            Self::Name => "a name must follow the colon",
            Self::Prefix => "the prefix of IPv6 addresses is 1 to 128",
            Self::Same => "it is the same for all requests",
            Self::Early => "tokens are looked at later",
        })
    }
}

impl std::error::Error for KeyError {}

impl KeySource {
    /// Reads the configuration's spelling.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if let Some((word, name)) = text.split_once(':') {
            let name_of = |sound: bool| sound.then(|| name.into()).ok_or(KeyError::Name);
            let token = !name.is_empty() && name.bytes().all(is_token);
            return match word {
                "header" => name_of(token).map(Self::Header),
                "cookie" => name_of(token).map(Self::Cookie),
                "query" => name_of(!name.is_empty()).map(Self::Query),
                "claim" => name_of(!name.is_empty()).map(Self::Claim),
                _ => Err(KeyError::Unknown),
            };
        }
        if let Some(prefix) = text.strip_prefix("client_ip/") {
            return match prefix.parse() {
                Ok(bits @ 1..=128) => Ok(Self::ClientIp(bits)),
                _ => Err(KeyError::Prefix),
            };
        }
        Ok(match text {
            "client_ip" => Self::ClientIp(IPV6_PREFIX),
            "global" => Self::Global,
            "route" => Self::Route,
            "host" => Self::Host,
            "path" => Self::Path,
            _ => return Err(KeyError::Unknown),
        })
    }

    /// Reads the configuration's spelling, or says what is wrong with it.
    pub fn compile(
        raw: &Spanned<String>,
        words: Words,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let error = match Self::parse(raw) {
            Ok(Self::Global) if words == Words::Apart => KeyError::Same,
            Ok(Self::Claim(_)) if words == Words::Apart => KeyError::Early,
            Ok(source) => return Some(source),
            Err(error) => error,
        };
        let words = words.spelled();
        let found = raw.escape_debug();
        let diagnostic =
            Diagnostic::error(Code::BadKey, raw.span, format!("`{found}` is not a key"))
                .label(error.to_string())
                .note(format!("allowed: {}", words.join(", ")));
        diagnostics.push(match suggest(raw, words.iter().copied()) {
            Some(near) if error == KeyError::Unknown => {
                diagnostic.hint(format!("did you mean `{near}`?"))
            }
            _ => diagnostic,
        });
        None
    }

    /// Reads it from a request; `None`: the request has no such thing.
    pub fn read<'a>(&self, input: &KeyInput<'a>) -> Option<KeyValue<'a>> {
        let head = input.head;
        Some(match self {
            Self::ClientIp(prefix) => KeyValue::Addr(network(input.client, *prefix)),
            Self::Global => KeyValue::Bytes(b""),
            Self::Route => KeyValue::Bytes(input.route.as_bytes()),
            Self::Host => KeyValue::Bytes(head.host()),
            Self::Path => KeyValue::Bytes(head.path()),
            Self::Header(name) => KeyValue::Bytes(input.field(name.as_bytes())?),
            Self::Cookie(name) => KeyValue::Bytes(cookie(head, name.as_bytes())?),
            Self::Query(name) => KeyValue::Encoded(parameter(head.query()?, name.as_bytes())?),
            Self::Claim(name) => KeyValue::Bytes(input.claims?.text(name)?.as_bytes()),
        })
    }

    /// Whether it is read from a head: a session of layer 4 has none.
    pub fn is_of_a_head(&self) -> bool {
        self.is_private() || matches!(self, Self::Host | Self::Path)
    }

    /// Whether what is read may be a secret of the client's.
    pub fn is_private(&self) -> bool {
        matches!(
            self,
            Self::Header(_) | Self::Cookie(_) | Self::Query(_) | Self::Claim(_)
        )
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp(IPV6_PREFIX) => f.write_str("client_ip"),
            Self::ClientIp(prefix) => write!(f, "client_ip/{prefix}"),
            Self::Global => f.write_str("global"),
            Self::Route => f.write_str("route"),
            Self::Host => f.write_str("host"),
            Self::Path => f.write_str("path"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Claim(name) => write!(f, "claim:{name}"),
        }
    }
}

impl KeyValue<'_> {
    /// Whether these bytes are what it means.
    pub fn means(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Bytes(found) => *found == bytes,
            Self::Encoded(found) if !is_encoded(found) => *found == bytes,
            Self::Encoded(found) => decoded(found).eq(bytes.iter().copied()),
            Self::Addr(_) => false,
        }
    }

    /// Puts the bytes that it means into a hash, and how many they are: joined values cannot run together.
    pub fn feed(&self, hasher: &mut Hasher128) {
        let mut plain = |bytes: &[u8]| {
            hasher.write(bytes);
            hasher.word(bytes.len() as u64);
        };
        match self {
            Self::Bytes(bytes) => plain(bytes),
            Self::Addr(IpAddr::V4(addr)) => hasher.word(word(*addr)),
            Self::Addr(IpAddr::V6(addr)) => plain(&addr.octets()),
            Self::Encoded(text) if !is_encoded(text) => plain(text),
            Self::Encoded(text) => encoded::feed(text, hasher),
        }
    }
}

/// As an operator reads it; what is not printable is shown as an escape.
impl fmt::Display for KeyValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) | Self::Encoded(bytes) => bytes.escape_ascii().fmt(f),
            Self::Addr(addr) => addr.fmt(f),
        }
    }
}

/// Reads a key of the configuration, one property or several joined, or says all that is wrong with it.
pub fn compile(
    raw: &Spanned<OneOrMany<String>>,
    words: Words,
    diagnostics: &mut Diagnostics,
) -> Option<Box<[KeySource]>> {
    if raw.value.0.is_empty() {
        let hint = match words {
            Words::All => "`global` is one for all",
            Words::Apart => "name what tells clients apart, such as \"client_ip\"",
        };
        let message = "a key has at least one part";
        diagnostics.push(Diagnostic::error(Code::Empty, raw.span, message).hint(hint));
        return None;
    }
    let mut compile = |part: &String| {
        KeySource::compile(&Spanned::new(part.clone(), raw.span), words, diagnostics)
    };
    let parts: Vec<_> = raw.value.0.iter().map(&mut compile).collect();
    parts.into_iter().collect()
}

/// A number for several properties of a request together. What the request lacks is a value of its own, other
/// than an empty one: all requests that lack it are one.
#[inline]
pub fn joined(key: HashKey, sources: &[KeySource], input: &KeyInput<'_>) -> Hasher128 {
    let mut hasher = key.hasher128();
    for source in sources {
        // What most limits go by, without a call.
        hasher = match (source, canonical(input.client)) {
            (KeySource::ClientIp(_), IpAddr::V4(addr)) => {
                hasher.word(word(addr));
                hasher
            }
            _ => fed(source, input, hasher),
        };
    }
    hasher
}

/// The number of `client_ip` alone under the key of this process: what most limits count by, and the same for each request of a
/// connection.
pub fn of_client(client: IpAddr) -> u128 {
    let mut hasher = HashKey::of_process().hasher128();
    KeyValue::Addr(network(client, IPV6_PREFIX)).feed(&mut hasher);
    hasher.finish()
}

/// Whether these properties have the number of [`of_client`].
pub fn is_of_client(sources: &[KeySource]) -> bool {
    matches!(sources, [KeySource::ClientIp(IPV6_PREFIX)])
}

#[inline(never)]
fn fed(source: &KeySource, input: &KeyInput<'_>, mut hasher: Hasher128) -> Hasher128 {
    match source.read(input) {
        Some(value) => value.feed(&mut hasher),
        None => hasher.word(u64::MAX),
    }
    hasher
}

/// An address of IPv4 as one word: no length is as large, which all other values end with.
fn word(addr: Ipv4Addr) -> u64 {
    1 << 63 | u64::from(addr.to_bits())
}

fn network(addr: IpAddr, prefix: u8) -> IpAddr {
    match canonical(addr) {
        IpAddr::V6(addr) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(prefix))
                .unwrap_or_default();
            IpAddr::V6((addr.to_bits() & mask).into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The first cookie of a name (RFC 6265, 5.4; several Cookie fields come from HTTP/2).
fn cookie<'a>(head: &'a RequestHead, name: &[u8]) -> Option<&'a [u8]> {
    let fields = head.fields().iter();
    fields
        .filter(|field| field.known == Known::Cookie)
        .flat_map(|field| head.value(field).split(|&byte| byte == b';'))
        .filter_map(split_cookie)
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Name and value of a cookie.
fn split_cookie(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'=', pair)?;
    let (key, value) = pair.split_at_checked(at)?;
    Some((
        key.trim_ascii(),
        value.get(1..).unwrap_or_default().trim_ascii(),
    ))
}

#[cfg(test)]
mod tests;
