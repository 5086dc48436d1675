//! One flat, validated, canonical head for every protocol: a list of fields over one buffer.
//!
//! Codecs (`http1`, later `http2`) turn bytes into these types and back; routes, filters, the record and the
//! writers read nothing else, so no two stages can see two different requests.
//!
//! **Invariants.** A [`RequestHead`] that left its codec has been validated byte by byte: names are tokens,
//! values have no control byte but HTAB, the path is canonical, the host is lower-case without port.
//!
//! **Not here.** Reading from sockets, and the syntax of any protocol.

pub mod accept;
pub mod alias;
pub mod auth;
pub mod authority;
mod claims;
pub mod edits;
pub mod field;
pub mod forwarded;
pub mod framing;
pub mod grpc;
pub mod head;
pub mod hops;
pub mod keep_alive;
pub mod key;
pub mod method;
pub mod path;
pub mod prefix;
pub mod retry_after;
mod sieve;
pub mod spelled;
pub mod trailer;
pub mod websocket;

pub use claims::Claims;
pub use edits::{Begun, Edits, Fixed};
pub use field::{Care, Field, Known, Span};
pub use framing::BodyLength;
pub use head::{Expect, RequestHead, ResponseHead, Upgrade};
pub use hops::Hops;
pub use key::{KeyInput, KeySource};
pub use method::{Method, Version};
