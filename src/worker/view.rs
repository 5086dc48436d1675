//! One worker's view of a snapshot: everything that an exchange needs, found by position.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use super::local::Process;
use crate::balance::Cursor;
use crate::base::clock::Instant;
use crate::base::{ClusterName, ListenerName};
use crate::cluster::{Cluster, OnEndpointDown};
use crate::endpoint::{Admin, Availability, Endpoint, EndpointKey};
use crate::limit::RetryBudget;
use crate::listener::{ListenerSpec, Serves};
use crate::metrics::{ClusterCells, ExchangeCells, HealthCells, Hub, ListenerCells, SessionCells};
use crate::net::Deadlines;
use crate::route::ClusterIx;
use crate::snapshot::Snapshot;
use crate::upstream::{IdleSet, Pool};

/// A snapshot with this worker's cells, cursors and idle connections resolved.
#[derive(Debug)]
pub struct View {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// Its number.
    pub epoch: u64,
    /// By position in the snapshot.
    pub listeners: Rc<Vec<ListenerView>>,
    /// By position in the snapshot.
    pub clusters: Vec<Rc<ClusterView>>,
    /// Whether an endpoint is told at which address of ours a client came: then it has to be asked for.
    pub tells_addresses: bool,
}

/// A listener and what it counts on this worker.
#[derive(Debug)]
pub struct ListenerView {
    /// Its settings.
    pub spec: Arc<ListenerSpec>,
    /// What it counts.
    pub cells: Arc<ListenerCells>,
    /// For exchanges that matched no route.
    pub unmatched: Arc<ExchangeCells>,
    /// By position of the route.
    pub routes: Vec<Arc<ExchangeCells>>,
    /// For sessions that found no cluster.
    pub unbound: Arc<SessionCells>,
    sessions: Vec<(ClusterIx, Arc<SessionCells>)>,
}

impl ListenerView {
    /// What the sessions that it sends to this cluster count.
    pub fn sessions(&self, cluster: ClusterIx) -> Option<&Arc<SessionCells>> {
        let mut all = self.sessions.iter();
        all.find(|(ix, _)| *ix == cluster).map(|(_, cells)| cells)
    }
}

/// A cluster and what this worker has of it.
#[derive(Debug)]
pub struct ClusterView {
    /// Endpoints and policy.
    pub cluster: Arc<Cluster>,
    /// What it counts.
    pub cells: Arc<ClusterCells>,
    /// What its outlier detection and its breaker count, on any thread.
    pub health: Arc<HealthCells>,
    /// The balancer's place.
    pub cursor: Rc<RefCell<Cursor>>,
    /// That of the balancer for sticky headers, which keeps no place.
    pub affinity: RefCell<Cursor>,
    /// Retries that may still be made.
    pub budget: Rc<RefCell<RetryBudget>>,
    /// Idle connections, by position of the endpoint.
    pub idle: Vec<Rc<IdleSet>>,
    /// Which endpoints were down at the last look.
    down: Vec<Cell<bool>>,
}

/// What one worker carries from one configuration to the next, by cluster name.
#[derive(Debug, Default)]
pub struct Carried {
    clusters: RefCell<HashMap<ClusterName, Place>>,
}

/// Where a worker stands in one cluster.
type Place = (Rc<RefCell<Cursor>>, Rc<RefCell<RetryBudget>>);

impl Carried {
    /// Forgets what the configuration in effect does not name.
    pub fn sweep(&self, view: &View) {
        self.clusters.borrow_mut().retain(|name, _| {
            view.clusters
                .iter()
                .any(|cluster| cluster.cluster.name == *name)
        });
    }
}

fn tells_addresses(snapshot: &Snapshot) -> bool {
    let mut clusters = snapshot.clusters.iter();
    clusters.any(|cluster| cluster.members.preface.is_some())
}

impl View {
    pub(super) fn build(
        worker: usize,
        process: &Process,
        pool: &Pool,
        carried: &Carried,
        snapshot: Arc<Snapshot>,
        epoch: u64,
    ) -> Self {
        let hub = &process.hub;
        let listeners = snapshot
            .listeners
            .iter()
            .map(|spec| ListenerView::build(worker, hub, &snapshot, spec))
            .collect();
        let clusters = snapshot
            .clusters
            .iter()
            .map(|cluster| Rc::new(ClusterView::build(worker, process, pool, carried, cluster)))
            .collect();
        Self {
            epoch,
            listeners: Rc::new(listeners),
            tells_addresses: tells_addresses(&snapshot),
            snapshot,
            clusters,
        }
    }

    /// The view of a snapshot that differs from this one's in some clusters alone: all else is shared, so the price
    /// is that of those clusters' endpoints.
    pub(super) fn swapped(
        &self,
        worker: usize,
        process: &Process,
        pool: &Pool,
        carried: &Carried,
        snapshot: Arc<Snapshot>,
    ) -> Self {
        let next = |(cluster, before): (&Arc<Cluster>, &Rc<ClusterView>)| {
            if Arc::ptr_eq(cluster, &before.cluster) {
                Rc::clone(before)
            } else {
                Rc::new(ClusterView::build(worker, process, pool, carried, cluster))
            }
        };
        Self {
            epoch: self.epoch,
            tells_addresses: self.tells_addresses,
            listeners: Rc::clone(&self.listeners),
            clusters: snapshot
                .clusters
                .iter()
                .zip(&self.clusters)
                .map(next)
                .collect(),
            snapshot,
        }
    }

