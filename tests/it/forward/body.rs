//! Bodies, byte for byte, in every framing, and with a bounded buffer.

use crate::support::client::{Ends, chunks, pattern};
use crate::support::{Answer, Client, Origin, Setup};
use std::thread;

const MIB: usize = 1 << 20;

/// An origin that sends the request's body back, framed as the target says.
fn mirror() -> Origin {
    Origin::answering(|request| {
        let answer = Answer::ok(request.body.clone());
        match request.target.as_str() {
            "/chunked" => answer.chunked(5000),
            "/close" => answer.until_close(),
            _ => answer,
        }
    })
}

#[test]
fn bodies_pass_whole_in_every_framing() {
    let origin = mirror();
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut sent = 0;
    for size in [0, 1, 127, 4096, 16_383, 16_384, 16_385, 65_536, MIB] {
        for (target, ends) in [
            ("/length", Ends::AtLength),
            ("/chunked", Ends::Chunked),
            ("/close", Ends::Chunked),
        ] {
            let body = pattern(size);
            let mut client = proxy.client();
            let response = client.post(target, &body);
            response.is(200);
            assert!(response.body == body, "{target} {size}");
            if target != "/close" {
                assert_eq!(response.ends, ends, "{target} {size}");
            }
            sent += 1;
            assert!(origin.wait(sent).body == body, "{target} {size}");

            let mut client = proxy.client();
            client.send(format!(
                "PUT {target} HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n"
            ));
            client.send(chunks(&body, 1009));
            let response = client.response();
            assert!(response.body == body, "chunked {target} {size}");
            sent += 1;
            let seen = origin.wait(sent);
            assert!(seen.body == body, "chunked {target} {size}");
            assert_eq!(seen.one("transfer-encoding"), Some("chunked"));
        }
    }
}

