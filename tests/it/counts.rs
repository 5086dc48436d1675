//! What a request costs in calls to the kernel, counted from outside. A figure that does not depend
//! on the machine: when it grows, something was added to the path of every request.

use crate::support::strace::Strace;
use crate::support::{Origin, Setup, eventually};
use std::collections::HashMap;
use std::ffi::OsStr;

const RECEIVE: [&str; 4] = ["recvfrom", "recvmsg", "read", "readv"];
const SEND: [&str; 4] = ["sendto", "sendmsg", "write", "writev"];

/// The last column but one of `strace -c`, by name.
pub fn table(text: &str) -> HashMap<String, f64> {
    text.lines()
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let calls = words.get(3)?.parse().ok()?;
            Some(((*words.last()?).to_owned(), calls))
        })
        .collect()
}

/// The issue: two receives and two sends for a request over a kept connection.
#[test]
fn two_receives_and_two_sends_per_request() {
    const REQUESTS: u32 = 1000;
    let origin = Origin::plan().counts_only().start();
    let setup = Setup::over(&[origin.addr()])
        .workers(1)
        .access("output", "\"off\"");
    let proxy = setup.start();
    let mut client = proxy.client();
    for _ in 0..50 {
        client.get("/").is(200);
    }
    let report = setup.dir.file("strace");
    let calls = "trace=network,read,readv,write,writev,epoll_wait,close";
    let options = ["-c", "-e", calls, "-o"].map(OsStr::new);
    let strace = Strace::attach(proxy.pid(), options.into_iter().chain([report.as_os_str()]));
    // From here on the worker is traced: the first answers come while the rest is attached.
    for _ in 0..REQUESTS {
        client.get("/").is(200);
    }
    drop(strace);
    let text = eventually("strace's table", || std::fs::read_to_string(&report).ok());
    let calls = table(&text);
    let per = |names: &[&str]| {
        let sum: f64 = names.iter().filter_map(|name| calls.get(*name)).sum();
        sum / f64::from(REQUESTS)
    };
    let (receives, sends) = (per(&RECEIVE), per(&SEND));
    println!("{receives:.3} receives, {sends:.3} sends per request\n{text}");
    assert!(
        receives > 1.5 && receives <= 2.1,
        "{receives} receives per request\n{text}"
    );
    assert!(
        sends > 1.5 && sends <= 2.1,
        "{sends} sends per request\n{text}"
    );
    for name in [
        "connect",
        "accept4",
        "close",
        "setsockopt",
        "getsockopt",
        "shutdown",
        "socket",
    ] {
        let count = per(&[name]);
        assert!(count < 0.02, "{count} of {name} per request\n{text}");
    }
    assert_eq!(origin.connections(), 1);
}
