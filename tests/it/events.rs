//! Event streams and long polls: every event arrives before the next one is made, over each pairing of protocols.

use crate::support::answer::Step;
use crate::support::streams::{Act, Streams, fields};
use crate::support::{Answer, Gate, Origin, Proxy, Setup};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const EVENTS: usize = 5;

fn event(number: usize) -> String {
    format!("data: {number}\n\n")
}

/// An endpoint of HTTP/1 that makes an event whenever the next gate opens.
fn http1(gates: &[Gate]) -> Origin {
    let gates = gates.to_vec();
    Origin::answering(move |request| {
        if request.target == "/next" {
            return Answer::ok("late").held(&gates[0]);
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut answer = Answer::raw(head);
        for (number, gate) in gates.iter().enumerate() {
            let event = event(number);
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            answer = answer
                .then(Step::Hold(gate.clone()))
                .then(Step::Send(chunk.into_bytes()));
        }
        answer.then(Step::Send(b"0\r\n\r\n".to_vec()))
    })
}

/// The same over HTTP/2.
fn http2(gates: &[Gate]) -> Streams {
    let gates = gates.to_vec();
    Streams::answering(move |_| {
        let kind = fields(&[("content-type", "text/event-stream")]);
        let mut acts = vec![Act::Head(200, kind)];
        for (number, gate) in gates.iter().enumerate() {
            acts.push(Act::Wait(gate.clone()));
            acts.push(Act::Data(event(number).into_bytes()));
        }
        acts
    })
}

/// curl, which shows what comes as soon as it does.
fn curl(proxy: &Proxy, version: &str, path: &str) -> Child {
    Command::new("curl")
        .args(["-sS", "-N", "--max-time", "60", version])
        .arg(format!("http://{}{path}", proxy.web))
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl; `make tools` installs it")
}

/// Nothing may be silent for a second, but for what is a stream.
fn over(addr: SocketAddr, keys: &str) -> Proxy {
    let keys = format!(
        "{keys}\ntimeouts = {{ response = \"30s\", response_idle = \"1s\", tunnel = \"60s\" }}"
    );
    Setup::over_with(&[addr], &keys)
        .listener("timeouts = { idle = \"1s\", header = \"1s\", body = \"1s\", write = \"1s\" }")
        .start()
}

fn stream(proxy: &Proxy, version: &str, gates: &[Gate]) {
    let mut client = curl(proxy, version, "/events");
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    for (number, gate) in gates.iter().enumerate() {
        if number == 1 {
            // Longer than any idle limit.
            std::thread::sleep(Duration::from_millis(2500));
        }
        gate.open();
        // A client that waits for this event in vain fails by its own time.
        assert_eq!(lines.next().unwrap().unwrap(), format!("data: {number}"));
        assert_eq!(lines.next().unwrap().unwrap(), "");
    }
    assert!(lines.next().is_none());
    assert!(client.wait().unwrap().success());
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&"completed".into(), &200.into()),
        "{line}"
    );
}

#[test]
fn every_event_passes_at_once() {
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let gates: Vec<_> = (0..EVENTS).map(|_| Gate::shut()).collect();
        let origin = http1(&gates);
        stream(&over(origin.addr(), ""), version, &gates);
        let gates: Vec<_> = (0..EVENTS).map(|_| Gate::shut()).collect();
        let origin = http2(&gates);
        let proxy = over(origin.addr(), "protocol = \"http2\"");
        stream(&proxy, version, &gates);
    }
}

/// A long poll over HTTP/2 is silent until there is something to tell: the limits between two bytes do not hold for its
/// head.
#[test]
fn a_long_poll_waits_as_long_as_its_response_may_take() {
    let gate = Gate::shut();
    let origin = http1(std::slice::from_ref(&gate));
    let proxy = over(origin.addr(), "");
    let client = curl(&proxy, "--http2-prior-knowledge", "/next");
    origin.wait(1);
    std::thread::sleep(Duration::from_millis(2500));
    gate.open();
    let output = client.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "late");
}
