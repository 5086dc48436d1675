//! F-20: the wall clock jumps. Timers do not notice, the log says the new time, and nobody loses an answer.

use super::is_calm;
use crate::support::answer::Step;
use crate::support::load::{Shape, Style};
use crate::support::proxy::binary;
use crate::support::{Answer, Origin, Proxy, Setup, eventually, scale};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The library that stands between a program and the wall clock (Debian's package `faketime`).
fn library() -> PathBuf {
    let mut found = std::fs::read_dir("/usr/lib")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let path = entry.path().join("faketime/libfaketimeMT.so.1");
            path.exists().then_some(path)
        });
    found
        .next()
        .expect("libfaketime (Debian's package `faketime`)")
}

/// The last line about a path. The load beside it writes hundreds of thousands: only the end of the log is read.
fn last_line(proxy: &Proxy, path: &str) -> Option<serde_json::Value> {
    const END: u64 = 16 << 20;
    let mut file = std::fs::File::open(proxy.log_path()).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))
        .ok()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let wanted = format!("\"path\":\"{path}\"");
    let line = text.lines().rev().find(|line| line.contains(&wanted))?;
    serde_json::from_str(line).ok()
}

#[test]
fn jumps_of_the_clock_change_nothing_but_the_time() {
    let origin = Origin::plan()
        .counts_only()
        .respond(|request| match request.target.as_str() {
            "/hang" => Answer::silence().then(Step::Hang),
            _ => Answer::ok(request.one("x-nonce").unwrap_or("-")),
        })
        .start();
    let keys = "timeouts = { response = \"1s\" }\nbulkhead = { idle_timeout = \"1h\" }\n\
                [clusters.app.health]\ncheck = \"tcp\"\ninterval = \"200ms\"";
    let setup = Setup::over_with(&[origin.addr()], keys).workers(1);
    let time = setup.dir.file("time");
    let set = |text: &str| {
        let part = setup.dir.file("time.part");
        std::fs::write(&part, format!("{text}\n")).unwrap();
        std::fs::rename(part, &time).unwrap();
    };
    set("+0");
    let mut command = binary();
    command
        .args(["run", "-c"])
        .arg(setup.config_path())
        .env("LD_PRELOAD", library())
        .env("FAKETIME_TIMESTAMP_FILE", &time)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
    let mut proxy = Proxy::start_by(&setup, command);
    let mut idle = proxy.client();
    idle.get("/idle").is(200);
    let load = Shape::gets(2, Style::KeepAlive).start(proxy.web);
    let jumps = [
        ("+1d", None),
        ("-1d", None),
        ("@1970-01-02 00:00:00", Some("1970-01-02")),
        ("@2038-01-19 03:14:06", Some("2038-01-19")),
        ("@2100-02-28 23:59:58", Some("2100-0")),
        ("+0", None),
    ];
    for (number, (jump, day)) in jumps.iter().cycle().take(scale(6, 60)).enumerate() {
        set(jump);
        load.more(20);
        // The log follows the wall clock within a tick.
        let line = eventually("a line of this time", || {
            let path = format!("/at/{number}");
            proxy.get(&path).is(200);
            let line = last_line(&proxy, &path)?;
            let told = line["time"].as_str().unwrap_or_default();
            day.is_none_or(|day| told.starts_with(day)).then_some(line)
        });
        let took = line["duration_ms"].as_f64().unwrap_or(-1.0);
        assert!((0.0..60_000.0).contains(&took), "{line}");
        // A timer that hangs on the wall clock would fire now, or never.
        if number < jumps.len() {
            let began = Instant::now();
            proxy.get("/hang").is(504);
            let took = began.elapsed();
            assert!(took >= Duration::from_millis(900), "{jump}: {took:?}");
            assert!(took < Duration::from_secs(6), "{jump}: {took:?}");
        }
    }
    let tally = load.stop();
    tally.all_good();
    println!("F-20: {tally}");
    // Neither side's idle connections were closed by a day that passed in a moment.
    idle.get("/idle").is(200);
    drop(idle);
    assert_eq!(proxy.admin_get("/ready").status, 200);
    eventually("probes go on", || {
        let labels = [("cluster", "app"), ("state", "healthy")];
        (proxy.metric("tidegate_upstream_endpoints", &labels) == 1.0).then_some(())
    });
    is_calm(&proxy);
    proxy.terminate();
}
