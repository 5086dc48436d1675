//! Ejection by what real traffic shows, the way back, and the breaker.

use crate::support::answer::Step;
use crate::support::load::{Shape, Style};
use crate::support::{Answer, Gate, Origin, OriginProcess, Proxy, Reload, Setup, eventually};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Short enough for a test; the rest is as it is without being written.
const QUICK: &str = "[clusters.app.outlier]\nejection = \"500ms\"\n";

/// An origin that answers everything with a status that the test changes.
struct Moody {
    origin: Origin,
    status: Arc<AtomicU16>,
}

impl Moody {
    fn new(status: u16) -> Self {
        let status = Arc::new(AtomicU16::new(status));
        let inside = Arc::clone(&status);
        let origin = Origin::plan()
            .counts_only()
            .respond(move |request| Answer {
                status: inside.load(Ordering::SeqCst),
                ..Answer::ok(request.target.clone())
            })
            .start();
        Self { origin, status }
    }

    fn say(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn addr(&self) -> SocketAddr {
        self.origin.addr()
    }
}

fn in_state(proxy: &Proxy, state: &str) -> f64 {
    proxy.metric(
        "tidegate_upstream_endpoints",
        &[("cluster", "app"), ("state", state)],
    )
}

fn ejections(proxy: &Proxy, reason: &str, result: &str) -> f64 {
    proxy.metric(
        "tidegate_outlier_ejections_total",
        &[("cluster", "app"), ("reason", reason), ("result", result)],
    )
}

#[track_caller]
fn wait_state(proxy: &Proxy, state: &str, count: f64) {
    eventually(&format!("{count} {state}"), || {
        (in_state(proxy, state) == count).then_some(())
    });
}

fn addrs(crowd: &[Moody]) -> Vec<SocketAddr> {
    crowd.iter().map(Moody::addr).collect()
}

/// Without a word in the configuration: five failures in a row eject, and the state is told everywhere.
#[test]
fn who_fails_is_ejected_by_default() {
    let crowd = [Moody::new(503), Moody::new(200), Moody::new(200)];
    let proxy = Setup::over_with(&addrs(&crowd), "balancer = \"round_robin\"").start();
    let mut client = proxy.client();
    let statuses: Vec<u16> = (0..60).map(|_| client.get("/").status).collect();
    let failed = statuses.iter().filter(|status| **status == 503).count();
    // Two workers share what was seen, so five are enough whoever met them.
    assert_eq!(failed, 5, "{statuses:?}");
    assert_eq!(
        (in_state(&proxy, "ejected"), in_state(&proxy, "healthy")),
        (1.0, 2.0)
    );
    assert_eq!(ejections(&proxy, "consecutive_failures", "enforced"), 1.0);
    let status = proxy.status();
    let endpoints = status["clusters"][0]["endpoints"]
        .as_array()
        .unwrap()
        .clone();
    let ejected: Vec<_> = endpoints
        .iter()
        .filter(|e| e["state"] == "ejected")
        .collect();
    assert_eq!(ejected.len(), 1, "{status}");
    assert_eq!(ejected[0]["address"], crowd[0].addr().to_string());
    assert_eq!(ejected[0]["ejections"], 1);
    assert!(
        ejected[0]["ejected_for_seconds"].as_f64().unwrap() > 1.0,
        "{status}"
    );
    proxy.wait_output("endpoint is ejected");
}

/// One real request at a time decides; the others go elsewhere while it is under way.
#[test]
fn the_way_back_is_one_request_at_a_time() {
    let gate = Gate::shut();
    let (inside, ill) = (gate.clone(), Arc::new(AtomicUsize::new(1)));
    let (seen, sick) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&ill));
    let counted = Arc::clone(&seen);
    let patient = Origin::answering(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        if sick.load(Ordering::SeqCst) == 1 {
            Answer::status(503)
        } else {
            Answer::ok("back").held(&inside)
        }
    });
    let steady = Origin::named("steady");
    let keys = format!("balancer = \"round_robin\"\n{QUICK}");
    let proxy = Setup::over_with(&[patient.addr(), steady.addr()], &keys).start();
    let mut client = proxy.client();
    eventually("an ejection", || {
        client.get("/");
        (in_state(&proxy, "ejected") == 1.0).then_some(())
    });
    ill.store(0, Ordering::SeqCst);
    wait_state(&proxy, "probation", 1.0);
    let before = seen.load(Ordering::SeqCst);
    // Someone is on trial, held at the gate; thirty others are served by the other endpoint.
    let mut trial = Vec::new();
    eventually("a request on trial", || {
        let mut client = proxy.client();
        client.send("GET /trial HTTP/1.1\r\nHost: a\r\n\r\n");
        trial.push(client);
        (seen.load(Ordering::SeqCst) > before).then_some(())
    });
    for _ in 0..30 {
        assert_eq!(proxy.client().get("/").is(200).text(), "steady");
    }
    assert_eq!(seen.load(Ordering::SeqCst), before + 1, "one at a time");
    gate.open();
    wait_state(&proxy, "healthy", 2.0);
    let metrics = proxy.metrics();
    let labels = |to| [("cluster", "app"), ("to", to), ("cause", "passive")];
    let moves = |to| metrics.sum("tidegate_health_transitions_total", &labels(to));
    assert_eq!((moves("unhealthy"), moves("healthy")), (1.0, 1.0));
}

