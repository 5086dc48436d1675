//! F-01a to F-01d: kill -9, at every point of an exchange.

use super::{Chance, GENEROUS, is_calm, over, settle, twice};
use crate::support::client::{Client, pattern, with_body};
use crate::support::load::{Shape, Style, Tally};
use crate::support::{Fault, OriginProcess, Setup, eventually, scale};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// GETs without a pause while endpoints are killed at random moments and come back.
pub fn gets(web: SocketAddr, origins: &mut [OriginProcess], kills: usize, gets: usize) -> Tally {
    let clients = 8;
    let load = Shape::gets(clients, Style::KeepAlive)
        .requests(gets / clients)
        .start(web);
    let mut chance = Chance(7);
    let between = gets / (kills + 1);
    for _ in 0..kills {
        load.more(chance.below(between).max(1));
        let victim = chance.below(origins.len());
        origins[victim].kill();
        load.more(3);
        origins[victim].restart();
        // One of three, not two or three: whoever met this one is through before the next.
        load.everybody();
    }
    load.join()
}

/// The same with POSTs. Each origin writes what reached it into the journal.
pub fn posts(web: SocketAddr, origins: &mut [OriginProcess], kills: usize, posts: usize) -> Tally {
    let shape = Shape {
        clients: 4,
        style: Style::KeepAlive,
        method: "POST",
        requests: posts / 4,
    };
    let load = shape.start(web);
    for round in 0..kills {
        load.more(40);
        let victim = round % origins.len();
        origins[victim].kill();
        load.more(3);
        origins[victim].restart();
        load.everybody();
    }
    load.join()
}

pub fn with_journal(path: &Path) -> Vec<OriginProcess> {
    (0..3).map(|_| OriginProcess::with_journal(path)).collect()
}

/// F-01a: kill -9 of one of three endpoints at random moments: no GET is lost.
#[test]
fn killed_endpoints_cost_no_get() {
    let mut origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let proxy = over(&origins, "").start();
    let wanted = scale(5000, 10_000);
    let tally = gets(proxy.web, &mut origins, scale(10, 50), wanted);
    tally.all_good();
    assert_eq!(tally.good, wanted);
    println!("F-01a GET: {tally}");
    settle(&proxy);
    is_calm(&proxy);
}

/// F-01a: a POST is lost at most with the endpoint that had it, and none is ever done twice.
#[test]
fn killed_endpoints_never_get_a_post_twice() {
    let setup = Setup::new();
    let journal = setup.dir.file("journal");
    let mut origins = with_journal(&journal);
    let proxy = over(&origins, "").start();
    let (kills, wanted) = (scale(5, 50), scale(2000, 20_000));
    let tally = posts(proxy.web, &mut origins, kills, wanted);
    assert_eq!(tally.crossed, 0);
    assert_eq!(tally.good + tally.bad.len(), wanted);
    assert!(
        tally.bad.iter().all(|what| what.contains(" 502 ")),
        "{:?}",
        tally.bad
    );
    // In flight at that instant: at most one for each client and kill.
    assert!(tally.bad.len() <= kills * 4, "{} lost", tally.bad.len());
    assert_eq!(twice(&journal), Vec::<String>::new());
    println!("F-01a POST: {tally}, {kills} kills");
    is_calm(&proxy);
}

