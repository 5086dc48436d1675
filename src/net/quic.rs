//! What every version of QUIC shows of itself: the form of a packet's header and its connection ids (RFC 8999).
//!
//! Sans-io. Nothing is decrypted, and nothing here is proof of anything: whoever saw an id can write it.

use std::fmt;

/// The longest id of the versions in use (RFC 9000, 17.2).
pub const MAX_ID: usize = 20;
/// Shorter ones would be found in too many datagrams that have nothing to do with them.
pub const MIN_ID: usize = 4;

const LONG: u8 = 0x80;
const TYPE: u8 = 0x30;
const NEGOTIATION: u32 = 0;
const VERSION_1: u32 = 1;
const VERSION_2: u32 = 0x6b33_43cf;

/// A connection id of [`MIN_ID`] to [`MAX_ID`] bytes.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Id {
    length: u8,
    bytes: [u8; MAX_ID],
}

impl Id {
    /// `None`: it is too short or too long to tell connections apart by.
    pub fn new(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_ID];
        let length = u8::try_from(id.len()).ok().filter(|_| id.len() >= MIN_ID)?;
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        Some(Self { length, bytes })
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length()).unwrap_or_default()
    }

    /// How many they are.
    pub fn length(&self) -> usize {
        usize::from(self.length)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The header of the first packet of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Header<'d> {
    /// It says how long its ids are.
    Long {
        /// What is spoken.
        version: u32,
        /// The type of the packet, whose meaning is the version's.
        kind: u8,
        /// The id that the receiver chose.
        destination: &'d [u8],
        /// The id that the sender chose for what it gets.
        source: &'d [u8],
    },
    /// The id that the receiver chose comes first, and only the receiver knows how long it is.
    Short(&'d [u8]),
}

impl<'d> Header<'d> {
    /// The header of a datagram; `None`: it is not QUIC.
    pub fn parse(datagram: &'d [u8]) -> Option<Self> {
        let (&first, rest) = datagram.split_first()?;
        if first & LONG == 0 {
            return Some(Self::Short(rest));
        }
        let (version, rest) = rest.split_first_chunk()?;
        let (destination, rest) = counted(rest)?;
        let (source, _) = counted(rest)?;
        Some(Self::Long {
            version: u32::from_be_bytes(*version),
            kind: (first & TYPE) >> 4,
            destination,
            source,
        })
    }

    /// The id by which the sender of this wants its connection to be known from now on, where it is the sender's own choice and
    /// lasts.
    pub fn chosen(&self) -> Option<Id> {
        match *self {
            // What is said of versions repeats the ids of the packet that it answers (RFC 8999, 6): a client could make an endpoint
            // say any.
            Self::Long {
                version: NEGOTIATION,
                ..
            }
            // The id of a Retry holds for one packet (RFC 9000, 17.2.5; RFC 9369, 3.2).
            | Self::Long {
                version: VERSION_1,
                kind: 3,
                ..
            }
            | Self::Long {
                version: VERSION_2,
                kind: 0,
                ..
            }
            | Self::Short(_) => None,
            Self::Long { source, .. } => Id::new(source),
        }
    }
}

/// Bytes behind one that says how many they are, and what follows.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(first: u8, version: u32, destination: &[u8], source: &[u8]) -> Vec<u8> {
        let mut packet = vec![first];
        packet.extend(version.to_be_bytes());
        for id in [destination, source] {
            packet.push(u8::try_from(id.len()).unwrap());
            packet.extend(id);
        }
        packet.extend([9; 30]);
        packet
    }

    #[test]
    fn headers_are_read_as_they_were_written() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..5_000 {
            let mut id =
                |most| -> Vec<u8> { (0..rng.usize(0..=most)).map(|_| rng.u8(..)).collect() };
            let (destination, source, rest) = (id(255), id(255), id(40));
            let (first, version) = (rng.u8(..), rng.u32(..));
            let packet = long(first | LONG, version, &destination, &source);
            let header = Header::parse(&packet).unwrap();
            let expected = Header::Long {
                version,
                kind: first >> 4 & 3,
                destination: &destination,
                source: &source,
            };
            assert_eq!(header, expected);
            let chosen = header.chosen();
            let fits = (MIN_ID..=MAX_ID).contains(&source.len());
            assert_eq!(chosen.is_some(), fits, "{header:?}");
            assert!(chosen.is_none_or(|id| id.as_bytes() == source));
            // A header that was cut is none.
            let head = 7 + destination.len() + source.len();
            assert_eq!(Header::parse(&packet[..rng.usize(0..head)]), None);
            let short = [&[first & !LONG][..], &rest].concat();
            assert_eq!(Header::parse(&short), Some(Header::Short(&rest)));
            assert_eq!(Header::Short(&rest).chosen(), None);
        }
        assert_eq!(Header::parse(&[]), None);
    }

    #[test]
    fn what_a_client_could_have_said_and_what_does_not_last_is_not_learned() {
        let chosen = |first, version| {
            let packet = long(first, version, &[1; 8], &[2; 8]);
            Header::parse(&packet)
                .unwrap()
                .chosen()
                .map(|id| id.to_string())
        };
        let id = Some("0202020202020202".to_owned());
        for (first, version, learned) in [
            (0xc0, VERSION_1, &id),
            (0xe0, VERSION_1, &id),
            (0xf0, VERSION_1, &None),
            (0xd0, VERSION_2, &id),
            (0xc0, VERSION_2, &None),
            (0xf0, 0xff00_001d, &id),
            (0xc0, NEGOTIATION, &None),
        ] {
            assert_eq!(chosen(first, version), *learned, "{first:x} {version:x}");
        }
    }
}
