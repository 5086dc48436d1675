//! Clients that do not take what they asked for, frame by frame: what is held for them, and for how long.

pub use crate::support::frames::{RST_STREAM, WINDOW_UPDATE};

use crate::support::answer::Step;
use crate::support::frames::{
    self, ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, Peer, SETTINGS,
};
use crate::support::{Answer, DEADLINE, Gate, Origin, Setup, endpoint};
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW: u16 = 4;

pub const LARGEST: u32 = 0x7fff_ffff;

const MIB: usize = 1 << 20;

/// A client whose windows are of this size, and that of its connection as large as can be.
pub fn client(web: SocketAddr, window: u32) -> Peer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // As far away as clients are: the kernel in between takes little at a time.
    socket.set_tcp_mss(1400).unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.connect(&web.into()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut client = Peer(socket.into());
    client
        .0
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    let mut setting = INITIAL_WINDOW.to_be_bytes().to_vec();
    setting.extend(window.to_be_bytes());
    client.send(SETTINGS, 0, 0, &setting);
    opened(&mut client, 0, LARGEST - 65_535);
    client
}

pub fn opened(client: &mut Peer, stream: u32, by: u32) {
    client.send(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
}

pub fn ask(client: &mut Peer, stream: u32, path: &str) {
    let head = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test.example"),
    ];
    client.send(
        HEADERS,
        END_STREAM | END_HEADERS,
        stream,
        &frames::block(&head),
    );
}

fn origin(size: usize) -> Origin {
    Origin::answering(move |request| match request.target.as_str() {
        "/large" => Answer::ok(vec![b'x'; size]),
        _ => Answer::ok(vec![b'y'; 1000]),
    })
}

/// What was sent is not kept until all is sent.
#[test]
fn what_the_kernel_has_is_not_held() {
    let origin = origin(16 * MIB);
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    let mut client = client(proxy.web, LARGEST);
    ask(&mut client, 1, "/large");
    let (mut read, mut looked, mut most) = (0, 0, 0.0_f64);
    loop {
        let frame = client.frame().expect("a frame");
        if frame.kind != DATA {
            continue;
        }
        read += frame.payload.len();
        if frame.flags & END_STREAM != 0 {
            break;
        }
        // Slower than the endpoint: something waits all the time.
        if read - looked >= 256 * 1024 {
            looked = read;
            most = most.max(proxy.metric("tidegate_memory_bytes", &[]));
        }
        sleep(Duration::from_millis(2));
    }
    assert_eq!(read, 16 * MIB);
    assert!(
        most > 0.0 && most < 2.0 * MIB as f64,
        "{most} bytes were held"
    );
}

/// What another stream waits with for its client is no reason to wait for an endpoint, nor for its client's next answer.
#[test]
fn a_silent_endpoint_is_overdue_beside_a_download_that_is_slow() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/large" => Answer::ok(vec![b'x'; 64 * MIB]),
        "/never" => Answer::ok("late").first(Step::Pause(DEADLINE)),
        _ => Answer::ok(vec![b'y'; 1000]),
    });
    let proxy = Setup::over_with(&[origin.addr()], "timeouts = { response = \"1s\" }")
        .workers(1)
        .start();
    let mut client = client(proxy.web, LARGEST);
    ask(&mut client, 1, "/large");
    ask(&mut client, 3, "/never");
    let (begin, mut heads) = (Instant::now(), Vec::new());
    while heads.len() < 3 {
        assert!(begin.elapsed() < Duration::from_secs(6), "{heads:?}");
        let frame = client.frame().expect("a frame");
        if frame.kind == HEADERS {
            heads.push(frame.stream);
            if heads.len() == 2 {
                ask(&mut client, 5, "/small");
            }
        }
        // Slower than the endpoint: something waits all the time.
        sleep(Duration::from_millis(2));
    }
    assert_eq!(heads, [1, 3, 5]);
    let log = proxy.wait_log(2);
    assert!(log.iter().any(|line| line["reason"] == "response_timeout"));
}

