//! Servers of byte streams, and two-way transfers that both ends can check to the last byte.

use super::DEADLINE;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A server that hands every connection to a thread of its own. Lives as long as the test's process; what it has accepted is
/// counted.
#[derive(Clone)]
pub struct ByteServer {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl ByteServer {
    pub fn running(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), serve)
    }

    pub fn on(addr: SocketAddr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(addr).expect("a server");
        let this = Self {
            addr: listener.local_addr().expect("a server"),
            accepted: Arc::default(),
            open: Arc::default(),
        };
        let (accepted, open) = (Arc::clone(&this.accepted), Arc::clone(&this.open));
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                accepted.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let (serve, open) = (Arc::clone(&serve), Arc::clone(&open));
                thread::spawn(move || {
                    patient(&stream);
                    serve(stream);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        this
    }

    /// Sends back what comes, and ends when the other side does.
    pub fn echo() -> Self {
        Self::running(echo)
    }

    /// Says its name as soon as somebody comes, and then sends back what comes.
    pub fn named(name: &'static str) -> Self {
        Self::running(move |mut stream| {
            let _ = stream.write_all(name.as_bytes());
            echo(stream);
        })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

fn echo(mut stream: TcpStream) {
    let mut scratch = [0; 16 * 1024];
    while let Ok(n @ 1..) = stream.read(&mut scratch) {
        if stream.write_all(&scratch[..n]).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// A connection with deadlines.
pub fn dial(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("a connection");
    patient(&stream);
    stream
}

/// The same from one of the addresses of this machine.
pub fn dial_from(ip: [u8; 4], addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::from((ip, 0)).into())
        .expect("an address of ours");
    socket.connect(&addr.into()).expect("a connection");
    let stream = socket.into();
    patient(&stream);
    stream
}

fn patient(stream: &TcpStream) {
    let deadline = Some(DEADLINE * 2);
    stream.set_read_timeout(deadline).expect("a deadline");
    stream.set_write_timeout(deadline).expect("a deadline");
    stream.set_nodelay(true).expect("TCP_NODELAY");
}

/// Reads exactly so much.
#[track_caller]
pub fn exactly(mut stream: &TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("so many bytes");
    bytes
}

/// Sends something and waits until it has come back.
#[track_caller]
pub fn echoes(mut stream: &TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("it is taken");
    assert_eq!(exactly(stream, text.len()), text.as_bytes());
}

/// Everything up to the end.
#[track_caller]
pub fn rest(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an end");
    bytes
}

/// Whether the other side has ended, in whatever way.
pub fn ended(stream: &TcpStream) -> bool {
    let waits = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
    end(stream).is_none_or(|kind| !waits.contains(&kind))
}

/// Whether it ends by a reset, and not by an end that its sender declared.
pub fn is_reset(stream: &TcpStream) -> bool {
    end(stream) == Some(io::ErrorKind::ConnectionReset)
}

/// Reads up to the end; what it ends by, if not by one that was declared.
fn end(mut stream: &TcpStream) -> Option<io::ErrorKind> {
    let copied = io::copy(&mut stream, &mut io::sink());
    copied.err().map(|error| error.kind())
}

/// A seeded stream of bytes.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).expect("a size")
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }
}

/// Writes `size` bytes of noise in segments of random size, and ends its side.
pub fn send(stream: &TcpStream, seed: u64, size: usize) -> io::Result<()> {
    send_part(stream, seed, size)?;
    stream.shutdown(Shutdown::Write)
}

/// The same without an end.
pub fn send_part(mut stream: &TcpStream, seed: u64, size: usize) -> io::Result<()> {
    let (mut noise, mut cut) = (Noise::new(seed), Noise::new(seed ^ 0xC0DE));
    let mut left = size;
    let mut block = Vec::new();
    while left > 0 {
        // Small and large ones, in multiples of eight so that both ends agree on the words.
        let most = if cut.next().is_multiple_of(4) {
            8
        } else {
            8192
        };
        let segment = (8 * (1 + cut.below(most))).min(left);
        block.resize(segment, 0);
        noise.fill(&mut block);
        stream.write_all(&block)?;
        left -= segment;
    }
    Ok(())
}

/// What a reader of noise has seen.
pub struct Seen {
    /// Bytes in all.
    pub bytes: usize,
    /// Those that are not what was sent there.
    pub wrong: usize,
    /// How it ended.
    pub end: io::Result<()>,
}

/// Reads noise to its end.
pub fn compare(mut stream: &TcpStream, seed: u64) -> Seen {
    let mut noise = Noise::new(seed);
    let mut wanted = Vec::new();
    let (mut word, mut at) = ([0; 8], 8);
    let mut seen = Seen {
        bytes: 0,
        wrong: 0,
        end: Ok(()),
    };
    let mut scratch = vec![0; 64 * 1024];
    loop {
        let n = match stream.read(&mut scratch) {
            Ok(0) => return seen,
            Ok(n) => n,
            Err(error) => {
                seen.end = Err(error);
                return seen;
            }
        };
        wanted.clear();
        for _ in 0..n {
            if at == 8 {
                (word, at) = (noise.next().to_le_bytes(), 0);
            }
            wanted.push(word[at]);
            at += 1;
        }
        let pairs = scratch[..n].iter().zip(&wanted);
        seen.wrong += pairs.filter(|(a, b)| a != b).count();
        seen.bytes += n;
    }
}

/// Reads noise to its end; how many bytes differ from what was sent, those that are missing or too many included.
pub fn differences(stream: &TcpStream, seed: u64, size: usize) -> usize {
    let seen = compare(stream, seed);
    seen.wrong + seen.bytes.abs_diff(size)
}
