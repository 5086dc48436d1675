//! Runs the probes of all clusters on the control thread, one task for each address and check.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::cell::{HealthCell, LastProbe, Observation, Status, Transition};
use super::probe::{self, Failure, Kept, Subject};
use super::schedule::{self, Pace};
use super::spec::HealthSpec;
use crate::base::{ClusterName, EndpointAddr, clock};
use crate::metrics::{CheckResult, HealthCells, Hub, TransitionCause};
use crate::task;
use crate::tls::TlsSpec;
use crate::upstream::ConnectSpec;

/// Probes under way at once, in the whole process: a network that swallows everything must not cost the
/// data path its file descriptors. Over it, probes wait their turn.
const MAX_AT_ONCE: usize = 1024;

/// One address to be probed.
#[derive(Clone, Debug)]
pub struct Target {
    /// The cluster, for logs, metrics and identity.
    pub cluster: ClusterName,
    /// The endpoint.
    pub addr: EndpointAddr,
    /// How it is connected to for that.
    pub at: ConnectSpec,
    /// How, and what results mean.
    pub spec: Arc<HealthSpec>,
    /// Where results go.
    pub cell: Arc<HealthCell>,
}

/// What one probe found.
#[derive(Debug)]
pub struct Report<'a> {
    /// The cluster.
    pub cluster: &'a ClusterName,
    /// The address.
    pub addr: &'a EndpointAddr,
    /// Why the probe failed; `None`: it passed.
    pub failure: Option<&'a Failure>,
    /// The change that it brought.
    pub transition: Option<Transition>,
}

