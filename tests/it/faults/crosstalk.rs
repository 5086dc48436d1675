//! F-41, the property above all others: no answer ever reaches the wrong client; under kills, and with clients that leave
//! in the middle.

use super::{Chance, is_calm, over};
use crate::support::answer::Step;
use crate::support::load::{Shape, Style, Tally, ask};
use crate::support::{Answer, Client, Origin, OriginProcess, Proxy, Setup, scale};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Clients that ask and go, at every point of the exchange; and some that stay, to be checked.
pub fn leave(addr: std::net::SocketAddr, over: &AtomicBool) -> (Tally, usize) {
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

/// So many GETs of clients that stay, beside those that leave, while endpoints are killed in turn. Gives what was
/// counted, how many left and how many kills there were.
pub fn storm(
    web: std::net::SocketAddr,
    origins: &mut [OriginProcess],
    wanted: usize,
) -> (Tally, usize, usize) {
    let clients = 6;
    let kept = Shape::gets(clients, Style::KeepAlive)
        .requests(wanted / clients)
        .start(web);
    let over = Arc::new(AtomicBool::new(false));
    let leaving = {
        let over = Arc::clone(&over);
        thread::spawn(move || leave(web, &over))
    };
    let mut round = 0;
    while kept.running() {
        kept.more(wanted / 20);
        let victim = round % origins.len();
        origins[victim].kill();
        origins[victim].restart();
        kept.everybody();
        round += 1;
    }
    let mut tally = kept.join();
    over.store(true, Ordering::Relaxed);
    let (seen, left) = leaving.join().unwrap();
    tally.merge(seen);
    (tally, left, round)
}

#[test]
fn no_answer_reaches_the_wrong_client() {
    let mut origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let proxy = over(&origins, "").start();
    let wanted = scale(20_000, 1_000_000);
    let (tally, left, kills) = storm(proxy.web, &mut origins, wanted);
    println!("F-41: {tally}; {left} clients left early, {kills} kills");
    assert!(left > 50, "only {left} clients left early");
    tally.all_good();
    assert!(kills >= 5, "{kills} kills");
    assert!(tally.good >= wanted / 6 * 6);
    is_calm(&proxy);
}

/// The same where endpoints lie and stall: what is lost is told, and still nobody gets another's answer.
#[test]
fn no_answer_reaches_the_wrong_client_from_faulty_endpoints() {
    let chance = Arc::new(Mutex::new(Chance(3)));
    let origins: Vec<_> = (0..3)
        .map(|_| {
            let chance = Arc::clone(&chance);
            Origin::plan()
                .counts_only()
                .respond(move |request| {
                    let good = Answer::ok(request.one("x-nonce").unwrap_or("-"));
                    match chance.lock().unwrap().below(40) {
                        0 => Answer::silence().then(Step::Reset),
                        1 => Answer::silence().then(Step::Close),
                        2 => good.cut(500, Step::Reset),
                        3 => good.cut(900, Step::Close),
                        4 => good.cut(100, Step::HalfClose),
                        5 => good.interim("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
                        6 => good.then(Step::Close),
                        7 => good.then(Step::Reset),
                        8 => good.chunked(3),
                        9 => Answer {
                            status: 503,
                            ..good
                        },
                        _ => good,
                    }
                })
                .start()
        })
        .collect();
    let addrs: Vec<_> = origins.iter().map(Origin::addr).collect();
    let proxy: Proxy = Setup::over_with(&addrs, "").start();
    let over = Arc::new(AtomicBool::new(false));
    let leaving = {
        let (over, web) = (Arc::clone(&over), proxy.web);
        thread::spawn(move || leave(web, &over))
    };
    let wanted = scale(8000, 500_000);
    let mut tally = Shape::gets(6, Style::KeepAlive)
        .requests(wanted / 6)
        .start(proxy.web)
        .join();
    over.store(true, Ordering::Relaxed);
    let (seen, left) = leaving.join().unwrap();
    tally.merge(seen);
    println!("F-41, faulty endpoints: {tally}; {left} clients left early");
    assert_eq!(tally.crossed, 0);
    assert!(tally.good > wanted / 2, "{tally}");
    // Everything else is a refusal or a break.
    for what in &tally.bad {
        let told = [" 502 ", " 503 ", "Truncated", "Reset", "Closed"];
        assert!(told.iter().any(|kind| what.contains(kind)), "{what}");
    }
    is_calm(&proxy);
}
