//! F-14, F-35: the kernel says no.

use super::{GENEROUS, is_calm};
use crate::support::load::{Shape, Style};
use crate::support::proxy::binary;
use crate::support::strace::Strace;
use crate::support::{Answer, Client, Origin, Proxy, Setup, eventually, scale};
use std::process::Command;
use std::time::{Duration, Instant};

fn echo() -> crate::support::origin::Plan {
    Origin::plan().counts_only().respond(|request| {
        Answer::ok(format!(
            "{} {}",
            request.one("x-nonce").unwrap_or("-"),
            request.target
        ))
    })
}

/// F-14: 256 descriptors and 1000 connections. The process stays, does not spin, serves who is inside, over new
/// connections to the endpoint too, and takes everybody once the crowd is gone.
#[test]
fn a_thousand_clients_and_256_descriptors() {
    // One request for each connection: every exchange needs a new descriptor.
    let origin = echo().requests(1).start();
    let setup = Setup::over(&[origin.addr()]);
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("ulimit -n 256 && exec \"$0\" run -c \"$1\"")
        .arg(binary().get_program())
        .arg(setup.config_path())
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG");
    let mut proxy = Proxy::start_by(&setup, command);
    let mut inside: Vec<_> = (0..4).map(|_| proxy.client()).collect();
    for client in &mut inside {
        client.get("/").is(200);
    }
    let crowd: Vec<_> = (0..1000).map(|_| proxy.client()).collect();
    let labels = [("reason", "conn_limit")];
    proxy.wait_metric("tidegate_connections_rejected_total", &labels, |count| {
        count > 900.0
    });
    let before = proxy.ticks();
    let began = Instant::now();
    let mut asked = 0;
    while began.elapsed() < Duration::from_secs(1) {
        for client in &mut inside {
            client.get("/").is(200);
            asked += 1;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let spent = proxy.ticks() - before;
    println!("F-14: {asked} requests answered and {spent} ticks spent in a second of being full");
    assert!(spent < 40, "{spent} ticks in a second");
    drop(crowd);
    let began = Instant::now();
    eventually("everybody is let in again", || {
        let mut client = Client::try_connect(proxy.web).ok()?;
        (client.try_get("/").ok()?.status == 200).then_some(())
    });
    println!(
        "F-14: served {:?} after the crowd was gone",
        began.elapsed()
    );
    assert!(began.elapsed() < Duration::from_secs(5));
    let tally = Shape::gets(4, Style::Fresh)
        .requests(50)
        .start(proxy.web)
        .join();
    tally.all_good();
    drop(inside);
    is_calm(&proxy);
    proxy.terminate();
}

/// What clients see while calls fail.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// Nothing.
    Nothing,
    /// This status instead of some answers.
    Status(u16),
    /// Connections that end, but no answer that is wrong.
    Breaks,
}

/// F-35: every second call fails. The process stays; what can be tried again is; nothing is left of it afterwards.
#[test]
fn calls_that_fail_are_told_or_tried_again() {
    let table = [
        ("accept4", "EMFILE", "1+2", Seen::Nothing),
        ("accept4", "ENOBUFS", "1+2", Seen::Nothing),
        ("accept4", "ECONNABORTED", "1+2", Seen::Nothing),
        ("accept4", "EPERM", "1+2", Seen::Nothing),
        ("connect", "EADDRNOTAVAIL", "1+2", Seen::Status(503)),
        ("connect", "ENETUNREACH", "1+2", Seen::Nothing),
        ("connect", "ECONNREFUSED", "1+2", Seen::Nothing),
        ("connect", "EAGAIN", "1+2", Seen::Nothing),
        ("socket", "EMFILE", "1+2", Seen::Status(503)),
        ("sendto,sendmsg,writev", "EPIPE", "1+5", Seen::Breaks),
        ("sendto,sendmsg,writev", "ENOBUFS", "1+5", Seen::Breaks),
        ("sendto,sendmsg,writev", "EIO", "1+5", Seen::Breaks),
        ("recvfrom,recvmsg", "ECONNRESET", "1+5", Seen::Breaks),
    ];
    let origin = echo().requests(1).start();
    let keys = format!("[clusters.app.retry]\nbackoff = {{ base = \"0s\" }}\n{GENEROUS}");
    let proxy = Setup::over_with(&[origin.addr()], &keys).start();
    for (calls, error, when, seen) in table {
        let injection = Strace::failing(proxy.pid(), calls, error, when);
        let tally = Shape::gets(2, Style::Fresh)
            .requests(scale(20, 200))
            .start(proxy.web)
            .join();
        drop(injection);
        let what = format!("{calls} {error}: {tally} {:?}", tally.bad.first());
        println!("F-35: {what}");
        assert_eq!(tally.crossed, 0, "{what}");
        match seen {
            Seen::Nothing => tally.all_good(),
            Seen::Status(status) => {
                let status = format!(" {status} ");
                assert!(tally.bad.iter().all(|bad| bad.contains(&status)), "{what}");
                assert!(!tally.bad.is_empty() && tally.good > 0, "{what}");
            }
            Seen::Breaks => {
                let broken = ["Closed", "Reset", "Truncated", " 502 ", " 503 "];
                let told = |bad: &String| broken.iter().any(|kind| bad.contains(kind));
                assert!(tally.bad.iter().all(told), "{what}");
                assert!(tally.good > 0, "{what}");
            }
        }
        // Nothing is left of it.
        let after = Shape::gets(2, Style::Fresh)
            .requests(20)
            .start(proxy.web)
            .join();
        after.all_good();
        is_calm(&proxy);
    }
    let line = proxy.wait_line("a line of ours", |line| line["detail"] == "no_ports");
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&"overloaded".into(), &503.into())
    );
    assert_eq!(line["side"], "local", "the endpoint is not blamed");
}

/// F-35: a wait for events that is interrupted. strace must not let go of it while the process lives: a call that it is
/// failing at that moment ends as one that does not exist, and no runtime can live without this one.
#[test]
fn an_interrupted_wait_goes_on() {
    let origin = echo().requests(1).start();
    let mut proxy = Setup::over(&[origin.addr()]).start();
    let interrupted = Strace::failing(proxy.pid(), "epoll_wait,epoll_pwait", "EINTR", "1+2");
    Shape::gets(2, Style::Fresh)
        .requests(scale(20, 200))
        .start(proxy.web)
        .join()
        .all_good();
    is_calm(&proxy);
    proxy.terminate();
    drop(interrupted);
}