/// A probing request whose client leaves decides nothing, and keeps nobody away.
#[test]
fn a_trial_that_is_given_up_makes_room() {
    let gate = Gate::shut();
    let (inside, ill) = (gate.clone(), Arc::new(AtomicUsize::new(1)));
    let (seen, sick) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&ill));
    let counted = Arc::clone(&seen);
    let patient = Origin::answering(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        match sick.load(Ordering::SeqCst) {
            1 => Answer::status(503),
            2 => Answer::ok("late").held(&inside),
            _ => Answer::ok("back"),
        }
    });
    let steady = Origin::named("steady");
    let keys = format!("balancer = \"round_robin\"\n{QUICK}");
    let proxy = Setup::over_with(&[patient.addr(), steady.addr()], &keys).start();
    let mut client = proxy.client();
    eventually("an ejection", || {
        client.get("/");
        (in_state(&proxy, "ejected") == 1.0).then_some(())
    });
    ill.store(2, Ordering::SeqCst);
    wait_state(&proxy, "probation", 1.0);
    let before = seen.load(Ordering::SeqCst);
    let mut clients = Vec::new();
    eventually("a request on trial", || {
        let mut client = proxy.client();
        client.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
        clients.push(client);
        (seen.load(Ordering::SeqCst) > before).then_some(())
    });
    for client in clients {
        // A reset: a client that only closed its sending side would still want its answer.
        socket2::SockRef::from(&client.wire.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    ill.store(0, Ordering::SeqCst);
    eventually("it is back", || {
        proxy.client().get("/").is(200);
        (in_state(&proxy, "healthy") == 2.0).then_some(())
    });
    gate.open();
}

/// E-206: when everything fails, half of it stays, and what was prevented is counted.
#[test]
fn never_everybody_is_ejected() {
    let crowd: Vec<_> = (0..4).map(|_| Moody::new(503)).collect();
    let proxy = Setup::over_with(&addrs(&crowd), "balancer = \"round_robin\"").start();
    let tally = Shape::gets(4, Style::KeepAlive)
        .requests(50)
        .start(proxy.web)
        .join();
    assert_eq!(tally.bad.len(), 200, "each is answered");
    assert!(
        tally.bad.iter().all(|what| what.contains(" 503 ")),
        "{:?}",
        tally.bad[0]
    );
    assert_eq!(
        (in_state(&proxy, "ejected"), in_state(&proxy, "healthy")),
        (2.0, 2.0)
    );
    assert!(ejections(&proxy, "consecutive_failures", "capped") >= 1.0);
    // F-05 for what is not ejected: once it is well, it serves at once.
    for one in &crowd {
        one.say(200);
    }
    let mut client = proxy.client();
    for _ in 0..20 {
        client.get("/").is(200);
    }
}

#[test]
fn an_only_endpoint_and_a_cluster_that_says_so_eject_nobody() {
    let one = Moody::new(503);
    let proxy = Setup::over(&[one.addr()]).start();
    let mut client = proxy.client();
    for _ in 0..30 {
        client.get("/").is(503);
    }
    assert_eq!(in_state(&proxy, "ejected"), 0.0);
    let crowd = [Moody::new(503), Moody::new(200)];
    let keys = "balancer = \"round_robin\"\noutlier = { max_ejected = 0 }";
    let proxy = Setup::over_with(&addrs(&crowd), keys).start();
    let mut client = proxy.client();
    let failed = (0..40).filter(|_| client.get("/").status == 503).count();
    assert_eq!((failed, in_state(&proxy, "ejected")), (20, 0.0));
}

/// E-212: whoever answers 503 in no time looks idle to a balancer by load, and must not draw the traffic.
#[test]
fn a_black_hole_draws_nothing() {
    for balancer in ["least_request", "least_connections", "least_time"] {
        let crowd: Vec<_> = (0..5)
            .map(|n| Moody::new(if n == 0 { 503 } else { 200 }))
            .collect();
        let keys = format!("balancer = \"{balancer}\"");
        let proxy = Setup::over_with(&addrs(&crowd), &keys).start();
        let tally = Shape::gets(8, Style::KeepAlive)
            .requests(100)
            .start(proxy.web)
            .join();
        let hole = crowd[0].origin.count();
        // Five in a row, and what was under way beside them: far below the fair share of 160.
        assert!(hole <= 40, "{balancer}: {hole} of 800 to the black hole");
        assert_eq!(tally.good + tally.bad.len(), 800);
        assert_eq!(tally.bad.len(), hole, "{:?}", tally.bad.first());
        // least_time remembers a failure for so long that it may never meet five of them.
        let ejected = in_state(&proxy, "ejected") == 1.0;
        assert!(
            ejected || balancer == "least_time" && hole < 5,
            "{balancer}: {hole}"
        );
    }
}

/// A share of failures that is never five in a row.
#[test]
fn every_other_answer_is_too_many() {
    let turn = AtomicUsize::new(0);
    let flaky = Origin::answering(move |_| match turn.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => Answer::status(502),
        _ => Answer::ok("flaky"),
    });
    let steady = Origin::named("steady");
    let proxy = Setup::over_with(&[flaky.addr(), steady.addr()], "balancer = \"round_robin\"")
        .workers(1)
        .start();
    let mut client = proxy.client();
    let bad = (0..100).filter(|_| client.get("/").status == 502).count();
    assert_eq!(ejections(&proxy, "failure_rate", "enforced"), 1.0);
    assert_eq!(ejections(&proxy, "consecutive_failures", "enforced"), 0.0);
    // Looked at when one fails: the first failure after the twentieth answer.
    assert!((10..=11).contains(&bad), "{bad}");
}

