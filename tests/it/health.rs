//! Probes: who is down leaves at once and comes back; backups stand in; nobody left is said at once.

use crate::support::{Answer, Origin, Proxy, Received, Setup, backup, endpoint, eventually, ports};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FAST: &str = "interval = \"100ms\"\ntimeout = \"2s\"\nrise = 2\nfall = 2";

/// An origin whose health can be switched, with its name as the answer to everything else.
struct Patient {
    origin: Origin,
    well: Arc<AtomicBool>,
}

impl Patient {
    fn named(name: &'static str) -> Self {
        let well = Arc::new(AtomicBool::new(true));
        let inside = Arc::clone(&well);
        let answer = move |request: &Received| match request.target.as_str() {
            "/healthz" if inside.load(Ordering::SeqCst) => Answer::ok("ok"),
            "/healthz" => Answer {
                status: 503,
                ..Answer::ok("ill")
            },
            _ => Answer::ok(name),
        };
        Self {
            origin: Origin::answering(answer),
            well,
        }
    }

    fn falls_ill(&self) {
        self.well.store(false, Ordering::SeqCst);
    }

    fn recovers(&self) {
        self.well.store(true, Ordering::SeqCst);
    }

    fn probes(&self) -> usize {
        self.origin
            .requests()
            .iter()
            .filter(|request| request.target == "/healthz")
            .count()
    }
}

fn http(more: &str) -> String {
    format!("[clusters.app.health]\ncheck = {{ http = {{ path = \"/healthz\"{more} }} }}\n{FAST}")
}

fn in_state(proxy: &Proxy, state: &str) -> f64 {
    proxy.metric(
        "tidegate_upstream_endpoints",
        &[("cluster", "app"), ("state", state)],
    )
}

#[track_caller]
fn wait_state(proxy: &Proxy, state: &str, count: f64) {
    eventually(&format!("{count} {state}"), || {
        (in_state(proxy, state) == count).then_some(())
    });
}

/// The names that answer twenty requests.
fn answering(proxy: &Proxy) -> Vec<String> {
    let mut client = proxy.client();
    let mut names: Vec<_> = (0..20).map(|_| client.get("/").is(200).text()).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn an_ill_endpoint_leaves_and_comes_back() {
    let (one, two) = (Patient::named("one"), Patient::named("two"));
    let keys = format!("balancer = \"round_robin\"\n{}", http(""));
    let proxy = Setup::over_with(&[one.origin.addr(), two.origin.addr()], &keys).start();
    wait_state(&proxy, "healthy", 2.0);
    assert_eq!(answering(&proxy), ["one", "two"]);
    one.falls_ill();
    wait_state(&proxy, "unhealthy", 1.0);
    assert_eq!(answering(&proxy), ["two"]);
    let shown = &proxy.status()["clusters"][0];
    let [ill, well] = [0, 1].map(|at| &shown["endpoints"][at]);
    assert_eq!(ill["last_probe"]["result"], "fail", "{shown}");
    assert_eq!(ill["last_probe"]["why"], "status 503");
    assert_eq!(well["last_probe"]["result"], "pass");
    assert!(well["last_probe"]["age_seconds"].as_f64().unwrap() < 5.0);
    assert!(well["response_seconds"].as_f64().unwrap() > 0.0);
    one.recovers();
    wait_state(&proxy, "healthy", 2.0);
    assert_eq!(answering(&proxy), ["one", "two"]);
    let metrics = proxy.metrics();
    let moves = |to| {
        metrics.sum(
            "tidegate_health_transitions_total",
            &[("cluster", "app"), ("to", to)],
        )
    };
    assert_eq!(
        (moves("unhealthy"), moves("healthy")),
        (1.0, 1.0),
        "{}",
        metrics.text
    );
    assert!(metrics.sum("tidegate_health_checks_total", &[("cluster", "app")]) >= 6.0);
    let addr = one.origin.addr().to_string();
    let said = proxy.output();
    assert!(
        said.lines().filter(|line| line.contains(&addr)).count() >= 2,
        "{said}"
    );
    let status = proxy.status().to_string();
    assert!(
        status.contains(&addr) && status.contains("healthy"),
        "{status}"
    );
}

/// The probe is an HTTP request with the configured host, and the answer is looked at.
#[test]
fn probes_say_and_expect_what_is_configured() {
    let answer = |request: &Received| match request.target.as_str() {
        "/healthz" => Answer {
            status: 299,
            ..Answer::ok("state: good")
        },
        _ => Answer::ok("x"),
    };
    let probed = Origin::answering(answer);
    let more = ", host = \"api.internal\", status = [\"299\"], body_contains = \"good\"";
    let proxy = Setup::over_with(&[probed.addr()], &http(more)).start();
    let probe = probed.wait(4);
    assert_eq!(
        (probe.method.as_str(), probe.one("host")),
        ("GET", Some("api.internal"))
    );
    assert_eq!(in_state(&proxy, "healthy"), 1.0);
    for more in [
        ", status = [\"200-298\"]",
        ", status = [\"200-299\"], body_contains = \"better\"",
    ] {
        let proxy = Setup::over_with(&[probed.addr()], &http(more)).start();
        wait_state(&proxy, "unhealthy", 1.0);
    }
}

#[test]
fn tcp_probes_follow_the_port() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let keys = format!(
        "balancer = \"round_robin\"\n[clusters.app.health]\ncheck = {{ tcp = {{}} }}\n{FAST}"
    );
    let proxy = Setup::over_with(&[one.addr(), two.addr()], &keys).start();
    wait_state(&proxy, "healthy", 2.0);
    let addr = one.stop();
    wait_state(&proxy, "unhealthy", 1.0);
    assert_eq!(answering(&proxy), ["two"]);
    let _again = Origin::plan().respond(|_| Answer::ok("one")).start_at(addr);
    wait_state(&proxy, "healthy", 2.0);
    assert_eq!(answering(&proxy), ["one", "two"]);
}