/// E-132: what another stream of the connection moves is not this one's progress.
#[test]
fn a_stream_whose_window_stays_shut_is_reset_beside_one_that_flows() {
    let origin = origin(64 * MIB);
    let proxy = Setup::over(&[origin.addr()])
        .workers(1)
        .listener("timeouts = { write = \"1s\" }")
        .start();
    let mut client = client(proxy.web, 0);
    ask(&mut client, 1, "/large");
    opened(&mut client, 1, LARGEST);
    ask(&mut client, 3, "/small");
    let (mut read, mut rested) = (0, 0);
    loop {
        let frame = client.frame().expect("a frame");
        match (frame.kind, frame.stream) {
            (RST_STREAM, 3) => break,
            (DATA, 1) => {
                assert_eq!(
                    frame.flags & END_STREAM,
                    0,
                    "all of it went, and nothing was reset"
                );
                read += frame.payload.len();
            }
            (DATA | RST_STREAM, _) => panic!("{} on {}", frame.kind, frame.stream),
            _ => {}
        }
        // So that the other stream's answer lasts for many times the limit.
        if read - rested >= 32 * 1024 {
            rested = read;
            sleep(Duration::from_millis(5));
        }
    }
    let line = proxy.wait_line("the reset", |line| line["path"] == "/small");
    assert_eq!(line["reason"], "body_timeout", "{line}");
    assert_eq!(line["detail"], "write_stall", "{line}");
}

/// All windows open by one frame: what waited for them goes without another word.
#[test]
fn windows_that_open_at_once_let_all_through() {
    const STREAMS: u32 = 40;
    const SIZE: usize = 60_000;
    let origin = origin(SIZE);
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    let mut client = client(proxy.web, 0);
    for at in 0..STREAMS {
        ask(&mut client, 2 * at + 1, "/large");
    }
    // Every answer is read from its endpoint, and waits.
    origin.wait(STREAMS as usize);
    let mut heads = 0;
    while heads < STREAMS {
        heads += u32::from(client.frame().expect("a head").kind == HEADERS);
    }
    let mut setting = INITIAL_WINDOW.to_be_bytes().to_vec();
    setting.extend(LARGEST.to_be_bytes());
    client.send(SETTINGS, 0, 0, &setting);
    let (mut read, mut ended) = (0, 0);
    while ended < STREAMS {
        let frame = client.frame().expect("a frame");
        if frame.kind == DATA {
            read += frame.payload.len();
            ended += u32::from(frame.flags & END_STREAM != 0);
        }
    }
    assert_eq!(read, SIZE * STREAMS as usize);
}

/// E-216, F-06: what a client asked for before it closed its sending side it gets, unless `half_close = "abort"`.
#[test]
fn half_closed_clients_get_what_they_asked_for() {
    for (listener, status) in [("", Some(200)), ("half_close = \"abort\"", None)] {
        let gate = Gate::shut();
        let held = gate.clone();
        let origin = Origin::answering(move |_| Answer::ok("late").held(&held));
        let proxy = Setup::over(&[origin.addr()])
            .listener(listener)
            .workers(1)
            .start();
        let mut client = client(proxy.web, LARGEST);
        ask(&mut client, 1, "/");
        // One whose request never ends breaks off.
        let head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/part"),
            (":authority", "test.example"),
        ];
        client.send(HEADERS, END_HEADERS, 3, &frames::block(&head));
        origin.wait(1);
        client.0.shutdown(std::net::Shutdown::Write).unwrap();
        let part = proxy.wait_line("the part", |line| line["path"] == "/part");
        assert_eq!(part["reason"], "client_abort", "{part}");
        gate.open();
        let mut text = Vec::new();
        while let Some(frame) = client.frame() {
            if frame.kind == DATA && frame.stream == 1 {
                text.extend(frame.payload);
            }
        }
        assert_eq!(text == b"late", status.is_some(), "{listener}");
        let line = proxy.wait_line("the whole", |line| line["path"] == "/");
        let reason = match status {
            Some(_) => "completed",
            None => "client_abort",
        };
        assert_eq!(line["reason"], reason, "{line}");
    }
}

/// Answers that wait hold up reading no longer than they wait.
#[test]
fn every_ping_of_a_burst_is_answered() {
    const PINGS: u64 = 8000;
    let origin = origin(0);
    let proxy = Setup::over(&[origin.addr()])
        .workers(1)
        .listener("http2 = { pings = 1000000 }")
        .start();
    let mut client = client(proxy.web, LARGEST);
    let mut reader = Peer(client.0.try_clone().unwrap());
    let answered = std::thread::spawn(move || {
        let mut next = 0;
        while next < PINGS {
            let frame = reader.frame().expect("the answer to a PING");
            if frame.kind == PING {
                assert_eq!(
                    (frame.flags, frame.payload),
                    (ACK, next.to_be_bytes().to_vec())
                );
                next += 1;
            }
        }
    });
    let mut burst = Vec::new();
    for ping in 0..PINGS {
        burst.extend([0, 0, 8, PING, 0, 0, 0, 0, 0]);
        burst.extend(ping.to_be_bytes());
    }
    client.0.write_all(&burst).unwrap();
    answered.join().unwrap();
}