/// F-03: the slow one of four is found by its peers.
#[test]
fn the_slow_one_is_ejected_by_latency() {
    let echo = || Origin::answering(|request| Answer::ok(request.target.clone()));
    let fast: Vec<_> = (0..3).map(|_| echo()).collect();
    let slow = Origin::answering(|request| {
        Answer::ok(request.target.clone()).first(Step::Pause(Duration::from_millis(150)))
    });
    let mut list: Vec<_> = fast.iter().map(Origin::addr).collect();
    list.push(slow.addr());
    let keys = "balancer = \"round_robin\"\n[clusters.app.outlier]\n\
                latency = { min_requests = 10, window = \"1m\" }";
    let proxy = Setup::over_with(&list, keys).start();
    let load = Shape::gets(4, Style::KeepAlive).start(proxy.web);
    wait_state(&proxy, "ejected", 1.0);
    assert_eq!(ejections(&proxy, "latency", "enforced"), 1.0);
    let before = slow.requests().len();
    load.everybody();
    load.more(200);
    load.stop().all_good();
    let after = slow.requests().len();
    assert!(
        after <= before + 4,
        "only what was under way: {before} → {after}"
    );
}

/// F-02: an endpoint that is stopped is ejected after five timeouts, and is back within five seconds of going on.
#[test]
fn a_stopped_endpoint_is_ejected_and_comes_back() {
    let origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let list: Vec<_> = origins.iter().map(OriginProcess::addr).collect();
    let keys = "balancer = \"round_robin\"\n[clusters.app.retry]\non = [\"connect\", \"reset\", \
                \"response_timeout\"]\nper_try_timeout = \"200ms\"\n\
                budget = { ratio = 1.0, min_per_second = 100 }\n\
                [clusters.app.outlier]\nejection = \"1s\"\nmax_ejection = \"1s\"";
    let proxy = Setup::over_with(&list, keys).start();
    let load = Shape::gets(4, Style::KeepAlive).start(proxy.web);
    load.more(50);
    origins[0].stop();
    wait_state(&proxy, "ejected", 1.0);
    origins[0].resume();
    wait_state(&proxy, "healthy", 3.0);
    load.stop().all_good();
    let timeouts = proxy.metric(
        "tidegate_upstream_requests_total",
        &[("cluster", "app"), ("code", "none")],
    );
    // Five, what ran beside them, and a probing request that met it still stopped.
    assert!((5.0..=12.0).contains(&timeouts), "{timeouts} timeouts");
}

