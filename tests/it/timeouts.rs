//! Clocks that end what would never end, and only that.

use crate::support::answer::Step;
use crate::support::bytes::ByteServer;
use crate::support::client::{Ends, pattern};
use crate::support::websocket::{self, WebSocket};
use crate::support::wire::Wire;
use crate::support::{Answer, Client, DEADLINE, Fault, Origin, Proxy, Setup};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

/// Asserts how the only exchange so far ended.
#[track_caller]
fn ended(proxy: &Proxy, reason: &str, status: u16) -> Value {
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&reason.into(), &status.into()),
        "{line}"
    );
    line
}

/// A listening socket that takes no more: its backlog is full, and a new SYN gets no answer.
struct Blackhole {
    _listener: Socket,
    _waiting: Vec<Socket>,
    addr: SocketAddr,
}

impl Blackhole {
    fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener
            .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
            .unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..8 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let full = socket
                .connect_timeout(&addr.into(), Duration::from_millis(200))
                .is_err();
            waiting.push(socket);
            if full {
                return Self {
                    _listener: listener,
                    _waiting: waiting,
                    addr,
                };
            }
        }
        panic!("the backlog does not fill");
    }
}

#[test]
fn connect() {
    let hole = Blackhole::new();
    let keys = "timeouts = { connect = \"200ms\" }";
    let proxy = Setup::over_with(&[hole.addr], keys).start();
    proxy.client().post("/", b"x").is(504);
    ended(&proxy, "connect_timeout", 504);
}

/// E-217: nobody goes on connecting for a client that is gone.
#[test]
fn connect_ends_with_the_client() {
    let hole = Blackhole::new();
    let keys = "timeouts = { connect = \"600s\" }";
    let proxy = Setup::over_with(&[hole.addr], keys).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy.wait_metric("tidegate_upstream_requests_active", &[], |active| {
        active == 1.0
    });
    client.reset();
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["phase"]),
        (&"client_abort".into(), &"connect".into()),
        "{line}"
    );
    proxy.wait_metric("tidegate_upstream_requests_active", &[], |active| {
        active == 0.0
    });
}

/// … and the request is not lost when there is another endpoint.
#[test]
fn connect_goes_on_elsewhere() {
    let (hole, origin) = (Blackhole::new(), Origin::start());
    let keys = "balancer = \"round_robin\"\ntimeouts = { connect = \"200ms\" }";
    let proxy = Setup::over_with(&[hole.addr, origin.addr()], keys).start();
    for _ in 0..4 {
        proxy.client().post("/", b"x").is(200);
    }
    assert_eq!(origin.count(), 4);
}

#[test]
fn header() {
    let origin = Origin::start();
    for begun in [
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n",
    ] {
        let setup = Setup::over(&[origin.addr()]).listener("timeouts = { header = \"1s\" }");
        let proxy = setup.start();
        let mut client = proxy.client();
        client.send(begun);
        let response = client.response();
        assert!(response.is(408).closes());
        client.ends();
        ended(&proxy, "header_timeout", 408);
    }
    assert_eq!(origin.connections(), 0);
}

/// The limit is on the whole head: a byte now and then does not help.
#[test]
fn header_of_a_slow_writer() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .listener("timeouts = { header = \"1s\" }")
        .start();
    let mut client = proxy.client();
    let mut writer = client.wire.stream.try_clone().unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    let slow = thread::spawn(move || {
        for _ in 0..150 {
            // The pace of the attacker.
            thread::sleep(Duration::from_millis(100));
            if writer.write_all(b"y").is_err() {
                return;
            }
        }
    });
    client.response().is(408);
    drop(client);
    slow.join().unwrap();
}

#[test]
fn idle_between_requests() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .listener("timeouts = { idle = \"1s\" }")
        .start();
    let mut client = proxy.client();
    client.get("/").is(200);
    client.ends();
    assert_eq!(proxy.wait_log(1).len(), 1, "an idle end is no exchange");
}

