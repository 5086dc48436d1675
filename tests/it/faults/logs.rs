//! F-18b: whoever reads the access log stops reading.

use super::is_calm;
use crate::support::load::{Shape, Style};
use crate::support::proxy::lines;
use crate::support::{Answer, Gate, Origin, Setup, eventually, scale};
use std::io::Read;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

/// A pipe whose reader stalls: no request waits, memory has its bound, and afterwards every request is in the log or in
/// the count of those that were dropped.
#[test]
fn a_stalled_reader_of_the_log_holds_up_nobody() {
    let origin = Origin::plan()
        .counts_only()
        .respond(|request| {
            let nonce = request.one("x-nonce").unwrap_or("-");
            Answer::ok(format!("{nonce} {}", request.target.len()))
        })
        .start();
    let setup = Setup::over(&[origin.addr()]);
    let pipe = setup.dir.file("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let setup = setup.access(
        "output",
        format!("{{ file = {{ path = \"{}\" }} }}", pipe.display()),
    );
    let mut proxy = setup.start();
    let gate = Gate::shut();
    let read = Arc::new(Mutex::new(Vec::new()));
    let reader = {
        let (gate, read) = (gate.clone(), Arc::clone(&read));
        thread::spawn(move || {
            let mut from = std::fs::File::open(pipe).unwrap();
            gate.pass();
            let mut scratch = vec![0; 1 << 16];
            while let Ok(n @ 1..) = from.read(&mut scratch) {
                read.lock().unwrap().extend_from_slice(&scratch[..n]);
            }
        })
    };
    let load = || {
        let tally = Shape::gets(4, Style::KeepAlive)
            .requests(scale(500, 20_000))
            .start(proxy.web)
            .join();
        tally.all_good();
        tally
    };
    let base = load();
    let before = proxy.held();
    // Long lines, so that the queue of 8 MiB is full soon; then a load as it comes.
    let mut client = proxy.client();
    let (path, query) = ("p".repeat(2000), "q".repeat(2000));
    let long = scale(3000, 10_000);
    for _ in 0..long {
        client.get(&format!("/{path}?{query}")).is(200);
    }
    let dropped = "tidegate_accesslog_dropped_total";
    proxy.wait_metric(dropped, &[], |dropped| dropped > 0.0);
    let tally = load();
    let grown = proxy.held().saturating_sub(before);
    println!("F-18b: before {base}; stalled, {tally}; memory grew by {grown} KiB");
    assert!(grown < 48 * 1024, "{grown} KiB");
    drop(client);
    is_calm(&proxy);
    gate.open();
    let asked = proxy.metric("tidegate_requests_total", &[]);
    let logged = || lines(&String::from_utf8_lossy(&read.lock().unwrap())).len() as f64;
    eventually("logged and dropped are all that were asked", || {
        (logged() + proxy.metric(dropped, &[]) == asked).then_some(())
    });
    println!(
        "F-18b: {asked} requests, {} lines, {} dropped",
        logged(),
        proxy.metric(dropped, &[])
    );
    proxy.terminate();
    reader.join().unwrap();
}
