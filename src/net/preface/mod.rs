//! The PROXY protocol, versions 1 and 2: what a proxy in front says of a connection before its first byte.
//!
//! Sans-io, both ways ([`parse()`] and [`Outgoing`]). Sections in the comments are those of its
//! specification, `proxy-protocol.txt` of 2020.

mod crc;
mod parse;
mod write;

use std::net::SocketAddr;

pub use parse::{Carrier, MAX, Malformed, Progress, parse};
pub use write::{Outgoing, Version};

/// The twelve bytes that version 2 begins with (2.2).
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// What version 1 begins with (2.1).
const WORD: &[u8] = b"PROXY ";

/// Types of what follows the addresses of version 2 (2.2.1 and on).
mod tlv {
    pub(super) const ALPN: u8 = 0x01;
    pub(super) const AUTHORITY: u8 = 0x02;
    pub(super) const CRC32C: u8 = 0x03;
    pub(super) const UNIQUE_ID: u8 = 0x05;
}

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ends {
    /// Who made it.
    pub source: SocketAddr,
    /// Whom to.
    pub destination: SocketAddr,
}

/// What a header says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Preface {
    /// Both ends of the connection that it speaks for; `None`: it speaks for itself (`LOCAL`), or does not say.
    pub ends: Option<Ends>,
}
