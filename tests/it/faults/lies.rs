//! Endpoints that break off, talk nonsense, or close half of a connection (F-06): what comes of it is an answer of ours
//! or a break that the client can see, and never a success that is short.

use super::{Chance, is_calm};
use crate::support::answer::Step;
use crate::support::client::pattern;
use crate::support::{Answer, Fault, Gate, Origin, Received, Setup, eventually, scale};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An answer that is cut off behind each of its bytes, by FIN and by RST. Before the head is whole: 502. After it: a break
/// that shows. With the last byte: the answer.
#[test]
fn an_answer_cut_off_anywhere_never_looks_whole() {
    for framed in [
        Answer::ok("0123456789").field("X-Filler", "some bytes more"),
        Answer::ok("0123456789").chunked(4),
    ] {
        let whole = framed.render("GET", None);
        let head = whole.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
        let cut = Arc::new(AtomicUsize::new(0));
        let (inside, bytes) = (Arc::clone(&cut), whole.clone());
        let last = Arc::new(Mutex::new(Step::Close));
        let ending = Arc::clone(&last);
        let origin = Origin::answering(move |_| {
            let end = inside.load(Ordering::SeqCst);
            Answer::raw(&bytes[..end]).then(ending.lock().unwrap().clone())
        });
        let keys = "[clusters.app.retry]\nattempts = 0";
        let proxy = Setup::over_with(&[origin.addr()], keys).start();
        for (step, resets) in [(Step::Close, false), (Step::Reset, true)] {
            *last.lock().unwrap() = step;
            for end in 0..=whole.len() {
                cut.store(end, Ordering::SeqCst);
                let at = format!("{end} of {} bytes, reset {resets}", whole.len());
                match proxy.client().try_get("/") {
                    // A reset may overtake what was sent before it.
                    Ok(response) if response.status == 502 => {
                        assert!(end < head || resets, "{at}");
                    }
                    Ok(response) => {
                        assert_eq!((response.status, end), (200, whole.len()), "{at}");
                        assert_eq!(response.body, b"0123456789", "{at}");
                    }
                    Err(Fault::Truncated | Fault::Reset) => {
                        assert!((head..=whole.len()).contains(&end), "{at}");
                        assert!(end < whole.len() || resets, "{at}");
                    }
                    Err(fault) => panic!("{at}: {fault:?}"),
                }
            }
        }
        cut.store(whole.len(), Ordering::SeqCst);
        *last.lock().unwrap() = Step::Close;
        is_calm(&proxy);
    }
}

