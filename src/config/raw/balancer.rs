//! `balancer` of a cluster.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::OneOrMany;

/// `balancer`: how an endpoint is picked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balancer {
    /// In turn, smoothly by weight.
    RoundRobin,
    /// By chance and weight.
    Random,
    /// The less busy of two at random: the default.
    LeastRequest,
    /// The least busy of all.
    LeastConnections,
    /// The one of two at random that would answer sooner.
    LeastTime,
    /// By client address: `maglev` with its defaults.
    IpHash,
    /// Consistent, by a key on a ring.
    RingHash(RingHash),
    /// Consistent, by a key in a table.
    Maglev(Maglev),
    /// Consistent, by the highest hash.
    Rendezvous(Rendezvous),
}

/// `ring_hash`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingHash {
    /// What is hashed: `client_ip`, `client_ip/N` (bits of an IPv6 address; 64), `host`, `path`, `route`, `header:NAME`,
    /// `cookie:NAME`, `query:NAME`, or several joined. A request that has none of it is sent by chance. Default: `client_ip`.
    pub key: Option<Spanned<OneOrMany<String>>>,
    /// Points for each unit of weight. Range: `1` to `4096`. Default: `160`.
    pub vnodes: Option<Spanned<u32>>,
    /// How much above its share of the load an endpoint may have before keys go on to the next on the ring; above
    /// `1.0`, up to `100`. Default: no bound.
    pub load_factor: Option<Spanned<f64>>,
}

/// `maglev`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maglev {
    /// What is hashed: `client_ip`, `client_ip/N` (bits of an IPv6 address; 64), `host`, `path`, `route`, `header:NAME`,
    /// `cookie:NAME`, `query:NAME`, or several joined. A request that has none of it is sent by chance. Default: `client_ip`.
    pub key: Option<Spanned<OneOrMany<String>>>,
    /// Slots of the table, a prime; a hundred an endpoint share within 1 %. Range: `2` to `5000011`. Default: `65537`.
    pub table_size: Option<Spanned<u32>>,
}

/// `rendezvous`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rendezvous {
    /// What is hashed: `client_ip`, `client_ip/N` (bits of an IPv6 address; 64), `host`, `path`, `route`, `header:NAME`,
    /// `cookie:NAME`, `query:NAME`, or several joined. A request that has none of it is sent by chance. Default: `client_ip`.
    pub key: Option<Spanned<OneOrMany<String>>>,
}
