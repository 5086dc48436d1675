//! HTTP/1.1: bytes to messages and back, for both sides. Strict: what two parsers could read in two ways is
//! refused.
//!
//! Heads of every day are read by `lines`, all others by `httparse`; everything that it leaves open (line ends, framing,
//! targets, Host) is decided here.
//!
//! **Invariants.** No I/O: functions take bytes and give messages, and messages give bytes. Only [`mod@write`]
//! makes bytes for the wire.
//!
//! **Not here.** Sockets and deadlines (`downstream`, `upstream`), what to do with a message (`exchange`).

pub mod body;
pub mod chunked;
pub mod glimpse;
pub mod limits;
mod lines;
pub mod request;
pub mod response;
mod told;
mod tokens;
pub mod trailers;
pub mod write;

#[cfg(test)]
mod tests;
