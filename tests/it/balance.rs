//! Shares: what each endpoint gets of many requests.

use crate::support::load::{Shape, Style};
use crate::support::{Answer, Client, Gate, Origin, Setup, weighted};

struct Crowd(Vec<Origin>);

impl Crowd {
    fn new(count: usize) -> Self {
        Self(
            (0..count)
                .map(|_| {
                    Origin::plan()
                        .counts_only()
                        .respond(|request| Answer::ok(request.target.clone()))
                        .start()
                })
                .collect(),
        )
    }

    fn counts(&self) -> Vec<usize> {
        self.0.iter().map(Origin::count).collect()
    }
}

fn setup(crowd: &Crowd, weights: &[u32], balancer: &str) -> Setup {
    let list: Vec<_> = crowd
        .0
        .iter()
        .zip(weights)
        .map(|(origin, weight)| weighted(origin.addr(), *weight))
        .collect();
    Setup::new()
        .cluster("app", &list, &format!("balancer = \"{balancer}\""))
        .route("all", "cluster = \"app\"")
}

#[track_caller]
fn near(counts: &[usize], shares: &[f64], slack: f64) {
    let total: usize = counts.iter().sum();
    let sum: f64 = shares.iter().sum();
    for (count, share) in counts.iter().zip(shares) {
        let (got, want) = (*count as f64 / total as f64, share / sum);
        assert!(
            (got - want).abs() <= slack,
            "{got:.3} instead of {want:.3}: {counts:?}"
        );
    }
}

/// The bar: shares within 2 % of the weights.
#[test]
fn round_robin_keeps_to_the_weights() {
    let crowd = Crowd::new(3);
    let proxy = setup(&crowd, &[1, 2, 3], "round_robin").workers(2).start();
    let tally = Shape::gets(8, Style::KeepAlive)
        .requests(300)
        .start(proxy.web)
        .join();
    tally.all_good();
    assert_eq!(tally.good, 2400);
    near(&crowd.counts(), &[1.0, 2.0, 3.0], 0.02);
}

/// Smooth: the heavy endpoint is never asked three times in a row when 5:1:1 allows better.
#[test]
fn round_robin_is_smooth() {
    let names = ["a", "b", "c"];
    let origins: Vec<_> = names.map(Origin::named).into_iter().collect();
    let list: Vec<_> = origins
        .iter()
        .zip([3, 1, 1])
        .map(|(origin, weight)| weighted(origin.addr(), weight))
        .collect();
    let proxy = Setup::new()
        .cluster("app", &list, "balancer = \"round_robin\"")
        .route("all", "cluster = \"app\"")
        .workers(1)
        .start();
    let mut client = proxy.client();
    let turns: String = (0..50).map(|_| client.get("/").text()).collect();
    assert_eq!(turns.matches('a').count(), 30, "{turns}");
    // Where the cycle begins is chance; within it the heavy one never gets three turns in a row.
    assert!(turns.matches("aaa").count() <= 1, "{turns}");
}

#[test]
fn random_and_least_request_use_everybody() {
    for balancer in ["random", "least_request", "least_connections"] {
        let crowd = Crowd::new(4);
        let proxy = setup(&crowd, &[1, 1, 1, 1], balancer).start();
        let tally = Shape::gets(8, Style::KeepAlive)
            .requests(200)
            .start(proxy.web)
            .join();
        tally.all_good();
        let counts = crowd.counts();
        assert_eq!(counts.iter().sum::<usize>(), 1600);
        if balancer != "least_connections" {
            near(&counts, &[1.0; 4], 0.08);
        }
        assert!(
            counts.iter().all(|count| *count > 0),
            "{balancer}: {counts:?}"
        );
    }
}

#[test]
fn weights_count_for_random_and_least_request() {
    for balancer in ["random", "least_request"] {
        let crowd = Crowd::new(2);
        let proxy = setup(&crowd, &[1, 4], balancer).start();
        // One client: with more, the share also depends on which origin gets the processor.
        Shape::gets(1, Style::KeepAlive)
            .requests(800)
            .start(proxy.web)
            .join()
            .all_good();
        let counts = crowd.counts();
        assert!(counts[1] > counts[0] * 2, "{balancer}: {counts:?}");
    }
}