/// A connection that never says anything ends too, without an answer or a line.
#[test]
fn silence_from_the_start() {
    let origin = Origin::start();
    let setup =
        Setup::over(&[origin.addr()]).listener("timeouts = { header = \"1s\", idle = \"1s\" }");
    let proxy = setup.start();
    let mut client = proxy.client();
    let _ = client.wire.rest();
    let accepted = proxy.metric("tidegate_connections_total", &[("listener", "web")]);
    assert_eq!(accepted, 1.0);
    proxy.wait_metric("tidegate_connections_active", &[("listener", "web")], |n| {
        n == 0.0
    });
}

#[test]
fn body() {
    for framing in [
        "Content-Length: 10\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let origin = Origin::start();
        let proxy = Setup::over(&[origin.addr()])
            .listener("timeouts = { body = \"1s\" }")
            .start();
        let mut client = proxy.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
        assert!(client.response().is(408).closes());
        client.ends();
        ended(&proxy, "body_timeout", 408);
        origin.wait_closed(1);
        assert_eq!(origin.count(), 0, "half a body is no request");
    }
}

#[test]
fn response() {
    for keys in ["timeouts = { response = \"1s\" }", ""] {
        let origin = Origin::answering(|_| Answer::silence().then(Step::Hang));
        let route = if keys.is_empty() {
            "timeouts = { response = \"1s\" }"
        } else {
            ""
        };
        let proxy = Setup::over_with(&[origin.addr()], keys)
            .without_routes()
            .route("all", &format!("cluster = \"app\"\n{route}"))
            .start();
        proxy.get("/").is(504);
        let line = ended(&proxy, "response_timeout", 504);
        assert_eq!(line["attempts"], 1, "{line}");
        // The connection that owes an answer is gone.
        origin.wait_closed(1);
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn response_body() {
    let origin = Origin::answering(|request| {
        let answer = match request.target.as_str() {
            "/chunked" => Answer::ok(pattern(10_000)).chunked(100),
            _ => Answer::ok(pattern(10_000)),
        };
        answer.cut(500, Step::Hang)
    });
    for path in ["/length", "/chunked"] {
        let keys = "timeouts = { response_idle = \"1s\" }";
        let proxy = Setup::over_with(&[origin.addr()], keys).start();
        let fault = proxy.client().try_get(path);
        assert!(
            matches!(fault, Err(Fault::Truncated | Fault::Reset)),
            "{fault:?}"
        );
        ended(&proxy, "upstream_idle", 200);
    }
}

/// The whole exchange, retries and a busy body included.
#[test]
fn request() {
    let drip = || {
        let mut answer = Answer::ok("").until_close();
        answer.steps = vec![Step::Send(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(),
        )];
        for _ in 0..200 {
            answer = answer
                .then(Step::Send(b"x".to_vec()))
                .then(Step::Pause(Duration::from_millis(100)));
        }
        answer
    };
    let origin = Origin::answering(move |request| match request.target.as_str() {
        "/drip" => drip(),
        _ => Answer::silence().then(Step::Hang),
    });
    let setup = || {
        Setup::over(&[origin.addr()])
            .without_routes()
            .route("all", "cluster = \"app\"\ntimeouts = { request = \"1s\" }")
    };
    let proxy = setup().start();
    proxy.get("/hang").is(504);
    ended(&proxy, "max_duration", 504);
    let proxy = setup().start();
    let fault = proxy.client().try_get("/drip");
    assert!(
        matches!(fault, Err(Fault::Truncated | Fault::Reset)),
        "{fault:?}"
    );
    ended(&proxy, "max_duration", 200);
}

#[test]
fn tunnel() {
    let origin = Origin::answering(|_| websocket::accept());
    let keys = "timeouts = { tunnel = \"1s\" }";
    let proxy = Setup::over_with(&[origin.addr()], keys).start();
    let mut socket = WebSocket::connect(proxy.web, "/");
    socket.echoes("x");
    socket.ends();
    origin.wait_closed(1);
    proxy.wait_log(1);
}

/// Slow is not dead: what moves within its time is left alone.
#[test]
fn activity_is_not_cut_off() {
    let origin = Origin::answering(|request| {
        let whole = Answer::ok(pattern(1000)).chunked(100);
        let steps = (0..10).flat_map(|tenth| {
            let pause = Step::Pause(Duration::from_millis(200));
            [Step::Reply(tenth * 100, (tenth + 1) * 100), pause]
        });
        match request.target.as_str() {
            "/slow" => Answer {
                steps: steps.collect(),
                ..whole
            },
            _ => Answer::ok(request.body.clone()),
        }
    });
    let keys = "timeouts = { response_idle = \"1s\", response = \"1s\" }";
    let proxy = Setup::over_with(&[origin.addr()], keys)
        .listener("timeouts = { body = \"1s\", header = \"1s\", idle = \"1s\" }")
        .start();
    let addr = proxy.web;
    let upload = thread::spawn(move || {
        let mut client = Client::connect(addr);
        client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
        for byte in b"0123456789" {
            // The pace of a slow client, well within the limit between two reads.
            thread::sleep(Duration::from_millis(200));
            client.send([*byte]);
        }
        client.response().text()
    });
    let response = proxy.get("/slow");
    assert_eq!(
        (response.ends, response.body == pattern(1000)),
        (Ends::Chunked, true)
    );
    assert_eq!(upload.join().unwrap(), "0123456789");
}

/// What ended the proxy's only connection.
#[track_caller]
fn closed_by(proxy: &Proxy, cause: &str) {
    let labels = [("listener", "web"), ("cause", cause)];
    proxy.wait_metric("tidegate_connections_closed_total", &labels, |n| n == 1.0);
}

#[test]
fn first_byte() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .listener("timeouts = { first_byte = \"1s\", header = \"60s\", idle = \"60s\" }")
        .start();
    proxy.client().ends();
    closed_by(&proxy, "first_byte");
    // A byte is enough; from there on it is the head's time.
    let mut client = proxy.client();
    client.send("G");
    thread::sleep(Duration::from_millis(1500));
    client.send("ET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.response().is(200);
}

/// The idle time has its own cause.
#[test]
fn an_idle_end_is_counted() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .listener("timeouts = { idle = \"1s\" }")
        .start();
    let mut client = proxy.client();
    client.get("/").is(200);
    client.ends();
    closed_by(&proxy, "idle");
}

/// E-132: a client that takes nothing of its answer.
#[test]
fn write() {
    for path in ["/length", "/chunked"] {
        let origin = Origin::answering(|request| {
            let large = Answer::ok(pattern(64 << 20));
            match request.target.as_str() {
                "/chunked" => large.chunked(10_000),
                _ => large,
            }
        });
        let proxy = Setup::over(&[origin.addr()])
            .listener("timeouts = { write = \"1s\" }")
            .start();
        let mut client = proxy.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let line = ended(&proxy, "body_timeout", 200);
        assert_eq!(line["detail"], "write_stall", "{line}");
        origin.wait_closed(1);
        closed_by(&proxy, "broken");
        assert!(client.try_response_to("GET").is_err());
    }
}

/// E-131: within the idle time every time, and yet too slow.
#[test]
fn body_rate() {
    let origin = Origin::answering(|request| Answer::ok(request.body.len().to_string()));
    let proxy = Setup::over(&[origin.addr()])
        .listener("limits = { body_rate = \"256B\" }")
        .start();
    let addr = proxy.web;
    // Twice the least rate, for longer than the grace, in pieces.
    let live = thread::spawn(move || {
        let mut client = Client::connect(addr);
        client.send("POST /live HTTP/1.1\r\nHost: a\r\nContent-Length: 6400\r\n\r\n");
        for _ in 0..50 {
            thread::sleep(Duration::from_millis(250));
            client.send([b'x'; 128]);
        }
        client.response().is(200).text()
    });
    let mut client = proxy.client();
    let mut writer = client.wire.stream.try_clone().unwrap();
    client.send("POST /drip HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let drip = thread::spawn(move || {
        for _ in 0..100 {
            thread::sleep(Duration::from_millis(250));
            if writer.write_all(b"1\r\nx\r\n").is_err() {
                return;
            }
        }
    });
    let slow = client.deadline(Duration::from_mins(1)).response();
    assert!(slow.is(408).closes());
    assert_eq!(live.join().unwrap(), "6400");
    drip.join().unwrap();
    let line = proxy.wait_line("the slow one", |line| line["status"] == 408);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"body_timeout".into(), &"body_rate".into()),
        "{line}"
    );
}

