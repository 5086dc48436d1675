//! Rate limits: what a client over its limit is told, and what an endpoint never hears of.

use crate::support::{Answer, Origin, Proxy, Reload, Setup};
use std::time::Instant;

/// A proxy with one limiter `l` on its one route.
fn limited(origin: &Origin, keys: &str) -> Setup {
    Setup::over(&[origin.addr()])
        .without_routes()
        .route(
            "all",
            "cluster = \"app\"\nfilters = [{ rate_limit = { limiter = \"l\" } }]",
        )
        .tail(&format!("[limiters.l]\n{keys}"))
}

fn ask(proxy: &Proxy, path: &str, fields: &str) -> crate::support::Response {
    let mut client = proxy.client();
    client.send(format!(
        "GET {path} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"
    ));
    client.response()
}

/// Ends a connection so that the other side cannot miss it.
fn reset(client: crate::support::Client) {
    let _ = socket2::SockRef::from(&client.wire.stream).set_linger(Some(std::time::Duration::ZERO));
    drop(client);
}

fn number(value: Option<&str>) -> u64 {
    value
        .and_then(|value| value.parse().ok())
        .expect("a number")
}

#[test]
fn over_the_limit_is_429_with_what_a_client_needs_to_come_back() {
    let origin = Origin::start();
    let keys = "algorithm = \"fixed_window\"\nkey = \"client_ip\"\nrate = 3\nper = \"1h\"";
    let proxy = limited(&origin, keys).start();
    let mut client = proxy.client();
    for left in [2, 1, 0] {
        let response = client.get("/");
        assert_eq!(response.status, 200);
        assert_eq!(response.one("ratelimit-policy"), Some("\"l\";q=3;w=3600"));
        let quota = response.one("ratelimit").unwrap();
        assert!(quota.starts_with(&format!("\"l\";r={left};t=")), "{quota}");
        assert!(!response.head.has("retry-after"));
    }
    let refused = client.get("/");
    assert_eq!(refused.status, 429);
    let wait = number(refused.one("retry-after"));
    assert!((1..=3600).contains(&wait), "{wait}");
    assert!(
        refused
            .one("ratelimit")
            .unwrap()
            .starts_with("\"l\";r=0;t=")
    );
    assert_eq!(
        refused.text(),
        "429 Too Many Requests\nreason: rate_limited (rate)\n"
    );
    assert_eq!(
        client.method("POST", "/", b"body").status,
        429,
        "the connection goes on"
    );
    assert_eq!(origin.count(), 3, "nothing of it reached the endpoint");
    let line = proxy.wait_line("a refused exchange", |line| line["status"] == 429);
    assert_eq!(line["reason"], "rate_limited");
    assert_eq!(
        (&line["detail"], &line["phase"]),
        (&"rate".into(), &"filter".into())
    );
    let decisions = "tidegate_ratelimit_decisions_total";
    let of = |decision| proxy.metric(decisions, &[("limiter", "l"), ("decision", decision)]);
    assert_eq!((of("allow"), of("deny")), (3.0, 2.0));
    assert_eq!(
        proxy.metric("tidegate_ratelimit_keys", &[("limiter", "l")]),
        1.0
    );
}

#[test]
fn plans_are_told_apart_by_a_field() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .route(
            "api",
            "path_prefix = \"/api/v1\"\ncluster = \"app\"\nfilters = [{ rate_limit = { limiter = \"plans\" } }]",
        )
        .route("rest", "cluster = \"app\"")
        .tail(
            "[limiters.plans]\nalgorithm = \"sliding_window\"\nkey = \"header:x-api-key\"\nrate = 50\nper = \"1m\"\n\
             tiers = [\n  { header = \"x-plan\", value = \"free\", rate = 100 },\n\
             \x20 { header = \"x-plan\", value = \"paid\", rate = 1000 },\n]",
        )
        .start();
    let passed = |fields: &str, requests: usize| {
        let mut client = proxy.client();
        let mut passed = 0;
        for _ in 0..requests {
            client.send(format!("GET /api/v1/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
            passed += usize::from(client.response().status == 200);
        }
        passed
    };
    // A minute may begin in between: what is left of the one before still counts.
    let about = |found: usize, limit: usize| (limit..=limit + limit / 10).contains(&found);
    let free = passed("x-api-key: f\r\nx-plan: free\r\n", 150);
    let default = passed("x-api-key: d\r\n", 80);
    let paid = passed("x-api-key: p\r\nx-plan: paid\r\n", 1200);
    assert!(
        about(free, 100) && about(default, 50) && about(paid, 1000),
        "{free} {default} {paid}"
    );
    assert_eq!(
        ask(&proxy, "/other", "x-api-key: d\r\n").status,
        200,
        "another route"
    );
}

#[test]
fn a_leaky_bucket_sends_requests_on_one_after_the_other() {
    let origin = Origin::start();
    let keys = "algorithm = \"leaky_bucket\"\nkey = \"global\"\nrate = 20\nper = \"1s\"\nburst = 5\nheaders = \"off\"";
    let proxy = limited(&origin, keys).start();
    let begin = Instant::now();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| ask(&proxy, "/", "").status))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let passed = answers.iter().filter(|status| **status == 200).count();
    // Those that were slow to come find room again.
    assert!((5..=8).contains(&passed), "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 200 | 429)));
    assert!(
        begin.elapsed().as_millis() >= 200,
        "the fifth waits for four intervals of 50 ms"
    );
    assert!(
        proxy.metric(
            "tidegate_ratelimit_decisions_total",
            &[("decision", "delay")]
        ) >= 4.0
    );
}

