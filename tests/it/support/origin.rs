//! An origin that records every request as it arrived, byte for byte, and answers as it is told.
//! An answer carries the request's `x-nonce` back, so that one which reaches the wrong client shows.

use super::DEADLINE;
use super::answer::Answer;
use super::perform::{Next, perform};
use super::wire::{Body, Fault, Head, Wire};
use std::collections::HashMap;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// One request as it reached an origin.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Which connection of this origin, counted from 1.
    pub connection: usize,
    pub head: Head,
    pub method: String,
    pub target: String,
    pub body: Vec<u8>,
    /// The body with its framing.
    pub raw_body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Received {
    pub fn one(&self, name: &str) -> Option<&str> {
        self.head.one(name)
    }
}

/// What an origin has seen.
#[derive(Default)]
struct Seen {
    requests: Vec<Received>,
    /// Heads (or pieces of one) whose message never became complete.
    broken: Vec<(String, Fault)>,
    closed: usize,
}

type Early = dyn Fn(&Head) -> Option<Answer> + Send + Sync;
type Respond = dyn Fn(&Received) -> Answer + Send + Sync;

/// How an origin behaves.
pub struct Plan {
    early: Box<Early>,
    respond: Box<Respond>,
    /// Closes a connection that was idle for so long.
    idle: Option<Duration>,
    /// Closes a connection, without a word, after so many answers.
    requests: usize,
    record: Record,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Record {
    Everything,
    /// Only counts: for load.
    Counts,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            early: Box::new(|_| None),
            respond: Box::new(|request| Answer::ok(format!("echo {}\n", request.target))),
            idle: None,
            requests: usize::MAX,
            record: Record::Everything,
        }
    }
}

impl Plan {
    pub fn respond(
        mut self,
        respond: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        self.respond = Box::new(respond);
        self
    }

    /// An answer as soon as the head is there; the body stays unread.
    pub fn early(
        mut self,
        early: impl Fn(&Head) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        self.early = Box::new(early);
        self
    }

    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    pub fn requests(mut self, requests: usize) -> Self {
        self.requests = requests;
        self
    }

    pub fn counts_only(mut self) -> Self {
        self.record = Record::Counts;
        self
    }

    pub fn start(self) -> Origin {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        Origin::serve(listener, self)
    }

    /// An origin at an address of its own: one that comes back.
    pub fn start_at(self, addr: SocketAddr) -> Origin {
        Origin::serve(
            super::eventually("origin's port", || TcpListener::bind(addr).ok()),
            self,
        )
    }
}

struct Shared {
    plan: Plan,
    seen: Mutex<Seen>,
    changed: Condvar,
    connections: AtomicUsize,
    requests: AtomicUsize,
    stopped: AtomicBool,
    sockets: Mutex<HashMap<usize, TcpStream>>,
}

pub struct Origin {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Origin {
    /// An origin that echoes the target.
    pub fn start() -> Self {
        Self::plan().start()
    }

    pub fn plan() -> Plan {
        Plan::default()
    }

    /// An origin whose every body is its own name.
    pub fn named(name: &'static str) -> Self {
        Self::plan().respond(move |_| Answer::ok(name)).start()
    }

    /// An origin that answers so.
    pub fn answering(respond: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::plan().respond(respond).start()
    }

