//! How long an attempt may take, and each part of it.

use std::time::Duration;

use crate::base::clock;
use crate::exchange::Exchange;
use crate::exchange::checkout::Link;
use crate::exchange::pause::MOMENT;
use crate::message::grpc::{self, Speaks};
use crate::net::Timer;
use crate::net::deadline::{Deadlines, Tick};
use crate::route::Route;
use crate::worker::ClusterView;

/// Time limits of one attempt.
#[derive(Clone, Copy, Debug)]
pub(in crate::exchange) struct Limits {
    /// Request sent to response head.
    pub(in crate::exchange) response: Duration,
    /// Between two reads of the response body.
    pub(in crate::exchange) response_idle: Duration,
    /// The same for event streams.
    pub(in crate::exchange) tunnel: Duration,
    /// Between two reads of the request body.
    pub(in crate::exchange) body: Duration,
    /// Between two writes to the client.
    pub(in crate::exchange) write: Duration,
    /// Whether a call may send in its own time, where it is a stream to the endpoint, too.
    streams: bool,
    /// Least bytes a second of the request body.
    pub(in crate::exchange) body_rate: u64,
    /// Least bytes a second that the client takes.
    pub(in crate::exchange) write_rate: u64,
    /// Informational heads before the final one (E-038).
    pub(in crate::exchange) interim: u32,
    /// The whole exchange.
    pub(in crate::exchange) total: Tick,
}

impl Limits {
    /// The route's own, then the cluster's, then the listener's.
    pub(in crate::exchange) fn of(
        x: &Exchange,
        timer: &Timer,
        route: &Route,
        cluster: &ClusterView,
    ) -> Self {
        let (of_route, of_cluster) = (&route.timeouts, &cluster.cluster.timeouts);
        let spec = x.view.listeners.get(x.listener);
        let (times, sizes) = spec.map_or_else(Default::default, |listener| {
            (listener.spec.timeouts, listener.spec.limits)
        });
        let mut limits = Self {
            response: of_route.response.unwrap_or(of_cluster.response),
            response_idle: of_route.response_idle.unwrap_or(of_cluster.response_idle),
            tunnel: of_route.tunnel.unwrap_or(of_cluster.tunnel),
            body: of_route.body.unwrap_or(times.body),
            write: times.write,
            streams: false,
            body_rate: sizes.body_rate,
            write_rate: sizes.write_rate,
            interim: cluster.cluster.limits.interim,
            total: of_route
                .request
                .map_or(Tick::NEVER, |limit| within(x, timer.deadlines(), limit)),
        };
        let speaks = grpc::speaks(x.record.head());
        if speaks != Speaks::Http {
            limits.of_call(x, timer.deadlines());
        }
        limits.streams = speaks == Speaks::Grpc && of_route.body.is_none();
        limits
    }

    /// The same over such a connection. Over HTTP/1 there are no streams, whatever a client says of its request.
    pub(in crate::exchange) fn over(self, link: &Link) -> Self {
        if !self.streams || matches!(link, Link::Http1(_)) {
            return self;
        }
        Self {
            body: self.tunnel,
            body_rate: 0,
            ..self
        }
    }

    /// A call says itself how long it may take; a stream of messages may be silent in between.
    fn of_call(&mut self, x: &Exchange, clock: &Deadlines) {
        if let Some(time) = grpc::deadline(x.record.head()) {
            self.total = self.total.min(within(x, clock, time));
            // The caller's time stands for ours, unless it is no limit at all.
            self.response = if time > self.tunnel && !self.response.is_zero() {
                self.tunnel
            } else {
                Duration::ZERO
            };
        }
        self.response_idle = self.tunnel;
    }
}

/// The end of a time that began when the request came: what filters took of it is gone.
fn within(x: &Exchange, deadlines: &Deadlines, limit: Duration) -> Tick {
    if limit.is_zero() {
        return Tick::NEVER;
    }
    let spent = clock::between(x.started, clock::now());
    deadlines.after(limit.saturating_sub(spent).max(MOMENT))
}