/// An endpoint that has much to do gets nothing more while others have nothing.
#[test]
fn load_moves_away_from_a_busy_endpoint() {
    for balancer in ["least_request", "least_connections"] {
        let gate = Gate::shut();
        let inside = gate.clone();
        let slow = Origin::answering(move |_| Answer::ok("slow").held(&inside));
        let fast = Origin::named("fast");
        let list = [weighted(slow.addr(), 1), weighted(fast.addr(), 1)];
        let proxy = Setup::new()
            .cluster("app", &list, &format!("balancer = \"{balancer}\""))
            .route("all", "cluster = \"app\"")
            .start();
        // Until the slow one holds a few, wherever they went.
        let mut held = Vec::new();
        while slow.count() < 3 && held.len() < 200 {
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            held.push(client);
            let (slow, fast, sent) = (&slow, &fast, held.len());
            crate::support::eventually("it arrives", || {
                (slow.count() + fast.count() >= sent).then_some(())
            });
        }
        // From here on it is always the busier one.
        let before = slow.count();
        let mut client = proxy.client();
        for _ in 0..100 {
            assert_eq!(client.get("/").text(), "fast", "{balancer}");
        }
        assert_eq!(slow.count(), before, "{balancer}");
        gate.open();
        for client in &mut held {
            client.response().is(200);
        }
    }
}

/// Who answered sooner is asked; and who asked to be left alone is left alone.
#[test]
fn least_time_goes_where_answers_come_soon_and_heeds_retry_after() {
    let busy = Origin::answering(|_| Answer::status(503).field("Retry-After", "60"));
    let fast = Origin::named("fast");
    let list = [weighted(busy.addr(), 1), weighted(fast.addr(), 1)];
    let proxy = Setup::new()
        .cluster("app", &list, "balancer = \"least_time\"")
        .route("all", "cluster = \"app\"")
        .start();
    let mut client = proxy.client();
    for _ in 0..200 {
        client.get("/");
    }
    assert_eq!((busy.count(), fast.count()), (1, 199));
    let addr = fast.addr().to_string();
    let labels = [("cluster", "app"), ("endpoint", addr.as_str())];
    let name = "tidegate_upstream_endpoint_ewma_seconds";
    proxy.wait_metric(name, &labels, |seconds| seconds > 0.0 && seconds < 5.0);
}

/// One slow endpoint cannot take everything: its cap holds over all workers.
#[test]
fn the_cap_per_endpoint_holds_over_all_workers() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let origin = Origin::answering(move |_| Answer::ok("x").held(&inside));
    let keys = "bulkhead = { connections_per_endpoint = 1, queue = { size = 0 } }";
    let proxy = Setup::over_with(&[origin.addr()], keys).workers(2).start();
    let mut first = proxy.client();
    first.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait(1);
    for _ in 0..10 {
        let refused = proxy.get("/more");
        refused.is(503);
        assert!(refused.one("retry-after").is_some());
    }
    assert_eq!(origin.connections(), 1);
    gate.open();
    first.response().is(200);
    for line in proxy
        .wait_log(11)
        .iter()
        .filter(|line| line["path"] == "/more")
    {
        assert_eq!(line["reason"], "queue_full", "{line}");
    }
    // The slot is free again, whichever worker asks.
    crate::support::eventually("a free slot", || {
        (proxy.get("/after").status == 200).then_some(())
    });
}

