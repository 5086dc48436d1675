//! Endpoints that choose by ALPN what is spoken to them.

use crate::support::bytes::ByteServer;
use crate::support::client::{pattern, with_body};
use crate::support::frames::{self, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Peer, SETTINGS};
use crate::support::streams::{Act, Streams, fields, ok};
use crate::support::tls::Authority;
use crate::support::tls_origin::{Front, server};
use crate::support::websocket::{self, WebSocket};
use crate::support::{Answer, Origin, Proxy, Setup, endpoint};
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// TLS in front of an origin, which agrees to these.
fn front(authority: &Authority, origin: SocketAddr, protocols: &[&str]) -> Front {
    let mut config = server(&authority.issue(&["127.0.0.1"]));
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Front::over(origin, config)
}

/// A proxy over these endpoints.
fn over(authority: &Authority, addrs: &[SocketAddr], keys: &str) -> Proxy {
    let setup = Setup::new().workers(1);
    let ca = setup.dir.file("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let keys = format!(
        "protocol = \"auto\"\ntls = {{ ca = \"{}\" }}\nbalancer = \"round_robin\"\noutlier = {{ max_ejected = 0 }}\n{keys}",
        ca.display()
    );
    let endpoints: Vec<_> = addrs.iter().map(|&addr| endpoint(addr)).collect();
    setup
        .cluster("app", &endpoints, &keys)
        .route("all", "cluster = \"app\"")
        .start()
}

fn made(proxy: &Proxy, protocol: &str) -> f64 {
    let labels = [("cluster", "app"), ("protocol", protocol)];
    proxy.metric("tidegate_upstream_connections_total", &labels)
}

#[test]
fn each_endpoint_is_spoken_to_as_it_agrees() {
    let authority = Authority::new("Inner Authority");
    let streams = Streams::answering(|request| ok(request.body.clone()));
    let plain = Origin::answering(|request| Answer::ok(request.body.clone()));
    // The last says nothing of ALPN at all.
    let fronts = [
        front(&authority, streams.addr(), &["h2", "http/1.1"]),
        front(&authority, plain.addr(), &["http/1.1"]),
        front(&authority, plain.addr(), &[]),
    ];
    let addrs: Vec<_> = fronts.iter().map(Front::addr).collect();
    let proxy = over(&authority, &addrs, "");
    let mut client = proxy.client();
    for at in 0..30 {
        let body = pattern(at * 1000);
        let answer = client.post("/", &body);
        assert!(answer.is(200).body == body, "{at}");
        client.get("/").is(200);
    }
    assert_eq!((streams.requests().len(), plain.count()), (20, 40));
    assert_eq!((made(&proxy, "h2"), made(&proxy, "h1")), (1.0, 2.0));
    assert_eq!(streams.connections(), (1, 1));
    let failed = proxy.metric("tidegate_upstream_connect_failures_total", &[]);
    assert_eq!(failed, 0.0);
    let labels = [("cluster", "app"), ("protocol", "h1")];
    proxy.wait_metric("tidegate_upstream_connections_active", &labels, |now| {
        now == 2.0
    });
}

/// A probe speaks HTTP/1.1 and asks for nothing else: what it would agree to besides is not what it speaks.
#[test]
fn probes_of_http_ask_for_http1_alone() {
    let authority = Authority::new("Inner Authority");
    let plain = Origin::answering(|_| Answer::ok("p"));
    let front = front(&authority, plain.addr(), &["h2", "http/1.1"]);
    let health = "health = { check = \"http\", interval = \"50ms\" }";
    let proxy = over(&authority, &[front.addr()], health);
    let labels = [("cluster", "app"), ("result", "pass")];
    proxy.wait_metric("tidegate_health_checks_total", &labels, |n| n >= 1.0);
    let agreed = front.shakes()[0].protocol.clone();
    assert_eq!(agreed.as_deref(), Some("http/1.1"));
}

/// A probe of gRPC speaks HTTP/2 and nothing else, and says that it came over TLS: some servers look at that.
#[test]
fn probes_of_grpc_ask_for_http2_alone() {
    let authority = Authority::new("Inner Authority");
    let streams = Streams::answering(|_| {
        let kind = fields(&[("content-type", "application/grpc")]);
        let serving = vec![0, 0, 0, 0, 2, 8, 1];
        let status = fields(&[("grpc-status", "0")]);
        vec![
            Act::Head(200, kind),
            Act::Data(serving),
            Act::Trailers(status),
        ]
    });
    let front = front(&authority, streams.addr(), &["http/1.1", "h2"]);
    let health = "health = { check = { grpc = {} }, interval = \"50ms\" }";
    let proxy = over(&authority, &[front.addr()], health);
    let labels = [("cluster", "app"), ("result", "pass")];
    proxy.wait_metric("tidegate_health_checks_total", &labels, |n| n >= 1.0);
    let agreed = front.shakes()[0].protocol.clone();
    assert_eq!(agreed.as_deref(), Some("h2"));
    let asked = streams.wait(1);
    assert_eq!(
        (&*asked.scheme, &*asked.path),
        ("https", "/grpc.health.v1.Health/Check")
    );
}

