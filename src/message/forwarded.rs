//! Who the client is when trusted proxies stand in between.

use std::net::{IpAddr, SocketAddr};

use super::alias;
use super::field::Known;
use super::head::RequestHead;
use crate::base::CidrSet;
use crate::base::cidr::canonical;

/// Whether the peer of a connection is one whose words about the client are believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trust {
    /// Its forwarding fields are dropped and ours are written.
    Stranger,
    /// Its forwarding fields are kept and ours are added.
    Proxy,
}

/// A field that tells the endpoint of the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Header {
    /// Who the peer is, behind what a trusted proxy said.
    XForwardedFor = 1,
    /// The client's scheme.
    XForwardedProto = 2,
    /// What the client asked for.
    XForwardedHost = 4,
    /// Who the client is.
    XRealIp = 8,
    /// All of it (RFC 7239).
    Forwarded = 16,
    /// What the client's certificate says (Envoy's XFCC).
    XForwardedClientCert = 32,
    /// The client's certificate (RFC 9440).
    ClientCert = 64,
    /// The chain that it showed with it (RFC 9440).
    ClientCertChain = 128,
}

/// Which of them are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Headers(u8);

impl Headers {
    /// All of them.
    pub const ALL: Self = Self(255);

    /// Whether this one is.
    pub const fn has(self, header: Header) -> bool {
        self.0 & header as u8 != 0
    }
}

impl Default for Headers {
    fn default() -> Self {
        [
            Header::XForwardedFor,
            Header::XForwardedProto,
            Header::XForwardedHost,
        ]
        .into_iter()
        .collect()
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<I: IntoIterator<Item = Header>>(headers: I) -> Self {
        Self(
            headers
                .into_iter()
                .fold(0, |all, header| all | header as u8),
        )
    }
}

/// How many entries of X-Forwarded-For are looked at, from the right: each trusted hop adds one.
const MAX_HOPS: usize = 64;

/// Whether `peer` is trusted.
pub fn trust(peer: IpAddr, trusted: &CidrSet) -> Trust {
    if !trusted.is_empty() && trusted.contains(peer) {
        Trust::Proxy
    } else {
        Trust::Stranger
    }
}

/// Takes fields out of a head that only others than their sender may say, so that nothing goes by them: neither a route nor a key, nor a
/// filter, nor the endpoint (E-116). `identity` are the names that a trusted peer may say who the client is by.
#[inline]
pub fn disbelieve(head: &mut RequestHead, trust: Trust, identity: &[Box<str>]) {
    if !identity.is_empty() || head.fields.iter().any(|field| field.known.is_forwarding()) {
        take_out(head, trust, identity);
    }
}

#[cold]
fn take_out(head: &mut RequestHead, trust: Trust, identity: &[Box<str>]) {
    let bytes = &head.bytes;
    head.fields.retain(|field| {
        let name = field.name.of(bytes);
        let mut own = identity.iter().map(|own| own.as_bytes());
        match trust {
            Trust::Stranger => {
                !field.known.is_forwarding() && !own.any(|own| alias::same(own, name))
            }
            // It is believed under the name itself, not under one that an origin could take for it.
            Trust::Proxy if own.clone().any(|own| own.eq_ignore_ascii_case(name)) => true,
            Trust::Proxy => {
                !field.known.is_client_certificate() && !own.any(|own| alias::same(own, name))
            }
        }
    });
}

/// The client's address: the peer, or, behind trusted proxies, the rightmost address of X-Forwarded-For (or, without
/// one, of Forwarded) that
/// is not itself trusted. An entry that is not an address ends the search: what stands left of it was not
/// written by anyone we trust.
pub fn client(peer: IpAddr, head: &RequestHead, trusted: &CidrSet) -> IpAddr {
    let mut client = canonical(peer);
    if trust(peer, trusted) == Trust::Stranger {
        return client;
    }
    if head.first(Known::XForwardedFor).is_none() {
        return forwarded_client(client, head, trusted);
    }
    let values = head
        .fields()
        .iter()
        .rev()
        .filter(|field| field.known == Known::XForwardedFor);
    let entries = values.flat_map(|field| head.value(field).rsplit(|&byte| byte == b','));
    for entry in entries.take(MAX_HOPS) {
        let Some(addr) = address(entry.trim_ascii()) else {
            break;
        };
        client = canonical(addr);
        if !trusted.contains(addr) {
            break;
        }
    }
    client
}

/// The same from Forwarded (RFC 7239), which is read where no X-Forwarded-For was sent.
fn forwarded_client(peer: IpAddr, head: &RequestHead, trusted: &CidrSet) -> IpAddr {
    let mut client = peer;
    for element in forwarded_elements(head).take(MAX_HOPS) {
        let Some(addr) = parameter(element, b"for").and_then(address) else {
            break;
        };
        client = canonical(addr);
        if !trusted.contains(addr) {
            break;
        }
    }
    client
}

/// The elements of all Forwarded fields, last first.
fn forwarded_elements(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    head.fields()
        .iter()
        .rev()
        .filter(|field| field.known == Known::Forwarded)
        .flat_map(|field| head.value(field).rsplit(|&byte| byte == b','))
}

/// The value of a parameter, without quotes. A comma or semicolon inside of quotes is not expected: no address and
/// no scheme has one.
fn parameter<'a>(element: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    element.split(|&byte| byte == b';').find_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (key, value) = pair.split_at_checked(at)?;
        let value = value.get(1..)?.trim_ascii();
        let bare = value
            .strip_prefix(b"\"")
            .and_then(|value| value.strip_suffix(b"\""))
            .unwrap_or(value);
        key.trim_ascii().eq_ignore_ascii_case(name).then_some(bare)
    })
}

