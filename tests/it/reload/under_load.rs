//! Reloads while clients ask without end: nothing is lost.

use super::{echoing, fixed, listener};
use crate::support::load::{Shape, Style, Tally};
use crate::support::websocket::WebSocket;
use crate::support::{Origin, Proxy, Reload, Setup, eventually, ports, scale};
use serde_json::Value;
use std::thread;
use std::time::{Duration, Instant};

fn site(addrs: &[std::net::SocketAddr]) -> Setup {
    let keys = "balancer = \"round_robin\"";
    Setup::over_with(addrs, keys)
}

/// Reloads a second, as the issue asks for them. At small size they follow each other at once.
const PACE: Duration = Duration::from_millis(100);

/// What the process may hold more of after all the reloads than after the first: files of its own (those
/// of its connections to origins are not counted), and KiB of memory.
const MORE_FILES: usize = 4;
const MORE_MEMORY: usize = 8 * 1024;

/// A proxy that is given two configurations in turn.
struct Rig {
    proxy: Proxy,
    origins: Vec<Origin>,
    turns: [Setup; 2],
    threads: Vec<usize>,
}

impl Rig {
    fn start() -> Self {
        let origins: Vec<_> = (0..3)
            .map(|_| Origin::plan().counts_only().respond(echoing).start())
            .collect();
        let addrs: Vec<_> = origins.iter().map(Origin::addr).collect();
        let one = site(&addrs);
        let extra = listener("extra", ports::free());
        let two = fixed(site(&addrs[..2]).at(&one), "second", "x").tail(&extra);
        Self {
            proxy: one.start(),
            origins,
            turns: [two, one],
            threads: Vec::new(),
        }
    }

    /// Reloads under load, so many times (an even number: it ends as it began), until the clients that
    /// keep their connections have had so many answers.
    fn rounds(&mut self, count: usize, answers: usize, socket: &mut WebSocket) -> Tally {
        let kept = Shape::gets(4, Style::KeepAlive).start(self.proxy.web);
        let fresh = Shape::gets(2, Style::Fresh).start(self.proxy.web);
        kept.more(200);
        let begin = Instant::now();
        for (round, setup) in (0..count).zip(self.turns.iter().cycle()) {
            let done = self.proxy.reload(setup);
            assert_eq!(done, Reload::Done, "{}", self.proxy.output());
            kept.more(40);
            fresh.more(5);
            socket.echoes(&format!("round {round}"));
            self.threads.push(self.proxy.threads());
            if at_full_scale() {
                let next = PACE * u32::try_from(round + 1).unwrap();
                thread::sleep(next.saturating_sub(begin.elapsed()));
            }
        }
        kept.more(200);
        while kept.running() && kept.answers() < answers {
            kept.more(100);
        }
        let mut tally = kept.stop();
        tally.merge(fresh.stop());
        tally
    }

    /// Files that the process holds for itself, when no client but the WebSocket's is there.
    fn own_files(&self) -> usize {
        eventually("all other clients are gone", || {
            let open = self.proxy.metric("tidegate_connections_active", &[]);
            (open == 1.0).then_some(())
        });
        let origins: usize = self.origins.iter().map(Origin::open_connections).sum();
        self.proxy.files().saturating_sub(origins)
    }
}

fn at_full_scale() -> bool {
    std::env::var("TIDEGATE_FAULT_SCALE").is_ok_and(|scale| scale == "full")
}

/// F-09: reloads under load: keep-alive, new connections and a WebSocket; nothing is lost.
/// Threads, descriptors and memory do not grow with the reloads.
#[test]
fn reloads_under_load_lose_nothing() {
    let mut rig = Rig::start();
    let mut socket = WebSocket::connect(rig.proxy.web, "/chat");
    // What the first reloads bring stays: threads that are kept, buffers, cells of metrics.
    let mut tally = rig.rounds(scale(10, 20), 0, &mut socket);
    let (files, memory) = (rig.own_files(), rig.proxy.held());
    tally.merge(rig.rounds(scale(20, 180), scale(1500, 50_000), &mut socket));
    tally.all_good();
    assert_eq!(tally.refused, 0);
    assert!(tally.good >= scale(1500, 50_000), "{}", tally.good);

    let left = eventually("no more files than before", || {
        let now = rig.own_files();
        (now <= files + MORE_FILES).then_some(now)
    });
    let after = rig.proxy.held();
    println!("after the first reloads {memory} KiB, {files} files; after all {after} KiB, {left}");
    assert!(
        after <= memory + MORE_MEMORY,
        "memory grew from {memory} to {after} KiB"
    );
    // Loading and encoding borrow threads that are kept for a while; two at once is all there can be.
    let (fewest, most) = (rig.threads.iter().min(), rig.threads.iter().max());
    assert!(
        most.zip(fewest)
            .is_some_and(|(most, fewest)| most - fewest <= 2),
        "threads come and go: {:?}",
        rig.threads
    );

    socket.echoes("still here");
    drop(socket);
    let proxy = &rig.proxy;
    let sum = proxy.metric("tidegate_requests_total", &[("route", "all")]);
    eventually("one line for every exchange", || {
        (proxy.log().len() > tally.good).then_some(())
    });
    assert!(sum >= tally.good as f64, "{sum} of {}", tally.good);
}

/// A storm of signals is one reload after the other, or fewer; never a crash.
#[test]
fn a_storm_of_signals_is_survived() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let proxy = setup.start();
    let load = Shape::gets(2, Style::Fresh).start(proxy.web);
    for _ in 0..100 {
        proxy.signal("HUP");
    }
    load.more(50);
    load.stop();
    assert_eq!(proxy.reload(&fixed(setup, "last", "last")), Reload::Done);
    eventually("the last one counts", || {
        (proxy.get("/last").text() == "last").then_some(())
    });
    let _: Value = proxy.status();
}