/// F-30: with everything failing, retries stay within their budget, ejections or not, and recovery is immediate.
#[test]
fn a_retry_storm_stays_within_its_budget() {
    let crowd: Vec<_> = (0..4).map(|_| Moody::new(503)).collect();
    let keys = format!("retry = {{ on = [\"connect\", \"reset\", \"503\"] }}\n{QUICK}");
    let proxy = Setup::over_with(&addrs(&crowd), &keys).workers(1).start();
    let started = Instant::now();
    let tally = Shape::gets(8, Style::KeepAlive)
        .requests(100)
        .start(proxy.web)
        .join();
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(tally.bad.len(), 800);
    let attempts: usize = crowd.iter().map(|one| one.origin.count()).sum();
    // 20 % and three a second; ten seconds of the latter may be saved up.
    let most = 800.0 * 1.2 + 3.0 * (seconds + 10.0) + 1.0;
    assert!(
        attempts as f64 <= most,
        "{attempts} attempts of at most {most}"
    );
    for one in &crowd {
        one.say(200);
    }
    let mut client = proxy.client();
    for _ in 0..20 {
        client.get("/").is(200);
    }
}

/// Who comes back is not met by everybody at once: one request at a time until it has answered.
#[test]
fn no_herd_meets_who_comes_back() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let ill = Arc::new(AtomicUsize::new(1));
    let (sick, under_way, highest) = (Arc::clone(&ill), Arc::clone(&now), Arc::clone(&most));
    let patient = Origin::answering(move |_| {
        if sick.load(Ordering::SeqCst) == 1 {
            return Answer::status(503);
        }
        let beside = under_way.fetch_add(1, Ordering::SeqCst) + 1;
        highest.fetch_max(beside, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        under_way.fetch_sub(1, Ordering::SeqCst);
        Answer::status(503)
    });
    let steady = Origin::plan()
        .counts_only()
        .respond(|request| Answer::ok(request.target.clone()))
        .start();
    let keys = format!("balancer = \"round_robin\"\n{QUICK}");
    let proxy = Setup::over_with(&[patient.addr(), steady.addr()], &keys).start();
    let load = Shape::gets(16, Style::KeepAlive).start(proxy.web);
    wait_state(&proxy, "ejected", 1.0);
    load.everybody();
    ill.store(0, Ordering::SeqCst);
    // It fails each trial, so it never gets more than a trial.
    eventually("three failed trials", || {
        (ejections(&proxy, "probation", "enforced") >= 3.0).then_some(())
    });
    load.stop();
    assert_eq!(most.load(Ordering::SeqCst), 1, "requests at a time");
}

