//! What a client may get wrong, row by row over raw frames (`rows.py`): each with its scope and its code.

use crate::support::{Answer, Origin, Proxy, Setup, python};
use serde_json::Value;
use std::process::Command;

/// Runs a script of rows against a listener: at least so many, and each as it should be.
pub fn all_right(script: &str, proxy: &Proxy, arguments: &[&str], least: usize) {
    let output = Command::new(python())
        .arg(format!(
            "{}/tests/it/http2/{script}",
            env!("CARGO_MANIFEST_DIR")
        ))
        .arg(proxy.web.ip().to_string())
        .arg(proxy.web.port().to_string())
        .args(arguments)
        .output()
        .expect("python; `make tools` installs it");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(rows.len() >= least, "{} rows", rows.len());
    let wrong: Vec<_> = rows.iter().filter(|row| row["ok"] != true).collect();
    for row in &wrong {
        eprintln!("{row}");
    }
    assert!(wrong.is_empty(), "{} rows of {}", wrong.len(), rows.len());
}

fn origin() -> Origin {
    Origin::answering(|request| match request.target.as_str() {
        "/hang" => Answer::silence(),
        _ => Answer::ok("fine"),
    })
}

#[test]
fn every_row_has_its_code_and_scope() {
    let origin = origin();
    let proxy = Setup::over(&[origin.addr()])
        .workers(1)
        .tail("[defaults.cluster.timeouts]\nresponse = \"120s\"")
        .start();
    all_right("rows.py", &proxy, &[], 400);
    // What is refused at once has reached no endpoint; what breaks off later has not reached it whole.
    for seen in origin.requests() {
        assert_ne!(seen.target, "/refused", "{seen:?}");
    }
    assert_eq!(proxy.metric("tidegate_runtime_task_panics_total", &[]), 0.0);
    for kind in [
        "pings",
        "settings",
        "priorities",
        "empty_data",
        "window_updates",
        "resets",
        "continuations",
        "faults",
    ] {
        let count = proxy.metric("tidegate_h2_abuse_total", &[("kind", kind)]);
        assert!(count >= 1.0, "{kind}");
    }
}