/// Two processes, their endpoints in another order and one of them without an endpoint: the same key, the same place.
#[test]
fn instances_agree_where_a_key_belongs() {
    let origins: Vec<Origin> = ["a", "b", "c", "d"].map(Origin::named).into();
    let addrs: Vec<_> = origins
        .iter()
        .map(|origin| weighted(origin.addr(), 1))
        .collect();
    let reversed: Vec<_> = addrs.iter().rev().cloned().collect();
    for balancer in ["ring_hash", "maglev", "rendezvous"] {
        let keys = format!("balancer = {{ {balancer} = {{ key = \"header:x-user\" }} }}");
        let start = |list: &[_]| {
            let setup = Setup::new()
                .cluster("app", list, &keys)
                .route("all", "cluster = \"app\"");
            setup.start()
        };
        let (one, two) = (start(&addrs), start(&reversed));
        let ask = |client: &mut Client, user: usize| {
            client.send(format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n"
            ));
            client.response().text()
        };
        let (mut here, mut there) = (one.client(), two.client());
        let places: Vec<_> = (0..200).map(|user| ask(&mut here, user)).collect();
        let agreed: Vec<_> = (0..200).map(|user| ask(&mut there, user)).collect();
        assert_eq!(places, agreed, "{balancer}");
        for name in ["a", "b", "c", "d"] {
            let share = places.iter().filter(|place| *place == name).count();
            assert!((20..100).contains(&share), "{balancer} {name}: {share}");
        }
        // Without the field, chance decides.
        let mut client = one.client();
        let anyone: std::collections::HashSet<_> =
            (0..100).map(|_| client.get("/").text()).collect();
        assert_eq!(anyone.len(), 4, "{balancer}");
    }
}

/// A client stays where it is by its address.
#[test]
fn ip_hash_keeps_a_client_at_its_endpoint() {
    let crowd = Crowd::new(4);
    let proxy = setup(&crowd, &[1; 4], "ip_hash").workers(2).start();
    Shape::gets(8, Style::Fresh)
        .requests(20)
        .start(proxy.web)
        .join()
        .all_good();
    let mut counts = crowd.counts();
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 0, 160]);
}

/// Probes that fail everywhere may be wrong: with a threshold, requests go on.
#[test]
fn a_panic_goes_on_where_probes_say_no() {
    let origin = Origin::answering(|request| {
        let status = if request.target == "/probe" { 500 } else { 200 };
        Answer::status(status)
    });
    let start = |threshold| {
        let keys = format!(
            "panic_threshold = {threshold}\n\
             health = {{ check = {{ http = {{ path = \"/probe\" }} }}, interval = \"100ms\" }}"
        );
        Setup::over_with(&[origin.addr()], &keys).start()
    };
    let addr = origin.addr().to_string();
    let labels = [("cluster", "app"), ("endpoint", addr.as_str())];
    for (threshold, status, panics) in [(0, 503, 0.0), (1, 200, 1.0)] {
        let proxy = start(threshold);
        proxy.wait_metric("tidegate_upstream_endpoint_healthy", &labels, |up| {
            up == 0.0
        });
        proxy.get("/").is(status);
        proxy.wait_metric("tidegate_panic_active", &labels[..1], |now| now == panics);
    }
}

/// Instances of one file in different zones: each keeps what its own zone can carry.
#[test]
fn an_instance_prefers_its_zone() {
    let crowd = Crowd::new(3);
    let zoned = crowd.0.iter().zip(["a", "b", "b"]);
    let list: Vec<_> = zoned
        .map(|(origin, zone)| format!("{{ address = \"{}\", zone = \"{zone}\" }}", origin.addr()))
        .collect();
    let setup = |zone: &str| {
        Setup::new()
            .runtime("zone", format!("\"{zone}\""))
            .cluster("app", &list, "balancer = \"round_robin\"")
            .route("all", "cluster = \"app\"")
    };
    let serve = |zone: &str| {
        let before = crowd.counts();
        let proxy = setup(zone).workers(1).start();
        let mut client = proxy.client();
        for _ in 0..600 {
            client.get("/").is(200);
        }
        let counts = crowd.counts().into_iter().zip(before);
        counts.map(|(now, before)| now - before).collect::<Vec<_>>()
    };
    near(&serve("b"), &[0.0, 1.0, 1.0], 0.001);
    near(&serve("a"), &[2.0, 0.5, 0.5], 0.1);
    // Nobody knows where this one stands.
    near(&serve("elsewhere"), &[1.0, 1.0, 1.0], 0.01);
}
