//! Listeners that are added, moved, renamed and removed while the process runs.

use super::{echoing, listener};
use crate::support::load::{Shape, Style};
use crate::support::{Answer, Client, Gate, Origin, Reload, Setup, eventually, ports, scale};

#[test]
fn listeners_come_move_and_go() {
    let origin = Origin::start();
    let (a, b) = (ports::free(), ports::free());
    let base = Setup::over(&[origin.addr()]);
    let proxy = base.start();
    let mut kept = proxy.client();
    kept.get("/").is(200);
    assert_eq!(
        proxy.reload(&base.clone().tail(&listener("second", a))),
        Reload::Done
    );
    let mut second = Client::connect(a);
    second.get("/a").is(200);
    // Moved: the old address is free again, the new one serves.
    assert_eq!(
        proxy.reload(&base.clone().tail(&listener("second", b))),
        Reload::Done
    );
    Client::connect(b).get("/b").is(200);
    eventually("the old address refuses", || {
        Client::try_connect(a).is_err().then_some(())
    });
    // Renamed in its place: the socket stays.
    assert_eq!(
        proxy.reload(&base.clone().tail(&listener("renamed", b))),
        Reload::Done
    );
    Client::connect(b).get("/c").is(200);
    assert_eq!(proxy.reload(&base), Reload::Done);
    eventually("the listener is gone", || {
        Client::try_connect(b).is_err().then_some(())
    });
    kept.get("/still").is(200);
    let log = proxy.wait_log(5);
    assert!(
        log.iter().any(|line| line["listener"] == "renamed"),
        "{log:?}"
    );
}

/// A connection of a removed listener finishes what it has.
#[test]
fn a_removed_listener_finishes_what_it_has() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let origin = Origin::answering(move |request| match request.target.as_str() {
        "/held" => Answer::ok("held").held(&inside),
        _ => Answer::ok("x"),
    });
    let extra = ports::free();
    let base = Setup::over(&[origin.addr()]);
    let proxy = base.clone().tail(&listener("extra", extra)).start();
    let mut client = Client::connect(extra);
    client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait(1);
    assert_eq!(proxy.reload(&base), Reload::Done);
    eventually("the listener is gone", || {
        Client::try_connect(extra).is_err().then_some(())
    });
    gate.open();
    let response = client.response();
    assert_eq!(response.text(), "held");
    assert!(response.closes());
    client.ends();
}

/// … and under load nobody is lost with it: who got in is answered, who did not is refused.
#[test]
fn a_listener_removed_under_load_loses_nobody() {
    let origin = Origin::plan().counts_only().respond(echoing).start();
    let extra = ports::free();
    let base = Setup::over(&[origin.addr()]);
    let proxy = base.start();
    for _ in 0..scale(5, 50) {
        let more = base.clone().tail(&listener("extra", extra));
        assert_eq!(proxy.reload(&more), Reload::Done);
        let kept = Shape::gets(2, Style::KeepAlive).start(extra);
        let fresh = Shape::gets(4, Style::Fresh).start(extra);
        fresh.more(50);
        assert_eq!(proxy.reload(&base), Reload::Done);
        let mut tally = kept.join();
        tally.merge(fresh.join());
        tally.all_good();
        assert_eq!(tally.refused, 6, "every client ends by being refused");
    }
}