#[test]
fn an_endpoint_may_have_to_prove_itself_first() {
    let patient = Patient::named("one");
    patient.falls_ill();
    let keys = http("") + "\ninitial = \"unhealthy\"";
    let proxy = Setup::over_with(&[patient.origin.addr()], &keys).start();
    proxy.get("/").is(503);
    patient.recovers();
    wait_state(&proxy, "healthy", 1.0);
    proxy.get("/").is(200);
}

#[test]
fn backups_stand_in() {
    let (main, spare) = (Patient::named("main"), Patient::named("spare"));
    let list = [endpoint(main.origin.addr()), backup(spare.origin.addr())];
    let proxy = Setup::new()
        .cluster("app", &list, &http(""))
        .route("all", "cluster = \"app\"")
        .start();
    wait_state(&proxy, "healthy", 2.0);
    assert_eq!(answering(&proxy), ["main"]);
    main.falls_ill();
    wait_state(&proxy, "unhealthy", 1.0);
    assert_eq!(answering(&proxy), ["spare"]);
    main.recovers();
    wait_state(&proxy, "healthy", 2.0);
    assert_eq!(answering(&proxy), ["main"]);
}

/// F-05: nobody left: 503 with Retry-After, no connection, no waiting.
#[test]
fn no_endpoint_left_is_said_at_once() {
    let patient = Patient::named("one");
    let proxy = Setup::over_with(&[patient.origin.addr()], &http("")).start();
    proxy.get("/").is(200);
    patient.falls_ill();
    wait_state(&proxy, "unhealthy", 1.0);
    let mut client = proxy.client();
    for at in 0..50 {
        let response = if at % 2 == 0 {
            client.get("/")
        } else {
            client.post("/", b"abc")
        };
        response.is(503);
        let wait = response.one("retry-after").expect("Retry-After");
        assert!(
            wait.parse::<u32>().is_ok_and(|seconds| seconds > 0),
            "{wait}"
        );
        assert!(!response.closes(), "the connection did nothing wrong");
    }
    let log = proxy.wait_log(51);
    let told = |line: &&serde_json::Value| line["reason"] == "no_endpoint" && line["attempts"] == 0;
    assert_eq!(log.iter().filter(told).count(), 50, "{log:?}");
    let rejected = proxy.metric("tidegate_upstream_rejected_total", &[("cluster", "app")]);
    assert_eq!(rejected, 50.0);
    patient.recovers();
    wait_state(&proxy, "healthy", 1.0);
    client.get("/").is(200);
}

/// An endpoint without probes is there until a connection fails: no probe, no state.
#[test]
fn without_a_check_nobody_is_probed() {
    let patient = Patient::named("one");
    let proxy = Setup::over(&[patient.origin.addr(), ports::free()]).start();
    for _ in 0..10 {
        proxy.get("/").is(200);
    }
    assert_eq!(patient.probes(), 0);
}

/// A reload keeps what is known: an ill endpoint does not come back by being configured again.
#[test]
fn a_reload_keeps_what_probes_have_found() {
    let (one, two) = (Patient::named("one"), Patient::named("two"));
    let keys = format!("balancer = \"round_robin\"\n{}", http(""));
    let setup = Setup::over_with(&[one.origin.addr(), two.origin.addr()], &keys);
    let proxy = setup.start();
    one.falls_ill();
    wait_state(&proxy, "unhealthy", 1.0);
    for weight in 1..4 {
        let more = setup
            .clone()
            .route("more", &format!("path = \"/{weight}\"\ncluster = \"app\""));
        assert_eq!(proxy.reload(&more), crate::support::Reload::Done);
        assert_eq!(in_state(&proxy, "unhealthy"), 1.0);
        assert_eq!(answering(&proxy), ["two"]);
    }
    one.recovers();
    wait_state(&proxy, "healthy", 2.0);
}