/// A body that comes in one read with its head stays where it was read until its turn comes: among so many that all turn at once
/// each goes to its endpoint whole, at once or after a wait, and with it what came behind it.
#[test]
fn bodies_that_come_with_their_heads_are_not_mixed_up() {
    let origin = mirror();
    let waiting =
        "bulkhead = { connections_per_endpoint = 2, queue = { size = 1000, timeout = \"20s\" } }";
    // Where few are served at a time, nobody may hold a place with an answer that is not read yet.
    for (keys, longest) in [("", 200_000), (waiting, 30_000)] {
        let proxy = Setup::over_with(&[origin.addr()], keys).workers(1).start();
        let mut clients: Vec<_> = (0..120).map(|_| proxy.client()).collect();
        for round in 0..3 {
            let asks = |at: usize| {
                let size = [1, 1023, 1024, 4096, 20_000, longest][(at + round) % 6];
                let mut body = pattern(size + at);
                body.rotate_left(at);
                let pipelined = if at.is_multiple_of(5) { 2 } else { 1 };
                (["POST", "PUT"][at % 2], body, pipelined)
            };
            // They find all of it when it goes on.
            proxy.signal("STOP");
            for (at, client) in clients.iter_mut().enumerate() {
                let (method, body, pipelined) = asks(at);
                let head = format!(
                    "{method} /length HTTP/1.1\r\nHost: test.example\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let request = [head.as_bytes(), &body].concat();
                client.send(request.repeat(pipelined));
            }
            proxy.signal("CONT");
            for (at, client) in clients.iter_mut().enumerate() {
                let (_, body, pipelined) = asks(at);
                for _ in 0..pipelined {
                    let response = client.response();
                    assert!(response.is(200).body == body, "{keys} {round} {at}");
                }
            }
        }
    }
}

#[test]
fn ten_mebibytes_pass_both_ways_at_once() {
    let origin = mirror();
    let proxy = Setup::over(&[origin.addr()]).start();
    let body = pattern(10 * MIB);
    for target in ["/length", "/chunked"] {
        let response = proxy.client().post(target, &body);
        assert!(response.is(200).body == body, "{target}");
        let mut client = proxy.client();
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        client.send(chunks(&body, 70_000));
        assert!(client.response().is(200).body == body, "chunked {target}");
    }
}

/// An origin that answers while it still reads: what comes back is read before all was sent.
#[test]
fn both_directions_flow_at_once() {
    let origin = Origin::plan()
        .early(|_| {
            use crate::support::answer::Step;
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
            Some(Answer::raw(head).then(Step::Echo))
        })
        .start();
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: 12\r\n\r\nping");
    let response = client.try_head().unwrap();
    response.is(200);
    let chunked = response.one("transfer-encoding") == Some("chunked");
    let hear = |client: &mut Client, want: &str| {
        let mut got = String::new();
        while got.len() < want.len() {
            if chunked {
                while !client.wire.buffer.windows(2).any(|w| w == b"\r\n") {
                    assert_ne!(client.wire.fill(), Ok(0));
                }
                let at = client
                    .wire
                    .buffer
                    .windows(2)
                    .position(|w| w == b"\r\n")
                    .unwrap();
                let size = client.wire.exact(at + 2).unwrap();
                let size = String::from_utf8_lossy(&size[..at]).into_owned();
                let size = usize::from_str_radix(&size, 16).unwrap();
                let piece = client.wire.exact(size + 2).unwrap();
                got += &String::from_utf8_lossy(&piece[..size]);
            } else {
                got += &String::from_utf8_lossy(&client.wire.exact(1).unwrap());
            }
        }
        assert_eq!(got, want);
    };
    hear(&mut client, "ping");
    client.send("pong");
    hear(&mut client, "pong");
    client.send("last");
    hear(&mut client, "last");
}

/// A client that does not read stops the origin, and the proxy holds little of what is under way.
#[test]
fn a_slow_reader_holds_a_bounded_buffer() {
    let big = Answer::ok(pattern(32 * MIB));
    let origin = Origin::answering(move |request| match request.target.as_str() {
        "/big" => big.clone(),
        _ => Answer::ok("small"),
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    proxy.get("/small").is(200);
    let before = proxy.held();
    let mut slow: Vec<_> = (0..4)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET /big HTTP/1.1\r\nHost: test.example\r\n\r\n");
            client.try_head().unwrap();
            client
        })
        .collect();
    // Meanwhile another client is served, many times over.
    let mut other = proxy.client();
    for _ in 0..20 {
        other.method("HEAD", "/small", b"").is(200);
    }
    let grown = proxy.held().saturating_sub(before);
    assert!(
        grown < 2 * 1024,
        "{grown} KiB more for four clients that do not read"
    );
    let mut client = slow.pop().unwrap();
    let body = client.wire.exact(32 * MIB).unwrap();
    assert!(body == pattern(32 * MIB));
}

/// The same upstream: an origin that does not read stops the client.
#[test]
fn a_slow_origin_holds_a_bounded_buffer() {
    use crate::support::Gate;
    use crate::support::answer::Step;
    let gate = Gate::shut();
    let inside = gate.clone();
    let origin = Origin::plan()
        .early(move |head| {
            let answer = Answer::silence()
                .then(Step::Hold(inside.clone()))
                .then(Step::Close);
            head.first.starts_with("POST").then_some(answer)
        })
        .start();
    let proxy = Setup::over(&[origin.addr()]).start();
    proxy.get("/warm");
    let before = proxy.resident();
    let addr = proxy.web;
    let sender = thread::spawn(move || {
        let mut client = Client::connect(addr);
        let length = 64 * MIB;
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        ));
        let piece = pattern(MIB);
        let mut sent = 0;
        while sent < length && client.wire.send(&piece).is_ok() {
            sent += MIB;
        }
        sent
    });
    origin.wait(2);
    for _ in 0..50 {
        proxy.get("/other").is(200);
    }
    let grown = proxy.resident().saturating_sub(before);
    assert!(
        grown < 4 * 1024,
        "{grown} KiB more for one origin that does not read"
    );
    gate.open();
    let sent = sender.join().unwrap();
    assert!(sent < 64 * MIB, "{sent} bytes went into the void");
}
