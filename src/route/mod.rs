//! Routes: which request goes where, through which filters.
//!
//! Turns a request head and the listener it came in on into a [`Route`]. Finding one is a pure function of the
//! [`RouteInput`]; it allocates nothing, and its cost is bounded by the configuration alone: whatever a client
//! sends, there is one look-up by host, at most one for each label of the longest wildcard, and one search
//! among the paths of each host that matches. Expressions are tried one after another, each in time linear in
//! the path.
//!
//! **Precedence.** Of all routes that match entirely, the largest wins by: priority, host (exact, most labels
//! of a wildcard, any), path (exact, longest prefix, expression, none asked), methods given, number of
//! conditions on header fields, number of other conditions, then order in the file (as in the Kubernetes Gateway
//! API). A miss under an exact host falls through to wildcards, then to routes for any host.
//!
//! **Invariants.** Host and path are compared in their canonical forms only, and the path that is matched is
//! the path that is forwarded. A [`RouteIx`] is stable within its table.
//!
//! **Not here.** What a filter does (`filter`), how a cluster is reached (`cluster`), who runs the action
//! (`exchange`).

mod admit;
mod compile;
mod condition;
mod demand;
mod explain;
mod host;
mod maintenance;
mod redirect;
mod split;
mod table;
mod unreachable;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::RouteName;
use crate::filter::{FilterChain, PagesIx, Reply};
use crate::message::RequestHead;
use crate::message::path::Policy;

pub use crate::cluster::ClusterIx;
pub use compile::{Clusters, compile, compile_split};
pub use condition::{ListenerSet, MethodSet, PathMatch};
pub use demand::{Demands, FieldDemand, ValueDemand, Wanted};
pub use explain::Miss;
pub use host::{HostError, HostPattern};
pub use maintenance::{Closed, MAX_WORDS, Maintenance, Scope, TooMany};
pub use redirect::{NewPath, Query, Redirect, Scheme};
pub use split::Split;
pub use table::{RouteTable, Rule};

/// What of an exchange decides its route.
#[derive(Clone, Copy, Debug)]
pub struct RouteInput<'a> {
    /// Position of the listener in the list that the table was compiled with.
    pub listener: usize,
    /// The canonical head.
    pub head: &'a RequestHead,
    /// Who asks, behind trusted proxies.
    pub client: IpAddr,
    /// The server name of its handshake.
    pub server_name: Option<&'a [u8]>,
}

/// Position of a route in its table: its place in the file.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RouteIx(pub u32);

impl RouteIx {
    /// As an index into [`RouteTable::routes`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a request goes and what happens on the way.
#[derive(Clone, Debug)]
pub struct Route {
    /// The name in logs and metrics.
    pub name: RouteName,
    /// What is done with the request.
    pub action: Action,
    /// The steps before and after it.
    pub filters: FilterChain,
    /// What clients are shown when something failed; `None`: what the listener says.
    pub pages: Option<PagesIx>,
    /// How long its parts may take.
    pub timeouts: RouteTimeouts,
    /// How large its parts may be.
    pub limits: RouteLimits,
    /// What it refuses in a path beyond what its listeners refuse.
    pub path: Option<Policy>,
    /// Whether TRACE is served.
    pub trace: Trace,
}

/// Whether TRACE is served: its answer holds the request as the endpoint got it, with all that was added on the
/// way, so a route must ask for it (RFC 9110, 9.3.8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trace {
    /// It is not.
    Refused,
    /// The route lists it.
    Served,
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// It goes to an endpoint of this cluster.
    Cluster(ClusterIx),
    /// It goes to one of several clusters.
    Split(Split),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The answer is fixed.
    Respond(Arc<Reply>),
}

/// Time limits of a route. `None` means: what the cluster (for `body`: the listener) says. Zero means: no limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RouteTimeouts {
    /// The whole exchange, retries included; `None`: no limit.
    pub request: Option<Duration>,
    /// From the request sent to the response head.
    pub response: Option<Duration>,
    /// Between two reads of the response body.
    pub response_idle: Option<Duration>,
    /// Idle time of a tunnel or an event stream.
    pub tunnel: Option<Duration>,
    /// Between two reads of the request body.
    pub body: Option<Duration>,
}

/// Size limits of a route.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RouteLimits {
    /// Bytes of a request body; `None`: no limit.
    pub body: Option<u64>,
    /// Bytes of a header section; `None`: what the listener says.
    pub headers: Option<u64>,
    /// Header fields; `None`: what the listener says.
    pub header_count: Option<usize>,
}

#[cfg(test)]
mod tests;