/// Bytes that are no answer, and answers with one byte wrong: 502 or a visible break, or an answer that is one. The next
/// client gets its own.
#[test]
fn nonsense_stays_with_the_one_who_asked() {
    let turn = Arc::new(AtomicUsize::new(0));
    let inside = Arc::clone(&turn);
    let chance = Mutex::new(Chance(11));
    let origin = Origin::plan()
        .counts_only()
        .respond(move |request: &Received| {
            let nonce = request.one("x-nonce").unwrap_or("-");
            let good = Answer::ok(nonce);
            if request.target == "/canary" {
                return good;
            }
            let mut chance = chance.lock().unwrap();
            let mut bytes = good.render("GET", Some(nonce));
            match inside.fetch_add(1, Ordering::SeqCst) % 4 {
                0 => {
                    let length = 1 + chance.below(3000);
                    bytes = chance.bytes(length);
                }
                1 => {
                    let at = chance.below(bytes.len());
                    bytes[at] ^= 1 << chance.below(8);
                }
                2 => {
                    let at = chance.below(bytes.len());
                    bytes.remove(at);
                }
                _ => {
                    let at = chance.below(bytes.len());
                    let more = chance.bytes(3);
                    bytes.splice(at..at, more);
                }
            }
            // Half of them keep the connection: whoever comes next must not get the rest.
            match chance.below(2) {
                0 => Answer::raw(bytes),
                _ => Answer::raw(bytes).then(Step::Close),
            }
        })
        .start();
    let keys = "timeouts = { response = \"1s\", response_idle = \"1s\" }\n[clusters.app.retry]\nattempts = 0";
    let proxy = Setup::over_with(&[origin.addr()], keys).workers(1).start();
    let (mut ours, mut broken, mut passed, mut closed) = (0, 0, 0, 0);
    let rounds = scale(60, 200);
    for round in 0..rounds {
        // Answers that are waited for come from those that keep the connection: eight at a time.
        let mut clients: Vec<_> = (0..8)
            .map(|at| {
                let mut client = proxy.client();
                client.send(format!(
                    "GET /noise HTTP/1.1\r\nHost: a\r\nX-Nonce: n{round}-{at}\r\n\r\n"
                ));
                client
            })
            .collect();
        for client in &mut clients {
            match client.try_response_to("GET") {
                Ok(response) if matches!(response.status, 502 | 504) => ours += 1,
                Ok(_) => passed += 1,
                Err(Fault::Truncated | Fault::Reset | Fault::Closed) => broken += 1,
                Err(fault) => panic!("{fault:?}"),
            }
        }
        let mut canary = proxy.client();
        canary.send(format!(
            "GET /canary HTTP/1.1\r\nHost: a\r\nX-Nonce: c{round}\r\n\r\n"
        ));
        let wanted = format!("c{round}");
        // Without retries it may meet the close of a connection whose last answer was one after all.
        match canary.response() {
            refused if refused.status == 502 => {
                let told = refused.text();
                assert!(told.contains("reason: upstream_reset"), "{told}");
                closed += 1;
            }
            answer => assert_eq!(answer.is(200).text(), wanted),
        }
    }
    assert!(closed * 10 <= rounds, "{closed} of {rounds}");
    println!(
        "nonsense: {ours} answers of ours, {broken} visible breaks, {passed} that were answers all the same"
    );
    assert!(ours > passed, "{ours} {broken} {passed}");
    assert_eq!(
        proxy.metric("tidegate_runtime_task_panics_total", &[]),
        0.0,
        "{}",
        proxy.output()
    );
}

/// F-06: clients that closed their sending side wait without costing anything, and get the whole answer.
#[test]
fn half_closed_clients_wait_quietly_and_get_all() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let body = pattern(300_000);
    let sent = body.clone();
    let origin = Origin::plan()
        .respond(move |request| match request.target.as_str() {
            "/" => Answer::ok("x"),
            _ => Answer::ok(sent.clone()).held_at(500, &inside),
        })
        .start();
    let proxy = Setup::over(&[origin.addr()]).start();
    let count = scale(20, 1000);
    let mut clients: Vec<_> = (0..count)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
            client.finish();
            client
        })
        .collect();
    origin.wait(count);
    // Not a wait: the stretch of time that is measured.
    let before = proxy.ticks();
    std::thread::sleep(Duration::from_secs(1));
    let spent = proxy.ticks() - before;
    println!("F-06: {count} half-closed clients cost {spent} ticks in a second");
    assert!(spent < 20, "{spent} ticks in a second of waiting");
    gate.open();
    for client in &mut clients {
        assert!(client.response().is(200).body == body);
    }
    drop(clients);
    is_calm(&proxy);
}

/// F-06: an endpoint that closes its sending side after half a body: the client sees the break, in time.
#[test]
fn an_endpoint_that_closes_half_is_not_waited_for() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/length" => Answer::ok(pattern(50_000)).cut(500, Step::HalfClose),
        "/chunked" => Answer::ok(pattern(50_000))
            .chunked(1000)
            .cut(500, Step::HalfClose),
        "/head" => Answer::ok("x").cut(300, Step::HalfClose),
        "/silent" => Answer::silence().then(Step::HalfClose),
        _ => Answer::ok("x"),
    });
    let keys = "[clusters.app.retry]\nattempts = 0";
    let proxy = Setup::over_with(&[origin.addr()], keys).start();
    for path in ["/length", "/chunked"] {
        let got = proxy.client().try_get(path);
        assert!(
            matches!(got, Err(Fault::Truncated | Fault::Reset)),
            "{path}: {got:?}"
        );
    }
    for path in ["/head", "/silent"] {
        proxy.get(path).is(502);
    }
    eventually("no connection to it is left", || {
        (origin.open_connections() == 0).then_some(())
    });
    is_calm(&proxy);
}
