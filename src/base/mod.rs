//! Names, addresses, time, chance and the table of endings: what every other room speaks in.
//!
//! **Invariants.** No I/O, no async runtime, no serde. Identities are compared by value.
//!
//! **Not here.** Anything that opens a socket (`net`), reads a file (`config`) or counts (`metrics`).

pub mod addr;
pub mod cidr;
pub mod clock;
pub mod error;
pub mod hash;
pub mod name;
pub mod detail;
pub mod reason;
#[cfg(test)]
pub(crate) mod scale;
pub mod secret;

pub use addr::{EndpointAddr, ListenAddr, Peer};
pub use cidr::CidrSet;
pub use detail::Detail;
pub use error::Error;
pub use name::{ClusterName, LimiterName, ListenerName, PagesName, RouteName};
pub use reason::{Phase, Reason, Side};
