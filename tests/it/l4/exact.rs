//! Not one byte is lost, changed or moved to another connection.

use super::tcp_over;
use crate::support::bytes::{ByteServer, Noise, dial, differences, exactly, send};
use crate::support::{eventually, scale};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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
            2 | 3 => noise.below(20_000),
            _ => noise.below(most),
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

/// F-06: half-closes both ways, in any order, with random sizes and segments.
#[test]
fn every_byte_arrives_where_it_belongs() {
    let (count, most) = (scale(120, 1000), scale(256 << 10, 10 << 20));
    let wrong = Arc::new(AtomicUsize::new(0));
    let servers = [server(most, &wrong), server(most, &wrong)];
    let addrs: Vec<_> = servers.iter().map(ByteServer::addr).collect();
    let (setup, raw) = tcp_over(&addrs, "", "balancer = \"round_robin\"");
    let proxy = setup.start();
    let next = AtomicUsize::new(0);
    let found = AtomicUsize::new(0);
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let plan = Plan::of(number as u64 + 1, most);
                    sent.fetch_add(plan.up + 8, Ordering::Relaxed);
                    found.fetch_add(client(raw, plan), Ordering::Relaxed);
                }
            });
        }
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
