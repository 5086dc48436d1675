//! Names into addresses, kept fresh: each name is asked for again when its TTL ends, and the last good answer stays
//! whatever happens after it.
//!
//! **Invariants.** One name has one resolution under way at most, however many clusters use it (single flight), and
//! the process a bounded number. An answer without a usable address, a refusal and a silence change nothing but
//! counters and what is told. Everything happens on a thread of its own: a server that hangs, or a slow disk under
//! `/etc`, holds up neither traffic nor the control thread (E-210). A name is kept as long as a configuration holds its
//! [`Entry`].
//!
//! **Not here.** What becomes of addresses (`cluster` makes endpoints of them), who waits for the first answer
//! (`reload`).
//!
//! **Cancel safety.** Dropping the [`Keeper`] ends the thread; entries keep what they had.

mod answer;
mod book;
mod compile;
mod keeper;
mod name;
mod resolve;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Target};
pub use book::{Book, Entry, Standing};
pub use compile::compile;
pub use keeper::Keeper;
pub use name::Query;

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::CidrSet;

/// How names are resolved: `[dns]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Whom to ask; nobody: those of the system.
    pub servers: Vec<SocketAddr>,
    /// For one question to one server.
    pub timeout: Duration,
    /// How often a question is asked before it has failed.
    pub attempts: u32,
    /// A shorter TTL counts as this.
    pub min_ttl: Duration,
    /// A longer TTL counts as this.
    pub max_ttl: Duration,
    /// Which addresses are asked for.
    pub family: Family,
    /// Addresses that are never used, whoever says them (E-121).
    pub deny: CidrSet,
    /// Most addresses of one name.
    pub max_addresses: usize,
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Family {
    /// Both.
    #[default]
    Any,
    /// Of IPv4 alone.
    V4,
    /// Of IPv6 alone.
    V6,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(2),
            attempts: 2,
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_mins(1),
            family: Family::Any,
            deny: CidrSet::default(),
            max_addresses: 256,
        }
    }
}
