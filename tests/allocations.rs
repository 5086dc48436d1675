//! Counts what a proxied request costs the heap. The count is exact on any machine, so a growth of it fails.
//!
//! A worker runs in this process between an origin and a client on other threads; only what the worker's thread
//! allocates is counted, after a warm-up.

#![expect(
    unsafe_code,
    reason = "a counting allocator is an `unsafe impl`; it forwards to the system's"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is not as it must be"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidegate::base::hash::HashKey;
use tidegate::config::Diagnostics;
use tidegate::limit::{Algorithm, Meters, Over, Rule};
use tidegate::metrics::Hub;
use tidegate::net::bind::Group;
use tidegate::record::{LogWriter, Sink};
use tidegate::snapshot::{Live, Purpose};
use tidegate::worker::thread::{self, Start};
use tidegate::worker::{Command, Listening, Process};

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Bytes that are held, as far as counted threads took them and gave them back.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// The count is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

struct Counting;

// SAFETY: every call is passed to the system's allocator unchanged; counting touches an atomic and a
// const-initialised thread local, neither of which allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's contract, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if is_counted() {
            HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's contract, passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller's contract, passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

fn is_counted() -> bool {
    COUNTED.try_with(Cell::get).unwrap_or(false)
}

fn count(taken: usize, given: usize) {
    if is_counted() {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        HELD.fetch_add(taken.wrapping_sub(given), Ordering::Relaxed);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers every request on every connection with the same bytes.
fn origin(answer: &'static [u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buf = vec![0; 65536];
                let mut have = 0;
                while let Ok(read @ 1..) = stream.read(&mut buf[have..]) {
                    have += read;
                    while let Some(len) = message(&buf[..have]) {
                        buf.copy_within(len..have, 0);
                        have -= len;
                        stream.write_all(answer).unwrap();
                    }
                }
            });
        }
    });
    addr
}

/// Length of the message at the beginning of `bytes`, if it is whole.
fn message(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    let head = text.find("\r\n\r\n")? + 4;
    let body = text[..head]
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse::<usize>()
                .ok()
        })
        .unwrap_or(0);
    (bytes.len() >= head + body).then_some(head + body)
}

fn proxy(origin: std::net::SocketAddr, log: &str) -> std::net::SocketAddr {
    let text = format!(
        "[log.access]\noutput = {log}\n[[listeners]]\nname = \"web\"\nbind = [\"127.0.0.1:0\"]\nprotocol = \"http\"\n\
         [[routes]]\nname = \"all\"\ncluster = \"origin\"\n\
         path_prefix = \"/\"\n\
         filters = [{{ ip_access = {{ deny = [\"203.0.113.0/24\"] }} }}, {{ rate_limit = {{ limiter = \"all\" }} }}, \
         {{ request_headers = {{ set = {{ \"x-a\" = \"b\", x-c = \"${{client_ip}} ${{path}}\" }}, append = {{ x-d = \"${{route}}\" }} }} }}, \
         {{ rewrite = {{ prefix = \"/in\", host = \"inner\" }} }}, \"request_id\", \"security_headers\", \
         {{ response_headers = {{ set = {{ x-s = \"${{status}} ${{cluster}}\" }}, remove = [\"server\"] }} }}]\n\
         [limiters.all]\nkey = \"client_ip\"\nrate = 1000000\n\
         [clusters.origin]\nendpoints = [\"{origin}\"]\n"
    );
    worker(&text)
}

/// A worker with a configuration of one listener; where that is.
fn worker(text: &str) -> std::net::SocketAddr {
    let loaded = tidegate::config::parse(Path::new("test.toml"), text).unwrap();
    let mut diagnostics = Diagnostics::default();
    let live = Live::default();
    let snapshot = tidegate::snapshot::compile(
        &loaded.raw,
        &loaded.files,
        &live,
        Purpose::Start,
        &mut diagnostics,
    );
    let snapshot = Arc::new(snapshot.expect("a good configuration"));
    let hub = Hub::new(1);
    let writer = LogWriter::start(&hub).unwrap();
    writer.switch(Sink::open(snapshot.access_log.output()).unwrap());
    let process = Arc::new(Process {
        hub,
        connections: AtomicUsize::new(0),
        max_connections: AtomicUsize::new(1000),
        clients: tidegate::worker::local::Clients::default(),
        ledger: tidegate::limit::Ledger::new(1 << 30),
        ids: tidegate::state::Registry::default(),
        workers: 1,
    });
    let transport = tidegate::record::Transport::Tcp;
    let group = Group::bind("127.0.0.1:0".parse().unwrap(), transport, 1).unwrap();
    let addr = group.addr;
    let socket = group.listen().unwrap().pop().unwrap();
    let listener = snapshot.listeners[0].name.clone();
    let start = Start {
        id: 0,
        io_uring: true,
        process,
        log: writer.handle(),
        snapshot: Arc::clone(&snapshot),
        epoch: 1,
    };
    let worker = thread::spawn(
        start,
        |local, listener, stream, peer| {
            COUNTED.set(true);
            tidegate::downstream::serve(local, listener, stream, peer)
        },
        tidegate::downstream::serve_datagrams,
    )
    .unwrap();
    let (done, effective) = tokio::sync::oneshot::channel();
    let open = vec![(
        Listening {
            addr: tidegate::base::ListenAddr::Inet(addr),
            listener,
            transport,
        },
        socket,
    )];
    worker
        .commands
        .blocking_send(Command::Commit {
            snapshot,
            epoch: 2,
            open,
            keep: vec![],
            done,
        })
        .unwrap();
    effective.blocking_recv().unwrap();
    std::mem::forget((worker, writer));
    addr
}

