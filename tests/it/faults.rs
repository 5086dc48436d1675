//! Endpoints that die, clients that leave: what is lost is what must be, and nothing is mixed up.
//! `TIDEGATE_FAULT_SCALE=full` runs the sizes of the issue.

use crate::support::load::{Shape, Style, Tally, ask};
use crate::support::{Client, OriginProcess, Proxy, Setup, scale};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Where the next fault hits: the same in every run with the same number of steps.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

fn over(origins: &[OriginProcess], keys: &str) -> Setup {
    let addrs: Vec<_> = origins.iter().map(OriginProcess::addr).collect();
    Setup::over_with(&addrs, keys)
}

/// Waits until every endpoint is asked again.
fn settle(proxy: &Proxy) {
    let mut tally = Tally::default();
    let mut client = proxy.client();
    for _ in 0..10 {
        if !ask(&mut client, "GET", &mut tally) {
            client = proxy.client();
        }
    }
}

/// F-01a: kill -9 of one of three endpoints at random moments: no GET is lost.
#[test]
fn killed_endpoints_cost_no_get() {
    let mut origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let proxy = over(&origins, "").start();
    let (kills, gets) = (scale(10, 50), scale(5000, 10_000));
    let clients = 8;
    let load = Shape::gets(clients, Style::KeepAlive)
        .requests(gets / clients)
        .start(proxy.web);
    let mut chance = Chance(7);
    let between = gets / (kills + 1);
    for _ in 0..kills {
        load.more(
            usize::try_from(chance.below(between as u64))
                .unwrap_or(1)
                .max(1),
        );
        let victim = usize::try_from(chance.below(3)).unwrap_or(0);
        origins[victim].kill();
        load.more(3);
        origins[victim].restart();
        // One of three, not two or three: whoever met this one is through before the next.
        load.everybody();
    }
    let tally = load.join();
    tally.all_good();
    assert_eq!(tally.good, gets / clients * clients);
    settle(&proxy);
}

/// F-01a: a POST is lost at most with the endpoint that had it, and none is ever done twice.
#[test]
fn killed_endpoints_never_get_a_post_twice() {
    let setup = Setup::new();
    let journal = setup.dir.file("journal");
    let mut origins: Vec<_> = (0..3)
        .map(|_| OriginProcess::with_journal(&journal))
        .collect();
    let proxy = over(&origins, "").start();
    let shape = Shape {
        clients: 4,
        style: Style::KeepAlive,
        method: "POST",
        requests: scale(500, 5000),
    };
    let load = shape.start(proxy.web);
    let kills = scale(5, 50);
    for round in 0..kills {
        load.more(40);
        origins[round % 3].kill();
        load.more(3);
        origins[round % 3].restart();
        load.everybody();
    }
    let tally = load.join();
    assert_eq!(tally.crossed, 0);
    assert_eq!(tally.good + tally.bad.len(), shape.clients * shape.requests);
    assert!(
        tally.bad.iter().all(|what| what.contains(" 502 ")),
        "{:?}",
        tally.bad
    );
    // In flight at that instant: at most one for each client and kill.
    assert!(
        tally.bad.len() <= kills * shape.clients,
        "{} lost",
        tally.bad.len()
    );
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let journal = std::fs::read_to_string(&journal).unwrap();
    for line in journal.lines() {
        *seen.entry(line).or_default() += 1;
    }
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// F-01d: an endpoint that restarts while its connections are idle: no error.
#[test]
fn restarts_with_idle_connections_cost_nothing() {
    let mut origins = vec![OriginProcess::start(), OriginProcess::start()];
    let proxy = over(&origins, "balancer = \"round_robin\"").start();
    let (rounds, gets) = (scale(10, 100), scale(200, 1000));
    for round in 0..rounds {
        let tally = Shape::gets(4, Style::KeepAlive)
            .requests(gets / 4)
            .start(proxy.web)
            .join();
        tally.all_good();
        // Now the pool is full of idle connections, and nobody asks.
        origins[round % 2].kill();
        origins[round % 2].restart();
    }
}

/// F-02: an endpoint that stops answering holds up those that wait for it, and nobody else.
#[test]
fn a_stopped_endpoint_holds_up_nobody_else() {
    let origins: Vec<_> = (0..2).map(|_| OriginProcess::start()).collect();
    let keys = "balancer = \"round_robin\"\n[clusters.app.retry]\non = [\"connect\", \"reset\", \
                \"response_timeout\"]\nper_try_timeout = \"300ms\"\n\
                budget = { ratio = 1.0, min_per_second = 100 }";
    let proxy = over(&origins, keys).start();
    settle(&proxy);
    origins[0].stop();
    let tally = Shape::gets(4, Style::KeepAlive)
        .requests(10)
        .start(proxy.web)
        .join();
    tally.all_good();
    origins[0].resume();
    let tally = Shape::gets(4, Style::KeepAlive)
        .requests(50)
        .start(proxy.web)
        .join();
    tally.all_good();
}

/// F-41, the property above all others: no answer ever reaches the wrong client; under kills,
/// and with clients that leave in the middle.
#[test]
fn no_answer_reaches_the_wrong_client() {
    let mut origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let proxy = over(&origins, "").start();
    let wanted = scale(20_000, 1_000_000);
    let clients = 6;
    let kept = Shape::gets(clients, Style::KeepAlive)
        .requests(wanted / clients)
        .start(proxy.web);
    let over = Arc::new(AtomicBool::new(false));
    let leaving = {
        let (over, addr) = (Arc::clone(&over), proxy.web);
        thread::spawn(move || leave(addr, &over))
    };
    let mut round = 0;
    while kept.running() {
        kept.more(wanted / 20);
        let victim = round % 3;
        origins[victim].kill();
        origins[victim].restart();
        kept.everybody();
        round += 1;
    }
    let mut tally = kept.join();
    over.store(true, Ordering::Relaxed);
    let left = leaving.join().unwrap();
    assert!(left.1 > 50, "only {} clients left early", left.1);
    tally.merge(left.0);
    tally.all_good();
    assert!(round >= 5, "{round} kills");
    assert!(tally.good >= wanted / clients * clients);
    proxy.wait_metric("tidegate_requests_active", &[], |active| active == 0.0);
}

/// Clients that ask and go, at every point of the exchange; and some that stay, to be checked.
fn leave(addr: std::net::SocketAddr, over: &AtomicBool) -> (Tally, usize) {
    let mut tally = Tally::default();
    let mut left = 0;
    let request = "GET /gone HTTP/1.1\r\nHost: a\r\nX-Nonce: gone\r\n\r\n";
    while !over.load(Ordering::Relaxed) {
        for cut in [request.len(), request.len() / 2, request.len()] {
            let Ok(mut client) = Client::try_connect(addr) else {
                return (tally, left);
            };
            client.send(&request[..cut]);
            if cut % 2 == 0 {
                // Half of them with a reset.
                let socket = socket2::SockRef::from(&client.wire.stream);
                let _ = socket.set_linger(Some(std::time::Duration::ZERO));
            }
            left += 1;
        }
        let Ok(mut client) = Client::try_connect(addr) else {
            return (tally, left);
        };
        client.send(request.repeat(3));
        let _ = client.try_head();
        drop(client);
        left += 1;
        if let Ok(mut client) = Client::try_connect(addr) {
            ask(&mut client, "GET", &mut tally);
        }
    }
    (tally, left)
}
