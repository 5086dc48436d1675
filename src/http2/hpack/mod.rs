//! Header compression (RFC 7541), both ways, with a dynamic table on each side.
//!
//! **Invariants.** A decoder takes a whole block or says that the connection is lost: there is no half of a
//! block after which both ends still agree. What it costs is bounded by the block's length, whatever the lines in it
//! expand to: a line is handed on as slices, and whoever takes it decides what to keep. Each line comes with what was
//! found about it when it first came, so that a reference of one byte is not validated again.

mod decode;
mod encode;
mod huffman;
mod integer;
mod line;
mod statics;
mod table;

pub use decode::Decoder;
pub use encode::Encoder;
pub use line::{Fit, Kind, Line};

/// Size that both tables may have before anything else was agreed on (RFC 9113, 6.5.2).
pub const DEFAULT_TABLE: usize = 4096;

/// What an entry counts beyond its bytes (RFC 7541, 4.1), and a field in a list's size (RFC 9113, 6.5.2).
pub const OVERHEAD: usize = 32;

/// A block that cannot be read: the connection is lost (`COMPRESSION_ERROR`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

#[cfg(test)]
mod tests;
