//! `socket` of listeners and clusters: what the kernel is asked for.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{Duration, OneOrMany};

/// `socket` of a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerSocket {
    /// After this much silence the kernel asks three times, a third of it apart, whether the client is still there; 0s: never.
    /// Without the key, `30s` of tunnels and never of other connections. Range: `0s` to `9h`.
    pub keepalive: Option<Spanned<Duration>>,
    /// How long what was sent may stay unacknowledged; 0s: as long as the kernel tries. Range: `0s` to `24h`. Default: `0s`.
    pub user_timeout: Option<Spanned<Duration>>,
}

/// `socket` of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSocket {
    /// After this much silence the kernel asks three times, a third of it apart, whether the endpoint is still there; 0s: never.
    /// Without the key, `30s` of tunnels and of connections of HTTP/2, never of others. Range: `0s` to `9h`.
    pub keepalive: Option<Spanned<Duration>>,
    /// How long what was sent may stay unacknowledged; 0s: as long as the kernel tries. Range: `0s` to `24h`. Default: `0s`.
    pub user_timeout: Option<Spanned<Duration>>,
    /// Addresses of this machine that connections and flows come from, in turn, those of the endpoint's family; or `client`: they
    /// come from the client's own address, for which the process needs `CAP_NET_ADMIN` and the machine a way back. Default: what
    /// the kernel finds best.
    pub source: Option<Spanned<OneOrMany<String>>>,
    /// The interface that they leave by, such as `eth1`. Default: what the routes say.
    pub interface: Option<Spanned<String>>,
}