/// E-132: a client that takes a little now and then.
#[test]
fn write_rate() {
    let origin = Origin::answering(|_| Answer::ok(pattern(64 << 20)));
    let proxy = Setup::over(&[origin.addr()])
        .listener("limits = { write_rate = \"1MiB\" }")
        .start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.try_head().unwrap();
    let mut line = None;
    for _ in 0..600 {
        // The pace of the attacker: 320 KiB a second.
        thread::sleep(Duration::from_millis(50));
        if client.wire.fill().is_err() {
            break;
        }
        line = proxy.log().pop();
        if line.is_some() {
            break;
        }
    }
    let line = line.unwrap_or_else(|| proxy.wait_log(1).remove(0));
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"body_timeout".into(), &"write_rate".into()),
        "{line}"
    );
}

/// E-132: who reads all the time and quickly enough has its answer, though the kernel takes nothing from us for long: it wakes a writer
/// only when tens of KiB have gone.
#[test]
fn a_steady_reader_is_not_taken_for_one_that_reads_nothing() {
    const LENGTH: usize = 8 << 20;
    let origin = Origin::answering(|_| Answer::ok(pattern(LENGTH)));
    // What the kernel may hold makes it wake us far more seldom than the client takes something.
    let limits = "limits = { write_rate = \"8KiB\", unsent = \"4MiB\" }";
    let proxy = Setup::over(&[origin.addr()])
        .listener(&format!("timeouts = {{ write = \"3s\" }}\n{limits}"))
        .start();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_tcp_mss(1400).unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.connect(&proxy.web.into()).unwrap();
    let mut client = Client {
        wire: Wire::new(socket.into(), Some(DEADLINE)),
    };
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.try_head().unwrap();
    // Eight times the least rate, for longer than the grace.
    for _ in 0..120 {
        thread::sleep(Duration::from_millis(100));
        let mut piece = [0; 6400];
        client.wire.stream.read_exact(&mut piece).unwrap();
        client.wire.buffer.extend(piece);
    }
    assert_eq!(proxy.log(), Vec::<Value>::new());
    assert!(client.wire.exact(LENGTH).unwrap() == pattern(LENGTH));
    ended(&proxy, "completed", 200);
}

