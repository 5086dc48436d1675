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
    /// By client address. Not in this build.
    IpHash,
    /// Consistent, by a key on a ring. Not in this build.
    RingHash(RingHash),
    /// Consistent, by a key in a table. Not in this build.
    Maglev(Maglev),
    /// Consistent, by the highest hash. Not in this build.
    Rendezvous(Rendezvous),
}

/// `ring_hash`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingHash {
    /// What is hashed. Default: `client_ip`.
    pub key: Option<Spanned<OneOrMany<String>>>,
    /// Points for each unit of weight.
    pub vnodes: Option<Spanned<u32>>,
    /// How much above the mean an endpoint may be loaded.
    pub load_factor: Option<Spanned<f64>>,
}

/// `maglev`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maglev {
    /// What is hashed. Default: `client_ip`.
    pub key: Option<Spanned<OneOrMany<String>>>,
    /// Size of the table, a prime.
    pub table_size: Option<Spanned<u32>>,
}

/// `rendezvous`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rendezvous {
    /// What is hashed. Default: `client_ip`.
    pub key: Option<Spanned<OneOrMany<String>>>,
}
