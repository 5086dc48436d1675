//! Metrics that are read off what runs, at the moment of a scrape.

use std::sync::Arc;

use tokio::sync::watch;

use crate::base::clock;
use crate::cluster::Cluster;
use crate::limit::Ledger;
use crate::limiter::Limiter;
use crate::metrics::{BreakerState, Hub, PROTOCOL, Scrape, names};
use crate::net::bundle;
use crate::outlier::Moment;
use crate::snapshot::Live;
use crate::task;
use crate::upstream::Protocol;

use super::context::Running;
use super::state::{STATES, state};
use super::{certificates, maintenance};

/// Makes `hub` show endpoints and tasks at every scrape. Called once.
pub fn register(
    hub: &Hub,
    running: watch::Receiver<Arc<Running>>,
    live: Arc<Live>,
    ledger: Arc<Ledger>,
) {
    hub.register(Box::new(move |scrape| {
        scrape.gauge(&names::RUNTIME_TASKS, &[], task::alive() as f64);
        scrape.add(&names::RUNTIME_TASK_PANICS, &[], task::panics());
        scrape.gauge(&names::RUNTIME_RINGS, &[], bundle::rings() as f64);
        for entry in live.clusters.names().entries() {
            let (name, standing) = (entry.query.to_string(), entry.standing(clock::now()));
            let addresses = standing.good.map_or(0, |good| good.targets.len()) as f64;
            scrape.gauge(&names::DNS_ADDRESSES, &[&name], addresses);
            scrape.gauge(&names::DNS_AGE, &[&name], standing.age.as_secs_f64());
        }
        memory(&ledger, scrape);
        let running = running.borrow().clone();
        for cluster in &running.clusters {
            collect(cluster, scrape);
            let said = live.clusters.overrides().of_cluster(&cluster.name).len() as f64;
            let name = cluster.name.as_str();
            let panics = cluster.balancer.panics(&cluster.set, clock::now());
            scrape.gauge(&names::PANIC_ACTIVE, &[name], f64::from(u8::from(panics)));
            scrape.gauge(&names::UPSTREAM_ENDPOINT_OVERRIDES, &[name], said);
        }
        maintenance::collect(&live.maintenance, scrape);
        certificates::collect(&running, scrape);
        for limiter in &running.limiters {
            collect_limiter(limiter, scrape);
        }
        for tally in live.filters.tallies() {
            for (decision, count) in tally.counts() {
                let labels = [tally.route.as_str(), tally.filter, decision];
                scrape.add(&names::AUTH_DECISIONS, &labels, count);
            }
        }
        let proofs = &live.filters.proofs;
        for (result, count) in proofs.counts() {
            scrape.add(&names::PASSWORD_HASHES, &[result], count);
        }
        scrape.gauge(&names::PASSWORDS_WAITING, &[], proofs.waiting() as f64);
        for flows in live.filters.slowed() {
            for (way, count) in flows.waits() {
                scrape.add(&names::BANDWIDTH_WAITS, &[flows.route.as_str(), way], count);
            }
        }
        for shown in live.filters.pages() {
            for (origin, count) in shown.counts() {
                scrape.add(&names::ERROR_PAGES, &[shown.pages.as_str(), origin], count);
            }
        }
        for source in live.filters.sources() {
            for (result, count) in source.fetches() {
                scrape.add(&names::JWKS_FETCHES, &[&source.url, result], count);
            }
            if let Some(age) = source.age() {
                scrape.gauge(&names::JWKS_AGE, &[&source.url], age.as_secs_f64());
            }
        }
        let mut shared = running
            .limiters
            .iter()
            .filter_map(|limiter| limiter.shared());
        if let Some(shared) = shared.next() {
            let breaker = shared.store.breaker();
            let counts = breaker.counts();
            for (result, count) in [
                ("ok", counts.ok),
                ("error", counts.error),
                ("skipped", counts.skipped),
            ] {
                scrape.add(&names::RATELIMIT_STORE_REQUESTS, &["redis", result], count);
            }
            let up = if breaker.is_open() { 0.0 } else { 1.0 };
            scrape.gauge(&names::RATELIMIT_STORE_UP, &["redis"], up);
        }
    }));
}

fn collect_limiter(limiter: &Limiter, scrape: &mut Scrape) {
    let (name, state) = (limiter.name.as_str(), limiter.state());
    let tally = state.tally();
    for (decision, count) in [
        ("allow", tally.allow),
        ("delay", tally.delay),
        ("deny", tally.deny),
        ("shadow_deny", tally.shadow_deny),
    ] {
        scrape.add(&names::RATELIMIT_DECISIONS, &[name, decision], count);
    }
    scrape.gauge(&names::RATELIMIT_KEYS, &[name], state.keys() as f64);
    scrape.add(&names::RATELIMIT_EVICTIONS, &[name], state.evicted());
}

fn memory(ledger: &Ledger, scrape: &mut Scrape) {
    scrape.gauge(&names::MEMORY, &[], ledger.taken() as f64);
    scrape.gauge(&names::MEMORY_LIMIT, &[], ledger.budget() as f64);
    let level = f64::from(ledger.level() as u8);
    scrape.gauge(&names::OVERLOAD_LEVEL, &[], level);
    for (level, count) in ledger.entered().skip(1) {
        scrape.add(&names::OVERLOADS, &[level.as_str()], count);
    }
}

fn collect(cluster: &Cluster, scrape: &mut Scrape) {
    let name = cluster.name.as_str();
    for state in STATES {
        // A state that no endpoint is in is a zero, so that an alert can tell it from an absent cluster.
        scrape.gauge(&names::UPSTREAM_ENDPOINTS, &[name, state], 0.0);
    }
    if let Some((now, _)) = cluster.breaker_state(Moment::of(clock::now())) {
        for state in BreakerState::ALL {
            let value = if state == now { 1.0 } else { 0.0 };
            scrape.gauge(&names::BREAKER_STATE, &[name, state.as_str()], value);
        }
    }
    for endpoint in cluster.set.iter() {
        let state = state(endpoint);
        scrape.gauge(&names::UPSTREAM_ENDPOINTS, &[name, state], 1.0);
        let healthy = if state == "healthy" { 1.0 } else { 0.0 };
        let in_flight = f64::from(endpoint.state.in_flight());
        let connections = f64::from(endpoint.state.connections());
        // Shared connections are counted where they are made; what is counted here are exchanges.
        if endpoint.spec.protocol == Protocol::Http1 {
            let spoken = [name, PROTOCOL];
            scrape.gauge(&names::UPSTREAM_CONNECTIONS_ACTIVE, &spoken, connections);
        }
        for (metric, value) in [
            (&names::UPSTREAM_ENDPOINT_HEALTHY, healthy),
            (&names::UPSTREAM_ENDPOINT_WEIGHT, f64::from(endpoint.weight)),
            (&names::UPSTREAM_ENDPOINT_REQUESTS_ACTIVE, in_flight),
            (&names::UPSTREAM_ENDPOINT_CONNECTIONS_ACTIVE, connections),
        ] {
            scrape.gauge(metric, &[name, &endpoint.text], value);
        }
        if let Some(time) = endpoint.state.pace.time() {
            let labels = [name, &endpoint.text];
            scrape.gauge(&names::UPSTREAM_ENDPOINT_EWMA, &labels, time.as_secs_f64());
        }
    }
}
