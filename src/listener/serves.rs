//! What is done with the connections of a listener: requests are routed, byte streams go to a cluster.

use std::sync::Arc;
use std::time::Duration;

use super::names::ServerNames;
use crate::base::ClusterName;
use crate::cluster::{ClusterIx, find_cluster};
use crate::config::raw::{
    self,
    listener::{FlowBy, Protocol},
};
use crate::config::{Code, Diagnostic, Diagnostics};
use crate::http1::limits::{number, within};
use crate::message::key::KeyInput;
use crate::net::bind::Transport;
use crate::route::{Clusters, Split, compile_split};

const HALF_CLOSE_TIMEOUT: Duration = Duration::from_mins(5);
const FLOW_IDLE: Duration = Duration::from_secs(30);
const DEFAULT_FLOWS: u64 = 65_536;
/// Each has a socket, and so a descriptor and a port of ours.
const MAX_FLOWS: u64 = 1 << 20;

/// What is spoken, and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Serves {
    /// HTTP: routes say where to.
    Http,
    /// Any byte stream.
    Tcp(TcpSpec),
    /// Datagrams.
    Udp(UdpSpec),
}

/// Where the flows of a udp listener go, and how long they last.
#[derive(Clone, Debug, PartialEq)]
pub struct UdpSpec {
    /// Where to.
    pub way: Way,
    /// Silence that ends one; above zero.
    pub idle: Duration,
    /// Most at a time, all workers together; above zero.
    pub max_flows: u32,
    /// Whether clients of QUIC come to their endpoints again from other addresses.
    pub found: Found,
    /// Answers to each datagram, after which one ends; 0: any number.
    pub responses: u32,
}

/// By what a datagram finds where it belongs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Found {
    /// By its client's address.
    #[default]
    ByClient,
    /// By that, or by the connection id of QUIC.
    ByConnectionId,
}

/// Where the connections of a tcp listener go, and how long they last.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpSpec {
    /// Where to.
    pub target: Target,
    /// The longest that one lasts; zero: no limit.
    pub max_duration: Duration,
    /// Silence that ends one whose one side has closed its sending side; above zero.
    pub half_close_timeout: Duration,
}

/// How the cluster of a connection is found: positions in the snapshot's clusters.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// The same for all that come.
    Way(Way),
    /// By what its client hello asks for.
    Names {
        /// The rules.
        names: ServerNames,
        /// For what no rule names, and what is not TLS; `None`: it is closed.
        otherwise: Option<ClusterIx>,
        /// How long is waited for the client hello.
        time: Duration,
    },
}

/// Where sessions go, whatever they say: positions in the snapshot's clusters.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// There is one.
    Cluster(ClusterIx),
    /// A share to each of several.
    Split(Arc<Split>),
}

impl Way {
    /// The cluster of a session.
    pub fn choose(&self, input: &KeyInput<'_>) -> Option<ClusterIx> {
        match self {
            Self::Cluster(ix) => Some(*ix),
            Self::Split(split) => split.choose(input),
        }
    }

    /// The only one there is.
    pub fn only(&self) -> Option<ClusterIx> {
        match self {
            Self::Cluster(ix) => Some(*ix),
            Self::Split(_) => None,
        }
    }

    fn clusters(&self) -> Vec<ClusterIx> {
        match self {
            Self::Cluster(ix) => vec![*ix],
            Self::Split(split) => split.clusters().collect(),
        }
    }

    /// What the listener names itself.
    fn compile(
        raw: &raw::Listener,
        clusters: Clusters<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        match &raw.split {
            None => named(raw, clusters.names, diagnostics).map(Self::Cluster),
            Some(split) => {
                let key = raw.split_key.as_ref();
                let split = compile_split(&who(raw), split, key, clusters, diagnostics)?;
                if let (Some(key), Some(wrong)) =
                    (key, split.key().iter().find(|it| it.is_of_a_head()))
                {
                    let message = format!("`{wrong}` is not a key of a connection");
                    diagnostics.push(
                        Diagnostic::error(Code::NotOnProtocol, key.span, message)
                            .label("there is no request to read it from")
                            .note("allowed here: client_ip"),
                    );
                    return None;
                }
                Some(Self::Split(Arc::new(split)))
            }
        }
    }
}