/// Nothing is known at first, and all who come at once are served.
#[test]
fn a_burst_at_the_start_is_served() {
    let authority = Authority::new("Inner Authority");
    let streams = Streams::answering(|_| ok("s"));
    let plain = Origin::answering(|_| Answer::ok("p"));
    for (addr, protocols) in [
        (streams.addr(), &["h2"][..]),
        (plain.addr(), &["http/1.1"][..]),
    ] {
        let front = front(&authority, addr, protocols);
        let proxy = over(&authority, &[front.addr()], "");
        let clients: Vec<_> = (0..40)
            .map(|at| {
                let mut client = proxy.client();
                thread::spawn(move || client.post("/", &pattern(at * 100)).status)
            })
            .collect();
        for client in clients {
            assert_eq!(client.join().unwrap(), 200);
        }
    }
    assert_eq!(streams.connections().0, 1, "they wait for one connection");
}

/// A request is sent again to an endpoint that speaks otherwise, with all of its body.
#[test]
fn retries_cross_from_one_to_the_other() {
    let authority = Authority::new("Inner Authority");
    let streams = Streams::answering(|request| match &*request.path {
        "/streams" => vec![Act::Head(503, Vec::new())],
        _ => ok(request.body.clone()),
    });
    let plain = Origin::answering(|request| match request.target.as_str() {
        "/plain" => Answer::status(503),
        _ => Answer::ok(request.body.clone()),
    });
    let fronts = [
        front(&authority, streams.addr(), &["h2"]),
        front(&authority, plain.addr(), &["http/1.1"]),
    ];
    let addrs: Vec<_> = fronts.iter().map(Front::addr).collect();
    let keys = "retry = { on = [\"503\"], methods = [\"POST\"], budget = { ratio = 1.0, min_per_second = 100 } }";
    let proxy = over(&authority, &addrs, keys);
    let mut client = proxy.client();
    for path in ["/streams", "/plain"] {
        for at in 0..6 {
            let body = pattern(1 + at * 5000);
            let answer = client.post(path, &body);
            assert!(answer.is(200).body == body, "{path} {at}");
        }
    }
    let log = proxy.wait_log(12);
    let twice = log.iter().filter(|line| line["attempts"] == 2).count();
    assert!(twice >= 6, "{twice} of 12 met the one that refuses first");
    // A body without a length is framed by what is spoken: it is not kept.
    let body = pattern(3000);
    for _ in 0..4 {
        client.send("POST /plain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send([b"bb8\r\n", &body[..], b"\r\n0\r\n\r\n"].concat());
        let answer = client.response_to("POST");
        assert!(answer.status == 503 || answer.body == body);
    }
    let why = proxy.wait_line("no retry", |line| line["detail"] == "body_not_replayable");
    assert_eq!(why["status"], 503);
}

#[test]
fn a_websocket_has_a_connection_of_http1() {
    let authority = Authority::new("Inner Authority");
    let origin = Origin::answering(|_| websocket::accept());
    let front = front(&authority, origin.addr(), &["h2", "http/1.1"]);
    let proxy = over(&authority, &[front.addr()], "");
    let mut socket = WebSocket::connect(proxy.web, "/chat");
    socket.echoes("hello");
}

/// Where connections lead that are made from now on, and those that were made.
struct Switch {
    addr: SocketAddr,
    to: Arc<Mutex<SocketAddr>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    /// How long each connection waits, in milliseconds.
    wait: Arc<AtomicU64>,
}

impl Switch {
    fn new(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let this = Self {
            addr: listener.local_addr().unwrap(),
            to: Arc::new(Mutex::new(to)),
            open: Arc::default(),
            wait: Arc::default(),
        };
        let (to, open) = (Arc::clone(&this.to), Arc::clone(&this.open));
        let wait = Arc::clone(&this.wait);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                thread::sleep(Duration::from_millis(wait.load(Ordering::SeqCst)));
                let far = TcpStream::connect(*to.lock().unwrap()).unwrap();
                for (mut from, mut to) in [(&near, &far), (&far, &near)]
                    .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
                {
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                open.lock().unwrap().push(near);
            }
        });
        this
    }

    /// Connections that are there stay as they are.
    fn next(&self, to: SocketAddr) {
        *self.to.lock().unwrap() = to;
    }

    fn lead(&self, to: SocketAddr) {
        self.next(to);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// An endpoint that is replaced by one that agrees to something else.
#[test]
fn an_endpoint_may_change_its_mind() {
    let authority = Authority::new("Inner Authority");
    let streams = Streams::answering(|_| ok("streams"));
    let plain = Origin::answering(|_| Answer::ok("plain"));
    let shared = front(&authority, streams.addr(), &["h2"]);
    let alone = front(&authority, plain.addr(), &["http/1.1"]);
    let switch = Switch::new(shared.addr());
    let proxy = over(&authority, &[switch.addr], "");
    let mut client = proxy.client();
    for (to, said) in [
        (shared.addr(), "streams"),
        (alone.addr(), "plain"),
        (shared.addr(), "streams"),
        (alone.addr(), "plain"),
    ] {
        switch.lead(to);
        for _ in 0..4 {
            client.send(with_body("PUT", "/", b"body"));
            assert_eq!(client.response_to("PUT").is(200).text(), said);
        }
    }
}

/// An endpoint of HTTP/2 without room for bodies: it answers one request, and turns away all behind that.
fn turning_away() -> ByteServer {
    ByteServer::running(|stream| {
        let mut peer = Peer::greet(stream);
        let no_window = [0, 4, 0, 0, 0, 0];
        peer.send(SETTINGS, 0, 0, &no_window);
        let Some(first) = peer.request() else { return };
        let ok = frames::block(&[(":status", "200")]);
        peer.send(HEADERS, END_HEADERS | END_STREAM, first, &ok);
        if peer.request().is_some() {
            let last = [first.to_be_bytes(), [0; 4]].concat();
            peer.send(GOAWAY, 0, 0, &last);
        }
        while peer.frame().is_some() {}
    })
}

/// A body that waited for one protocol is never sent in the framing of the other: a part of it could pass for a request.
#[test]
fn no_part_of_a_body_becomes_a_request() {
    let authority = Authority::new("Inner Authority");
    let hidden = "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunk = format!("{:x}\r\n{hidden}\r\n", hidden.len());
    let whole = format!("{chunk}0\r\n\r\n");
    let (chunked, length) = (
        "Transfer-Encoding: chunked",
        format!("Content-Length: {}", hidden.len()),
    );
    for (framing, sent, crosses) in [
        (chunked, &*chunk, false),
        (chunked, &*whole, false),
        (chunked, "0\r\n\r\n", false),
        (&*length, hidden, true),
    ] {
        let closing = turning_away();
        let plain = Origin::answering(|request| Answer::ok(request.body.clone()));
        let shared = front(&authority, closing.addr(), &["h2"]);
        let alone = front(&authority, plain.addr(), &["http/1.1"]);
        let switch = Switch::new(shared.addr());
        let proxy = over(&authority, &[switch.addr], "");
        proxy.get("/").is(200);
        switch.next(alone.addr());
        let mut client = proxy.client();
        client.send(format!(
            "POST /sent HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{sent}"
        ));
        let answer = client.response_to("POST");
        let line = proxy.wait_line("the upload", |line| line["path"] == "/sent");
        let arrived: Vec<_> = plain.requests().into_iter().map(|it| it.body).collect();
        if crosses {
            assert_eq!(answer.is(200).text(), hidden);
            assert_eq!(arrived, [hidden.as_bytes()], "{line}");
        } else {
            assert_eq!(answer.status, 502, "{line}");
            assert_eq!(line["detail"], "body_not_replayable", "{line}");
            assert!(arrived.is_empty(), "{arrived:?}");
        }
        assert!(plain.broken().is_empty(), "{:?}", plain.broken());
        assert_eq!(line["attempts"], 2, "{line}");
    }
}

/// It may take several connections to find out what an endpoint agrees to: together they have the time of one.
#[test]
fn one_connect_timeout_holds_for_all_connections_of_an_attempt() {
    let authority = Authority::new("Inner Authority");
    let streams = Streams::answering(|_| ok("streams"));
    let plain = Origin::answering(|_| Answer::ok("plain"));
    let shared = front(&authority, streams.addr(), &["h2"]);
    let alone = front(&authority, plain.addr(), &["http/1.1"]);
    let switch = Switch::new(alone.addr());
    let keys = "timeouts = { connect = \"2s\" }\nretry = { on = [\"reset\"] }";
    let proxy = over(&authority, &[switch.addr], keys);
    assert_eq!(proxy.get("/").is(200).text(), "plain");
    switch.lead(shared.addr());
    // Each would do for itself.
    switch.wait.store(1200, Ordering::SeqCst);
    let answer = proxy.get("/late");
    let line = proxy.wait_line("the late one", |line| line["path"] == "/late");
    assert_eq!(
        (answer.status, &line["reason"]),
        (504, &"connect_timeout".into())
    );
    assert!(streams.requests().is_empty());
}
