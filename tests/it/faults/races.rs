//! F-04 (E-200, E-201): an endpoint closes an idle connection just as it is used.

use super::{is_calm, twice};
use crate::support::load::{Tally, ask};
use crate::support::{Answer, Origin, Setup, endpoint, scale};
use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// After so long without a request the origins close.
const IDLE: Duration = Duration::from_millis(20);

/// The sweep: from the shortest pause to the longest.
const FIRST: Duration = Duration::from_millis(15);
const WIDTH: Duration = Duration::from_millis(10);

/// One origin for each client, so that the pause of a client is the idle time of its connection. Every request is
/// written into the journal as it arrives.
pub fn origins(count: usize, journal: &Path) -> Vec<Origin> {
    let journal = std::fs::File::create(journal).expect("journal");
    let journal = Arc::new(Mutex::new(journal));
    (0..count)
        .map(|_| {
            let journal = Arc::clone(&journal);
            Origin::plan()
                .counts_only()
                .idle(IDLE)
                .respond(move |request| {
                    let nonce = request.one("x-nonce").unwrap_or("-");
                    let line = format!("{} {nonce}\n", request.method);
                    journal.lock().unwrap().write_all(line.as_bytes()).unwrap();
                    Answer::ok(nonce)
                })
                .start()
        })
        .collect()
}

/// Clients, one for each Host `0.test`, `1.test`…, that pause before every request: from 5 ms before the moment of the
/// close to 5 ms after it, step by step.
pub fn sweep(web: SocketAddr, clients: usize, method: &'static str, requests: usize) -> Tally {
    let each = requests / clients;
    let threads: Vec<_> = (0..clients)
        .map(|number| {
            thread::spawn(move || {
                let mut tally = Tally::default();
                let mut kept = None;
                for step in 0..each {
                    let mut client = match kept.take() {
                        Some(client) => client,
                        None => crate::support::Client::connect(web),
                    };
                    let phase = WIDTH * u32::try_from(step).unwrap() / u32::try_from(each).unwrap();
                    // The pause is what is tested.
                    thread::sleep(FIRST + phase);
                    let host = format!("{number}.test");
                    if tally.ask(&mut client, method, &host) {
                        kept = Some(client);
                    }
                }
                tally
            })
        })
        .collect();
    let mut sum = Tally::default();
    for thread in threads {
        sum.merge(thread.join().unwrap());
    }
    sum
}

pub const CLIENTS: usize = 32;

/// One cluster for each origin, found by Host.
pub fn site(setup: Setup, origins: &[Origin]) -> Setup {
    let mut setup = setup;
    for (number, origin) in origins.iter().enumerate() {
        let name: &'static str = Box::leak(format!("c{number}").into_boxed_str());
        setup = setup
            .cluster(
                name,
                &[endpoint(origin.addr())],
                "[clusters.NAME.retry]\nbackoff = { base = \"0s\" }"
                    .replace("NAME", name)
                    .as_str(),
            )
            .route(
                name,
                &format!("hosts = [\"{number}.test\"]\ncluster = \"{name}\""),
            );
    }
    setup
}

/// F-04: no GET meets the close.
#[test]
fn no_get_is_lost_to_an_idle_close() {
    let setup = Setup::new();
    let journal = setup.dir.file("journal");
    let origins = origins(CLIENTS, &journal);
    let proxy = site(setup, &origins).start();
    let wanted = scale(4800, 100_000) / CLIENTS * CLIENTS;
    let tally = sweep(proxy.web, CLIENTS, "GET", wanted);
    let closes = closes(&origins);
    println!("F-04 GET: {tally}; {closes} connections were closed by their endpoint");
    tally.all_good();
    assert_eq!(tally.good, wanted);
    assert!(closes > wanted / 20, "the sweep met {closes} closes only");
    drop(origins);
}