#[test]
fn requests_of_a_connection() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .listener("limits = { requests_per_connection = 3 }")
        .start();
    let mut client = proxy.client();
    assert!(!client.get("/1").is(200).closes());
    assert!(!client.get("/2").is(200).closes());
    assert!(client.get("/3").is(200).closes());
    client.ends();
    closed_by(&proxy, "requests");
    // Pipelined ones beyond it are not answered, and do not reach the endpoint.
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5));
    for _ in 0..3 {
        client.response().is(200);
    }
    client.ends();
    assert_eq!(origin.count(), 6);
}

/// The age of a connection: its next answer is its last. A tunnel has none.
#[test]
fn age() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/ws" => websocket::accept(),
        _ => Answer::ok("x"),
    });
    let proxy = Setup::over(&[origin.addr()])
        .listener("timeouts = { age = \"1s\" }")
        .start();
    let mut socket = WebSocket::connect(proxy.web, "/ws");
    let mut client = proxy.client();
    assert!(!client.get("/").is(200).closes());
    thread::sleep(Duration::from_millis(1500));
    assert!(client.get("/").is(200).closes());
    client.ends();
    closed_by(&proxy, "age");
    socket.echoes("still there");
}

/// Silence that is meant: long poll, event stream, WebSocket, each longer than every clock that is not theirs.
#[test]
fn live_traffic_is_left_alone() {
    let events =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let origin = Origin::answering(move |request| match request.target.as_str() {
        "/poll" => Answer::ok("at last").first(Step::Pause(Duration::from_millis(2500))),
        "/events" => {
            let mut answer = Answer::ok("");
            answer.steps = vec![
                Step::Send(events.as_bytes().to_vec()),
                Step::Pause(Duration::from_millis(2500)),
                Step::Send(b"7\r\ndata: 1\r\n".to_vec()),
                Step::Pause(Duration::from_millis(2500)),
                Step::Send(b"7\r\ndata: 2\r\n0\r\n\r\n".to_vec()),
            ];
            answer
        }
        _ => websocket::accept(),
    });
    let keys = "timeouts = { response_idle = \"1s\", connect = \"1s\" }";
    let proxy = Setup::over_with(&[origin.addr()], keys)
        .listener(
            "timeouts = { first_byte = \"1s\", header = \"1s\", idle = \"1s\", body = \"1s\", write = \"1s\", \
             linger = \"1s\", age = \"1s\" }\nlimits = { body_rate = \"1MiB\", write_rate = \"1MiB\" }",
        )
        .start();
    let web = proxy.web;
    let waits = |path: &'static str| thread::spawn(move || Client::connect(web).get(path).text());
    let (poll, stream) = (waits("/poll"), waits("/events"));
    let mut socket = WebSocket::connect(web, "/ws");
    thread::sleep(Duration::from_millis(2500));
    socket.echoes("x");
    assert_eq!(poll.join().unwrap(), "at last");
    assert_eq!(stream.join().unwrap(), "data: 1data: 2");
}

