//! F-27 and F-28 in HTTP/2: clients that flood a connection, and clients that ask for much and take nothing. The one is closed
//! before it costs anybody anything, the other is put out when its time is up; others do not notice.

use super::is_calm;
use crate::http2::slow::{ask, client};
use crate::support::answer::Step;
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, Peer, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block,
};
use crate::support::load::{Shape, Style, Tally};
use crate::support::{Answer, Origin, Proxy, Received, Setup, scale};
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const ENHANCE_YOUR_CALM: u32 = 11;

/// What a client sends without end.
#[derive(Clone, Copy, Debug)]
enum Flood {
    /// Requests, each reset at once (CVE-2023-44487).
    Resets,
    /// Requests that it makes us reset (CVE-2025-8671).
    Made,
    Continuations,
    Settings,
    Pings,
    EmptyData,
    WindowUpdates,
}

const ALL: [Flood; 7] = [
    Flood::Resets,
    Flood::Made,
    Flood::Continuations,
    Flood::Settings,
    Flood::Pings,
    Flood::EmptyData,
    Flood::WindowUpdates,
];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

fn head() -> Vec<u8> {
    block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/attacked"),
        (":authority", "test.example"),
    ])
}

impl Flood {
    /// What it begins with.
    fn opening(self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::EmptyData | Self::WindowUpdates => {
                frame(HEADERS, END_HEADERS, 1, &head(), &mut out);
            }
            Self::Continuations => frame(HEADERS, 0, 1, &head(), &mut out),
            _ => {}
        }
        out
    }

    /// The next of it; streams are counted up from `next`.
    fn piece(self, next: &mut u32, out: &mut Vec<u8>) {
        let stream = *next;
        match self {
            Self::Resets | Self::Made => {
                *next += 2;
                frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(), out);
                let (kind, payload) = match self {
                    Self::Resets => (RST_STREAM, [0, 0, 0, 8]),
                    _ => (WINDOW_UPDATE, [0; 4]),
                };
                frame(kind, 0, stream, &payload, out);
            }
            Self::Continuations => frame(CONTINUATION, 0, 1, &[], out),
            Self::Settings => frame(SETTINGS, 0, 0, &[], out),
            Self::Pings => frame(PING, 0, 0, b"12345678", out),
            Self::EmptyData => frame(DATA, 0, 1, &[], out),
            Self::WindowUpdates => frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1], out),
        }
    }
}

/// What the client is told until the connection ends: the code of the last GOAWAY.
fn told(stream: TcpStream) -> Option<u32> {
    let mut peer = Peer(stream);
    let mut code = None;
    while let Some(frame) = peer.frame() {
        if frame.kind == GOAWAY {
            code = frame.payload[4..8].try_into().ok().map(u32::from_be_bytes);
        }
    }
    code
}

/// What clients that must not notice see while there is nothing to notice.
fn alone(proxy: &Proxy) -> Tally {
    let load = Shape::gets(2, Style::KeepAlive).start(proxy.web);
    load.more(scale(500, 50_000));
    load.stop()
}

