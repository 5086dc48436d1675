//! `[[listeners]]`.

use serde::Deserialize;

use super::filter::Filter;
use super::http2::Http2;
use super::path::PathPolicy;
use super::route::SplitPart;
use super::socket::ListenerSocket;
use super::timeouts::{ListenerLimits, ListenerTimeouts};
use super::tls::ListenerTls;
use crate::config::span::Spanned;
use crate::config::types::{Choice, Duration, OneOrMany};

/// `[[listeners]]`: addresses, and how to speak on them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Its name.
    pub name: Spanned<String>,
    /// Addresses, `IP:port`; http and tcp also `unix:/path`.
    pub bind: Spanned<Vec<Spanned<String>>>,
    /// Who may connect to the unix sockets in `bind`. Default: who runs the process.
    pub unix: Option<Spanned<Unix>>,
    /// What is spoken.
    pub protocol: Spanned<Protocol>,
    /// HTTP/2 without TLS. Default: `prior_knowledge`.
    pub h2c: Option<Spanned<H2c>>,
    /// Whether a PROXY protocol header comes first; of udp version 2 in the first datagram of a flow. Default: `off`.
    pub proxy_protocol: Option<Spanned<ProxyProtocol>>,
    /// What it means that a client closes its sending side while its request is served. Default: `continue`.
    pub half_close: Option<Spanned<HalfClose>>,
    /// Networks whose forwarding headers are believed; wins over the defaults.
    pub trusted_proxies: Option<Spanned<Vec<Spanned<String>>>>,
    /// Fields that tell the endpoint of the client; wins over the defaults.
    pub forwarding_headers: Option<Spanned<Vec<Spanned<ForwardingHeader>>>>,
    /// Further fields that only trusted proxies may send; wins over the defaults.
    pub identity_headers: Option<Spanned<Vec<Spanned<String>>>>,
    /// What is done with unusual paths; each key wins over the defaults.
    pub path_policy: Option<Spanned<PathPolicy>>,
    /// http: one of `[error_pages]`; wins over the defaults.
    pub error_pages: Option<Spanned<String>>,
    /// Timeouts; each wins over the defaults.
    #[serde(default)]
    pub timeouts: ListenerTimeouts,
    /// Limits; each wins over the defaults.
    #[serde(default)]
    pub limits: ListenerLimits,
    /// Limits of connections of HTTP/2; each wins over the defaults.
    #[serde(default)]
    pub http2: Http2,
    /// `[listeners.tls]`.
    pub tls: Option<Spanned<ListenerTls>>,
    /// Options of its connections.
    pub socket: Option<Spanned<ListenerSocket>>,
    /// tcp and udp: where to.
    pub cluster: Option<Spanned<String>>,
    /// tcp and udp: shares of several clusters, in the place of `cluster`.
    pub split: Option<Spanned<Vec<Spanned<SplitPart>>>>,
    /// tcp and udp: what keeps a client on its side of a split: `client_ip`. Default: each connection or flow is drawn anew.
    pub split_key: Option<Spanned<OneOrMany<String>>>,
    /// tcp and udp: steps that a connection or flow takes before it goes to a cluster, in this order: `ip_access`, `rate_limit`
    /// and `concurrency_limit`, by keys of the client's address.
    #[serde(default)]
    pub filters: Vec<Spanned<Choice<Filter>>>,
    /// tcp: where to, by what a client hello asks for, without decrypting; what no rule names goes to `cluster`, or is
    /// closed where there is none.
    pub sni: Option<Spanned<Vec<Spanned<SniRule>>>>,
    /// tcp: how long connections last.
    pub tcp: Option<Spanned<Tcp>>,
    /// udp: flows of datagrams.
    pub udp: Option<Spanned<Udp>>,
}

/// `unix` of a listener: whose the files of its unix sockets are.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unix {
    /// Permissions, in octal: `"660"` lets the group connect, too. Default: `600`.
    pub mode: Option<Spanned<String>>,
    /// The owner, by name or number. Default: who runs the process.
    pub owner: Option<Spanned<String>>,
    /// The group, by name or number. Default: that of who runs the process.
    pub group: Option<Spanned<String>>,
}

