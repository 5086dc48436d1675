//! Writing: what is known of a connection → the header that goes in front of it.

use std::net::{IpAddr, Ipv6Addr};

use super::parse::Carrier;
use super::{Ends, SIGNATURE, tlv};

/// Which form.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with further values.
    V2,
}

/// A header to be written.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Which form.
    pub version: Version,
    /// Both ends; `None`: there are none to tell, or the connection is our own.
    pub ends: Option<Ends>,
    /// What the client asked for in its TLS hello.
    pub server_name: Option<&'a [u8]>,
    /// The protocol that was agreed on, or the first that the client offers.
    pub alpn: Option<&'a [u8]>,
    /// Name of the connection in our log.
    pub unique_id: Option<&'a [u8]>,
}

impl Outgoing<'_> {
    /// A connection of our own: a probe.
    pub const fn local(version: Version) -> Self {
        Self {
            version,
            ends: None,
            server_name: None,
            alpn: None,
            unique_id: None,
        }
    }

    /// The header.
    pub fn bytes(&self, carrier: Carrier) -> Vec<u8> {
        match self.version {
            Version::V1 => self.line(),
            Version::V2 => self.binary(carrier),
        }
    }

    fn line(&self) -> Vec<u8> {
        let Some(Ends {
            source,
            destination,
        }) = self.ends
        else {
            return b"PROXY UNKNOWN\r\n".to_vec();
        };
        let (from, to) = one_family(source.ip(), destination.ip());
        let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
        let ports = (source.port(), destination.port());
        format!("PROXY {family} {from} {to} {} {}\r\n", ports.0, ports.1).into_bytes()
    }

    fn binary(&self, carrier: Carrier) -> Vec<u8> {
        let carried = match carrier {
            Carrier::Stream => 1,
            Carrier::Datagram => 2,
        };
        let mut payload = Vec::with_capacity(128);
        let (command, family) = match self.ends {
            // A probe is our own; a client without addresses (a unix socket) is not (2.2).
            None if self.unique_id.is_none() => (0x20, 0),
            None => (0x21, 0),
            Some(Ends {
                source,
                destination,
            }) => {
                let family = match one_family(source.ip(), destination.ip()) {
                    (IpAddr::V4(from), IpAddr::V4(to)) => {
                        payload.extend_from_slice(&from.octets());
                        payload.extend_from_slice(&to.octets());
                        0x10
                    }
                    (from, to) => {
                        payload.extend_from_slice(&mapped(from).octets());
                        payload.extend_from_slice(&mapped(to).octets());
                        0x20
                    }
                };
                payload.extend_from_slice(&source.port().to_be_bytes());
                payload.extend_from_slice(&destination.port().to_be_bytes());
                (0x21, family | carried)
            }
        };
        for (kind, value) in [
            (tlv::ALPN, self.alpn),
            (tlv::AUTHORITY, self.server_name),
            (tlv::UNIQUE_ID, self.unique_id),
        ] {
            // None of them is longer than 255 bytes.
            if let Some(value) = value
                && let Ok(length) = u8::try_from(value.len())
            {
                payload.extend_from_slice(&[kind, 0, length]);
                payload.extend_from_slice(value);
            }
        }
        let mut bytes = Vec::with_capacity(16 + payload.len());
        bytes.extend_from_slice(&SIGNATURE);
        bytes.extend_from_slice(&[command, family]);
        // Three values of at most 258 bytes and 36 of addresses.
        let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&payload);
        bytes
    }
}

/// Both in the family of IPv4 if both are of it, else in that of IPv6.
fn one_family(from: IpAddr, to: IpAddr) -> (IpAddr, IpAddr) {
    match (from.to_canonical(), to.to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (from.into(), to.into()),
        (from, to) => (mapped(from).into(), mapped(to).into()),
    }
}

fn mapped(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(source: &str, destination: &str) -> Outgoing<'static> {
        Outgoing {
            ends: Some(Ends {
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
            }),
            ..Outgoing::local(Version::V1)
        }
    }

    #[test]
    fn families_are_told_as_one() {
        for (source, destination, expected) in [
            ("192.0.2.1:1", "192.0.2.2:2", "TCP4 192.0.2.1 192.0.2.2 1 2"),
            (
                "[::ffff:192.0.2.1]:1",
                "192.0.2.2:2",
                "TCP4 192.0.2.1 192.0.2.2 1 2",
            ),
            (
                "[2001:db8::1]:1",
                "192.0.2.2:2",
                "TCP6 2001:db8::1 ::ffff:192.0.2.2 1 2",
            ),
        ] {
            let line = outgoing(source, destination).bytes(Carrier::Stream);
            assert_eq!(line, format!("PROXY {expected}\r\n").into_bytes());
        }
        assert_eq!(
            Outgoing::local(Version::V1).bytes(Carrier::Stream),
            b"PROXY UNKNOWN\r\n"
        );
    }

    #[test]
    fn a_datagram_is_told_as_one() {
        let mut header = outgoing("192.0.2.1:1", "192.0.2.2:2");
        header.version = Version::V2;
        let bytes = header.bytes(Carrier::Datagram);
        assert_eq!(&bytes[12..16], [0x21, 0x12, 0, 12]);
        assert_eq!(
            &Outgoing::local(Version::V2).bytes(Carrier::Stream)[12..],
            [0x20, 0, 0, 0]
        );
    }
}
