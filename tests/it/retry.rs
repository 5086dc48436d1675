//! What is tried again, and what must never be.

use crate::support::answer::Step;
use crate::support::client::pattern;
use crate::support::{Answer, Gate, Origin, Proxy, Setup, endpoint, ports};
use std::collections::HashMap;
use std::time::Instant;

/// Turn by turn, so that the failing endpoint gets its share of first tries.
/// In turn, and whoever fails keeps its turns: who is ejected meets no retry.
const TURNS: &str = "balancer = \"round_robin\"
outlier = { max_ejected = 0 }";

/// Where only the rule is tested, not the budget.
const GENEROUS: &str = "[clusters.app.retry]\nbudget = { ratio = 1.0, min_per_second = 100 }";

/// An origin that takes the whole request and then closes without a word.
fn rude(last: Step) -> Origin {
    Origin::answering(move |_| Answer::silence().then(last.clone()))
}

fn nonce_post(proxy: &Proxy, nonce: &str) -> u16 {
    let mut client = proxy.client();
    client.send(format!(
        "POST /{nonce} HTTP/1.1\r\nHost: a\r\nX-Nonce: {nonce}\r\nContent-Length: 4\r\n\r\nbody"
    ));
    client.response_to("POST").status
}

/// Nothing was written: any method goes to another endpoint.
#[test]
fn a_refused_connection_is_tried_elsewhere_for_any_method() {
    let origin = Origin::answering(|request| Answer::ok(request.body.clone()));
    let keys = format!("{TURNS}\n{GENEROUS}");
    let proxy = Setup::over_with(&[ports::free(), origin.addr()], &keys)
        .workers(1)
        .start();
    for at in 0..10 {
        for method in ["POST", "PATCH", "GET", "DELETE"] {
            let body = pattern(1000 + at);
            assert!(proxy.client().method(method, "/", &body).is(200).body == body);
        }
    }
    assert_eq!(origin.count(), 40, "each exactly once");
    let log = proxy.wait_log(40);
    let twice = log.iter().filter(|line| line["attempts"] == 2).count();
    let once = log.iter().filter(|line| line["attempts"] == 1).count();
    assert_eq!(once + twice, 40, "{log:?}");
    assert!(twice > 5, "{twice} of 40 met the dead endpoint first");
    assert!(
        log.iter()
            .all(|line| line["endpoint"] == origin.addr().to_string()),
        "{}",
        log[0]
    );
    let failures = proxy.metric(
        "tidegate_upstream_connect_failures_total",
        &[("cluster", "app")],
    );
    assert_eq!(failures, twice as f64);
}

#[test]
fn without_another_endpoint_the_client_hears_of_it() {
    let proxy = Setup::over(&[ports::free(), ports::free()]).start();
    for method in ["GET", "POST"] {
        proxy.client().method(method, "/", b"").is(502);
    }
    for line in proxy.wait_log(2) {
        assert_eq!(
            (&line["reason"], &line["phase"], &line["side"]),
            (
                &"connect_refused".into(),
                &"connect".into(),
                &"upstream".into()
            ),
            "{line}"
        );
        assert!(line["attempts"].as_u64() >= Some(2), "{line}");
    }
}

/// F-01a: the request was written, no byte came back.
#[test]
fn a_reset_before_the_answer_is_retried_only_where_it_is_safe() {
    for last in [Step::Reset, Step::Close] {
        let (bad, good) = (rude(last.clone()), Origin::start());
        // Only the rule is tested here, not the budget.
        let keys = format!(
            "{TURNS}\n[clusters.app.retry]\nbudget = {{ ratio = 1.0, min_per_second = 100 }}"
        );
        let proxy = Setup::over_with(&[bad.addr(), good.addr()], &keys)
            .workers(1)
            .start();
        for at in 0..20 {
            proxy.get(&format!("/{at}")).is(200);
        }
        assert!(
            bad.count() > 5,
            "{} of 20 met the rude endpoint",
            bad.count()
        );
        assert_eq!(good.count(), 20);

        let (mut lost, before) = (0, (bad.count(), good.count()));
        for at in 0..20 {
            match nonce_post(&proxy, &format!("p{at}")) {
                200 => {}
                502 => lost += 1,
                status => panic!("{status}"),
            }
        }
        assert_eq!(
            bad.count() - before.0,
            lost,
            "every POST that arrived there is a 502"
        );
        assert_eq!(good.count() - before.1, 20 - lost);
        let mut seen: HashMap<String, usize> = HashMap::new();
        for request in bad.requests().iter().chain(&good.requests()) {
            if request.method == "POST" {
                *seen.entry(request.target.clone()).or_default() += 1;
            }
        }
        assert!(
            seen.len() == 20 && seen.values().all(|count| *count == 1),
            "{seen:?}"
        );
        let log = proxy.wait_log(40);
        let failed: Vec<_> = log.iter().filter(|line| line["status"] == 502).collect();
        assert_eq!(failed.len(), lost);
        for line in failed {
            assert_eq!(
                (&line["reason"], &line["attempts"]),
                (&"upstream_reset".into(), &1.into()),
                "{line}"
            );
        }
        assert!(
            log.iter()
                .any(|line| line["method"] == "GET" && line["attempts"] == 2)
        );
    }
}

