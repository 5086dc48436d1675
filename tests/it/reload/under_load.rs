//! Reloads while clients ask without end: nothing is lost.

use super::{echoing, fixed, listener};
use crate::support::load::{Shape, Style};
use crate::support::websocket::WebSocket;
use crate::support::{Origin, Reload, Setup, eventually, ports, scale};
use serde_json::Value;

fn site(addrs: &[std::net::SocketAddr]) -> Setup {
    let keys = "balancer = \"round_robin\"";
    Setup::over_with(addrs, keys)
}

/// F-09: reloads under load: keep-alive, new connections and a WebSocket; nothing is lost.
/// Threads and descriptors do not grow with the reloads.
#[test]
fn reloads_under_load_lose_nothing() {
    let origins: Vec<_> = (0..3)
        .map(|_| Origin::plan().counts_only().respond(echoing).start())
        .collect();
    let addrs: Vec<_> = origins.iter().map(Origin::addr).collect();
    let one = site(&addrs);
    let two =
        fixed(site(&addrs[..2]).at(&one), "second", "x").tail(&listener("extra", ports::free()));
    let proxy = one.start();
    let mut socket = WebSocket::connect(proxy.web, "/chat");
    let kept = Shape::gets(4, Style::KeepAlive).start(proxy.web);
    let fresh = Shape::gets(2, Style::Fresh).start(proxy.web);
    kept.more(200);
    let mut threads = Vec::new();
    for round in 0..scale(30, 200) {
        let setup = if round % 2 == 0 { &two } else { &one };
        assert_eq!(proxy.reload(setup), Reload::Done, "{}", proxy.output());
        kept.more(scale(40, 250));
        fresh.more(5);
        socket.echoes(&format!("round {round}"));
        threads.push(proxy.threads());
    }
    assert_eq!(proxy.reload(&one), Reload::Done);
    kept.more(200);
    let files = proxy.files();
    let mut tally = kept.stop();
    tally.merge(fresh.stop());
    tally.all_good();
    assert_eq!(tally.refused, 0);
    assert!(tally.good >= scale(1500, 50_000), "{}", tally.good);
    // Loading and encoding borrow threads that are kept for a while; two at once is all there can be.
    let (fewest, most) = (threads.iter().min(), threads.iter().max());
    assert!(
        most.zip(fewest)
            .is_some_and(|(most, fewest)| most - fewest <= 2),
        "threads come and go: {threads:?}"
    );
    assert!(files < 200, "{files} descriptors");
    socket.echoes("still here");
    drop(socket);
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
