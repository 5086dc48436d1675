//! Calls of gRPC by `grpcio` at both ends (`calls.py`): every kind of them, and how they fail.

use super::frames::python;
use crate::support::{Setup, endpoint, ports};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/http2/calls.py");

/// An endpoint of `grpcio`, in a process of its own.
struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(python())
            .args([PROGRAM, "serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python; `make tools` installs it");
        let mut line = String::new();
        let output = child.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let port: u16 = line
            .trim()
            .parse()
            .expect("a port; `make tools` installs grpcio");
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        Self { child, addr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// E-222, E-223.
#[test]
fn every_kind_of_call_passes() {
    let server = Server::start();
    let http2 = "protocol = \"http2\"";
    let proxy = Setup::new()
        .cluster("app", &[endpoint(server.addr)], http2)
        .cluster("gone", &[endpoint(ports::free())], http2)
        .route("calls", "path_prefix = \"/test.Calls\"\ncluster = \"app\"")
        .route("gone", "path_prefix = \"/test.Gone\"\ncluster = \"gone\"")
        .route(
            "small",
            "path_prefix = \"/test.Small\"\ncluster = \"app\"\nlimits = { body = \"1MiB\" }",
        )
        .start();
    let output = Command::new(python())
        .args([PROGRAM, "call", &proxy.web.to_string()])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8(output.stdout).unwrap();
    let cases: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(cases.len() >= 26, "{text}");
    let wrong: Vec<_> = cases
        .iter()
        .filter(|case| !case["wrong"].is_null())
        .collect();
    for case in &wrong {
        eprintln!(
            "{}: {}",
            case["case"],
            case["wrong"].as_str().unwrap_or_default()
        );
    }
    assert!(
        wrong.is_empty(),
        "{} cases of {}\n{error}",
        wrong.len(),
        cases.len()
    );
    let panics = proxy.metric("tidegate_runtime_task_panics_total", &[]);
    assert_eq!(panics, 0.0);
}