type Observer = Rc<dyn Fn(&Report<'_>)>;

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Identity {
    cluster: ClusterName,
    addr: EndpointAddr,
    check: u64,
    /// Other authorities or another name: another question.
    tls: Option<TlsSpec>,
}

#[derive(Debug)]
struct Running {
    spec: watch::Sender<Arc<HealthSpec>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All probes of the process. Lives on the control thread; dropping it ends them.
pub struct Prober {
    running: HashMap<Identity, Running>,
    slots: Arc<Semaphore>,
    hub: Arc<Hub>,
    observer: Option<Observer>,
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober")
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

impl Prober {
    /// A prober without targets, which counts in `hub`.
    pub fn new(hub: Arc<Hub>) -> Self {
        Self {
            running: HashMap::new(),
            slots: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            hub,
            observer: None,
        }
    }

    /// The same, telling `observer` of every probe that ends, after its cell has been written.
    #[must_use]
    pub fn observed(mut self, observer: impl Fn(&Report<'_>) + 'static) -> Self {
        self.observer = Some(Rc::new(observer));
        self
    }

    /// Makes `targets` the ones that are probed. Who stays by (cluster, address, check) keeps its
    /// rhythm and takes the new policy; who is new starts, spread out; who is gone stops.
    ///
    /// Must run on the control thread's runtime.
    pub fn apply(&mut self, targets: Vec<Target>) {
        self.replace(|_| true, targets);
    }

    /// [`Prober::apply`] for one cluster; all others go on as they are.
    pub fn apply_to(&mut self, cluster: &ClusterName, targets: Vec<Target>) {
        self.replace(|identity| identity.cluster == *cluster, targets);
    }

    /// Makes `targets` the ones that are probed of those that are `meant`.
    #[expect(
        clippy::mutable_key_type,
        reason = "a TlsSpec is compared by its identity, which does not change"
    )]
    fn replace(&mut self, meant: impl Fn(&Identity) -> bool, targets: Vec<Target>) {
        let mut wanted = HashSet::with_capacity(targets.len());
        let mut fresh = Vec::new();
        for target in targets {
            let identity = Identity {
                cluster: target.cluster.clone(),
                addr: target.addr.clone(),
                check: target.spec.fingerprint(),
                tls: target.at.tls.clone(),
            };
            if !wanted.insert(identity.clone()) {
                continue;
            }
            match self.running.get(&identity) {
                Some(running) => {
                    running.spec.send_if_modified(|spec| {
                        let changed = *spec != target.spec;
                        *spec = Arc::clone(&target.spec);
                        changed
                    });
                }
                None => fresh.push((identity, target)),
            }
        }
        self.running
            .retain(|identity, _| !meant(identity) || wanted.contains(identity));
        let count = u32::try_from(fresh.len()).unwrap_or(u32::MAX);
        for (number, (identity, target)) in (0..count).zip(fresh) {
            let delay = schedule::first(&target.spec.policy, number, count);
            let running = self.start(target, delay);
            self.running.insert(identity, running);
        }
    }

    /// How many addresses are probed.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    fn start(&self, target: Target, delay: Duration) -> Running {
        let (sender, spec) = watch::channel(target.spec);
        let rounds = Rounds {
            cells: self.hub.process().health(target.cluster.as_str()),
            cluster: target.cluster,
            addr: target.addr,
            at: target.at,
            kept: None,
            cell: target.cell,
            spec,
            slots: Arc::clone(&self.slots),
            observer: self.observer.clone(),
        };
        Running {
            spec: sender,
            task: task::spawn("probe", rounds.run(delay)),
        }
    }
}

/// The probes of one address, one after the other.
struct Rounds {
    cluster: ClusterName,
    addr: EndpointAddr,
    at: ConnectSpec,
    kept: Option<Kept>,
    cell: Arc<HealthCell>,
    spec: watch::Receiver<Arc<HealthSpec>>,
    slots: Arc<Semaphore>,
    cells: Arc<HealthCells>,
    observer: Option<Observer>,
}

impl Rounds {
    async fn run(mut self, delay: Duration) {
        let mut rng = fastrand::Rng::new();
        let mut start = clock::now() + delay;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(start.into()) => {}
                changed = self.spec.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let interval = self.spec.borrow_and_update().policy.interval;
                    start = start.min(clock::now() + interval);
                    continue;
                }
            }
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return;
            };
            let begun = clock::now();
            let spec = Arc::clone(&self.spec.borrow());
            // On the heap while it runs: what waits for its turn, most of ten thousand, stays small.
            let verdict = Box::pin(self.probe_within(&spec)).await;
            drop(slot);
            self.conclude(
                &spec,
                verdict.err().as_ref(),
                clock::between(begun, clock::now()),
            );
            let pace = if self.cell.is_settled() {
                Pace::Settled
            } else {
                Pace::Hurry
            };
            start = begun + schedule::next(&spec.policy, pace, &mut rng);
        }
    }

    async fn probe_within(&mut self, spec: &HealthSpec) -> Result<(), Failure> {
        let policy = &spec.policy;
        let subject = Subject {
            cluster: &self.cluster,
            endpoint: &self.addr,
            at: &self.at,
        };
        let begun = clock::now();
        let probe = probe::run(spec, &subject, &mut self.kept);
        match tokio::time::timeout(policy.timeout, probe).await {
            Err(_) => Err(Failure::Timeout),
            Ok(Err(failure)) => Err(failure),
            Ok(Ok(())) => {
                let slow = policy.max_response_time;
                if !slow.is_zero() && clock::between(begun, clock::now()) > slow {
                    Err(Failure::Slow)
                } else {
                    Ok(())
                }
            }
        }
    }

    fn conclude(&self, spec: &HealthSpec, failure: Option<&Failure>, took: Duration) {
        let (result, seen) = match failure {
            None => (CheckResult::Pass, Observation::Pass),
            Some(Failure::Timeout) => (CheckResult::Timeout, Observation::Fail),
            Some(_) => (CheckResult::Fail, Observation::Fail),
        };
        self.cell.note(LastProbe {
            at: clock::now(),
            took,
            failure: failure.map(|failure| failure.to_string().into()),
        });
        // Nobody was asked: it is shown, and neither counted nor held against the endpoint.
        let transition = if failure.is_none_or(Failure::is_telling) {
            self.cells.checked(result, took);
            self.cell.observe(seen, &spec.policy)
        } else {
            None
        };
        if let Some(transition) = transition {
            self.tell(transition, failure);
        } else if let Some(failure) = failure {
            tracing::debug!(
                cluster = self.cluster.as_str(),
                endpoint = %self.addr,
                cause = %failure,
                "probe failed"
            );
        }
        if let Some(observer) = &self.observer {
            observer(&Report {
                cluster: &self.cluster,
                addr: &self.addr,
                failure,
                transition,
            });
        }
    }

    fn tell(&self, transition: Transition, failure: Option<&Failure>) {
        let (cluster, after) = (self.cluster.as_str(), transition.after);
        match transition.to {
            Status::Healthy => {
                self.cells.became_healthy(TransitionCause::Active);
                tracing::info!(cluster, endpoint = %self.addr, after, "endpoint is healthy");
            }
            Status::Unhealthy => {
                self.cells.became_unhealthy(TransitionCause::Active);
                let cause = failure.map(tracing::field::display);
                tracing::warn!(cluster, endpoint = %self.addr, cause, after, "endpoint is unhealthy");
            }
        }
    }
}