/// F-27: as fast as the kernel takes it, until the connection is closed.
#[test]
fn a_flood_of_frames_closes_its_connection_and_costs_others_nothing() {
    let origin = Origin::plan()
        .counts_only()
        .respond(|request: &Received| match request.target.as_str() {
            "/attacked" => Answer::silence(),
            _ => Answer::ok(request.one("x-nonce").unwrap_or("-")),
        })
        .start();
    let proxy = Setup::over(&[origin.addr()]).start();
    let alone = alone(&proxy);
    let healthy = Shape::gets(2, Style::KeepAlive).start(proxy.web);
    healthy.more(200);
    let before = proxy.held();
    let mut longest = Duration::ZERO;
    for flood in ALL {
        for _ in 0..scale(2, 20) {
            let began = Instant::now();
            let mut attacker = client(proxy.web, 65_535).0;
            let reader = attacker.try_clone().unwrap();
            let reader = thread::spawn(move || told(reader));
            let (mut next, mut sent, mut open) =
                (1, 0, attacker.write_all(&flood.opening()).is_ok());
            while open {
                let mut batch = Vec::new();
                for _ in 0..100 {
                    flood.piece(&mut next, &mut batch);
                }
                sent += batch.len();
                assert!(sent < 256 << 20, "{flood:?} is read without end");
                open = attacker.write_all(&batch).is_ok();
            }
            let code = reader.join().unwrap();
            longest = longest.max(began.elapsed());
            // One that writes on into a closed connection may be reset before it has read why.
            assert!(
                code.is_none_or(|code| code == ENHANCE_YOUR_CALM),
                "{flood:?}: {code:?}"
            );
        }
    }
    let grown = proxy.held().saturating_sub(before);
    let tally = healthy.stop();
    let caused = origin.count().saturating_sub(alone.good + tally.good);
    println!(
        "F-27: closed after {longest:?} at most, {caused} requests upstream, {grown} KiB; beside them {tally}; before {alone}"
    );
    tally.all_good();
    assert!(caused <= 600, "{caused} requests");
    assert!(grown <= 10 * 1024, "{grown} KiB");
    let closed = [("listener", "web"), ("cause", "abuse")];
    let closed = proxy.metric("tidegate_connections_closed_total", &closed);
    assert_eq!(closed, (ALL.len() * scale(2, 20)) as f64);
    is_calm(&proxy);
}

/// F-28: many streams whose windows stay shut, of many connections. What is held for them is bounded for each, and given
/// back when their time is up.
#[test]
fn streams_that_nobody_reads_are_put_out_and_what_they_held_is_given_back() {
    // More than is read of it. To have eight megabytes ready for each stream is what kept the origin from its connections.
    let mut large = b"HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n".to_vec();
    large.resize(256 << 10, b'x');
    let origin = Origin::plan()
        .counts_only()
        .respond(move |request: &Received| match request.target.as_str() {
            "/large" => Answer::raw(large.clone()).then(Step::Hang),
            _ => Answer::ok(request.one("x-nonce").unwrap_or("-")),
        })
        .start();
    let keys = "bulkhead = { connections_per_endpoint = 0 }";
    let proxy = Setup::over_with(&[origin.addr()], keys)
        .listener("timeouts = { write = \"2s\" }\nlimits = { connections_per_client = 0 }")
        .start();
    let alone = alone(&proxy);
    let healthy = Shape::gets(2, Style::KeepAlive).start(proxy.web);
    healthy.more(200);
    let before = proxy.metric("tidegate_memory_bytes", &[]);
    let (connections, streams) = (scale(20, 100), 8);
    let mut stalled: Vec<_> = (0..connections).map(|_| client(proxy.web, 0)).collect();
    for peer in &mut stalled {
        for at in 0..streams {
            ask(peer, 2 * at + 1, "/large");
        }
    }
    let mut most = 0.0_f64;
    for peer in &mut stalled {
        let mut left = streams;
        while left > 0 {
            let frame = peer.frame().expect("a frame");
            assert_ne!(frame.kind, DATA, "its window is shut");
            left -= u32::from(frame.kind == RST_STREAM);
            if left == streams {
                most = most.max(proxy.metric("tidegate_memory_bytes", &[]));
            }
        }
    }
    let tally = healthy.stop();
    let held = (most - before) / f64::from(streams) / connections as f64 / 1024.0;
    println!("F-28: {held:.1} KiB held for each stream; beside them {tally}; before {alone}");
    tally.all_good();
    // One read of the endpoint and what the stream itself takes.
    assert!(held <= 96.0, "{held} KiB");
    // While they are still connected; a worker keeps a few buffers for those who come next.
    proxy.wait_metric("tidegate_memory_bytes", &[], |now| {
        now <= before + 3.0 * 1024.0 * 1024.0
    });
    drop(stalled);
    is_calm(&proxy);
}
