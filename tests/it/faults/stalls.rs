//! F-02, F-03, F-05: endpoints that hang, are slow, or are all gone.

use super::{GENEROUS, is_calm, over, settle};
use crate::support::client::pattern;
use crate::support::load::{Shape, Style};
use crate::support::{
    Answer, Client, Gate, Origin, OriginProcess, Setup, endpoint, eventually, scale,
};
use std::time::{Duration, Instant};

/// F-02: an endpoint that stops answering (SIGSTOP) holds up those that wait for it, within the limit of a try, and
/// nobody else; and when it goes on, it is used again.
#[test]
fn a_stopped_endpoint_holds_up_nobody_else() {
    let origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let other = OriginProcess::start();
    let keys = format!(
        "balancer = \"round_robin\"\n[clusters.app.retry]\non = [\"connect\", \"reset\", \"response_timeout\"]\n\
         per_try_timeout = \"300ms\"\n{GENEROUS}"
    );
    let setup = over(&origins, &keys)
        .cluster("other", &[endpoint(other.addr())], "")
        .route(
            "other",
            "path_prefix = \"/other\"\ncluster = \"other\"\npriority = 10",
        );
    let proxy = setup.start();
    settle(&proxy);
    origins[0].stop();
    let beside = Shape::gets(2, Style::KeepAlive).start(proxy.web);
    let tally = Shape::gets(4, Style::KeepAlive)
        .requests(scale(10, 100))
        .start(proxy.web)
        .join();
    tally.all_good();
    for at in 0..20 {
        proxy.get(&format!("/other/{at}")).is(200);
    }
    beside.stop().all_good();
    println!("F-02 hung, retried: {tally}");
    origins[0].resume();
    let tally = Shape::gets(4, Style::KeepAlive)
        .requests(50)
        .start(proxy.web)
        .join();
    tally.all_good();
    let addr = origins[0].addr().to_string();
    eventually("it has its turns again", || {
        let answer = proxy.get("/after");
        answer.is(200).text().starts_with(&addr).then_some(())
    });
    is_calm(&proxy);
}

/// F-02: without retries the wait has an end too, and a hung endpoint is never asked more than it may be at once.
#[test]
fn a_hung_endpoint_is_given_up_in_time() {
    let origin = OriginProcess::start();
    let keys = "timeouts = { response = \"1s\" }\nbulkhead = { connections_per_endpoint = 4, queue = { size = 0 } }";
    let proxy = over(std::slice::from_ref(&origin), keys).start();
    proxy.get("/").is(200);
    origin.stop();
    let began = Instant::now();
    let mut clients: Vec<_> = (0..12)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    let mut statuses: Vec<_> = clients
        .iter_mut()
        .map(|client| client.response().status)
        .collect();
    statuses.sort_unstable();
    let took = began.elapsed();
    let (full, late) = (
        statuses.iter().filter(|status| **status == 503).count(),
        statuses.iter().filter(|status| **status == 504).count(),
    );
    assert_eq!((full, late), (8, 4), "{statuses:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    origin.resume();
    eventually("it is asked again", || {
        (proxy.get("/").status == 200).then_some(())
    });
    drop(clients);
    is_calm(&proxy);
}

/// F-03: an endpoint that does not get on gets next to nothing, because what is under way counts: no more than others
/// have under way at once.
#[test]
fn a_slow_endpoint_gets_few_requests() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let slow = Origin::plan()
        .counts_only()
        .respond(move |request| {
            Answer::ok(request.one("x-nonce").unwrap_or_default()).held(&inside)
        })
        .start();
    let fast: Vec<_> = (0..2).map(|_| OriginProcess::start()).collect();
    let addrs = [slow.addr(), fast[0].addr(), fast[1].addr()];
    let proxy = Setup::over(&addrs).start();
    let wanted = scale(2000, 50_000);
    let load = Shape::gets(8, Style::KeepAlive).start(proxy.web);
    load.more(wanted);
    let share = slow.count();
    gate.open();
    let tally = load.stop();
    tally.all_good();
    println!("F-03: {share} of {wanted} went to the slow one");
    // With k of eight clients waiting there, it is picked again only beside one that has as many under way.
    assert!((1..=5).contains(&share), "{share} of {wanted}");
    is_calm(&proxy);
}

