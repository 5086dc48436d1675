//! Who the client is when trusted proxies stand in between.

use std::net::{IpAddr, SocketAddr};

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

/// The client's address: the peer, or, behind trusted proxies, the rightmost address of X-Forwarded-For that
/// is not itself trusted. An entry that is not an address ends the search: what stands left of it was not
/// written by anyone we trust.
pub fn client(peer: IpAddr, head: &RequestHead, trusted: &CidrSet) -> IpAddr {
    let mut client = canonical(peer);
    if trust(peer, trusted) == Trust::Stranger {
        return client;
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
    use crate::message::field::{Field, Span};

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
}
