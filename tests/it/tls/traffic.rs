//! Exchanges over TLS: bodies, ends, and what breaks off.

use super::Bed;
use crate::support::client::{pattern, read_head};
use crate::support::tls::{ask, connect};
use crate::support::{Answer, origin};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

fn one(authority: &crate::support::tls::Authority) -> Vec<crate::support::tls::Issued> {
    vec![authority.issue(&["test.example"])]
}

#[test]
fn bodies_of_any_size_go_both_ways_unharmed() {
    let plan = origin::Plan::default().respond(|request| Answer::ok(request.body.clone()));
    let bed = Bed::on(plan.start(), "", "", &one);
    let mut secure = connect(bed.proxy.web, "test.example", &bed.client()).unwrap();
    for size in [0, 1, 16_383, 16_384, 16_385, 65_536, 3_000_000] {
        let body = pattern(size);
        let head =
            format!("POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: {size}\r\n\r\n");
        secure.write_all(head.as_bytes()).unwrap();
        secure.write_all(&body).unwrap();
        read_head(&mut secure);
        let mut back = vec![0; size];
        secure.read_exact(&mut back).unwrap();
        assert!(back == body, "{size} bytes");
    }
    assert_eq!(
        bed.proxy.wait_log(7).len(),
        7,
        "one connection, seven requests"
    );
}

/// RFC 8446, 4.6.3: a client may change its key in the middle of anything, and ask for ours to be changed.
#[test]
fn keys_are_changed_under_way() {
    let plan = origin::Plan::default().respond(|request| Answer::ok(request.body.clone()));
    let bed = Bed::on(plan.start(), "", "", &one);
    let mut secure = connect(bed.proxy.web, "test.example", &bed.client()).unwrap();
    let body = pattern(300_000);
    for _ in 0..3 {
        secure.conn.refresh_traffic_keys().unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        secure.write_all(head.as_bytes()).unwrap();
        for part in body.chunks(100_000) {
            secure.conn.refresh_traffic_keys().unwrap();
            secure.write_all(part).unwrap();
        }
        read_head(&mut secure);
        secure.conn.refresh_traffic_keys().unwrap();
        let mut back = vec![0; body.len()];
        secure.read_exact(&mut back).unwrap();
        assert!(back == body);
    }
    // Nothing but keys: who does that means no good.
    for _ in 0..33 {
        secure.conn.refresh_traffic_keys().unwrap();
    }
    let error = secure.read(&mut [0; 1]).unwrap_err();
    assert!(error.to_string().contains("UnexpectedMessage"), "{error}");
}

/// The same of OpenSSL's client, which waits for the answer.
#[test]
fn openssl_changes_keys_under_way() {
    let bed = Bed::new();
    let port = bed.proxy.web.port();
    let mut client = Command::new("openssl")
        .args(["s_client", "-tls1_3", "-servername", "test.example"])
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    let told = BufReader::new(client.stderr.take().unwrap()).lines();
    // A line that begins like this is a command, if it comes alone.
    input.write_all(b"K\n").unwrap();
    assert!(told.map_while(Result::ok).any(|line| line == "KEYUPDATE"));
    input
        .write_all(b"GET /k HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n")
        .unwrap();
    let output = client.wait_with_output().unwrap();
    drop(input);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("echo /k"), "{text}");
}

/// Of a crowd each record is sent once and in order, whatever the kernel takes of it.
#[test]
fn a_crowd_that_reads_late_gets_everything_in_order() {
    let bed = Bed::on(crate::sends::long(), "", "", &one);
    let config = bed.client();
    let clients = (0..16).map(|_| connect(bed.proxy.web, "test.example", &config).unwrap());
    crate::sends::read_late(clients.collect(), |_| crate::sends::PIPELINED);
}

/// A client that does not read stops the endpoint; what it reads later is whole.
#[test]
fn a_client_that_reads_late_gets_everything() {
    const SIZE: usize = 12 << 20;
    let plan = origin::Plan::default().respond(|_| Answer::ok(pattern(SIZE)));
    let bed = Bed::on(plan.start(), "", "", &one);
    let mut secure = connect(bed.proxy.web, "test.example", &bed.client()).unwrap();
    secure
        .write_all(b"GET / HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n")
        .unwrap();
    let active = "tidegate_requests_active";
    bed.proxy.wait_metric(active, &[], |n| n == 1.0);
    let before = bed.proxy.held();
    let mut answer = Vec::new();
    secure.read_to_end(&mut answer).unwrap();
    let body = &answer[answer.len() - SIZE..];
    assert!(body == pattern(SIZE));
    let grown = bed.proxy.held().saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB more while it waited");
}