/// F-03: answers that nobody reads are not read from the endpoint either: one buffer each way is all there is.
#[test]
fn what_nobody_reads_is_not_held() {
    let body = pattern(4 << 20);
    let origin = Origin::plan()
        .counts_only()
        .respond(move |_| Answer::ok(body.clone()))
        .start();
    let proxy = Setup::over(&[origin.addr()]).start();
    proxy.get("/").is(200);
    let before = proxy.held();
    let count = scale(60, 400);
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    eventually("all are under way", || {
        (origin.count() > count).then_some(())
    });
    // Until nothing moves: the buffers of the kernel are full, too.
    let mut last = Vec::new();
    eventually("the proxy is still", || {
        last.push(proxy.ticks());
        std::thread::sleep(Duration::from_millis(100));
        let still = last.len() > 5 && last[last.len() - 5] == last[last.len() - 1];
        still.then_some(())
    });
    let grown = proxy.held().saturating_sub(before);
    println!("F-03: {count} answers of 4 MiB that nobody reads hold {grown} KiB");
    assert!(grown <= count * 128 + 4096, "{grown} KiB for {count}");
    drop(clients);
    is_calm(&proxy);
}

/// F-05: all endpoints are down. The answer is immediate, nobody waits for them, and the first one that is back is used.
#[test]
fn all_endpoints_down() {
    let mut origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let health = "[clusters.app.health]\ncheck = \"tcp\"\ninterval = \"100ms\"\nrise = 1\nfall = 1";
    let proxy = over(&origins, health).start();
    settle(&proxy);
    for origin in &mut origins {
        origin.kill();
    }
    let healthy = [("cluster", "app"), ("state", "healthy")];
    proxy.wait_metric("tidegate_upstream_endpoints", &healthy, |count| {
        count == 0.0
    });
    let opened = "tidegate_upstream_connect_failures_total";
    let before = proxy.metric(opened, &[]);
    let mut client = proxy.client();
    let mut slowest = Duration::ZERO;
    let asked = scale(500, 5000);
    for _ in 0..asked {
        let began = Instant::now();
        let response = client.get("/");
        slowest = slowest.max(began.elapsed());
        response.is(503);
        assert_eq!(response.one("retry-after"), Some("1"));
        assert!(!response.closes(), "the client may ask again");
    }
    println!("F-05: {asked} refusals, the slowest after {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(proxy.metric(opened, &[]), before, "nobody was asked");
    let line = proxy.wait_line("a refusal", |line| line["status"] == 503);
    assert_eq!(
        (&line["reason"], &line["attempts"]),
        (&"no_endpoint".into(), &0.into())
    );
    origins[1].restart();
    let began = Instant::now();
    eventually("the one that is back is used", || {
        (client.get("/").status == 200).then_some(())
    });
    let took = began.elapsed();
    println!("F-05: served {took:?} after an endpoint was back");
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(client);
    is_calm(&proxy);
}

/// F-05, without probes: each client is told at once, and the first request after the return is served.
#[test]
fn all_endpoints_refuse() {
    let mut origins: Vec<_> = (0..2).map(|_| OriginProcess::start()).collect();
    let proxy = over(&origins, "").start();
    for origin in &mut origins {
        origin.kill();
    }
    let mut client = proxy.client();
    for _ in 0..scale(50, 1000) {
        let status = client.get("/").status;
        assert!(matches!(status, 502 | 503), "{status}");
    }
    for origin in &mut origins {
        origin.restart();
    }
    let back = |client: &mut Client| client.get("/").status == 200;
    eventually("served again", || back(&mut client).then_some(()));
    drop(client);
    is_calm(&proxy);
}