/// F-04, E-201: a POST takes no connection that its endpoint may be closing. One that is lost all the same is a 502 that says
/// so. Done twice: none.
#[test]
fn a_post_meets_an_idle_close_once_at_most() {
    let setup = Setup::new();
    let journal = setup.dir.file("journal");
    let origins = origins(CLIENTS, &journal);
    let proxy = site(setup, &origins).start();
    let wanted = scale(4800, 100_000) / CLIENTS * CLIENTS;
    let tally = sweep(proxy.web, CLIENTS, "POST", wanted);
    let closes = closes(&origins);
    println!("F-04 POST: {tally}; {closes} connections were closed by their endpoint");
    assert_eq!(tally.crossed, 0);
    assert_eq!(tally.good + tally.bad.len(), wanted);
    for what in &tally.bad {
        let told = what.contains("502") && what.contains("upstream_reset");
        assert!(told && what.contains("not_idempotent"), "{what}");
    }
    // One of ten thousand. Where that is none, as in the short sweep, three: by chance more would come once in five hundred runs.
    let most = (wanted / 10_000).max(3);
    assert!(
        tally.bad.len() <= most,
        "{} of {wanted}, {most} allowed",
        tally.bad.len()
    );
    assert!(closes > wanted / 20, "the sweep met {closes} closes only");
    assert_eq!(twice(&journal), Vec::<String>::new());
    drop(origins);
}

fn closes(origins: &[Origin]) -> usize {
    origins.iter().map(Origin::connections).sum::<usize>() - origins.len()
}

/// E-201: over all the ways in which an endpoint can fail, no POST reaches any of them twice.
#[test]
fn no_post_is_done_twice_under_any_fault() {
    use crate::support::answer::Step;
    let seen: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let turn = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let origins: Vec<_> = (0..3)
        .map(|_| {
            let (seen, turn) = (Arc::clone(&seen), Arc::clone(&turn));
            Origin::plan()
                .counts_only()
                .respond(move |request| {
                    let nonce = request.one("x-nonce").unwrap_or("-").to_owned();
                    *seen.lock().unwrap().entry(nonce.clone()).or_default() += 1;
                    let good = Answer::ok(nonce);
                    match turn.fetch_add(1, Ordering::Relaxed) % 14 {
                        0 => Answer::silence().then(Step::Reset),
                        1 => Answer::silence().then(Step::Close),
                        2 => Answer::silence().then(Step::Hang),
                        3 => Answer::raw("HTTP/1.1 100 Continue\r\n\r\n").then(Step::Reset),
                        4 => good.cut(300, Step::Close),
                        5 => good.cut(900, Step::Reset),
                        6 => Answer {
                            status: 503,
                            ..good
                        },
                        7 => Answer {
                            status: 500,
                            ..good
                        },
                        8 => Answer::raw("not HTTP at all\r\n\r\n").then(Step::Close),
                        9 => good.then(Step::Close),
                        10 => good.then(Step::Reset),
                        _ => good,
                    }
                })
                .start()
        })
        .collect();
    let addrs: Vec<_> = origins.iter().map(Origin::addr).collect();
    let keys = "timeouts = { response = \"1s\" }\n[clusters.app.retry]\nattempts = 4\nper_try_timeout = \"50ms\"\n\
                on = [\"connect\", \"reset\", \"response_timeout\", \"500-599\"]\nbackoff = { base = \"0s\" }\n\
                budget = { ratio = 1.0, min_per_second = 1000 }";
    let proxy = Setup::over_with(&addrs, keys).start();
    let posts = scale(400, 20_000) / 4;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let web = proxy.web;
            thread::spawn(move || {
                let mut tally = Tally::default();
                for _ in 0..posts {
                    let mut client = crate::support::Client::connect(web);
                    ask(&mut client, "POST", &mut tally);
                }
                tally
            })
        })
        .collect();
    let mut tally = Tally::default();
    for thread in threads {
        tally.merge(thread.join().unwrap());
    }
    assert_eq!(
        (tally.crossed, tally.good + tally.bad.len()),
        (0, posts * 4)
    );
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    println!(
        "E-201: {tally}; {} reached an endpoint, none twice",
        seen.len()
    );
    assert!(seen.len() > posts * 3, "{}", seen.len());
    is_calm(&proxy);
}
