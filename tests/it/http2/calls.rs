//! Calls of gRPC by `grpcio` at both ends (`calls.py`): every kind of them, and how they fail.

use crate::support::tls::Authority;
use crate::support::{Setup, endpoint, ports, python};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/http2/calls.py");

/// An endpoint of `grpcio`, in a process of its own.
pub struct Server {
    child: Child,
    pub addr: SocketAddr,
}

impl Server {
    /// With these files, its certificate and key, it speaks TLS.
    pub fn start(files: &[PathBuf]) -> Self {
        let mut child = Command::new(python())
            .args([PROGRAM, "serve"])
            .args(files)
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

/// Makes all calls through a proxy that is set up so. `tls` goes to the cluster, `files` to the caller.
fn make(setup: Setup, server: &Server, tls: &str, files: &[PathBuf]) {
    let http2 = format!("protocol = \"http2\"\n{tls}");
    let proxy = setup
        .cluster("app", &[endpoint(server.addr)], &http2)
        .cluster("gone", &[endpoint(ports::free())], &http2)
        .route("calls", "path_prefix = \"/test.Calls\"\ncluster = \"app\"")
        .route("gone", "path_prefix = \"/test.Gone\"\ncluster = \"gone\"")
        .route(
            "small",
            "path_prefix = \"/test.Small\"\ncluster = \"app\"\nlimits = { body = \"1MiB\" }",
        )
        .start();
    let output = Command::new(python())
        .args([PROGRAM, "call", &proxy.web.to_string()])
        .args(files)
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
        let why = case["wrong"].as_str().unwrap_or_default();
        eprintln!("{}: {why}", case["case"]);
    }
    let (wrong, all) = (wrong.len(), cases.len());
    assert_eq!(wrong, 0, "of {all}\n{error}");
    let panics = proxy.metric("tidegate_runtime_task_panics_total", &[]);
    assert_eq!(panics, 0.0);
}

/// E-222, E-223.
#[test]
fn every_kind_of_call_passes() {
    make(Setup::new(), &Server::start(&[]), "", &[]);
}

#[test]
fn every_kind_of_call_passes_over_tls() {
    let (setup, authority) = (Setup::new(), Authority::new("Test Authority"));
    let entry = authority.issue(&["127.0.0.1"]).write(&setup.dir, "both");
    let ca = setup.dir.file("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let server = Server::start(&[setup.dir.file("both.pem"), setup.dir.file("both.key")]);
    let tls = format!("tls = {{ ca = \"{}\" }}", ca.display());
    let setup = setup.listener(&format!("tls = {{ certificates = [{entry}] }}"));
    make(setup, &server, &tls, &[ca]);
}
