//! HTTP/2 (RFC 9113): bytes to frames to messages and back, for both sides. Strict: what the standard calls an error
//! is one here, with its code and its scope.
//!
//! **Invariants.** No I/O and no clock: functions take bytes and the time, and give frames. Nothing that the other end sends
//! makes this room grow beyond what its limits say.
//!
//! **Not here.** Sockets, deadlines and tasks (`downstream`), what to do with a message (`exchange`).

pub mod code;
pub mod frame;
pub mod hpack;
pub mod limits;
pub mod request;
pub mod response;
pub mod session;
pub mod streams;
pub mod trailers;

pub use code::Code;
pub use limits::{Abuse, Limits, WebSockets};
pub use session::{Event, Fin, Lost, Session};
pub use streams::{Half, Key};
