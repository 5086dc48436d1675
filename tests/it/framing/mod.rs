//! What may not be passed on is refused before anything of it reaches an endpoint: one table, row by
//! row, each with what the client sees, what the log says and what the origin did not see.

mod bodies;
mod fields;
mod lines;
mod targets;

use crate::support::{Answer, Client, Origin, Proxy, Setup, eventually};
use serde_json::Value;

/// A request that must not pass.
pub struct Row {
    pub name: String,
    pub bytes: Vec<u8>,
    /// Any of these statuses is right.
    pub status: &'static [u16],
    /// What the log's `detail` says; empty: anything.
    pub detail: &'static str,
}

/// 400 and nothing else.
const BAD: &[u16] = &[400];
/// A coding that we do not speak, or nonsense: both are right.
const CODING: &[u16] = &[400, 501];

fn row(name: impl Into<String>, bytes: impl Into<Vec<u8>>, status: &'static [u16]) -> Row {
    Row {
        name: name.into(),
        bytes: bytes.into(),
        status,
        detail: "",
    }
}

impl Row {
    fn detail(mut self, detail: &'static str) -> Self {
        self.detail = detail;
        self
    }
}

/// A GET with these field lines after Host, each with its own line end.
fn get(lines: &[u8]) -> Vec<u8> {
    [
        b"GET /refused HTTP/1.1\r\nHost: test.example\r\n",
        lines,
        b"\r\n",
    ]
    .concat()
}

/// A POST with these field lines and this body; a second request stands behind it.
fn post(lines: &[u8], body: &[u8]) -> Vec<u8> {
    let head = b"POST /refused HTTP/1.1\r\nHost: test.example\r\n";
    let next = b"GET /smuggled HTTP/1.1\r\nHost: test.example\r\n\r\n";
    [head.as_slice(), lines, b"\r\n", body, next].concat()
}

/// What the log calls an ending with this status.
fn reasons(status: u16) -> &'static [&'static str] {
    match status {
        414 => &["uri_too_long"],
        431 => &["headers_too_large"],
        _ => &["bad_request", "client_protocol"],
    }
}

fn setup(origin: &Origin) -> Setup {
    // One worker: the log's lines stand in the order of the requests.
    Setup::over(&[origin.addr()]).workers(1)
}

/// Sends every row over a connection of its own and collects what was wrong.
fn refuse(proxy: &Proxy, rows: &[Row]) {
    let mut wrong = Vec::new();
    let mut statuses = Vec::new();
    for row in rows {
        let mut client = Client::connect(proxy.web);
        client.send(&row.bytes);
        match client.try_response_to("GET") {
            Ok(response) => {
                statuses.push(response.status);
                if !row.status.contains(&response.status) {
                    wrong.push(format!("{}: status {}", row.name, response.status));
                    continue;
                }
                if !matches!(response.status, 405 | 417) {
                    if !response.closes() {
                        wrong.push(format!("{}: no `Connection: close`", row.name));
                    }
                    if let Err(what) = client.try_ends() {
                        wrong.push(format!("{}: {what}", row.name));
                    }
                }
            }
            Err(fault) => {
                statuses.push(0);
                wrong.push(format!("{}: {fault:?}", row.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
    let log = proxy.wait_log(rows.len());
    assert_eq!(log.len(), rows.len(), "one line for every refusal");
    for ((row, status), line) in rows.iter().zip(statuses).zip(&log) {
        if let Err(what) = logged(row, status, line) {
            wrong.push(format!("{}: {what} in {line}", row.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} log lines:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn logged(row: &Row, status: u16, line: &Value) -> Result<(), String> {
    if line["status"] != status {
        return Err(format!("status is not {status}"));
    }
    let reason = line["reason"].as_str().unwrap_or_default();
    if !reasons(status).contains(&reason) {
        return Err(format!("reason {reason:?}"));
    }
    let detail = line["detail"].as_str().unwrap_or_default();
    if !row.detail.is_empty() && detail != row.detail {
        return Err(format!("detail is not {:?}", row.detail));
    }
    Ok(())
}

fn heads() -> Vec<Row> {
    let mut rows = fields::conflicts();
    rows.extend(fields::codings());
    rows.extend(fields::lengths());
    rows.extend(fields::hosts());
    rows.extend(fields::others());
    rows.extend(lines::ends());
    rows.extend(lines::names());
    rows.extend(lines::values());
    rows.extend(targets::versions());
    rows.extend(targets::methods());
    rows.extend(targets::targets());
    rows.extend(targets::limits());
    rows
}

/// E-001 … E-047, E-115, E-118, E-119: a head that is refused reaches nobody (INV-2).
#[test]
fn refused_heads_reach_nobody() {
    let origin = Origin::start();
    let proxy = setup(&origin).start();
    let rows = heads();
    assert!(rows.len() >= 200, "{} rows", rows.len());
    refuse(&proxy, &rows);
    assert_eq!(origin.connections(), 0, "{:?}", origin.requests());
    let refused = proxy
        .metrics()
        .sum("tidegate_request_terminations_total", &[("route", "-")]);
    assert!(
        (refused - rows.len() as f64).abs() < 0.5,
        "{refused} of {} counted",
        rows.len()
    );
}

/// E-013 … E-026: a body that breaks its grammar never becomes a request at the origin.
#[test]
fn broken_bodies_never_become_complete() {
    let origin = Origin::start();
    let proxy = setup(&origin).start();
    let rows = bodies::chunks();
    assert!(rows.len() >= 40, "{} rows", rows.len());
    refuse(&proxy, &rows);
    eventually("the proxy's connections end", || {
        (origin.open_connections() == 0).then_some(())
    });
    assert_eq!(origin.count(), 0, "{:?}", origin.requests());
}

/// What is unusual but right passes, in the one form that we write.
#[test]
fn accepted_heads_are_written_canonically() {
    let origin = Origin::answering(|_| Answer::ok("fine"));
    let proxy = setup(&origin).start();
    for (at, (name, bytes, line, body)) in bodies::accepted().into_iter().enumerate() {
        let mut client = Client::connect(proxy.web);
        client.send(&bytes);
        let method = line.split(' ').next().unwrap();
        let response = client.try_response_to(method);
        let response = response.unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        assert_eq!(response.status, 200, "{name}");
        let seen = origin.wait(at + 1);
        assert_eq!(seen.head.first, line, "{name}");
        assert_eq!(seen.body, body, "{name}");
        assert_eq!(seen.one("host"), Some("test.example"), "{name}");
        let framed = usize::from(seen.head.has("content-length"))
            + usize::from(seen.head.has("transfer-encoding"));
        let said = seen.one("content-length") == Some("0");
        assert_eq!(
            framed - usize::from(said),
            usize::from(!body.is_empty()),
            "{name}: {:?}",
            seen.head
        );
    }
}

/// E-031: what stands behind a refused message is not looked at, what stands before it is answered.
#[test]
fn a_refusal_ends_the_pipeline() {
    let origin = Origin::start();
    let proxy = setup(&origin).start();
    let mut client = proxy.client();
    client.send(
        "GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n\
         GET /three HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.response().text(), "echo /one\n");
    let refused = client.response();
    assert!(refused.is(400).closes());
    client.ends();
    assert_eq!(origin.wait(1).target, "/one");
    assert_eq!(proxy.wait_log(2).len(), 2);
    assert_eq!(origin.count(), 1);
}