    fn serve(listener: TcpListener, plan: Plan) -> Self {
        let addr = listener.local_addr().expect("address");
        let shared = Arc::new(Shared {
            plan,
            seen: Mutex::default(),
            changed: Condvar::new(),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            sockets: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { addr, shared }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Requests recorded up to now.
    pub fn requests(&self) -> Vec<Received> {
        lock(&self.shared.seen).requests.clone()
    }

    /// Requests received up to now, recorded or not.
    pub fn count(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Connections taken up to now.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub fn open_connections(&self) -> usize {
        lock(&self.shared.sockets).len()
    }

    /// Messages that never became complete, with what was wrong.
    pub fn broken(&self) -> Vec<(String, Fault)> {
        lock(&self.shared.seen).broken.clone()
    }

    /// Waits until so many requests were recorded and gives the last of them.
    #[track_caller]
    pub fn wait(&self, count: usize) -> Received {
        let seen = lock(&self.shared.seen);
        let (seen, timeout) = self
            .shared
            .changed
            .wait_timeout_while(seen, DEADLINE, |seen| seen.requests.len() < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !timeout.timed_out(),
            "{} of {count} requests",
            seen.requests.len()
        );
        seen.requests[count - 1].clone()
    }

    /// Waits until so many of its connections have ended.
    #[track_caller]
    pub fn wait_closed(&self, count: usize) {
        let seen = lock(&self.shared.seen);
        let (seen, timeout) = self
            .shared
            .changed
            .wait_timeout_while(seen, DEADLINE, |seen| seen.closed < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !timeout.timed_out(),
            "{} of {count} connections closed",
            seen.closed
        );
    }

    /// Closes every connection that it has; new ones are taken.
    pub fn close_connections(&self) {
        for stream in lock(&self.shared.sockets).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends it and gives its address, where from now on connections are refused.
    pub fn stop(self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then drops the listener.
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1));
        self.close_connections();
        super::eventually("origin stops", || {
            TcpStream::connect_timeout(&self.addr, Duration::from_secs(1))
                .is_err()
                .then_some(())
        });
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let id = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
        if let Ok(copy) = stream.try_clone() {
            lock(&shared.sockets).insert(id, copy);
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let ending = serve(stream, id, &shared);
            lock(&shared.sockets).remove(&id);
            let mut seen = lock(&shared.seen);
            seen.closed += 1;
            if let Err((what, fault)) = ending {
                seen.broken.push((what, fault));
            }
            drop(seen);
            shared.changed.notify_all();
        });
    }
}

fn serve(stream: TcpStream, id: usize, shared: &Shared) -> Result<(), (String, Fault)> {
    let mut wire = Wire::new(stream, shared.plan.idle);
    for _ in 0..shared.plan.requests {
        let head = match wire.head() {
            Ok(head) => head,
            Err(Fault::Closed | Fault::Late) => return Ok(()),
            Err(Fault::Reset) if wire.buffer.is_empty() => return Ok(()),
            Err(fault) => return Err((String::from_utf8_lossy(&wire.buffer).into_owned(), fault)),
        };
        let nonce = head.one("x-nonce").map(str::to_owned);
        let method = head.first.split(' ').next().unwrap_or_default().to_owned();
        if let Some(answer) = (shared.plan.early)(&head) {
            note(
                shared,
                Received {
                    connection: id,
                    head,
                    method: method.clone(),
                    ..Received::default()
                },
            );
            if perform(&mut wire, &answer, &method, nonce.as_deref()) == Next::Close {
                return Ok(());
            }
            continue;
        }
        let first = head.first.clone();
        let request = receive(&mut wire, id, head).map_err(|fault| (first, fault))?;
        let answer = (shared.plan.respond)(&request);
        note(shared, request);
        if perform(&mut wire, &answer, &method, nonce.as_deref()) == Next::Close {
            return Ok(());
        }
    }
    Ok(())
}

fn note(shared: &Shared, request: Received) {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    if shared.plan.record == Record::Everything {
        lock(&shared.seen).requests.push(request);
        shared.changed.notify_all();
    }
}

fn receive(wire: &mut Wire, connection: usize, head: Head) -> Result<Received, Fault> {
    let mut parts = head.first.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::Malformed(format!("request line {:?}", head.first)));
    };
    let (method, target) = (method.to_owned(), target.to_owned());
    let body = match (head.one("transfer-encoding"), head.one("content-length")) {
        (None, None) => Body::default(),
        (Some("chunked"), None) => wire.chunked()?,
        (None, Some(length)) => {
            let Ok(length) = length.parse() else {
                return Err(Fault::Malformed(format!("length {length:?}")));
            };
            let bytes = wire.exact(length)?;
            Body {
                raw: bytes.clone(),
                bytes,
                ..Body::default()
            }
        }
        other => return Err(Fault::Malformed(format!("framing {other:?}"))),
    };
    Ok(Received {
        connection,
        method,
        target,
        body: body.bytes,
        raw_body: body.raw,
        trailers: body.trailers,
        head,
    })
}