/// The scheme that the client used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proto {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Proto {
    /// The scheme of URLs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What a trusted proxy says of the client's scheme, in X-Forwarded-Proto or else in Forwarded; otherwise `own`, that
/// of the listener.
pub fn proto(head: &RequestHead, trust: Trust, own: Proto) -> Proto {
    if trust == Trust::Stranger {
        return own;
    }
    let said = head
        .first(Known::XForwardedProto)
        .or_else(|| forwarded_elements(head).find_map(|element| parameter(element, b"proto")));
    match said {
        Some(said) if said.eq_ignore_ascii_case(b"https") => Proto::Https,
        Some(said) if said.eq_ignore_ascii_case(b"http") => Proto::Http,
        _ => own,
    }
}

/// An address as it is found in the wild: bare, bracketed, or with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?;
    text.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|addr| addr.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::field::{Care, Field, Span};

    fn head(values: &[&str]) -> RequestHead {
        let mut head = RequestHead::default();
        for value in values {
            let start = head.bytes.len();
            head.bytes.extend_from_slice(value.as_bytes());
            let value = Span::new(start, head.bytes.len());
            head.fields.push(Field {
                name: Span::default(),
                value,
                line_end: 0,
                known: Known::XForwardedFor,
                care: Care::Usual,
            });
        }
        head
    }

    fn resolve(peer: &str, values: &[&str]) -> String {
        let nets = ["10.0.0.0/8", "fd00::/8"].map(|net| CidrSet::parse_entry(net).unwrap());
        client(peer.parse().unwrap(), &head(values), &CidrSet::new(&nets)).to_string()
    }

    #[test]
    fn the_rightmost_stranger_is_the_client() {
        assert_eq!(
            resolve("192.0.2.1", &["1.1.1.1"]),
            "192.0.2.1",
            "a stranger is not believed"
        );
        assert_eq!(resolve("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(resolve("10.0.0.1", &["1.1.1.1, 2.2.2.2"]), "2.2.2.2");
        assert_eq!(
            resolve("10.0.0.1", &["1.1.1.1, 2.2.2.2, 10.9.9.9"]),
            "2.2.2.2"
        );
        assert_eq!(resolve("10.0.0.1", &["1.1.1.1", "10.1.1.1"]), "1.1.1.1");
        assert_eq!(resolve("10.0.0.1", &["1.1.1.1, garbage"]), "10.0.0.1");
        assert_eq!(resolve("10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(resolve("fd00::1", &["2001:db8::7, fd00::2"]), "2001:db8::7");
    }

    #[test]
    fn a_long_list_is_read_to_a_bound() {
        let long = vec!["10.0.0.2"; 10_000].join(",");
        assert_eq!(resolve("10.0.0.1", &[&long]), "10.0.0.2");
    }

    #[test]
    fn forwarded_is_read_where_it_stands_alone() {
        let head = |value: &str, known| {
            let mut head = head(&[value]);
            head.fields[0].known = known;
            head
        };
        let trusted = CidrSet::new(&[CidrSet::parse_entry("10.0.0.0/8").unwrap()]);
        let resolve = |value| {
            let head = head(value, Known::Forwarded);
            client("10.0.0.1".parse().unwrap(), &head, &trusted).to_string()
        };
        assert_eq!(
            resolve("for=192.0.2.60;proto=https, For=10.1.1.1"),
            "192.0.2.60"
        );
        assert_eq!(resolve("for=\"[2001:db8::17]:4711\""), "2001:db8::17");
        assert_eq!(resolve("for=unknown"), "10.0.0.1");
        let said = head("for=192.0.2.60; Proto=HTTPS", Known::Forwarded);
        assert_eq!(proto(&said, Trust::Proxy, Proto::Http), Proto::Https);
        assert_eq!(proto(&said, Trust::Stranger, Proto::Http), Proto::Http);
        let said = head("https", Known::XForwardedProto);
        assert_eq!(proto(&said, Trust::Proxy, Proto::Http), Proto::Https);
    }
}