/// E-034: a client may stop to send when it sees that it is answered, and an endpoint that answers need not read: the clocks of the
/// upload do not end an answer that flows.
#[test]
fn an_answer_that_flows_outlives_the_clocks_of_the_upload() {
    let origin = ByteServer::running(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let head =
            "HTTP/1.1 413 Too Large\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head.as_bytes());
        for _ in 0..15 {
            thread::sleep(Duration::from_millis(200));
            let _ = stream.write_all(b"5\r\nhello\r\n");
        }
        let _ = stream.write_all(b"0\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let keys = "timeouts = { response = \"1s\" }";
    let proxy = Setup::over_with(&[origin.addr()], keys)
        .listener("timeouts = { body = \"1s\" }")
        .start();
    // One that stops to send, and one whose upload the endpoint does not read.
    for sent in [5, 20_000_000] {
        let mut client = proxy.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            sent + 5
        ));
        let mut body = client.wire.stream.try_clone().unwrap();
        let writer = thread::spawn(move || {
            let _ = body.write_all(&vec![b'x'; sent]);
        });
        let answer = client.response_to("POST");
        assert_eq!((answer.status, answer.text().len()), (413, 75), "{sent}");
        drop(client);
        writer.join().unwrap();
    }
}

/// An answer that does not get on is no reason to wait for a client that does not send.
#[test]
fn a_silent_answer_does_not_keep_a_silent_upload() {
    let origin = ByteServer::running(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let proxy = Setup::over(&[origin.addr()])
        .listener("timeouts = { body = \"1s\" }")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert!(client.try_response_to("POST").is_err());
    let line = proxy.wait_line("the end", |line| line["status"] == 200);
    assert_eq!(line["reason"], "body_timeout", "{line}");
}

/// A client that does not send is no fault of the endpoint, whatever one try may take.
#[test]
fn a_try_begins_when_the_request_is_sent() {
    let origin = Origin::start();
    let proxy = Setup::over_with(
        &[origin.addr()],
        "retry = { per_try_timeout = \"300ms\" }\nbreaker = {}",
    )
    .listener("timeouts = { body = \"1s\" }")
    .start();
    for _ in 0..8 {
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
        client.response().is(408);
    }
    // Slower than one try may take, and whole.
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    thread::sleep(Duration::from_millis(600));
    client.send("other.").response().is(200);
    let late = Origin::answering(|_| Answer::silence().then(Step::Hang));
    let proxy = Setup::over_with(
        &[late.addr()],
        "retry = { per_try_timeout = \"300ms\", attempts = 0 }",
    )
    .start();
    proxy.client().post("/", b"whole").is(504);
}