/// An ejection belongs to (cluster, address): a reload keeps it, and new thresholds start nothing anew.
#[test]
fn ejections_survive_a_reload() {
    let crowd = [Moody::new(503), Moody::new(200)];
    let keys = "balancer = \"round_robin\"";
    let setup = Setup::over_with(&addrs(&crowd), keys);
    let proxy = setup.start();
    let mut client = proxy.client();
    eventually("an ejection", || {
        client.get("/");
        (in_state(&proxy, "ejected") == 1.0).then_some(())
    });
    let other = "balancer = \"random\"\noutlier = { consecutive_failures = 50 }";
    let next = Setup::over_with(&addrs(&crowd), other).at(&setup);
    assert_eq!(proxy.reload(&next), Reload::Done);
    assert_eq!(in_state(&proxy, "ejected"), 1.0);
    for _ in 0..20 {
        client.get("/").is(200);
    }
    let off = "outlier = { max_ejected = 0 }";
    let next = Setup::over_with(&addrs(&crowd), off).at(&setup);
    assert_eq!(proxy.reload(&next), Reload::Done);
    wait_state(&proxy, "healthy", 2.0);
}

/// closed → open → half-open → closed, with its reason, Retry-After and metrics.
#[test]
fn the_breaker_opens_tries_and_closes() {
    let one = Moody::new(502);
    let keys = "breaker = { failures = 5, open = \"1s\", successes = 3 }\nretry = { attempts = 0 }";
    let proxy = Setup::over_with(&[one.addr()], keys).workers(2).start();
    let state = |state: &str| {
        let labels = [("cluster", "app"), ("state", state)];
        proxy.metric("tidegate_breaker_state", &labels)
    };
    assert_eq!(state("closed"), 1.0);
    for _ in 0..5 {
        proxy.get("/").is(502);
    }
    let refused = proxy.get("/");
    refused.is(503);
    assert!(
        refused.text().contains("reason: breaker_open"),
        "{}",
        refused.text()
    );
    assert_eq!(refused.one("retry-after"), Some("1"));
    assert_eq!((state("open"), one.origin.count()), (1.0, 5));
    let status = proxy.status();
    assert_eq!(
        status["clusters"][0]["breaker"]["state"], "open",
        "{status}"
    );
    assert!(
        proxy.metric(
            "tidegate_upstream_rejected_total",
            &[("cluster", "app"), ("reason", "breaker_open")]
        ) >= 1.0
    );
    eventually("half-open", || (state("half_open") == 1.0).then_some(()));
    // Still ill: one request goes through, and that opens it again.
    proxy.get("/").is(502);
    proxy.get("/").is(503);
    assert_eq!(one.origin.count(), 6);
    one.say(200);
    eventually("half-open again", || {
        (state("half_open") == 1.0).then_some(())
    });
    for _ in 0..3 {
        assert_eq!(state("closed"), 0.0);
        proxy.get("/").is(200);
    }
    assert_eq!(state("closed"), 1.0);
    let changes = |to| {
        let labels = [("cluster", "app"), ("to", to)];
        proxy.metric("tidegate_breaker_transitions_total", &labels)
    };
    assert_eq!(
        (changes("open"), changes("half_open"), changes("closed")),
        (2.0, 2.0, 1.0)
    );
}

/// Half-open is one exchange at a time: the others are refused at once and not queued.
#[test]
fn a_half_open_breaker_lets_one_through() {
    let gate = Gate::shut();
    let (inside, count) = (gate.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    let one = Origin::answering(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0..5 => Answer::status(503),
        _ => Answer::ok("well").held(&inside),
    });
    let keys = "breaker = { failures = 5, open = \"200ms\", successes = 1 }";
    let proxy = Setup::over_with(&[one.addr()], keys).start();
    for _ in 0..5 {
        proxy.get("/").is(503);
    }
    let labels = [("cluster", "app"), ("state", "half_open")];
    proxy.wait_metric("tidegate_breaker_state", &labels, |value| value == 1.0);
    let mut on_trial = proxy.client();
    on_trial.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("a request on trial", || {
        (count.load(Ordering::SeqCst) > 5).then_some(())
    });
    for _ in 0..20 {
        let refused = proxy.get("/");
        refused.is(503);
        assert!(
            refused.text().contains("breaker_open"),
            "{}",
            refused.text()
        );
    }
    assert_eq!(count.load(Ordering::SeqCst), 6);
    gate.open();
    assert_eq!(on_trial.response().is(200).text(), "well");
    proxy.get("/").is(200);
}
