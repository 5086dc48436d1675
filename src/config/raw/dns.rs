//! `[dns]`: how names of endpoints are resolved.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::Duration;

/// `[dns]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// Addresses of the servers that are asked, `IP` or `IP:port`. Default: those of `/etc/resolv.conf`, with its search list.
    pub servers: Option<Spanned<Vec<Spanned<String>>>>,
    /// How long one server is waited for. Default: `2s`.
    pub timeout: Option<Spanned<Duration>>,
    /// How often a question is asked before it has failed. Range: `1` to `10`. Default: `2`.
    pub attempts: Option<Spanned<u32>>,
    /// A shorter TTL counts as this; also the pause after a failure, which doubles up to 30s. Default: `1s`.
    pub min_ttl: Option<Spanned<Duration>>,
    /// A longer TTL counts as this. Default: `60s`.
    pub max_ttl: Option<Spanned<Duration>>,
    /// Which addresses are asked for. Default: `any`.
    pub family: Option<Spanned<Family>>,
    /// Networks whose addresses are never used, whatever a server answers. Default: none.
    pub deny: Option<Spanned<Vec<Spanned<String>>>>,
    /// Addresses of one name that are used; the rest is left out. Range: `1` to `10000`. Default: `256`.
    pub max_addresses: Option<Spanned<u32>>,
}

/// `family`: which addresses are asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Of IPv4 and of IPv6.
    Any,
    /// Of IPv4 alone.
    Ipv4,
    /// Of IPv6 alone.
    Ipv6,
}