/// F-01b: kill -9 in the middle of an upload. What is kept goes to another endpoint, whole; what is too long to keep is
/// one 502, which arrives although the client is still sending.
#[test]
fn a_kill_during_an_upload() {
    let mut origins: Vec<_> = (0..2).map(|_| OriginProcess::start()).collect();
    // Killed so often, one of two would be ejected, and then there is no other.
    let keys = format!(
        "balancer = \"round_robin\"\noutlier = {{ max_ejected = 0 }}\n[clusters.app.retry]\n{GENEROUS}"
    );
    let proxy = over(&origins, &keys).workers(1).start();
    let small = pattern(60 * 1024);
    for round in 0..scale(6, 60) {
        let mut client = proxy.client();
        let bytes = with_body("PUT", "/small", &small);
        let half = bytes.len() / 2;
        client.send(&bytes[..half]);
        let busy = eventually("an endpoint has the first half", || {
            origins
                .iter()
                .position(|origin| proxy.busy(origin.addr()) > 0.0)
        });
        origins[busy].kill();
        // Half of them go on before the proxy can know.
        if round % 2 == 0 {
            eventually("the other endpoint has it", || {
                (proxy.busy(origins[1 - busy].addr()) > 0.0).then_some(())
            });
        }
        client.send(&bytes[half..]);
        let response = client.response_to("PUT");
        let wanted = format!("{} bytes", small.len());
        assert!(
            response.is(200).text().contains(&wanted),
            "{}",
            response.text()
        );
        origins[busy].restart();
    }
    let large = with_body("PUT", "/large", &pattern(1 << 20));
    for _ in 0..scale(4, 40) {
        let mut client = proxy.client();
        // More than is kept is with the endpoint.
        client.send(&large[..large.len() / 2]);
        let busy = eventually("an endpoint has it", || {
            origins
                .iter()
                .position(|origin| proxy.busy(origin.addr()) > 0.0)
        });
        origins[busy].kill();
        let began = Instant::now();
        // A MiB a second, until the answer is there.
        for piece in large[large.len() / 2..].chunks(16 << 10) {
            client.send(piece);
            thread::sleep(Duration::from_millis(1));
        }
        let response = client.response_to("PUT");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        response.is(502);
        assert!(
            response.text().contains("upstream_reset"),
            "{}",
            response.text()
        );
        client.ends();
        origins[busy].restart();
    }
    is_calm(&proxy);
}

/// What came of downloads: whole ones, and those that broke off in a way that the client could see.
#[derive(Default)]
pub struct Downloads {
    pub whole: AtomicUsize,
    pub broken: AtomicUsize,
    pub refused: AtomicUsize,
    /// Successes that were short or wrong: there must be none.
    pub short: AtomicUsize,
}

/// Downloads of `size` bytes by so many clients, until there were `wanted`, while endpoints are killed.
pub fn downloads(
    web: SocketAddr,
    origins: &mut [OriginProcess],
    size: usize,
    wanted: usize,
) -> Downloads {
    let seen = Downloads::default();
    let done = AtomicUsize::new(0);
    let body = pattern(size);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while done.fetch_add(1, Ordering::Relaxed) < wanted {
                    let Ok(mut client) = Client::try_connect(web) else {
                        seen.refused.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    let count = match client.try_get(&format!("/bytes/{size}")) {
                        Ok(response) if response.status == 200 && response.body == body => {
                            &seen.whole
                        }
                        Ok(response) if response.status == 200 => &seen.short,
                        Ok(_) => &seen.refused,
                        Err(Fault::Truncated | Fault::Reset) => &seen.broken,
                        Err(fault) => panic!("{fault:?}"),
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut round = 0;
        while done.load(Ordering::Relaxed) < wanted {
            let victim = round % origins.len();
            origins[victim].kill();
            origins[victim].restart();
            round += 1;
            let goal = done.load(Ordering::Relaxed) + (wanted / 25).max(8);
            eventually("downloads go on", || {
                (done.load(Ordering::Relaxed) >= goal.min(wanted)).then_some(())
            });
        }
    });
    seen
}

/// F-01c: kill -9 in the middle of an answer: those that were under way break off where the client sees it, and none of
/// them looks whole.
#[test]
fn a_kill_during_an_answer_is_seen() {
    let mut origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let proxy = over(&origins, "").start();
    let wanted = scale(300, 10_000);
    let seen = downloads(proxy.web, &mut origins, 1 << 20, wanted);
    let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    let (whole, broken) = (count(&seen.whole), count(&seen.broken));
    println!(
        "F-01c: {whole} whole, {broken} visibly broken off, {} refused, {} short successes",
        count(&seen.refused),
        count(&seen.short)
    );
    assert_eq!(count(&seen.short), 0);
    assert_eq!(
        count(&seen.refused),
        0,
        "what had not begun was tried elsewhere"
    );
    assert!(broken > 0, "no kill hit an answer");
    // In flight at that instant: at most one for each client and kill.
    assert!(broken <= 6 * 26, "{broken} broken off");
    assert!(whole > wanted / 2, "{whole}");
    is_calm(&proxy);
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
    is_calm(&proxy);
}
