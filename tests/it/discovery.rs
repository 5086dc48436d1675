//! Endpoints by DNS name: addresses that change under load, and servers that fail in every way (F-07, F-08, F-43).

use crate::support::dns::{Dns, Reply};
use crate::support::load::{Shape, Style};
use crate::support::{Answer, Origin, Proxy, Reload, Setup, eventually, ports};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

const fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

/// Origins at different addresses with the same port, as the addresses of one name are.
fn crowd(ips: &[u8]) -> Vec<Origin> {
    eventually("a port that is free on every address", || {
        let port = ports::free().port();
        let addrs: Vec<_> = ips
            .iter()
            .map(|&last| SocketAddr::from((ip(last), port)))
            .collect();
        let free = addrs.iter().all(|addr| TcpListener::bind(addr).is_ok());
        free.then(|| {
            let echo = |addr: SocketAddr| {
                let name = addr.ip().to_string();
                Origin::plan()
                    .respond(move |request| Answer::ok(format!("{name} {}", request.target)))
                    .start_at(addr)
            };
            addrs.into_iter().map(echo).collect()
        })
    })
}

fn setup(dns: &Dns, endpoint: &str, more: &str) -> Setup {
    Setup::new()
        .cluster(
            "app",
            &[format!("\"{endpoint}\"")],
            "balancer = \"round_robin\"",
        )
        .route("all", "cluster = \"app\"")
        .tail(&dns.table(more))
}

fn cluster(proxy: &Proxy) -> Value {
    let response = proxy.admin_get("/api/v1/clusters/app");
    serde_json::from_slice(&response.is(200).body).unwrap()
}

fn addresses(proxy: &Proxy) -> Vec<String> {
    let cluster = cluster(proxy);
    let endpoints = cluster["endpoints"].as_array().unwrap().iter();
    endpoints
        .map(|endpoint| endpoint["address"].as_str().unwrap().to_owned())
        .collect()
}

fn outcome(proxy: &Proxy, outcome: &str) -> f64 {
    proxy.metric("tidegate_dns_resolutions_total", &[("outcome", outcome)])
}

/// What cannot be reached from `source` is no endpoint, and no reason to refuse a file that was taken.
#[test]
fn addresses_without_a_source_of_their_family_are_left_out() {
    let origins = crowd(&[1]);
    let port = origins[0].addr().port();
    let dns = Dns::start();
    dns.say("app.test", Reply::A(vec![ip(1)], 60));
    let over = |source: &str| {
        let endpoint = [format!("\"app.test:{port}\"")];
        let socket = format!("socket = {{ source = {source} }}");
        Setup::new()
            .cluster("app", &endpoint, &socket)
            .route("all", "cluster = \"app\"")
            .tail(&dns.table(""))
    };
    let six = over("\"::1\"");
    let proxy = six.start();
    assert_eq!(addresses(&proxy), [""; 0]);
    proxy.wait_output("left out");
    proxy.get("/").is(502);
    assert_eq!(proxy.reload(&over("\"::1\"").at(&six)), Reload::Done);
    assert_eq!(addresses(&proxy), [""; 0]);
    let both = over("[\"::1\", \"127.0.0.1\"]").at(&six);
    assert_eq!(proxy.reload(&both), Reload::Done);
    assert_eq!(addresses(&proxy), [format!("127.0.0.1:{port}")]);
    proxy.get("/").is(200);
}

/// F-07: new connections go to the new addresses, the old ones run empty, and no request is lost to it.
#[test]
fn addresses_change_under_load() {
    let origins = crowd(&[1, 2, 3]);
    let port = origins[0].addr().port();
    let dns = Dns::start();
    dns.say("app.test", Reply::A(vec![ip(1)], 1));
    let proxy = setup(&dns, &format!("app.test:{port}"), "").start();
    assert_eq!(
        addresses(&proxy),
        [format!("127.0.0.1:{port}")],
        "before the first request"
    );
    let load = Shape::gets(6, Style::KeepAlive).start(proxy.web);
    let fresh = Shape::gets(2, Style::Fresh).start(proxy.web);
    for (addrs, last) in [
        (vec![ip(2), ip(3)], 3),
        (vec![ip(3)], 3),
        (vec![ip(1), ip(2)], 2),
        (vec![ip(2)], 2),
    ] {
        load.more(200);
        let expected = addrs.len();
        dns.say("app.test", Reply::A(addrs, 1));
        eventually("the new addresses", || {
            let now = addresses(&proxy);
            let last = format!("127.0.0.{last}:{port}");
            (now.len() == expected && now.last() == Some(&last)).then_some(())
        });
    }
    load.everybody();
    let old = origins[2].count();
    load.more(500);
    assert_eq!(origins[2].count(), old, "one that is gone gets nothing");
    eventually("its connections close", || {
        (origins[2].open_connections() == 0).then_some(())
    });
    load.stop().all_good();
    fresh.stop().all_good();
    assert!(proxy.metric("tidegate_dns_changes_total", &[("name", "app.test")]) >= 5.0);
    assert_eq!(
        proxy.metric("tidegate_dns_addresses", &[("name", "app.test")]),
        1.0
    );
    let told = |to| {
        let labels = [("cluster", "app"), ("to", to), ("cause", "dns")];
        proxy.metric("tidegate_health_transitions_total", &labels)
    };
    // The first address may have been known before the configuration ran.
    assert!([4.0, 5.0].contains(&told("healthy")), "{}", told("healthy"));
    assert_eq!(told("unhealthy"), 4.0);
}

