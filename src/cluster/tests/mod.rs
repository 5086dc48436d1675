mod refused;
mod simulation;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::balance::Algorithm;
use crate::config::{self, Color, Diagnostics};
use crate::endpoint::{Admin, EndpointIx, InFlight, QueueTerms};
use crate::health::{Check, HttpCheck, Observation, Status};
use crate::message::Method;

const TOUR: &str = include_str!("../../../tests/config/shape/tour.toml");

/// Compiles every cluster of `text`.
fn compile_all(text: &str, site: &Site, live: &Live) -> (Vec<Option<Cluster>>, Diagnostics) {
    let loaded = config::parse(Path::new("t.toml"), text).unwrap();
    // What is wrong with the document as a whole (nothing sends to the cluster) is not asked here.
    let mut diagnostics = Diagnostics::new(loaded.diagnostics.files().clone());
    let clusters = loaded.raw.clusters.iter().map(|(name, raw)| {
        let name = ClusterName::parse(name).unwrap();
        let defaults = &loaded.raw.defaults.cluster;
        compile(&name, raw, defaults, site, live, &mut diagnostics)
    });
    (clusters.collect(), diagnostics)
}

/// The one cluster of `[clusters.c]` with these lines.
fn compile_ok(lines: &str, live: &Live) -> Cluster {
    compile_at("c", lines, &Site::new(None), live)
}

/// The one cluster of this name with these lines, on this instance.
pub(super) fn compile_at(name: &str, lines: &str, site: &Site, live: &Live) -> Cluster {
    let (clusters, diagnostics) = compile_all(&format!("[clusters.{name}]\n{lines}"), site, live);
    assert!(
        diagnostics.is_empty(),
        "{}",
        diagnostics.render_text(Color::Never)
    );
    clusters.into_iter().next().flatten().unwrap()
}

/// What is said about `[clusters.c]` with these lines; nothing may come of it.
fn refusals(lines: &str) -> (Vec<String>, String) {
    let (clusters, diagnostics) = compile_all(
        &format!("[clusters.c]\n{lines}"),
        &Site::new(None),
        &Live::new(),
    );
    assert!(clusters.iter().all(Option::is_none));
    (
        diagnostics.lines().collect(),
        diagnostics.render_text(Color::Never),
    )
}

const ONE: &str = "endpoints = ['127.0.0.1:1']\n";

#[test]
fn what_is_not_written_has_the_documented_default() {
    let cluster = compile_ok(ONE, &Live::new());
    assert_eq!(cluster.balancer.algorithm(), Algorithm::LeastRequest);
    assert_eq!(cluster.health, None);
    let timeouts = ClusterTimeouts {
        connect: Duration::from_secs(3),
        response: Duration::from_mins(1),
        response_idle: Duration::from_mins(5),
        tunnel: Duration::from_hours(1),
    };
    assert_eq!(cluster.timeouts, timeouts);
    let bulkhead = Bulkhead {
        connections_per_endpoint: 1024,
        requests: 0,
        queue: QueueTerms {
            size: 1024,
            timeout: Duration::from_secs(5),
        },
        idle_per_endpoint: 64,
        idle_timeout: Duration::from_secs(55),
    };
    assert_eq!(cluster.bulkhead, bulkhead);
    let retry = &cluster.retry;
    assert_eq!((retry.attempts, retry.replay_buffer), (2, 65_536));
    assert_eq!(retry.per_try_timeout, None);
    assert!(retry.on.connect && retry.on.reset);
    assert!(!retry.on.response_timeout && !retry.on.says(Said::Status(503)));
    assert!(retry.methods.contains(Method::Put) && !retry.methods.contains(Method::Post));
    assert_eq!(
        retry.budget,
        Budget {
            ratio: 0.2,
            min_per_second: 3.0
        }
    );
    let endpoint = cluster.set.endpoint(EndpointIx(0)).unwrap();
    assert_eq!((endpoint.weight, endpoint.tier), (1, 0));
    assert_eq!(cluster.targets().count(), 0);
}

