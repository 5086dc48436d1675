//! Answers that come before the request is over, and what must not be left behind.

use crate::support::answer::Step;
use crate::support::bytes::ByteServer;
use crate::support::client::{pattern, read_head};
use crate::support::{Answer, Client, Origin, Proxy, Setup, eventually};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

const MIB: usize = 1 << 20;

fn upload(addr: std::net::SocketAddr, length: usize) -> crate::support::Response {
    let mut client = Client::connect(addr);
    client.send(format!(
        "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    ));
    let mut body = client.wire.stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        // The peer may stop listening: that is what this is about.
        let _ = body.write_all(&pattern(length));
    });
    let response = client.response_to("POST");
    writer.join().unwrap();
    response
}

/// E-010, E-034, E-035: the client receives the refusal; the connection is not used again.
#[test]
fn an_early_refusal_reaches_a_client_that_still_sends() {
    let origin = Origin::plan()
        .early(|head| {
            let refusal = Answer::ok("too big").field("x-early", "yes");
            let refusal = Answer {
                status: 413,
                ..refusal
            };
            head.first
                .starts_with("POST")
                .then(|| refusal.then(Step::Hang))
        })
        .start();
    let proxy = Setup::over(&[origin.addr()]).start();
    for at in 0..20 {
        let response = upload(proxy.web, 10 * MIB);
        assert_eq!(
            (response.status, response.text().as_str()),
            (413, "too big"),
            "{at}"
        );
        assert_eq!(response.one("x-early"), Some("yes"));
    }
    let used = origin.connections();
    proxy.get("/next").is(200);
    assert_eq!(
        origin.connections(),
        used + 1,
        "owed a body, and used again"
    );
    assert!(
        origin
            .requests()
            .iter()
            .all(|request| !request.target.contains("smuggled"))
    );
}

/// E-036: an answer of our own leaves no body to be taken for a request.
#[test]
fn local_answers_leave_no_residue() {
    let origin = Origin::start();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let setup = Setup::over(&[origin.addr()])
        .route(
            "redirect",
            "path_prefix = \"/redirect\"\nredirect = { status = 308, host = \"b\" }",
        )
        .route(
            "fixed",
            "path_prefix = \"/fixed\"\nrespond = { status = 503, body = \"no\" }",
        )
        .route(
            "big",
            "path_prefix = \"/limited\"\ncluster = \"app\"\nlimits = { body = \"4B\" }",
        );
    let proxy = setup.start();
    for (path, status) in [("/redirect", 308), ("/fixed", 503), ("/limited", 413)] {
        let length = smuggled.len();
        for framing in ["length", "chunked"] {
            let mut client = proxy.client();
            match framing {
                "length" => client.send(format!(
                    "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}"
                )),
                _ => client.send(format!(
                    "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n\
                     {smuggled}\r\n0\r\n\r\n"
                )),
            };
            let response = client.response_to("POST");
            assert_eq!(response.status, status, "{path} {framing}");
            if response.closes() {
                client.ends();
            } else {
                assert_eq!(
                    client.get("/fine").text(),
                    "echo /fine\n",
                    "{path} {framing}"
                );
            }
        }
        // A large body behind an answer of ours must not cost the client the answer.
        assert_eq!(upload_to(&proxy, path).status, status, "{path}");
    }
    assert!(
        origin
            .requests()
            .iter()
            .all(|request| request.target == "/fine")
    );
}

fn upload_to(proxy: &Proxy, path: &str) -> crate::support::Response {
    let mut client = Client::connect(proxy.web);
    let length = 8 * MIB;
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    ));
    let mut body = client.wire.stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        let _ = body.write_all(&pattern(length));
    });
    let response = client.response_to("POST");
    writer.join().unwrap();
    response
}

/// The route's limit on bodies: known from the length, or found while chunks come.
#[test]
fn bodies_over_the_limit_are_refused() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .route("all", "cluster = \"app\"\nlimits = { body = \"1KiB\" }")
        .start();
    let mut client = proxy.client();
    client.post("/fits", &pattern(1024)).is(200);
    client.post("/over", &pattern(1025)).is(413);
    let mut client = proxy.client();
    client.send("POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(crate::support::client::chunks(&pattern(5000), 100));
    client.response().is(413);
    let seen = origin.requests();
    assert_eq!(
        seen.iter().map(|r| r.target.as_str()).collect::<Vec<_>>(),
        ["/fits"]
    );
    for line in proxy
        .wait_log(3)
        .iter()
        .filter(|line| line["status"] == 413)
    {
        assert_eq!(line["reason"], "body_too_large", "{line}");
    }
}

/// A client that goes away in the middle of its body: the origin gets no whole request.
#[test]
fn an_abandoned_upload_is_not_a_request() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()]).start();
    for head in [
        "Content-Length: 100\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let mut client = proxy.client();
        client.send(format!("POST /gone HTTP/1.1\r\nHost: a\r\n{head}"));
        drop(client);
    }
    for line in proxy.wait_log(2) {
        assert!(
            matches!(
                line["reason"].as_str(),
                Some("client_abort" | "client_protocol")
            ),
            "{line}"
        );
    }
    origin.wait_closed(origin.connections());
    assert_eq!(origin.count(), 0);
    proxy.get("/fine").is(200);
}

/// So it is when the answer has begun: nobody knows for how long the endpoint waits for the rest.
#[test]
fn an_upload_that_is_abandoned_in_its_answer_ends_with_it() {
    let server = ByteServer::running(|mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let proxy = Setup::over(&[server.addr()]).start();
    let mut client = proxy.client();
    client.send("POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf");
    client.try_head().unwrap();
    client.wire.stream.shutdown(Shutdown::Write).unwrap();
    let line = proxy.wait_log(1).pop().unwrap();
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"client_abort".into(), &"eof".into()),
        "{line}"
    );
    eventually("its end", || (server.open() == 0).then_some(()));
}
