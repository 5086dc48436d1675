//! The framing table against the built proxy: what may not be passed on is refused before anything of it reaches
//! an endpoint, with what the client sees, what the log says and what the origin did not see; what is unusual but
//! right passes in the one form that we write.

mod policy;
#[path = "../../framing/mod.rs"]
mod table;

use crate::support::{Answer, Client, Origin, Proxy, Setup, eventually};
use serde_json::Value;
use table::{Expect, Row};

fn setup(origin: &Origin) -> Setup {
    // One worker: the log's lines stand in the order of the requests.
    Setup::over(&[origin.addr()])
        .workers(1)
        .listener("h2c = \"off\"")
}

/// What the log calls an ending with this status.
fn reasons(status: u16) -> &'static [&'static str] {
    match status {
        414 => &["uri_too_long"],
        431 => &["headers_too_large"],
        _ => &["bad_request", "client_protocol"],
    }
}

/// The origin, the proxy, and what was wrong so far.
struct Bench {
    origin: Origin,
    proxy: Proxy,
    /// How many requests the origin got.
    passed: usize,
    faults: Vec<String>,
    /// What the log must say of each row.
    lines: Vec<(String, u16, &'static str)>,
}

impl Bench {
    fn new() -> Self {
        let origin = Origin::answering(|_| Answer::ok("fine"));
        let proxy = setup(&origin).start();
        Self {
            origin,
            proxy,
            passed: 0,
            faults: vec![],
            lines: vec![],
        }
    }

    /// Sends a row over a connection of its own.
    fn run(&mut self, row: &Row) {
        let outcome = match &row.expect {
            Expect::Refused { status, detail } => self.refused(row, status, detail),
            Expect::Forwarded { line, body, field } => {
                self.forwarded(row, line, body, field.as_ref())
            }
        };
        if let Err(fault) = outcome {
            self.faults.push(format!("{}: {fault}", row.name));
        }
    }

    /// INV-2: the refusal arrives, the connection ends, nothing reached the origin.
    fn refused(&mut self, row: &Row, status: &[u16], detail: &'static str) -> Result<(), String> {
        let mut client = Client::connect(self.proxy.web);
        client.send(&row.bytes);
        let response = client
            .try_response_to("GET")
            .map_err(|fault| format!("no refusal: {fault:?}"))?;
        self.lines.push((row.name.clone(), response.status, detail));
        if !status.contains(&response.status) {
            return Err(format!("status {}", response.status));
        }
        if !response.closes() {
            return Err("no `Connection: close`".to_owned());
        }
        let said = response.text();
        if !reasons(response.status)
            .iter()
            .any(|reason| said.contains(reason))
        {
            return Err(format!("the refusal does not say why: {said:?}"));
        }
        client.try_ends()?;
        if self.origin.count() != self.passed {
            self.passed = self.origin.count();
            return Err("reached the origin".to_owned());
        }
        Ok(())
    }

    /// INV-1: one request in our canonical form reaches the origin, and its answer the client.
    fn forwarded(
        &mut self,
        row: &Row,
        line: &str,
        body: &[u8],
        field: Option<&(String, String)>,
    ) -> Result<(), String> {
        let mut client = Client::connect(self.proxy.web);
        client.send(&row.bytes);
        let method = line.split(' ').next().unwrap_or_default();
        let response = client
            .try_response_to(method)
            .map_err(|fault| format!("no answer: {fault:?}"))?;
        self.lines.push((row.name.clone(), response.status, ""));
        if response.status != 200 {
            return Err(format!("status {}", response.status));
        }
        self.passed += 1;
        let seen = self.origin.wait(self.passed);
        if seen.head.first != line || seen.body != body {
            return Err(format!("{:?} with {:?}", seen.head.first, seen.body));
        }
        let host = field.filter(|(name, _)| name == "host");
        if seen.one("host") != Some(host.map_or("test.example", |(_, host)| host)) {
            return Err(format!("Host {:?}", seen.one("host")));
        }
        if let Some((name, value)) = field
            && seen.one(name) != Some(value)
        {
            return Err(format!("{name} is {:?}", seen.one(name)));
        }
        let framed = usize::from(seen.head.has("content-length"))
            + usize::from(seen.head.has("transfer-encoding"));
        let said = seen.one("content-length") == Some("0");
        if framed - usize::from(said) != usize::from(!body.is_empty()) {
            return Err(format!("framed as {:?}", seen.head));
        }
        Ok(())
    }