#[test]
fn everything_written_arrives() {
    let text = "
        balancer = 'round_robin'
        protocol = 'http1'
        send_proxy_protocol = 'off'
        slow_start = '0s'
        panic_threshold = 0
        endpoints = ['127.0.0.1:1', { address = '[::1]:2', weight = 3 },
            { address = 'unix:/run/a', backup = true }, { address = '127.0.0.1:4', tier = 7 }]
        timeouts = { connect = '1s', response = '2s' }
        [clusters.c.health]
        check = { http = { path = '/up?q', host = 'a.b:80', status = [204, '300-302'], body_contains = 'ok' } }
        interval = '1s'
        timeout = '1500ms'
        max_response_time = '1s'
        rise = 1
        fall = 9
        jitter = 0.5
        initial = 'unhealthy'
        [clusters.c.bulkhead]
        connections_per_endpoint = 7
        requests = 9
        queue = { size = 0, timeout = '250ms' }
        idle_per_endpoint = 0
        idle_timeout = '5s'
        [clusters.c.retry]
        attempts = 8
        on = ['response_timeout', 503]
        methods = ['POST']
        per_try_timeout = '3s'
        backoff = { base = '1s', max = '2s' }
        budget = { ratio = 0.5, min_per_second = 0 }
        replay_buffer = '1KiB'
    ";
    let cluster = compile_ok(text, &Live::new());
    assert_eq!(cluster.balancer.algorithm(), Algorithm::RoundRobin);
    let seen: Vec<_> = cluster
        .set
        .iter()
        .map(|e| (&*e.text, e.weight, e.tier))
        .collect();
    let wanted = [
        ("127.0.0.1:1", 1, 0),
        ("[::1]:2", 3, 0),
        ("unix:/run/a", 1, 1),
        ("127.0.0.1:4", 1, 7),
    ];
    assert_eq!(seen, wanted);
    assert_eq!(cluster.timeouts.response, Duration::from_secs(2));
    assert_eq!(cluster.timeouts.tunnel, Duration::from_hours(1));
    let bulkhead = Bulkhead {
        connections_per_endpoint: 7,
        requests: 9,
        queue: QueueTerms {
            size: 0,
            timeout: Duration::from_millis(250),
        },
        idle_per_endpoint: 0,
        idle_timeout: Duration::from_secs(5),
    };
    assert_eq!(cluster.bulkhead, bulkhead);

    let health = cluster.health.as_ref().unwrap();
    let Check::Http(HttpCheck {
        path,
        host,
        statuses,
        body_contains,
        ..
    }) = &health.check
    else {
        panic!("{health:?}");
    };
    assert_eq!(
        (path.as_str(), host.as_ref().unwrap().as_bytes()),
        ("/up?q", &b"a.b:80"[..])
    );
    assert_eq!(
        (statuses.as_slice(), body_contains.as_deref()),
        (&[204..=204, 300..=302][..], Some("ok"))
    );
    assert_eq!((health.policy.rise, health.policy.fall), (1, 9));
    assert_eq!(health.policy.timeout, Duration::from_millis(1500));
    assert!(
        cluster
            .set
            .iter()
            .all(|e| !e.health.as_ref().unwrap().is_healthy())
    );
    assert_eq!(cluster.targets().count(), 4);

    let retry = &cluster.retry;
    assert!(!retry.on.connect && retry.on.response_timeout);
    assert!(retry.on.says(Said::Status(503)) && !retry.on.says(Said::Status(502)));
    assert!(retry.methods.contains(Method::Post) && !retry.methods.contains(Method::Get));
    assert_eq!(retry.per_try_timeout, Some(Duration::from_secs(3)));
    assert_eq!(
        retry.backoff,
        Backoff {
            base: Duration::from_secs(1),
            max: Duration::from_secs(2)
        }
    );
}

#[test]
fn a_cluster_starts_from_the_defaults() {
    let text = "[defaults.cluster]\ntimeouts = { connect = '9s', tunnel = '8s' }\n[clusters.c]\n\
        endpoints = ['127.0.0.1:1']\ntimeouts = { tunnel = '7s' }";
    let (clusters, _) = compile_all(text, &Site::new(None), &Live::new());
    let timeouts = clusters[0].as_ref().unwrap().timeouts;
    assert_eq!(timeouts.connect, Duration::from_secs(9));
    assert_eq!(timeouts.tunnel, Duration::from_secs(7));
}

#[test]
fn state_survives_a_reload_by_identity() {
    let live = Live::new();
    let health =
        |path: &str| format!("health = {{ check = {{ http = {{ path = '{path}' }} }} }}\n");
    let first = compile_ok(&(ONE.to_owned() + &health("/a")), &live);
    let endpoint = Arc::clone(first.set.endpoint(EndpointIx(0)).unwrap());
    let held = InFlight::begin(&endpoint.state);
    endpoint.state.set_admin(Admin::Disabled);
    let policy = first.health.as_ref().unwrap().policy;
    endpoint
        .health
        .as_ref()
        .unwrap()
        .observe(Observation::Fail, &policy);

    let moved = "endpoints = ['127.0.0.1:9', { address = '127.0.0.1:1', weight = 5, tier = 3 }]\n";
    let second = compile_ok(
        &(moved.to_owned() + &health("/a") + "balancer = 'random'"),
        &live,
    );
    let kept = second.set.endpoint(EndpointIx(1)).unwrap();
    assert!(Arc::ptr_eq(&endpoint.state, &kept.state));
    assert_eq!(
        (kept.state.in_flight(), kept.state.admin()),
        (1, Admin::Disabled)
    );
    let cell = |endpoint: &crate::endpoint::Endpoint| Arc::clone(endpoint.health.as_ref().unwrap());
    assert!(Arc::ptr_eq(&cell(&endpoint), &cell(kept)));

    let third = compile_ok(&(ONE.to_owned() + &health("/b")), &live);
    let rechecked = third.set.endpoint(EndpointIx(0)).unwrap();
    assert!(!Arc::ptr_eq(&cell(&endpoint), &cell(rechecked)));
    assert_eq!(
        cell(rechecked).status(),
        Status::Unhealthy,
        "the status stays"
    );

    drop((first, second, third, endpoint));
    live.sweep();
    assert_eq!(live.len(), 1, "an exchange under way still holds it");
    drop(held);
    live.sweep();
    assert!(live.is_empty());
}

#[test]
fn pauses_double_up_to_their_bound() {
    let backoff = Backoff {
        base: Duration::from_millis(25),
        max: Duration::from_millis(250),
    };
    let mut rng = fastrand::Rng::with_seed(1);
    for (retry, bound) in [(0, 25), (1, 50), (2, 100), (3, 200), (4, 250), (40, 250)] {
        let pauses: Vec<_> = (0..200).map(|_| backoff.pause(retry, &mut rng)).collect();
        let longest = *pauses.iter().max().unwrap();
        assert!(
            longest <= Duration::from_millis(bound),
            "{retry}: {longest:?}"
        );
        assert!(
            longest > Duration::from_millis(bound * 9 / 10),
            "{retry}: {longest:?}"
        );
    }
}
