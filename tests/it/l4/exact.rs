//! Not one byte is lost, changed or moved to another connection.

use super::tcp_over;
use crate::support::bytes::{
    ByteServer, Noise, compare, dial, differences, exactly, send, send_part,
};
use crate::support::{eventually, scale};
use socket2::Socket;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How one connection goes.
#[derive(Clone, Copy)]
struct Plan {
    seed: u64,
    up: usize,
    down: usize,
}

impl Plan {
    /// From one number, which the client sends first: sizes both ways, small and large.
    fn of(seed: u64, most: usize) -> Self {
        let mut noise = Noise::new(seed);
        let mut size = || match noise.below(8) {
            0 => 0,
            1 => noise.below(100),
            2 => noise.below(20_000),
            3 => noise.below(most),
            _ => most,
        };
        Self {
            seed,
            up: size(),
            down: size(),
        }
    }
}

/// Both directions at once. What went wrong here.
fn talk(stream: &TcpStream, (mine, size): (u64, usize), (other, expected): (u64, usize)) -> usize {
    thread::scope(|scope| {
        let sender = scope.spawn(|| usize::from(send(stream, mine, size).is_err()));
        let wrong = differences(stream, other, expected);
        wrong + sender.join().expect("a sender")
    })
}

fn server(most: usize, wrong: &Arc<AtomicUsize>) -> ByteServer {
    let wrong = Arc::clone(wrong);
    ByteServer::running(move |stream| {
        let seed = u64::from_le_bytes(exactly(&stream, 8).try_into().expect("eight bytes"));
        let plan = Plan::of(seed, most);
        let found = talk(&stream, (plan.seed ^ 1, plan.down), (plan.seed, plan.up));
        wrong.fetch_add(found, Ordering::SeqCst);
    })
}

fn client(addr: SocketAddr, plan: Plan) -> usize {
    let stream = dial(addr);
    (&stream)
        .write_all(&plan.seed.to_le_bytes())
        .expect("a seed");
    talk(&stream, (plan.seed, plan.up), (plan.seed ^ 1, plan.down))
}

/// Calls this for each number below `count`, eight at a time.
fn eight_at_a_time(count: usize, each: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    each(number);
                }
            });
        }
    });
}

/// F-06: half-closes both ways, in any order, with random sizes and segments.
#[test]
fn every_byte_arrives_where_it_belongs() {
    let (count, most) = (scale(120, 1000), scale(256 << 10, 10 << 20));
    let wrong = Arc::new(AtomicUsize::new(0));
    let servers = [server(most, &wrong), server(most, &wrong)];
    let addrs: Vec<_> = servers.iter().map(ByteServer::addr).collect();
    let (setup, raw) = tcp_over(&addrs, "", "balancer = \"round_robin\"");
    let proxy = setup.start();
    let found = AtomicUsize::new(0);
    let sent = AtomicUsize::new(0);
    eight_at_a_time(count, |number| {
        let plan = Plan::of(number as u64 + 1, most);
        sent.fetch_add(plan.up + 8, Ordering::Relaxed);
        found.fetch_add(client(raw, plan), Ordering::Relaxed);
    });
    eventually("servers are done", || {
        servers
            .iter()
            .all(|server| server.open() == 0)
            .then_some(())
    });
    let wrong = (found.into_inner(), wrong.load(Ordering::SeqCst));
    assert_eq!(wrong, (0, 0), "differences at clients and at servers");
    let lines = proxy.wait_log(count);
    let bytes: u64 = lines
        .iter()
        .map(|line| line["bytes_in"].as_u64().unwrap())
        .sum();
    assert_eq!(bytes, sent.into_inner() as u64, "bytes in the log");
    for line in lines {
        assert_eq!(line["reason"], "completed", "{line}");
    }
    let labels = [("listener", "raw"), ("cluster", "app"), ("direction", "in")];
    proxy.wait_metric("tidegate_l4_bytes_total", &labels, |sum| {
        sum == bytes as f64
    });
}

/// Sends so much, and resets the connection in the middle of what the other side sends.
fn break_off(stream: TcpStream, seed: u64, size: usize) {
    // The other side may be reset while this is sent: by nobody but us.
    send_part(&stream, seed, size).expect("it is taken");
    let socket = Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
}

/// The side that is broken off sees nothing but what was sent, and no end that could be taken for one. Who sends, too, may be told
/// there, and once only.
fn suffer(stream: &TcpStream, mine: u64, other: u64) -> usize {
    let reset = |ended: io::Result<()>| {
        ended.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    };
    thread::scope(|scope| {
        // More than anybody takes: it ends by the reset.
        let talks = other % 4 < 2;
        let sender = talks.then(|| scope.spawn(|| send(stream, mine, 1 << 30)));
        let seen = compare(stream, other);
        let told = sender.is_some_and(|sender| sender.join().expect("a sender").is_err());
        seen.wrong + usize::from(!told && !reset(seen.end))
    })
}

/// F-06: a reset is a reset on the other side, too, whoever made it and however much was on its way.
#[test]
fn what_is_broken_off_has_no_end() {
    let (count, most) = (scale(120, 1000), scale(256 << 10, 10 << 20));
    let wrong = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&wrong);
    let server = ByteServer::running(move |stream| {
        let seed = u64::from_le_bytes(exactly(&stream, 8).try_into().expect("eight bytes"));
        if seed.is_multiple_of(2) {
            break_off(stream, seed ^ 1, Plan::of(seed, most).down);
        } else {
            counted.fetch_add(suffer(&stream, seed ^ 1, seed), Ordering::SeqCst);
        }
    });
    let (setup, raw) = tcp_over(&[server.addr()], "", "");
    let proxy = setup.start();
    let found = AtomicUsize::new(0);
    eight_at_a_time(count, |number| {
        let seed = number as u64 + 2;
        let stream = dial(raw);
        (&stream).write_all(&seed.to_le_bytes()).expect("a seed");
        if seed.is_multiple_of(2) {
            found.fetch_add(suffer(&stream, seed, seed ^ 1), Ordering::Relaxed);
        } else {
            break_off(stream, seed, Plan::of(seed, most).up);
        }
    });
    eventually("the server is done", || (server.open() == 0).then_some(()));
    let wrong = (found.into_inner(), wrong.load(Ordering::SeqCst));
    assert_eq!(wrong, (0, 0), "at clients and at the server");
    let lines = proxy.wait_log(count);
    for reason in ["upstream_truncated", "client_abort"] {
        let ended = lines.iter().filter(|line| line["reason"] == reason).count();
        assert_eq!(ended, count / 2, "{reason}");
    }
}