/// F-01b: an idempotent request with a body goes again if the body is still there.
#[test]
fn a_small_body_is_replayed_and_a_large_one_is_not() {
    let (bad, good) = (
        rude(Step::Close),
        Origin::answering(|r| Answer::ok(r.body.clone())),
    );
    let keys =
        format!("{TURNS}\n[clusters.app.retry]\nbudget = {{ ratio = 1.0, min_per_second = 100 }}");
    let proxy = Setup::over_with(&[bad.addr(), good.addr()], &keys)
        .workers(1)
        .start();
    let small = pattern(60 * 1024);
    for at in 0..8 {
        let mut client = proxy.client();
        if at % 4 < 2 {
            assert!(client.method("PUT", "/small", &small).is(200).body == small);
        } else {
            client.send("PUT /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            client.send(crate::support::client::chunks(&small, 5000));
            assert!(client.response().is(200).body == small);
        }
    }
    assert!(bad.count() >= 2, "{}", bad.count());
    let large = pattern(1 << 20);
    let statuses: Vec<_> = (0..4)
        .map(|_| proxy.client().method("PUT", "/large", &large).status)
        .collect();
    assert!(
        statuses.contains(&200) && statuses.contains(&502),
        "{statuses:?}"
    );
    for request in good.requests() {
        assert!(
            request.body == small || request.body == large,
            "{} bytes",
            request.body.len()
        );
    }
}

/// Once a response has begun there is no second try, and no second request.
#[test]
fn a_begun_response_is_never_tried_again() {
    let origins: Vec<_> = (0..2)
        .map(|_| Origin::answering(|_| Answer::ok(pattern(100_000)).cut(500, Step::Close)))
        .collect();
    let proxy = Setup::over_with(&[origins[0].addr(), origins[1].addr()], TURNS).start();
    for at in 1..=6 {
        let _ = proxy.client().try_get("/");
        assert_eq!(origins[0].count() + origins[1].count(), at);
    }
    assert!(proxy.wait_log(6).iter().all(|line| line["attempts"] == 1));
}

#[test]
fn tries_end_at_the_configured_number() {
    for attempts in [0, 1, 2, 4] {
        let origins: Vec<_> = (0..6).map(|_| rude(Step::Close)).collect();
        let addrs: Vec<_> = origins.iter().map(Origin::addr).collect();
        let keys = format!(
            "[clusters.app.retry]\nattempts = {attempts}\nbudget = {{ ratio = 1.0, min_per_second = 100 }}"
        );
        let proxy = Setup::over_with(&addrs, &keys).start();
        proxy.get("/").is(502);
        let seen: usize = origins.iter().map(Origin::count).sum();
        assert_eq!(seen, attempts + 1);
        assert_eq!(proxy.wait_log(1)[0]["attempts"], attempts + 1);
        assert!(
            origins.iter().all(|origin| origin.count() <= 1),
            "each at another endpoint"
        );
    }
}

#[test]
fn configured_statuses_are_tried_elsewhere() {
    let bad = Origin::answering(|_| Answer {
        status: 503,
        ..Answer::ok("busy")
    });
    let good = Origin::start();
    let retry = "[clusters.app.retry]\non = [\"connect\", \"reset\", \"503\"]\n\
                 budget = { ratio = 1.0, min_per_second = 100 }";
    let keys = format!("{TURNS}\n{retry}");
    let proxy = Setup::over_with(&[bad.addr(), good.addr()], &keys).start();
    for _ in 0..10 {
        proxy.get("/").is(200);
    }
    let statuses: Vec<_> = (0..10)
        .map(|_| proxy.client().post("/", b"x").status)
        .collect();
    assert!(
        statuses.contains(&503),
        "a POST is not repeated: {statuses:?}"
    );
    // Not listed: passed on.
    let proxy = Setup::over_with(&[bad.addr(), good.addr()], TURNS).start();
    let statuses: Vec<_> = (0..10).map(|_| proxy.get("/").status).collect();
    assert!(
        statuses.contains(&503) && statuses.contains(&200),
        "{statuses:?}"
    );
}

/// Only listed methods: the file may say less than the default.
#[test]
fn only_listed_methods_are_tried_again() {
    let (bad, good) = (rude(Step::Close), Origin::start());
    let keys = format!("{TURNS}\n[clusters.app.retry]\nmethods = [\"HEAD\"]");
    let proxy = Setup::over_with(&[bad.addr(), good.addr()], &keys)
        .workers(1)
        .start();
    let gets: Vec<_> = (0..6).map(|_| proxy.get("/").status).collect();
    assert!(gets.contains(&502), "{gets:?}");
    for _ in 0..6 {
        proxy.client().method("HEAD", "/", b"").is(200);
    }
}

/// F-30: when everything fails, retries add a share and no more.
#[test]
fn the_budget_bounds_a_storm() {
    let origin = Origin::plan()
        .counts_only()
        .respond(|_| Answer {
            status: 503,
            ..Answer::ok("busy")
        })
        .start();
    let retry = "[clusters.app.retry]\nattempts = 3\non = [\"503\"]";
    let proxy = Setup::over_with(&[origin.addr()], retry).start();
    let start = Instant::now();
    let mut client = proxy.client();
    let sent = 1000;
    for _ in 0..sent {
        client.get("/");
    }
    // 20 % and 3 a second, over a window of 10 s that began empty.
    let floor = 3.0 * (start.elapsed().as_secs_f64() + 10.0);
    let most = f64::from(sent) * 1.2 + floor + 10.0;
    assert!(
        (origin.count() as f64) <= most,
        "{} attempts for {sent}",
        origin.count()
    );
    assert!(
        origin.count() > usize::try_from(sent).unwrap() + 50,
        "{} attempts",
        origin.count()
    );
    let denied = proxy.metric(
        "tidegate_upstream_retry_denied_total",
        &[("cluster", "app")],
    );
    assert!(denied > 100.0, "{denied}");
}

#[test]
fn an_empty_budget_allows_nothing() {
    let origin = rude(Step::Close);
    let retry = "[clusters.app.retry]\nbudget = { ratio = 0.0, min_per_second = 0 }";
    let proxy = Setup::over_with(&[origin.addr()], retry).start();
    for at in 1..=5 {
        proxy.get("/").is(502);
        assert_eq!(origin.count(), at);
    }
}

/// A client that is gone is not worth a second try.
#[test]
fn nothing_is_tried_again_for_a_client_that_is_gone() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let bad = Origin::answering(move |_| {
        Answer::silence()
            .then(Step::Hold(inside.clone()))
            .then(Step::Close)
    });
    let proxy = Setup::over(&[bad.addr()]).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    bad.wait(1);
    // A reset, not a half-close: this client can hear no answer.
    socket2::SockRef::from(&client.wire.stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(client);
    let line = proxy.wait_line("the client's end", |_| true);
    assert_eq!(line["reason"], "client_abort", "{line}");
    gate.open();
    bad.wait_closed(1);
    assert_eq!(bad.count(), 1);
}

/// A per-try limit moves a request from an endpoint that hangs.
#[test]
fn a_slow_try_gives_way_when_that_is_configured() {
    let (bad, good) = (rude(Step::Hang), Origin::start());
    let retry = "[clusters.app.retry]\non = [\"connect\", \"reset\", \"response_timeout\"]\n\
                 per_try_timeout = \"200ms\"\nbudget = { ratio = 1.0, min_per_second = 100 }";
    let keys = format!("{TURNS}\n{retry}");
    let proxy = Setup::new()
        .cluster("app", &[endpoint(bad.addr()), endpoint(good.addr())], &keys)
        .route("all", "cluster = \"app\"")
        .workers(1)
        .start();
    for _ in 0..4 {
        proxy.get("/").is(200);
    }
    assert!(bad.count() >= 1);
    let statuses: Vec<_> = (0..4)
        .map(|_| proxy.client().post("/", b"x").status)
        .collect();
    assert!(
        statuses.contains(&504) && statuses.contains(&200),
        "{statuses:?}"
    );
}

/// The log says why there was no further try, whether the client got a refusal or an answer that is listed.
#[test]
fn the_log_says_why_a_retry_was_not_made() {
    let busy = || Answer {
        status: 503,
        ..Answer::ok("busy")
    };
    let origins: Vec<_> = (0..4).map(|_| Origin::answering(move |_| busy())).collect();
    let addrs: Vec<_> = origins.iter().map(Origin::addr).collect();
    let ask = |keys: &str, method: &str, body: &[u8]| {
        let proxy = Setup::over_with(&addrs, &format!("[clusters.app.retry]\n{keys}")).start();
        let status = proxy.client().method(method, "/", body).status;
        assert_eq!(status, 503, "the endpoint's own answer");
        let line = proxy.wait_log(1).remove(0);
        let detail = line["detail"].as_str().unwrap_or_default().to_owned();
        if !detail.is_empty() {
            let labels = [("cluster", "app"), ("reason", detail.as_str())];
            let denied = proxy.metric("tidegate_upstream_retry_denied_total", &labels);
            assert_eq!(denied, 1.0, "{line}");
        }
        (detail, line["attempts"].as_u64().unwrap_or_default())
    };
    let on = "on = [\"503\"]\nbackoff = { base = \"0s\" }";
    let table: [(&str, &str, &[u8], &str, u64); 7] = [
        ("attempts = 2", "GET", b"", "attempts", 3),
        ("attempts = 0", "GET", b"", "attempts", 1),
        ("attempts = 2", "POST", b"x", "not_idempotent", 1),
        (
            "replay_buffer = \"4B\"",
            "PUT",
            b"longer",
            "body_not_replayable",
            1,
        ),
        (
            "budget = { ratio = 0.0, min_per_second = 0 }",
            "GET",
            b"",
            "budget_empty",
            1,
        ),
        ("methods = []", "GET", b"", "not_idempotent", 1),
        ("attempts = 4", "HEAD", b"", "attempts", 5),
    ];
    for (keys, method, body, detail, attempts) in table {
        let seen = ask(&format!("{on}\n{keys}"), method, body);
        assert_eq!(seen, (detail.to_owned(), attempts), "{keys} {method}");
    }
    // What the configuration does not list needs no reason.
    assert_eq!(ask("attempts = 2", "GET", b""), (String::new(), 1));
}

/// `timeouts.request` caps all tries: a pause that it does not leave room for is not begun.
#[test]
fn the_time_of_the_whole_exchange_caps_the_tries() {
    let origin = rude(Step::Close);
    let keys = "[clusters.app.retry]\nattempts = 8\n\
                budget = { ratio = 1.0, min_per_second = 100 }\n\
                backoff = { base = \"1h\", max = \"1h\" }";
    let proxy = Setup::new()
        .cluster("app", &[endpoint(origin.addr())], keys)
        .route(
            "all",
            "cluster = \"app\"\ntimeouts = { request = \"500ms\" }",
        )
        .start();
    // Once in thousands the jitter draws a pause that fits.
    let mut client = proxy.client();
    let statuses: Vec<_> = (0..5).map(|_| client.get("/").status).collect();
    assert!(
        statuses.iter().filter(|status| **status == 502).count() >= 4,
        "{statuses:?}"
    );
    let log = proxy.wait_log(5);
    let denied = log.iter().filter(|line| line["detail"] == "deadline");
    assert!(denied.count() >= 4, "{log:?}");
}

/// Who is not there says nothing of load: another endpoint is asked without a pause, and only one that was asked before is
/// given time.
#[test]
fn an_endpoint_that_is_not_there_costs_no_pause() {
    let origin = Origin::answering(|_| Answer::ok("whole"));
    let rude = rude(Step::Close);
    let keys = format!(
        "{TURNS}\n[clusters.app.retry]\nbudget = {{ ratio = 1.0, min_per_second = 100 }}\n\
         backoff = {{ base = \"1h\", max = \"1h\" }}"
    );
    let addrs = [ports::free(), rude.addr(), origin.addr()];
    let proxy = Setup::over_with(&addrs, &keys).workers(1).start();
    for _ in 0..9 {
        assert_eq!(proxy.client().get("/").is(200).body, b"whole");
    }
    let log = proxy.wait_log(9);
    let thrice = log.iter().filter(|line| line["attempts"] == 3).count();
    assert!(thrice >= 3 && rude.count() >= thrice, "{log:?}");
    assert_eq!(origin.count(), 9, "{log:?}");
}

/// A client that leaves in the pause is not tried for again.
#[test]
fn the_pause_ends_with_the_client() {
    let origin = rude(Step::Close);
    let keys = "[clusters.app.retry]\nbudget = { ratio = 1.0, min_per_second = 100 }\n\
                backoff = { base = \"1h\", max = \"1h\" }";
    let mut proxy = Setup::over_with(&[origin.addr()], keys).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_closed(1);
    socket2::SockRef::from(&client.wire.stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(client);
    let line = proxy.wait_line("the client's end", |_| true);
    assert_eq!(line["reason"], "client_abort", "{line}");
    assert_eq!((origin.count(), &line["attempts"]), (1, &1.into()));
    // Nor does a drain that is out of time wait for it.
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_closed(2);
    proxy.signal("TERM");
    proxy.signal("TERM");
    proxy.wait_exit(crate::support::DEADLINE);
    assert_eq!(origin.count(), 2);
}