/// F-07, E-207, E-208, E-263: whatever goes wrong, what was known stays, and that is told.
#[test]
fn the_last_good_addresses_stay() {
    let origins = crowd(&[1]);
    let port = origins[0].addr().port();
    let dns = Dns::start();
    dns.say("app.test", Reply::A(vec![ip(1)], 1));
    let more = "timeout = \"100ms\"\nattempts = 1\nmax_ttl = \"1s\"";
    let proxy = setup(&dns, &format!("app.test:{port}"), more).start();
    proxy.get("/").is(200);
    let load = Shape::gets(2, Style::KeepAlive).start(proxy.web);
    for (reply, word) in [
        (Reply::ServFail, "refused"),
        (Reply::NxDomain, "no_name"),
        (Reply::Empty, "empty"),
        (Reply::Silence, "timeout"),
        (Reply::A(Vec::new(), 1), "empty"),
    ] {
        let before = outcome(&proxy, word);
        dns.say("app.test", reply);
        eventually(word, || (outcome(&proxy, word) > before).then_some(()));
        assert_eq!(addresses(&proxy).len(), 1, "{word}");
        let name = &cluster(&proxy)["names"][0];
        assert_eq!(
            (&name["outcome"], &name["addresses"]),
            (&word.into(), &1.into()),
            "{name}"
        );
        assert!(name["error"].is_string(), "{name}");
    }
    let age = || {
        proxy.metric(
            "tidegate_dns_last_good_age_seconds",
            &[("name", "app.test")],
        )
    };
    eventually("it grows old", || (age() > 3.0).then_some(()));
    dns.say("app.test", Reply::A(vec![ip(1)], 1));
    eventually("it is good again", || (age() < 1.0).then_some(()));
    load.stop().all_good();
    proxy.wait_output("what was known stays");
}

/// F-08: a server that hangs holds up neither traffic nor a reload.
#[test]
fn a_silent_server_holds_up_nothing() {
    let origins = crowd(&[1]);
    let port = origins[0].addr().port();
    let dns = Dns::start();
    dns.say("app.test", Reply::A(vec![ip(1)], 1));
    let setup = setup(&dns, &format!("app.test:{port}"), "timeout = \"30s\"");
    let proxy = setup.start();
    proxy.get("/").is(200);
    dns.say("app.test", Reply::Silence);
    let asked = dns.asked("app.test");
    eventually("it is asked again", || {
        (dns.asked("app.test") > asked).then_some(())
    });
    let load = Shape::gets(2, Style::KeepAlive).start(proxy.web);
    let start = Instant::now();
    for _ in 0..3 {
        let silent = setup
            .clone()
            .cluster("other", &["\"silent.test:80\"".to_owned()], "");
        dns.say("silent.test", Reply::Silence);
        assert_eq!(proxy.reload(&silent), Reload::Done);
    }
    // The bar is a second each, and what holds it up is the first answer that does not come: half of one.
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    load.more(100);
    load.stop().all_good();
    assert_eq!(addresses(&proxy).len(), 1);
}

/// F-43: with no answer at the start, what can be served is served, and the rest says why it is not.
#[test]
fn a_start_without_dns_serves_what_it_can() {
    let origins = crowd(&[1]);
    let port = origins[0].addr().port();
    let fixed = Origin::named("fixed");
    let dns = Dns::start();
    dns.say("app.test", Reply::Silence);
    let proxy = setup(
        &dns,
        &format!("app.test:{port}"),
        "timeout = \"300ms\"\nattempts = 1",
    )
    .without_routes()
    .cluster("fixed", &[format!("\"{}\"", fixed.addr())], "")
    .route("fixed", "path = \"/fixed\"\ncluster = \"fixed\"")
    .route("all", "cluster = \"app\"")
    .start();
    assert_eq!(proxy.get("/fixed").is(200).text(), "fixed");
    proxy.get("/").is(502);
    let line = proxy.wait_line("the refused one", |line| line["path"] == "/");
    assert_eq!(line["reason"], "dns_failed", "{line}");
    let ready = proxy.admin_get("/ready");
    assert!(
        ready.is(200).text().contains("app.test"),
        "{}",
        ready.text()
    );
    dns.say("app.test", Reply::A(vec![ip(1)], 5));
    eventually("it serves all", || {
        (proxy.get("/").status == 200).then_some(())
    });
    assert_eq!(proxy.admin_get("/ready").text(), "ready\n");
}

/// RFC 2782: priorities are tiers, weights are weights, ports are the records' own.
#[test]
fn services_have_weights_and_priorities() {
    let (one, two, spare) = (Origin::named("1"), Origin::named("2"), Origin::named("s"));
    let port = |origin: &Origin| origin.addr().port();
    let dns = Dns::start();
    dns.say("host.test", Reply::A(vec![ip(1)], 5));
    let service = |weight| {
        let records = vec![
            (10, 30, port(&one), "host.test"),
            (10, weight, port(&two), "host.test"),
            (20, 0, port(&spare), "host.test"),
        ];
        Reply::Srv(records, 1)
    };
    dns.say("_http._tcp.app.test", service(10));
    let proxy = setup(&dns, "srv:_http._tcp.app.test", "").start();
    let shares = || {
        let mut client = proxy.client();
        let names: String = (0..40).map(|_| client.get("/").is(200).text()).collect();
        ['1', '2', 's'].map(|name| names.matches(name).count())
    };
    assert_eq!(shares(), [30, 10, 0]);
    let shown = cluster(&proxy);
    let last = shown["endpoints"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["tier"], &last["name"]),
        (&1.into(), &"srv:_http._tcp.app.test".into())
    );
    dns.say("_http._tcp.app.test", service(30));
    eventually("weights are even", || {
        (shares() == [20, 20, 0]).then_some(())
    });
    let alone = vec![(20, 0, port(&spare), "host.test")];
    dns.say("_http._tcp.app.test", Reply::Srv(alone, 1));
    eventually("the spare serves", || {
        (shares() == [0, 0, 40]).then_some(())
    });
}