/// `protocol` of a listener: what is spoken.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP.
    Http,
    /// Any byte stream.
    Tcp,
    /// Datagrams.
    Udp,
}

/// `h2c`: HTTP/2 without TLS.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum H2c {
    /// A client may begin with the HTTP/2 preface.
    PriorKnowledge,
    /// HTTP/1 only.
    Off,
}

/// `proxy_protocol`: the PROXY protocol from clients.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// None is expected.
    Off,
    /// Peers in `trusted_proxies` may send one; what others send belongs to the client.
    Accept,
    /// A connection without a valid one from a peer in `trusted_proxies` is closed.
    Require,
}

/// `half_close`: a client closes its sending side while its request is served.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HalfClose {
    /// It still reads: the answer is sent.
    Continue,
    /// It is gone: the exchange ends, and so does the endpoint's connection.
    Abort,
}

/// `forwarding_headers`: a field that tells the endpoint of the client.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub enum ForwardingHeader {
    /// The peer's address, behind those that a trusted proxy sent.
    #[serde(rename = "x-forwarded-for")]
    XForwardedFor,
    /// `http` or `https`.
    #[serde(rename = "x-forwarded-proto")]
    XForwardedProto,
    /// The authority that the client asked for.
    #[serde(rename = "x-forwarded-host")]
    XForwardedHost,
    /// The client's address alone, as the log has it.
    #[serde(rename = "x-real-ip")]
    XRealIp,
    /// All of it in one field (RFC 7239).
    #[serde(rename = "forwarded")]
    Forwarded,
    /// What the client's certificate says, where it showed one: `Hash`, `Subject`, `URI`, `DNS` (Envoy's XFCC).
    #[serde(rename = "x-forwarded-client-cert")]
    XForwardedClientCert,
    /// The client's certificate, where it showed one (RFC 9440).
    #[serde(rename = "client-cert")]
    ClientCert,
    /// The chain that it showed with it (RFC 9440).
    #[serde(rename = "client-cert-chain")]
    ClientCertChain,
}

/// One rule of `sni`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SniRule {
    /// Server names, exact or `*.` for one or more labels.
    pub hosts: Spanned<Vec<Spanned<String>>>,
    /// Protocols (ALPN) of which the client must offer one. Default: any.
    pub alpn: Option<Spanned<Vec<Spanned<String>>>>,
    /// Where to.
    pub cluster: Spanned<String>,
}

/// `tcp` of a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// The longest that a connection lasts, whatever goes over it; 0s: no limit. Default: `0s`.
    pub max_duration: Option<Spanned<Duration>>,
    /// Silence after which a connection ends of which one side has closed its sending side; while both are open it is
    /// the cluster's `timeouts.tunnel`. Range: above `0s`. Default: `5m`.
    pub half_close_timeout: Option<Spanned<Duration>>,
}

/// `flow_by` of `udp`: by what a datagram finds its flow.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowBy {
    /// By the client's address and port alone.
    Client,
    /// By them, and from an address without a flow by the connection id of QUIC: a client whose address changed on its way
    /// comes to its endpoint again.
    ConnectionId,
}

/// `udp` of a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Udp {
    /// A flow ends after this much silence. Range: above `0s`. Default: `30s`.
    pub idle_timeout: Option<Spanned<Duration>>,
    /// Most flows at a time, all workers together; beyond it the one ends that was silent longest. Range: 1 to 1048576.
    /// Default: 65536.
    pub max_flows: Option<Spanned<u32>>,
    /// By what a datagram finds its flow. Default: `client`.
    pub flow_by: Option<Spanned<FlowBy>>,
    /// A flow ends when so many answers have come for each of its datagrams; 0: it lasts until it is silent. Default: 0.
    pub responses: Option<Spanned<u32>>,
}