#[test]
fn a_client_that_leaves_while_it_waits_is_gone() {
    let origin = Origin::start();
    let keys = "key = \"global\"\nrate = 1\nper = \"1m\"\non_limit = { delay = { max = \"5m\" } }";
    let mut proxy = limited(&origin, keys).start();
    assert_eq!(ask(&proxy, "/", "").status, 200);
    let mut waiting = proxy.client();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let delayed = [("decision", "delay")];
    proxy.wait_metric("tidegate_ratelimit_decisions_total", &delayed, |count| {
        count == 1.0
    });
    reset(waiting);
    let line = proxy.wait_line("the client left", |line| line["reason"] == "client_abort");
    assert_eq!(line["phase"], "filter");

    // One that stays holds up a drain no longer than it may take.
    let mut waiting = proxy.client();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy.wait_metric("tidegate_ratelimit_decisions_total", &delayed, |count| {
        count == 2.0
    });
    proxy.signal("TERM");
    proxy.signal("TERM");
    proxy.ends_well();
    assert_eq!(origin.count(), 1);
}

#[test]
fn shadow_mode_changes_nothing_that_a_client_sees() {
    let origin = Origin::start();
    let keys = "key = \"client_ip\"\nrate = 1\nper = \"1h\"\non_limit = \"shadow\"";
    let proxy = limited(&origin, keys).start();
    for _ in 0..5 {
        let response = ask(&proxy, "/", "");
        assert_eq!(response.status, 200);
        assert!(!response.head.has("ratelimit") && !response.head.has("retry-after"));
    }
    let shadow = [("limiter", "l"), ("decision", "shadow_deny")];
    assert_eq!(
        proxy.metric("tidegate_ratelimit_decisions_total", &shadow),
        4.0
    );
}

#[test]
fn several_limiters_and_costs_add_up_and_each_tells_its_quota() {
    let origin = Origin::answering(|_| Answer::ok("x").field("RateLimit", "\"origin\";r=1"));
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .route(
            "all",
            "cluster = \"app\"\nfilters = [\n  { rate_limit = { limiter = \"outer\" } },\n\
             \x20 { rate_limit = { limiter = \"inner\", cost = 4 } },\n\
             \x20 { rate_limit = { limiter = \"old\" } },\n]",
        )
        .tail(
            "[limiters.outer]\nkey = \"client_ip\"\nrate = 100\nper = \"1h\"\n\
             [limiters.inner]\nkey = [\"client_ip\", \"path\"]\nrate = 10\nper = \"1h\"\n\
             [limiters.old]\nkey = \"route\"\nrate = 50\nper = \"1h\"\nheaders = \"x_ratelimit\"",
        )
        .start();
    let response = ask(&proxy, "/a", "");
    let quotas: Vec<_> = response.head.all("ratelimit").collect();
    assert_eq!(quotas[0], "\"origin\";r=1");
    assert!(
        quotas
            .iter()
            .any(|quota| quota.starts_with("\"outer\";r=99;t=")),
        "{quotas:?}"
    );
    assert!(
        quotas
            .iter()
            .any(|quota| quota.starts_with("\"inner\";r=6;t=")),
        "{quotas:?}"
    );
    assert_eq!(response.one("x-ratelimit-limit"), Some("50"));
    assert_eq!(response.one("x-ratelimit-remaining"), Some("49"));
    assert!(number(response.one("x-ratelimit-reset")) >= 1);
    assert_eq!(ask(&proxy, "/a", "").status, 200);
    let refused = ask(&proxy, "/a", "");
    assert_eq!(refused.status, 429);
    assert!(
        !refused.head.has("x-ratelimit-limit"),
        "the third was not asked"
    );
    assert_eq!(ask(&proxy, "/b", "").status, 200, "another path");
}

#[test]
fn counters_outlive_a_reload() {
    let origin = Origin::start();
    let keys = |rate: u32| {
        format!("algorithm = \"sliding_log\"\nkey = \"client_ip\"\nrate = {rate}\nper = \"1h\"")
    };
    let setup = limited(&origin, &keys(3));
    let proxy = setup.start();
    let statuses =
        |count: usize| -> Vec<u16> { (0..count).map(|_| ask(&proxy, "/", "").status).collect() };
    assert_eq!(statuses(4), [200, 200, 200, 429]);
    let more = limited(&origin, &keys(5)).at(&setup);
    assert_eq!(proxy.reload(&more), Reload::Done);
    assert_eq!(
        statuses(3),
        [200, 200, 429],
        "three of the five were spent before"
    );
    let allow = [("limiter", "l"), ("decision", "allow")];
    assert_eq!(
        proxy.metric("tidegate_ratelimit_decisions_total", &allow),
        5.0
    );
    let broken = limited(&origin, "key = \"nobody\"\nrate = 5").at(&setup);
    assert_eq!(proxy.reload(&broken), Reload::Refused);
    assert_eq!(statuses(1), [429]);
}

#[test]
fn a_request_that_waits_goes_on_with_its_body() {
    let origin = Origin::start();
    let keys = "key = \"global\"\nrate = 5\nper = \"1s\"\nburst = 1\non_limit = { delay = { max = \"10s\" } }";
    let proxy = limited(&origin, keys).start();
    let body = vec![b'x'; 100_000];
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.post("/", &body).status, 200);
    }
    assert_eq!(origin.count(), 3);
}