    /// The listener of this name, if the configuration still has it.
    pub fn listener(&self, name: &ListenerName) -> Option<usize> {
        self.listeners
            .iter()
            .position(|listener| listener.spec.name == *name)
    }

    /// Nothing waits any more as far as this configuration's gauges say; those of the next say what does.
    pub fn forget_idle(&self) {
        for cluster in &self.clusters {
            cluster.cells.idle.set(0);
        }
    }

    /// Writes down how many connections wait in the pool, and lets exchanges that wait look for a place: an endpoint may
    /// have recovered since. Tunnels to an endpoint that went down are cut, where that is configured.
    pub fn tick(&self, now: Instant, deadlines: &Deadlines) {
        for cluster in &self.clusters {
            cluster.cut(deadlines);
            cluster.cluster.gate.nudge(now);
            let shared: usize = cluster.idle.iter().map(|set| set.shared.idle()).sum();
            let shared = i64::try_from(shared).unwrap_or(i64::MAX);
            cluster.cells.http2.idle.set(shared);
            let idle: usize = cluster.idle.iter().map(|set| set.len()).sum();
            cluster
                .cells
                .idle
                .set(i64::try_from(idle).unwrap_or(i64::MAX));
        }
    }
}

impl ListenerView {
    fn build(worker: usize, hub: &Hub, snapshot: &Snapshot, spec: &Arc<ListenerSpec>) -> Self {
        let name = spec.name.as_str();
        let exchange = |route| hub.exchange(worker, name, route);
        let session = |cluster| hub.session(worker, name, cluster);
        // What a listener does not speak it does not count.
        let routes: &[_] = match spec.serves {
            Serves::Http => snapshot.routes.routes(),
            Serves::Tcp(_) | Serves::Udp(_) => &[],
        };
        let clusters = spec.serves.clusters().into_iter().filter_map(|ix| {
            let cluster = snapshot.clusters.get(ix.index())?;
            Some((ix, session(cluster.name.as_str())))
        });
        Self {
            cells: hub.listener(worker, name, spec.serves.protocol()),
            unmatched: match spec.serves {
                Serves::Http => exchange("-"),
                Serves::Tcp(_) | Serves::Udp(_) => Arc::default(),
            },
            routes: routes.iter().map(|it| exchange(it.name.as_str())).collect(),
            unbound: match spec.serves {
                Serves::Http => Arc::default(),
                Serves::Tcp(_) | Serves::Udp(_) => session("-"),
            },
            sessions: clusters.collect(),
            spec: Arc::clone(spec),
        }
    }
}

/// The group of all timers of the tunnels to one endpoint.
fn endpoint_group(key: &EndpointKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl ClusterView {
    /// The group that a tunnel to this endpoint is cut with; `None`: it is kept whatever becomes of the endpoint.
    pub fn cut_with(&self, endpoint: &Endpoint) -> Option<u64> {
        match self.cluster.on_endpoint_down {
            OnEndpointDown::Keep => None,
            OnEndpointDown::Close => Some(endpoint_group(&endpoint.key)),
        }
    }

    /// Cuts the tunnels to endpoints that went down since the last look.
    fn cut(&self, deadlines: &Deadlines) {
        if self.cluster.on_endpoint_down == OnEndpointDown::Keep {
            return;
        }
        for (endpoint, was) in self.cluster.set.iter().zip(&self.down) {
            let down = matches!(
                endpoint.availability(0),
                Availability::Unhealthy | Availability::Disabled
            );
            if down && !was.replace(down) {
                deadlines.fire_group(endpoint_group(&endpoint.key));
            }
            was.set(down);
        }
    }

    fn build(
        worker: usize,
        process: &Process,
        pool: &Pool,
        carried: &Carried,
        cluster: &Arc<Cluster>,
    ) -> Self {
        let budget = &cluster.retry.budget;
        #[expect(clippy::cast_precision_loss, reason = "a handful of workers")]
        let floor = budget.min_per_second / process.workers.max(1) as f64;
        let (cursor, kept) = carried
            .clusters
            .borrow_mut()
            .entry(cluster.name.clone())
            .or_insert_with(|| {
                (
                    Rc::default(),
                    Rc::new(RefCell::new(RetryBudget::new(budget.ratio, floor))),
                )
            })
            .clone();
        kept.borrow_mut().retune(budget.ratio, floor);
        let limit = (cluster.bulkhead.idle_per_endpoint as usize).div_ceil(process.workers.max(1));
        let idle = cluster
            .set
            .iter()
            .map(|endpoint| {
                let set = pool.set(&cluster.name, &endpoint.spec);
                // An endpoint that is to run empty keeps no connection longer than an exchange needs it.
                let limit = match endpoint.admin {
                    Admin::Ready => limit,
                    Admin::Drain | Admin::Disabled => 0,
                };
                set.tune(limit, cluster.bulkhead.idle_timeout);
                set
            })
            .collect();
        Self {
            cluster: Arc::clone(cluster),
            cells: process.hub.cluster(worker, cluster.name.as_str()),
            health: process.hub.process().health(cluster.name.as_str()),
            cursor,
            affinity: RefCell::default(),
            budget: kept,
            down: vec![Cell::new(false); cluster.set.len()],
            idle,
        }
    }
}