/// Answers that are a head alone wait like all others: a client that reads none of them gets no further ones.
#[test]
fn heads_that_nobody_reads_are_few() {
    const ASKED: u32 = 20_000;
    let origin = Origin::answering(|_| {
        // No two are the same: each takes its bytes.
        let number = fastrand::usize(..);
        Answer::ok("y").field("x-long", &format!("{number:0300}"))
    });
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    let mut client = client(proxy.web, LARGEST);
    client
        .0
        .set_write_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let head = [
        (":method", "HEAD"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "test.example"),
    ];
    let block = frames::block(&head);
    let mut asked = 0;
    for at in 0..ASKED {
        // Fewer than there may be at once, as long as they are answered.
        if at % 100 == 0 {
            let before = origin.count();
            let begin = Instant::now();
            while origin.count() < before + 100
                && asked > 0
                && begin.elapsed() < Duration::from_millis(20)
            {
                sleep(Duration::from_millis(1));
            }
        }
        let len = u8::try_from(block.len()).unwrap();
        let mut frame = vec![0, 0, len, HEADERS, END_STREAM | END_HEADERS];
        frame.extend((2 * at + 1).to_be_bytes());
        frame.extend(&block);
        if client.0.write_all(&frame).is_err() {
            break;
        }
        asked += 1;
    }
    sleep(Duration::from_millis(500));
    let answered = origin.count();
    assert!(answered < 3000, "{answered} of {asked}");
    let held = proxy.metric("tidegate_memory_bytes", &[]);
    assert!(held < 2.0 * MIB as f64, "{held} bytes");
}

/// A stream whose client lets it go on does so beside downloads that take whatever room there is.
#[test]
fn a_window_that_opens_beside_downloads_is_used() {
    let origin = origin(64 * MIB);
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    let mut client = client(proxy.web, 0);
    ask(&mut client, 1, "/small");
    for stream in [3, 5, 7] {
        ask(&mut client, stream, "/large");
        opened(&mut client, stream, LARGEST);
    }
    let begin = Instant::now();
    for at in 0.. {
        if at == 50 {
            opened(&mut client, 1, 1000);
        }
        let frame = client.frame().expect("a frame");
        if frame.kind == DATA && frame.stream == 1 && frame.flags & END_STREAM != 0 {
            break;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "after {at} frames"
        );
        // Slower than the endpoint: something waits all the time.
        sleep(Duration::from_millis(2));
    }
}

/// What of other uploads waits here shuts the connection's window for all: who may not send is not blamed for it (E-131).
#[test]
fn an_upload_that_is_shut_out_by_others_is_waited_for() {
    let gate = Gate::shut();
    let held = gate.clone();
    let origin = Origin::answering(move |request| match request.target.as_str() {
        "/held" => Answer::ok("held").first(Step::Hold(held.clone())),
        _ => Answer::ok(request.body.clone()),
    });
    let keys = "bulkhead = { connections_per_endpoint = 1, queue = { timeout = \"10s\" } }";
    let proxy = Setup::new()
        .cluster("narrow", &[endpoint(origin.addr())], keys)
        .cluster("wide", &[endpoint(origin.addr())], "")
        .route("narrow", "path_prefix = \"/held\"\ncluster = \"narrow\"")
        .route("wide", "cluster = \"wide\"")
        .listener("timeouts = { body = \"1s\" }\nhttp2 = { connection_window = \"64KiB\" }")
        .start();
    let mut client = client(proxy.web, LARGEST);
    // One has the place, and another one waits for it with all that the connection may have.
    ask(&mut client, 1, "/held");
    origin.wait(1);
    post(&mut client, 3, "/held");
    for _ in 0..3 {
        client.send(DATA, 0, 3, &[b'h'; 16_384]);
    }
    client.send(DATA, 0, 3, &[b'h'; 16_383]);
    post(&mut client, 5, "/");
    sleep(Duration::from_secs(3));
    gate.open();
    let mut room = 0;
    while room < 16_384 {
        let frame = client.frame().expect("a frame");
        if (frame.kind, frame.stream) == (WINDOW_UPDATE, 0) {
            room += u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
        }
    }
    client.send(DATA, END_STREAM, 5, &[b'b'; 16_384]);
    let status = loop {
        let frame = client.frame().expect("a frame");
        if (frame.kind, frame.stream) == (HEADERS, 5) {
            break frame.payload[0];
        }
    };
    assert_eq!(status, 0x88, "200, as HPACK has it");
}

fn post(client: &mut Peer, stream: u32, path: &str) {
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test.example"),
    ];
    client.send(HEADERS, END_HEADERS, stream, &frames::block(&head));
}
