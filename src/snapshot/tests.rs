//! Whole configurations, from text.

use std::path::Path;
use std::time::Duration;

use super::{Live, LogLevel, ProcessSettings, Purpose, Snapshot, WorkersBy, compile};
use crate::config::{Diagnostics, parse};

const SMALL: &str = r#"
[[listeners]]
name = "web"
bind = ["127.0.0.1:8080"]
protocol = "http"
[[routes]]
name = "all"
cluster = "b"
[clusters.b]
endpoints = ["127.0.0.1:9001"]
"#;

fn attempt(text: &str, live: &Live, purpose: Purpose<'_>) -> (Option<Snapshot>, Diagnostics) {
    let loaded = parse(Path::new("test.toml"), text).unwrap_or_else(|diagnostics| {
        panic!("{}", diagnostics.lines().collect::<Vec<_>>().join("\n"))
    });
    let mut diagnostics = loaded.diagnostics;
    let snapshot = compile(&loaded.raw, &loaded.files, live, purpose, &mut diagnostics);
    (snapshot, diagnostics)
}

fn start(text: &str) -> Snapshot {
    attempt(text, &Live::default(), Purpose::Start)
        .0
        .expect("fine")
}

fn follow(text: &str, running: &ProcessSettings) -> Vec<String> {
    let (snapshot, diagnostics) = attempt(text, &Live::default(), Purpose::Follow(running));
    assert_eq!(snapshot.is_none(), diagnostics.has_errors());
    diagnostics.lines().collect()
}

#[test]
fn a_small_file_gets_defaults() {
    let snapshot = start(SMALL);
    let process = &snapshot.process;
    assert_eq!(process.workers_by, WorkersBy::Cores);
    assert!(process.workers > 0 && process.max_connections >= 16);
    assert_eq!(process.drain_timeout, Duration::from_secs(30));
    assert_eq!(
        (process.shutdown_delay, process.log_level),
        (Duration::ZERO, LogLevel::Info)
    );
    assert_eq!((snapshot.listeners.len(), snapshot.clusters.len()), (1, 1));
    assert_eq!(snapshot.fingerprint.len(), 16);
    assert_ne!(
        snapshot.fingerprint,
        start(&format!("{SMALL}\n# more")).fingerprint
    );
}

#[test]
fn errors_of_all_rooms_come_together() {
    let text = r#"
[runtime]
secret_file = "key"
[[listeners]]
name = "web"
bind = ["nowhere"]
protocol = "http"
[[routes]]
name = "all"
cluster = "c"
[clusters."a b"]
endpoints = ["127.0.0.1:1"]
[clusters.c]
endpoints = []
[limiters.l]
key = "client"
rate = 1
"#;
    let (snapshot, diagnostics) = attempt(text, &Live::default(), Purpose::Start);
    assert!(snapshot.is_none());
    let mut codes: Vec<_> = diagnostics
        .iter()
        .map(|item| item.code().as_str())
        .collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        [
            "C0204", "C0205", "C0216", "C0218", "C0220", "C0302", "C0302"
        ]
    );
}

#[test]
fn what_takes_effect_at_the_start_alone_refuses_a_reload() {
    let running = start(&format!("[runtime]\nworkers = 3\n{SMALL}")).process;
    assert!(follow(&format!("[runtime]\nworkers = 3\n{SMALL}"), &running).is_empty());
    let lines = follow(
        &format!("[log]\nformat = \"json\"\n[runtime]\nworkers = 4\nio_uring = false\n{SMALL}"),
        &running,
    );
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].starts_with("test.toml:2:10: error[C0402]: `log.format`"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("test.toml:4:11: error[C0402]: `runtime.workers`"),
        "{lines:?}"
    );
    assert!(
        lines[2].starts_with("test.toml:5:12: error[C0402]: `runtime.io_uring`"),
        "{lines:?}"
    );

    let mut found = start(SMALL).process;
    found.workers += 1;
    let text = format!("[runtime]\nworkers = \"auto\"\n{SMALL}");
    assert!(
        follow(&text, &found).is_empty(),
        "other cores are no other configuration"
    );
}

#[test]
fn state_goes_from_one_snapshot_to_the_next() {
    let live = Live::default();
    let first = attempt(SMALL, &live, Purpose::Start).0.unwrap();
    let next = attempt(
        &format!("{SMALL}\n#"),
        &live,
        Purpose::Follow(&first.process),
    )
    .0
    .unwrap();
    let state = |snapshot: &Snapshot| {
        snapshot.clusters[0]
            .set
            .iter()
            .next()
            .map(|endpoint| endpoint.state.clone())
            .unwrap()
    };
    assert!(std::sync::Arc::ptr_eq(&state(&first), &state(&next)));
}
