//! Memory for what peers make us hold: every level of the ledger sheds what it says, and nothing is left behind.

use crate::support::client::{chunks, pattern, with_body};
use crate::support::{Answer, Client, Gate, Origin, Proxy, Reload, Setup, eventually};
use serde_json::Value;

const HOLDERS: usize = 300;
const BODY: usize = 60 * 1024;

fn rejected(proxy: &Proxy) -> f64 {
    let labels = [("reason", "overloaded"), ("detail", "memory")];
    proxy.metric("tidegate_connections_rejected_total", &labels)
}

/// What is held when nothing moves any more.
fn settled(proxy: &Proxy) -> f64 {
    let held = || proxy.metric("tidegate_memory_bytes", &[]);
    let mut before = held();
    eventually("what is held has settled", || {
        // Longer than a tick, at which workers weigh what is spare.
        std::thread::sleep(std::time::Duration::from_millis(250));
        let now = held();
        let same = std::mem::replace(&mut before, now) == now;
        same.then_some(now)
    })
}

/// What is held is some share (in percent) of the budget from now on.
#[track_caller]
fn share(proxy: &Proxy, setup: &Setup, percent: f64, level: f64, name: &str) {
    let held = settled(proxy);
    let budget = format!("\"{:.0}B\"", held / percent * 100.0);
    assert_eq!(
        proxy.reload(&setup.clone().runtime("memory", &budget)),
        Reload::Done
    );
    eventually(&format!("{name}, with {budget} for {held}"), || {
        let now = proxy.metric("tidegate_overload_level", &[]);
        (now == level).then_some(())
    });
    assert_eq!(proxy.status()["overload"]["level"], name);
    // The worker has seen it too.
    proxy.wait_metric("tidegate_overloads_total", &[("level", name)], |n| n >= 1.0);
}

#[test]
fn every_level_sheds_and_recovers() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let origin = Origin::answering(move |request| match request.method.as_str() {
        "PUT" => Answer::ok("at last").held(&inside),
        _ if request.target == "/busy" => Answer::status(503),
        _ => Answer::ok("x"),
    });
    let setup = Setup::over_with(&[origin.addr()], "retry = { on = [503] }").workers(1);
    let proxy = setup.clone().runtime("memory", "\"64MiB\"").start();
    // What may have to be sent again is held. In chunks: a body of a known length can leave a spare page, and those are given up
    // first, which would bring the level down again.
    let head = "PUT / HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = chunks(&pattern(BODY), BODY);
    let put = |client: &mut Client| {
        client.send([head.as_bytes(), &body].concat());
    };
    let mut holders: Vec<_> = (0..HOLDERS).map(|_| proxy.client()).collect();
    holders.iter_mut().for_each(put);
    origin.wait(HOLDERS);
    assert!(settled(&proxy) > (HOLDERS * BODY) as f64);
    assert_eq!(proxy.metric("tidegate_overload_level", &[]), 0.0);

    // Tight: nothing more is kept, and everybody is served.
    share(&proxy, &setup, 85.0, 1.0, "tight");
    let before = settled(&proxy);
    let mut late: Vec<_> = (0..10).map(|_| proxy.client()).collect();
    for client in &mut late {
        client.send(with_body("PUT", "/", &pattern(BODY)));
    }
    origin.wait(HOLDERS + 10);
    let more = settled(&proxy) - before;
    assert!(more < (5 * BODY) as f64, "{more} bytes more");
    let mut idle: Vec<_> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut idle {
        assert!(!client.get("/").is(200).closes());
    }
    proxy.admin_get("/ready").is(200);
    let mut halves: Vec<_> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut halves {
        client.get("/").is(200);
        client.send("GET / HTTP/1.1\r\n");
    }

    // Short: idle connections end, and so does everybody's after an answer.
    share(&proxy, &setup, 92.0, 2.0, "short");
    for client in &mut idle {
        client.ends();
    }
    let labels = [("cause", "overloaded")];
    proxy.wait_metric("tidegate_connections_closed_total", &labels, |n| n == 3.0);
    assert!(proxy.get("/").is(200).closes());
    // And nothing is done twice.
    proxy.get("/busy").is(503);
    let denied = [("cluster", "app"), ("reason", "memory")];
    let denied = proxy.metric("tidegate_upstream_retry_denied_total", &denied);
    assert_eq!(denied, 1.0);
    proxy.wait_metric("tidegate_upstream_connections_idle", &[], |n| n == 0.0);

    // Full: a request gets 503, a connection nothing; whoever is inside stays.
    share(&proxy, &setup, 98.0, 3.0, "full");
    for client in &mut halves {
        client.send("Host: a\r\n\r\n");
        let response = client.response();
        assert!(response.is(503).closes());
        assert!(response.text().contains("overloaded (memory)"));
    }
    let refused = |line: &&Value| line["status"] == 503 && line["path"] != "/busy";
    for line in proxy.log().iter().filter(refused) {
        assert_eq!(
            (&line["reason"], &line["detail"]),
            (&"overloaded".into(), &"memory".into()),
            "{line}"
        );
    }
    proxy.client().ends();
    assert!(rejected(&proxy) >= 1.0);
    let ready = proxy.admin_get("/ready");
    assert!(ready.is(503).text().contains("overloaded: memory"));

    // They are answered, and everything comes back.
    gate.open();
    for client in holders.iter_mut().chain(&mut late) {
        client.response().is(200);
    }
    drop((holders, late));
    proxy.wait_metric("tidegate_overload_level", &[], |level| level == 0.0);
    eventually("it is ready", || {
        (proxy.admin_get("/ready").status == 200).then_some(())
    });
    assert!(!proxy.client().get("/").is(200).closes());
    for level in ["tight", "short", "full"] {
        let times = proxy.metric("tidegate_overloads_total", &[("level", level)]);
        assert!(times >= 1.0, "{level}");
    }
    proxy.wait_metric("tidegate_memory_bytes", &[], |held| held < 1e6);
}