/// The end of a connection that closes is said to a client that reads; one for whose end the kernel has no room is waited for as long as
/// one that still sends.
#[test]
fn a_client_that_leaves_no_room_for_the_end_is_not_waited_for() {
    let plan = origin::Plan::default().respond(|request| {
        let size = request.target[1..].parse().unwrap();
        Answer::ok(pattern(size))
    });
    let keys = "timeouts = { write = \"2s\", linger = \"1s\" }";
    let bed = Bed::on(plan.start(), "", keys, &one);
    let config = bed.client();
    // Of some the answer has just room, and nothing behind it.
    let clients = (0..96).map(|at| {
        let mut secure = connect(bed.proxy.web, "test.example", &config).unwrap();
        let size = 60_000 + at * 4_000;
        write!(
            secure,
            "GET /{size} HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        secure
    });
    let clients: Vec<_> = clients.collect();
    bed.proxy.wait_log(clients.len());
    let active = "tidegate_connections_active";
    bed.proxy
        .wait_metric(active, &[("listener", "web")], |n| n == 0.0);
}

#[test]
fn pipelined_requests_in_one_record_are_answered_in_order() {
    let bed = Bed::new();
    let mut secure = connect(bed.proxy.web, "test.example", &bed.client()).unwrap();
    let one =
        |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n{more}\r\n");
    let all = [
        one("/1", ""),
        one("/2", ""),
        one("/3", "Connection: close\r\n"),
    ]
    .concat();
    secure.write_all(all.as_bytes()).unwrap();
    let mut answers = String::new();
    secure.read_to_string(&mut answers).unwrap();
    let order: Vec<_> = answers
        .lines()
        .filter(|line| line.starts_with("echo"))
        .collect();
    assert_eq!(order, ["echo /1", "echo /2", "echo /3"]);
}

/// RFC 8446, 6.1: an end that was not declared may be anybody's; one of ours is declared.
#[test]
fn a_close_delimited_answer_ends_with_a_close_notify_and_a_broken_one_does_not() {
    let bed = Bed::new();
    let mut secure = connect(bed.proxy.web, "test.example", &bed.client()).unwrap();
    secure.write_all(b"GET /old HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    secure.read_to_string(&mut answer).expect("a close_notify");
    assert!(answer.ends_with("echo /old\n"), "{answer}");

    let plan = origin::Plan::default().respond(|_| {
        Answer::raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec())
            .then(crate::support::answer::Step::Close)
    });
    let broken = Bed::on(plan.start(), "", "", &one);
    let mut secure = connect(broken.proxy.web, "test.example", &broken.client()).unwrap();
    secure
        .write_all(b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let error = secure.read_to_end(&mut answer).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
        ),
        "{error}"
    );
}

/// Half a request is no request, however it ends; a whole one is answered even if the client closes its side.
#[test]
fn a_request_that_is_cut_off_reaches_nobody() {
    let bed = Bed::new();
    let mut secure = connect(bed.proxy.web, "test.example", &bed.client()).unwrap();
    secure
        .write_all(b"POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: 10\r\n\r\nhalf")
        .unwrap();
    // No close_notify.
    drop(secure.sock);
    let line = bed
        .proxy
        .wait_line("the abort", |line| line["reason"] == "client_abort");
    assert_eq!(line["status"], 499);

    let mut secure = connect(bed.proxy.web, "test.example", &bed.client()).unwrap();
    secure
        .write_all(b"GET /half HTTP/1.1\r\nHost: test.example\r\n\r\n")
        .unwrap();
    secure.conn.send_close_notify();
    secure.flush().unwrap();
    let mut answer = String::new();
    secure.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("echo /half\n"), "{answer}");
}

#[test]
fn a_target_in_absolute_form_names_the_scheme_of_the_listener() {
    let bed = Bed::new();
    for (target, status) in [
        ("https://test.example/x", "200"),
        ("HTTPS://test.example:443/x", "200"),
        ("http://test.example/x", "400"),
    ] {
        let mut secure = connect(bed.proxy.web, "test.example", &bed.client()).unwrap();
        let answer = ask(&mut secure, "GET", target, "test.example");
        assert_eq!(&answer[9..12], status, "{target}");
    }
}

#[test]
fn a_redirect_keeps_https() {
    let authority = crate::support::tls::Authority::new("Test Authority");
    let setup = crate::support::Setup::new().route("all", "redirect = { path = \"/there\" }");
    let entry = authority.issue(&["test.example"]).write(&setup.dir, "c");
    let proxy = setup
        .listener(&format!("tls = {{ certificates = [{entry}] }}"))
        .start();
    let config = Arc::new(authority.client());
    let mut secure = connect(proxy.web, "test.example", &config).unwrap();
    let answer = ask(&mut secure, "GET", "/here", "test.example");
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("location: https://test.example/there\r\n"),
        "{answer}"
    );
}

#[test]
fn the_log_says_what_was_agreed() {
    let bed = Bed::logging(&["path", "tls_version", "tls_cipher", "sni"]);
    let mut secure = connect(bed.proxy.web, "test.example", &bed.client()).unwrap();
    ask(&mut secure, "GET", "/", "test.example");
    let line = &bed.proxy.wait_log(1)[0];
    assert_eq!(line["tls_version"], "1.3");
    assert_eq!(line["tls_cipher"], "TLS_AES_256_GCM_SHA384");
    assert_eq!(line["sni"], "test.example");
}
