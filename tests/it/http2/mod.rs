//! HTTP/2 towards clients, by programs that are not ours.

mod calls;
mod early;
mod frames;
mod leaving;
mod limited;
mod meters;
pub mod slow;
mod standard;
mod web;
mod websockets;

use crate::support::frames::Peer;
use crate::support::tls::Authority;
use crate::support::{Answer, Origin, Proxy, Received, Setup, scale};
use std::net::SocketAddr;
use std::process::Command;

/// A client of frames, whose windows never shut.
pub fn client(web: SocketAddr) -> Peer {
    slow::client(web, slow::LARGEST)
}

pub use slow::ask;

/// What curl made of it: what it wrote, and the words that it was asked for at the end.
struct Curl {
    body: Vec<u8>,
    words: Vec<String>,
}

/// Runs curl over HTTP/2 with prior knowledge; `words` are variables of its `--write-out`.
fn curl(proxy: &Proxy, path: &str, arguments: &[&str], words: &[&str]) -> Curl {
    let wanted: Vec<_> = words.iter().map(|word| format!("%{{{word}}}")).collect();
    let file = tempfile(proxy);
    let output = Command::new("curl")
        .args(["-sS", "--http2-prior-knowledge", "--max-time", "60"])
        .arg("-o")
        .arg(&file)
        .args(["-w", &wanted.join(" ")])
        .args(arguments)
        .arg(format!("http://{}{path}", proxy.web))
        .output()
        .expect("curl; `make tools` installs it");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {path}: {error}");
    let body = std::fs::read(&file).unwrap_or_default();
    let _ = std::fs::remove_file(&file);
    let text = String::from_utf8(output.stdout).unwrap();
    Curl {
        body,
        words: text.split_whitespace().map(str::to_owned).collect(),
    }
}

fn tempfile(proxy: &Proxy) -> std::path::PathBuf {
    std::env::temp_dir().join(format!(
        "tidegate-curl-{}-{}",
        proxy.pid(),
        fastrand::u64(..)
    ))
}

fn mirror() -> Origin {
    Origin::answering(|request| match request.target.as_str() {
        "/chunked" => Answer::ok(request.body.clone()).chunked(5000),
        "/close" => Answer::ok(request.body.clone()).until_close(),
        "/empty" => Answer::status(204),
        "/same" => Answer::status(304).field("ETag", "\"a\""),
        _ => Answer::ok(request.body.clone()),
    })
}

#[test]
fn requests_and_bodies_pass_whole() {
    let origin = mirror();
    let setup = Setup::over(&[origin.addr()]);
    let proxy = setup.start();
    let mut sent = 0;
    for size in [0, 1, 16_384, 65_535, 65_536, 300_000, 3_000_000] {
        let body = crate::support::client::pattern(size);
        let file = setup.dir.file("body");
        std::fs::write(&file, &body).unwrap();
        let data = format!("@{}", file.display());
        for path in ["/length", "/chunked", "/close"] {
            for framing in ["X-None: 1", "Transfer-Encoding: chunked"] {
                let arguments = ["--data-binary", &data, "-H", framing];
                let got = curl(&proxy, path, &arguments, &["http_code", "http_version"]);
                assert_eq!(got.words, ["200", "2"], "{path} {size}");
                assert!(got.body == body, "{path} {size}");
                sent += 1;
                let seen = origin.wait(sent);
                assert!(seen.body == body, "{path} {size}");
                // Of an empty file curl says the end apart: that its length is right is not known before.
                let chunked = framing.starts_with('T') || size == 0;
                assert_eq!(seen.one("transfer-encoding").is_some(), chunked);
            }
        }
    }
    let line = proxy.wait_log(sent).pop().unwrap();
    assert_eq!(line["protocol"], "HTTP/2");
    assert_eq!(line["reason"], "completed");
    assert_eq!(line["bytes_in"], 3_000_000);
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let origin = mirror();
    let proxy = Setup::over(&[origin.addr()]).start();
    for (path, method, status) in [
        ("/empty", "GET", "204"),
        ("/same", "GET", "304"),
        ("/length", "HEAD", "200"),
        ("/chunked", "HEAD", "200"),
    ] {
        let arguments: &[&str] = match method {
            "HEAD" => &["-I"],
            _ => &[],
        };
        let got = curl(&proxy, path, arguments, &["http_code", "size_download"]);
        assert_eq!(got.words, [status, "0"], "{method} {path}");
    }
}

/// The issue: many streams of many connections at once, none lost.
#[test]
fn h2load_loses_nothing() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/large" => Answer::ok(vec![b'x'; 100_000]),
        _ => Answer::ok("small"),
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    for (path, requests) in [("/", 4000), ("/large", 400)] {
        h2load(requests, 8, &format!("http://{}{path}", proxy.web));
    }
    assert_eq!(proxy.metric("tidegate_h2_connections_total", &[]), 16.0);
    for (protocol, connections) in [("h2", 16.0), ("h1", 0.0)] {
        let labels = [("listener", "web"), ("protocol", protocol)];
        let count = |name| proxy.metric(name, &labels);
        assert_eq!(count("tidegate_connections_total"), connections);
        proxy.wait_metric("tidegate_connections_active", &labels, |open| open == 0.0);
        assert_eq!(
            count("tidegate_connection_duration_seconds_count"),
            connections
        );
    }
    assert_eq!(proxy.metric("tidegate_h2_errors_total", &[]), 0.0);
}

/// The same for long, under TLS: at full size a million requests. h2load begins no second connection where the first is told to
/// leave, so one of them serves more than a connection of HTTP/1 would (E-069).
#[test]
fn a_soak_under_tls_loses_nothing() {
    let origin = Origin::plan()
        .counts_only()
        .respond(|_: &Received| Answer::ok("small"))
        .start();
    let setup = Setup::over(&[origin.addr()]);
    let authority = Authority::new("Test Authority");
    let entry = authority.issue(&["test.example"]).write(&setup.dir, "c");
    let (requests, connections) = (scale(11_000, 1_000_000), scale(1, 32));
    let keys = format!("tls = {{ certificates = [{entry}] }}");
    let proxy = setup.listener(&keys).start();
    h2load(requests, connections, &format!("https://{}/", proxy.web));
    assert_eq!(origin.count(), requests);
    assert_eq!(proxy.metric("tidegate_h2_errors_total", &[]), 0.0);
}

/// Runs h2load: so many requests over so many connections of 32 streams, all of which must be answered.
fn h2load(requests: usize, connections: usize, url: &str) {
    let (requests, connections) = (requests.to_string(), connections.to_string());
    let output = Command::new("h2load")
        .args(["-n", &requests, "-c", &connections, "-m", "32", url])
        .output()
        .expect("h2load; `make tools` installs it");
    let text = String::from_utf8_lossy(&output.stdout);
    let all = format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout");
    assert!(text.contains(&all), "{text}");
}

#[test]
fn a_listener_may_speak_http1_alone() {
    let origin = mirror();
    let proxy = Setup::over(&[origin.addr()])
        .listener("h2c = \"off\"")
        .start();
    let mut client = proxy.client();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.response().is(505);
    client.ends();
}