/// Allocations of the worker for each of many requests on warm connections, of all of which some ask at once.
fn allocations(request: &[u8], answer: &'static [u8], log: &str, clients: usize) -> f64 {
    const REQUESTS: usize = 2000;
    let proxy = proxy(origin(answer), log);
    let connect = |_| {
        let client = TcpStream::connect(proxy).unwrap();
        client.set_nodelay(true).unwrap();
        client
    };
    let mut clients: Vec<_> = (0..clients).map(connect).collect();
    // Among many it takes longer until every buffer has its length.
    let warm = 500usize.div_ceil(clients.len()).max(50);
    let rounds = warm + REQUESTS.div_ceil(clients.len());
    let mut buf = vec![0; 65536];
    let mut before = 0;
    for round in 0..rounds {
        if round == warm {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        for client in &mut clients {
            client.write_all(request).unwrap();
        }
        for client in &mut clients {
            let mut have = 0;
            while message(&buf[..have]).is_none() {
                let read = client.read(&mut buf[have..]).unwrap();
                assert!(
                    read > 0,
                    "the proxy closed: {}",
                    String::from_utf8_lossy(&buf[..have])
                );
                have += read;
            }
            assert!(
                buf.starts_with(b"HTTP/1.1 200 OK\r\n"),
                "{}",
                String::from_utf8_lossy(&buf[..have])
            );
        }
    }
    let requests = (rounds - warm) * clients.len();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let each = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / requests as f64;
    each
}

/// Allocations for each of many requests on one warm connection of HTTP/2, so many of them at a time.
fn http2_allocations(head: &[u8], body: &[u8], at_once: u32) -> f64 {
    const ROUNDS: u64 = 1000;
    let mut client = TcpStream::connect(proxy(origin(ANSWER), "\"off\"")).unwrap();
    client.set_nodelay(true).unwrap();
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    };
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(frame(4, 0, 0, &[]));
    hello.extend(frame(4, 1, 0, &[]));
    client.write_all(&hello).unwrap();
    let mut buf = vec![0; 1 << 20];
    let (mut have, mut stream, mut before) = (0, 1, 0);
    for round in 0..ROUNDS + 300 {
        if round == 300 {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        let mut batch = Vec::new();
        for _ in 0..at_once {
            let end = u8::from(body.is_empty());
            batch.extend(frame(1, 4 | end, stream, head));
            if !body.is_empty() {
                batch.extend(frame(0, 1, stream, body));
            }
            stream += 2;
        }
        // So that the window of the connection stays open.
        batch.extend(frame(8, 0, 0, &(5 * at_once).to_be_bytes()));
        client.write_all(&batch).unwrap();
        let mut ended = 0;
        while ended < at_once {
            let read = client.read(&mut buf[have..]).unwrap();
            assert!(read > 0, "the proxy closed");
            have += read;
            let mut used = 0;
            while let Some([_, high, low, kind, flags, ..]) = buf.get(used..have) {
                let len = 9 + usize::from(u16::from_be_bytes([*high, *low]));
                if used + len > have {
                    break;
                }
                assert!(!matches!(kind, 3 | 7), "a reset, or the end");
                ended += u32::from(*kind <= 1 && flags & 1 != 0);
                used += len;
            }
            buf.copy_within(used..have, 0);
            have -= used;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let each = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64
        / (ROUNDS * u64::from(at_once)) as f64;
    each
}

#[test]
fn a_kept_connection_of_http2_allocates_nothing_per_request() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // By the static table and literals: GET or POST, http, a path, an authority; of a POST its length.
    let head = |method: u8| {
        [
            &[method, 0x86, 0x04, 7][..],
            b"/path?q",
            &[0x01, 4],
            b"test",
        ]
        .concat()
    };
    for (name, method, body, at_once) in [
        ("GET", 0x82, &[][..], 1),
        ("GET", 0x82, &[][..], 4),
        ("POST", 0x83, &[b'x'; 4096][..], 1),
    ] {
        let mut head = head(method);
        if !body.is_empty() {
            head.extend(b"\x0f\x0d\x044096");
        }
        let each = http2_allocations(&head, body, at_once);
        assert!(
            each <= NONE,
            "{each} allocations per {name}, {at_once} at once"
        );
    }
}

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: o\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// One in a hundred is left for what grows now and then: the log's buffers on their way to the writer.
const NONE: f64 = 0.01;

#[test]
fn a_kept_connection_allocates_nothing_per_request() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let get =
        b"GET /path?q=1 HTTP/1.1\r\nHost: Example.test\r\nUser-Agent: test\r\nCookie: a=b\r\n\r\n";
    for log in ["\"off\"", "{ file = { path = \"/dev/null\" } }"] {
        // On a machine that is busy the log is flushed more often for as many requests: the least of a few counts.
        let each = (0..4)
            .map(|_| allocations(get, ANSWER, log, 1))
            .reduce(f64::min)
            .unwrap();
        assert!(
            each <= NONE,
            "{each} allocations per GET with the access log to {log}"
        );
    }
    let mut post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4096\r\n\r\n".to_vec();
    post.resize(post.len() + 4096, b'x');
    // Among many what is sent leaves together.
    for clients in [1, 50] {
        let each = allocations(&post, ANSWER, "\"off\"", clients);
        assert!(
            each <= NONE,
            "{each} allocations per POST of 4 KiB from {clients} clients"
        );
    }
}

/// What is asked of the heap for a tunnel over which nothing goes: its task, what is known of it, and what the runtime keeps of
/// two sockets (512 of these bytes). What the heap adds of its own makes 2 KiB of them (`benches/peers/l4.py` measures that).
const IDLE_TUNNEL: usize = 1744;

#[test]
fn an_idle_tunnel_is_small() {
    const TUNNELS: usize = 50;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = server.local_addr().unwrap();
    let proxy = worker(&format!(
        "[log.access]\noutput = \"off\"\n[[listeners]]\nname = \"raw\"\nbind = [\"127.0.0.1:0\"]\nprotocol = \"tcp\"\ncluster = \"servers\"\n\
         [clusters.servers]\nendpoints = [\"{endpoint}\"]\nbulkhead = {{ connections_per_endpoint = 1000 }}\n"
    ));
    let tunnel = || {
        let client = TcpStream::connect(proxy).unwrap();
        let (server, _) = server.accept().unwrap();
        let mut message = [7; 128];
        (&client).write_all(&message).unwrap();
        (&server).read_exact(&mut message).unwrap();
        (&server).write_all(&message).unwrap();
        (&client).read_exact(&mut message).unwrap();
        (client, server)
    };
    let mut all = vec![tunnel()];
    // The least of some: what the worker has for all of them grows now and then.
    let each = (0..4).map(|_| {
        let before = HELD.load(Ordering::Relaxed);
        all.extend((0..TUNNELS).map(|_| tunnel()));
        (HELD.load(Ordering::Relaxed) - before) / TUNNELS
    });
    let each = each.min().unwrap();
    drop(all);
    assert!(each <= IDLE_TUNNEL, "{each} bytes");
}

/// What a limiter knows of its keys: 64 bytes for each at most, whatever its algorithm (a `sliding_log` keeps times, and so more), and
/// nothing more for one that it knows.
#[test]
fn a_million_keys_take_64_bytes_each_and_known_ones_nothing() {
    const KEYS: u64 = 1_000_000;
    const SECOND: u64 = 1_000_000;
    const START: u64 = 1_790_000_000 * SECOND;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let hash = HashKey::from_seed("keys");
    for algorithm in [
        Algorithm::TokenBucket,
        Algorithm::LeakyBucket,
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
    ] {
        let rule = Rule::new(algorithm, 100, 60 * SECOND, 200, Over::Reject).unwrap();
        COUNTED.set(true);
        let held = HELD.load(Ordering::Relaxed);
        let meters = Meters::new(algorithm, 1_000_000);
        let take = |n: u64| meters.take(hash.hash128(&n.to_le_bytes()), &rule, 1, START);
        for n in 0..KEYS {
            take(n);
        }
        let held = HELD.load(Ordering::Relaxed) - held;
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for n in (0..KEYS).step_by(7) {
            take(n);
        }
        let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
        COUNTED.set(false);
        assert_eq!((meters.len() as u64, meters.evicted()), (KEYS, 0));
        assert!(
            held <= 64 * 1_000_000,
            "{}: {held} bytes",
            algorithm.as_str()
        );
        assert_eq!(made, 0, "{}", algorithm.as_str());
    }
}