impl Serves {
    /// Label of metrics.
    pub const fn protocol(&self) -> &'static str {
        match self {
            Self::Http => crate::metrics::PROTOCOL,
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
        }
    }

    /// What its sockets are.
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Http | Self::Tcp(_) => Transport::Tcp,
            Self::Udp(_) => Transport::Udp,
        }
    }

    /// The clusters that it sends to without a route.
    pub fn clusters(&self) -> Vec<ClusterIx> {
        let mut clusters: Vec<_> = match self {
            Self::Http => return Vec::new(),
            Self::Udp(spec) => spec.way.clusters(),
            Self::Tcp(spec) => match &spec.target {
                Target::Way(way) => way.clusters(),
                Target::Names {
                    names, otherwise, ..
                } => names.clusters().chain(*otherwise).collect(),
            },
        };
        clusters.sort_by_key(|cluster| cluster.0);
        clusters.dedup();
        clusters
    }

    /// `clusters` holds every name that the file defines, in the order of the snapshot.
    pub(super) fn compile(
        raw: &raw::Listener,
        first_byte: Duration,
        clusters: Clusters<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        match raw.protocol.value {
            Protocol::Http => Some(Self::Http),
            Protocol::Tcp => {
                TcpSpec::compile(raw, first_byte, clusters, diagnostics).map(Self::Tcp)
            }
            Protocol::Udp => UdpSpec::compile(raw, clusters, diagnostics).map(Self::Udp),
        }
    }
}

impl UdpSpec {
    fn compile(
        raw: &raw::Listener,
        clusters: Clusters<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let terms = raw.udp.as_ref().map(|udp| &udp.value);
        let idle = terms.and_then(|udp| udp.idle_timeout);
        if let Some(zero) = idle.filter(|time| time.is_zero()) {
            diagnostics.push(
                Diagnostic::error(Code::BadValue, zero.span, "a time limit of zero")
                    .label("must be above 0")
                    .note("nothing but silence tells that a flow has ended"),
            );
            return None;
        }
        let max_flows = within(
            number(terms.and_then(|udp| udp.max_flows)),
            1..=MAX_FLOWS,
            DEFAULT_FLOWS,
            diagnostics,
        );
        Some(Self {
            way: Way::compile(raw, clusters, diagnostics)?,
            idle: idle.map_or(FLOW_IDLE, |time| time.get()),
            found: match terms.and_then(|udp| udp.flow_by.as_ref()) {
                Some(by) if by.value == FlowBy::ConnectionId => Found::ByConnectionId,
                _ => Found::ByClient,
            },
            max_flows: u32::try_from(max_flows).unwrap_or(u32::MAX),
            responses: terms
                .and_then(|udp| udp.responses)
                .map_or(0, |responses| responses.value),
        })
    }
}

impl TcpSpec {
    fn compile(
        raw: &raw::Listener,
        first_byte: Duration,
        clusters: Clusters<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let times = raw.tcp.as_ref().map(|tcp| &tcp.value);
        let max_duration = times.and_then(|tcp| tcp.max_duration);
        let half_close = times.and_then(|tcp| tcp.half_close_timeout);
        if let Some(zero) = half_close.filter(|time| time.is_zero()) {
            diagnostics.push(
                Diagnostic::error(Code::BadValue, zero.span, "a time limit of zero")
                    .label("must be above 0")
                    .note("a connection of which one side has ended is not kept without a limit"),
            );
            return None;
        }
        Some(Self {
            target: target(raw, first_byte, clusters, diagnostics)?,
            max_duration: max_duration.map_or(Duration::ZERO, |time| time.get()),
            half_close_timeout: half_close.map_or(HALF_CLOSE_TIMEOUT, |time| time.get()),
        })
    }
}

/// Where the connections of a listener go.
fn target(
    raw: &raw::Listener,
    time: Duration,
    clusters: Clusters<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Target> {
    let Some(rules) = &raw.sni else {
        return Way::compile(raw, clusters, diagnostics).map(Target::Way);
    };
    let names = ServerNames::compile(raw, rules, clusters.names, diagnostics);
    let otherwise = match &raw.cluster {
        Some(name) => Some(find_cluster(&who(raw), name, clusters.names, diagnostics)?),
        None => None,
    };
    Some(Target::Names {
        names: names?,
        otherwise,
        time,
    })
}

/// The cluster that a listener names itself.
fn named(
    raw: &raw::Listener,
    clusters: &[ClusterName],
    diagnostics: &mut Diagnostics,
) -> Option<ClusterIx> {
    let Some(name) = &raw.cluster else {
        let message = format!("listener `{}` has no cluster", raw.name.escape_debug());
        diagnostics.push(
            Diagnostic::error(Code::MissingKey, raw.name.span, message)
                .label("where do its connections go?")
                .also(raw.protocol.span, "the protocol")
                .hint(match raw.protocol.value {
                    Protocol::Udp => "write `cluster = \"…\"`, or `split`",
                    _ => "write `cluster = \"…\"`, or `sni` to choose by server name",
                }),
        );
        return None;
    };
    find_cluster(&who(raw), name, clusters, diagnostics)
}

/// How a listener is spoken of.
pub(super) fn who(raw: &raw::Listener) -> String {
    format!("listener `{}`", raw.name.escape_debug())
}
