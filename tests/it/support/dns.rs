//! A small authoritative server: answers what it is told to answer, and counts who asked for what.

use super::ports;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How a question is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A records.
    A(Vec<Ipv4Addr>, u32),
    /// SRV records: priority, weight, port, host.
    Srv(Vec<(u16, u16, u16, &'static str)>, u32),
    /// The name is there, records of this kind are not.
    Empty,
    NxDomain,
    ServFail,
    /// Nothing at all.
    Silence,
}

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

#[derive(Default)]
struct Zone {
    /// By name; what is asked for beside it is empty.
    replies: HashMap<String, Reply>,
    asked: HashMap<(String, u16), usize>,
}

pub struct Dns {
    pub addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    stop: Arc<AtomicBool>,
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dns {
    pub fn start() -> Self {
        let socket = UdpSocket::bind(ports::free()).expect("bind");
        let addr = socket.local_addr().expect("address");
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("timeout");
        let (zone, stop) = (Arc::<Mutex<Zone>>::default(), Arc::<AtomicBool>::default());
        let (inside, stopped) = (Arc::clone(&zone), Arc::clone(&stop));
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            while !stopped.load(Ordering::SeqCst) {
                if let Ok((n, from)) = socket.recv_from(&mut buffer)
                    && let Some(answer) = answer(&buffer[..n], &inside)
                {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { addr, zone, stop }
    }

    /// Answers at the same address over TCP, too, one question a connection (RFC 1035, 4.2.2).
    pub fn also_over_tcp(&self) {
        let listener = TcpListener::bind(self.addr).expect("bind");
        let zone = Arc::clone(&self.zone);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut length = [0; 2];
                let Ok(()) = stream.read_exact(&mut length) else {
                    continue;
                };
                let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                if stream.read_exact(&mut question).is_ok()
                    && let Some(answer) = answer(&question, &zone)
                {
                    let length = u16::try_from(answer.len()).expect("a short answer");
                    let framed = [&length.to_be_bytes()[..], &answer].concat();
                    let _ = stream.write_all(&framed);
                }
            }
        });
    }

    /// From now on the name is answered so.
    pub fn say(&self, name: &str, reply: Reply) {
        lock(&self.zone).replies.insert(name.to_owned(), reply);
    }

    /// How often addresses of IPv4 were asked for.
    pub fn asked(&self, name: &str) -> usize {
        let zone = lock(&self.zone);
        zone.asked.get(&(name.to_owned(), A)).copied().unwrap_or(0)
    }

    /// The table of a configuration that asks this server.
    pub fn table(&self, more: &str) -> String {
        format!("[dns]\nservers = [\"{}\"]\n{more}\n", self.addr)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn answer(question: &[u8], zone: &Mutex<Zone>) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    while question[at] != 0 {
        let length = usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let name = labels.join(".");
    let mut zone = lock(zone);
    *zone.asked.entry((name.clone(), kind)).or_default() += 1;
    let reply = zone.replies.get(&name).cloned().unwrap_or(Reply::NxDomain);
    drop(zone);
    let mut records: Vec<(u32, Vec<u8>)> = Vec::new();
    let code = match (reply, kind) {
        (Reply::Silence, _) => return None,
        (Reply::NxDomain, _) => 3,
        (Reply::ServFail, _) => 2,
        (Reply::A(addrs, ttl), A) => {
            records.extend(addrs.iter().map(|addr| (ttl, addr.octets().to_vec())));
            0
        }
        (Reply::Srv(services, ttl), SRV) => {
            for (priority, weight, port, host) in services {
                let mut data = Vec::new();
                for number in [priority, weight, port] {
                    data.extend(number.to_be_bytes());
                }
                data.extend(wire(host));
                records.push((ttl, data));
            }
            0
        }
        (_, A | AAAA | SRV) => 0,
        _ => 4,
    };
    let mut answer = question[..2].to_vec();
    // A response, authoritative, recursion desired and available.
    answer.extend([0x85, 0x80 | code]);
    answer.extend(1_u16.to_be_bytes());
    answer.extend(u16::try_from(records.len()).expect("few").to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(&question[12..at + 5]);
    for (ttl, data) in records {
        // The name of the question.
        answer.extend([0xC0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend(1_u16.to_be_bytes());
        answer.extend(ttl.to_be_bytes());
        answer.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}

fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("short"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