    /// One line in the log for each row, with its status, reason and detail.
    #[track_caller]
    fn end(mut self) {
        self.say();
        let log = self.proxy.wait_log(self.lines.len());
        assert_eq!(log.len(), self.lines.len(), "one line for each row");
        for ((name, status, detail), line) in self.lines.iter().zip(&log) {
            if let Err(what) = logged(*status, detail, line) {
                self.faults.push(format!("{name}: {what} in {line}"));
            }
        }
        self.say();
        assert_eq!(self.origin.count(), self.passed);
    }

    #[track_caller]
    fn say(&self) {
        let faults = &self.faults;
        assert!(
            faults.is_empty(),
            "{} rows:\n{}",
            faults.len(),
            faults.join("\n")
        );
    }
}

fn logged(status: u16, detail: &str, line: &Value) -> Result<(), String> {
    if line["status"] != status {
        return Err(format!("status is not {status}"));
    }
    let reason = line["reason"].as_str().unwrap_or_default();
    if status != 200 && !reasons(status).contains(&reason) {
        return Err(format!("reason {reason:?}"));
    }
    if !detail.is_empty() && line["detail"] != detail {
        return Err(format!("detail is not {detail:?}"));
    }
    Ok(())
}

/// E-001 … E-047, E-110 … E-119: a head is forwarded in canonical form, or refused and reaches nobody.
#[test]
fn every_head_of_the_table() {
    let mut bench = Bench::new();
    let mut rows = 0;
    for group in table::heads() {
        assert!(
            group.rows.len() >= group.least,
            "{}: {}",
            group.name,
            group.rows.len()
        );
        rows += group.rows.len();
        for row in &group.rows {
            bench.run(row);
        }
    }
    assert!(rows >= 1000, "{rows} rows");
    let refused = (bench.lines.len() - bench.passed) as f64;
    let counted = bench
        .proxy
        .metrics()
        .sum("tidegate_request_terminations_total", &[("route", "-")]);
    assert_eq!(counted, refused, "refusals counted");
    bench.end();
}

/// What came before the last end of a line counts, in however many pieces it came: whoever sends no more gets an answer.
#[test]
fn a_line_without_end_is_refused_in_pieces() {
    let bench = Bench::new();
    for line in ["n", "X: "] {
        let mut client = Client::connect(bench.proxy.web);
        let long = "n".repeat(8192);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{line}{long}"));
        for _ in 0..25 {
            client.send("n".repeat(1024));
        }
        let status = client.response().status;
        assert!([400, 431].contains(&status), "{status}");
    }
}

/// E-013 … E-026: a body that breaks its grammar never becomes a request at the origin.
#[test]
fn broken_bodies_never_become_complete() {
    let mut bench = Bench::new();
    let group = table::bodies();
    assert!(group.rows.len() >= group.least, "{} rows", group.rows.len());
    for row in &group.rows {
        bench.run(row);
    }
    eventually("the proxy's connections end", || {
        (bench.origin.open_connections() == 0).then_some(())
    });
    bench.end();
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

/// E-035: the refusal arrives although the client still sends, 100 times of 100.
#[test]
fn a_refusal_arrives_while_the_client_still_sends() {
    let origin = Origin::start();
    let proxy = setup(&origin).start();
    let mut request =
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nContent-Length: 1\r\n\r\n"
            .to_vec();
    request.resize(request.len() + 100_000, b'x');
    for at in 0..100 {
        let mut client = proxy.client();
        client.send(&request);
        let response = client.try_response_to("POST");
        assert_eq!(response.map(|response| response.status), Ok(400), "{at}");
        client.ends();
    }
    assert_eq!(origin.count(), 0);
}
