//! The process's own log: for programs, all that it says is lines of JSON, the first and the last included; and
//! whoever does not read it holds up nothing.

use crate::support::proxy::binary;
use crate::support::{Origin, Proxy, Reload, Setup, eventually};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;

#[test]
fn what_a_start_says_is_json_where_the_log_is() {
    let origin = Origin::start();
    let mut setup = Setup::over(&[origin.addr()]).cluster("idle", &["\"127.0.0.1:9\"".into()], "");
    setup.web = origin.addr();
    let text = setup
        .text()
        .replace("[log]\n", "[log]\nformat = \"json\"\n");
    std::fs::write(setup.config_path(), text).unwrap();
    let mut command = binary();
    command.args(["run", "-c"]).arg(setup.config_path());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?} of\n{said}")))
        .collect();
    let has = |level: &str, part: &str| {
        lines.iter().any(|line| {
            let message = line["message"].as_str().unwrap_or_default();
            line["level"] == level && message.contains(part)
        })
    };
    assert!(has("WARN", "`idle`"), "the warning of a cluster: {said}");
    let taken = origin.addr().to_string();
    assert!(has("ERROR", &taken), "why it did not start: {said}");
}

/// A pipe that is full, and the words of a shell that start the proxy with it as standard error.
fn stalled(setup: &Setup) -> (File, String) {
    let path = setup.dir.file("stderr");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    // For both, so that opening waits for nobody.
    let mut options = File::options();
    let mut pipe = options.read(true).write(true).open(&path).unwrap();
    let room = rustix::pipe::fcntl_getpipe_size(&pipe).unwrap();
    pipe.write_all(&vec![b'\n'; room]).unwrap();
    let command = format!(
        "exec {} run -c {} 2> {}",
        env!("CARGO_BIN_EXE_tidegate"),
        setup.config_path().display(),
        path.display()
    );
    (pipe, command)
}

fn shell(words: &str) -> Command {
    let mut command = Command::new("sh");
    command.env_remove("RUST_LOG").args(["-c", words]);
    command
}

#[test]
fn a_reader_of_standard_error_that_stalls_holds_up_nothing() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let (_pipe, words) = stalled(&setup);
    let mut proxy = Proxy::start_by(&setup, shell(&words));
    for _ in 0..10 {
        assert_eq!(proxy.reload(&setup), Reload::Done);
        proxy.get("/").is(200);
    }
    assert_eq!(proxy.metric("tidegate_log_dropped_total", &[]), 0.0);
    proxy.terminate();
}

#[test]
fn a_start_that_fails_ends_though_nobody_reads_why() {
    let origin = Origin::start();
    let mut setup = Setup::over(&[origin.addr()]);
    setup.web = origin.addr();
    setup.write();
    let (_pipe, words) = stalled(&setup);
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "20", "sh", "-c", &words]);
    assert_eq!(command.status().unwrap().code(), Some(1));
}

#[test]
fn what_was_said_meanwhile_is_read_in_its_order() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let (mut pipe, words) = stalled(&setup);
    let proxy = Proxy::start_by(&setup, shell(&words));
    assert_eq!(proxy.reload(&setup), Reload::Done);
    let mut said = String::new();
    eventually("all that was said", || {
        let mut scratch = [0; 4096];
        let count = pipe.read(&mut scratch).unwrap();
        said.push_str(std::str::from_utf8(&scratch[..count]).unwrap());
        said.contains("configuration reloaded").then_some(())
    });
    let at = |words: &str| {
        said.find(words)
            .unwrap_or_else(|| panic!("{words}: {said}"))
    };
    assert!(at(" listening ") < at(" serving "), "{said}");
    assert!(at(" serving ") < at(" configuration reloaded "), "{said}");
}
