//! The worker's thread: a local runtime, its listening sockets, and the commands it gets.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::local::{Local, Process};
use crate::base::{Detail, ListenAddr, ListenerName, Peer, Reason, clock};
use crate::drain::Phase;
use crate::metrics::ListenerCells;
use crate::net::Stream;
use crate::net::accept::{Acceptor, Failure};
use crate::net::bind::{Opened, Transport};
use crate::net::bundle;
use crate::net::deadline::{Deadlines, TICK};
use crate::record::{Journal, LogHandle};
use crate::snapshot::Snapshot;
use crate::task;

/// Identity of a listening socket of one worker.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Listening {
    /// The address it is bound to.
    pub addr: ListenAddr,
    /// The listener that its connections belong to.
    pub listener: ListenerName,
    /// What it is listened for.
    pub transport: Transport,
}

/// What the control thread tells a worker.
#[derive(Debug)]
pub enum Command {
    /// A new configuration: new sockets to accept on, and which to keep, by their address: one may belong to
    /// another listener from now on. All others are emptied and closed.
    Commit {
        /// The configuration.
        snapshot: Arc<Snapshot>,
        /// Its number.
        epoch: u64,
        /// Sockets that are new, already listening.
        open: Vec<(Listening, Opened)>,
        /// Sockets that stay.
        keep: Vec<Listening>,
        /// Told when it is in effect here.
        done: oneshot::Sender<()>,
    },
    /// The same configuration with other endpoints in some clusters.
    Swap {
        /// What is in effect from now on.
        snapshot: Arc<Snapshot>,
        /// Told when it is in effect here.
        done: oneshot::Sender<()>,
    },
    /// The end: first gentle, then forced.
    Drain(Phase),
    /// Answer: shows that this worker is alive.
    Ping(oneshot::Sender<()>),
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    /// Where its commands go.
    pub commands: mpsc::Sender<Command>,
    /// Its thread.
    pub thread: JoinHandle<()>,
}

/// What a worker starts with.
#[derive(Debug)]
pub struct Start {
    /// Which worker, from 0.
    pub id: usize,
    /// Whether its sends leave together where the kernel has that.
    pub io_uring: bool,
    /// What all workers share.
    pub process: Arc<Process>,
    /// Where its log lines go.
    pub log: LogHandle,
    /// The first configuration.
    pub snapshot: Arc<Snapshot>,
    /// Its number.
    pub epoch: u64,
}

/// Starts worker `start.id`; `serve` is run for every connection that it takes, and `datagrams` for every socket of
/// datagrams until it is told to stop and has ended its flows. The thread ends when the worker
/// was told to drain and its last connection is gone, or at once when forced.
pub fn spawn<S, F, D, G>(start: Start, serve: S, datagrams: D) -> io::Result<Worker>
where
    S: Fn(Rc<Local>, ListenerName, Stream, Peer) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + 'static,
    D: Fn(Rc<Local>, Rc<RefCell<ListenerName>>, UdpSocket, oneshot::Receiver<()>) -> G,
    D: Send + 'static,
    G: Future<Output = ()> + 'static,
{
    let (commands, inbox) = mpsc::channel(64);
    let thread = std::thread::Builder::new()
        .name(format!("worker-{}", start.id))
        .spawn(move || {
            match tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build_local(tokio::runtime::LocalOptions::default())
            {
                Ok(runtime) => runtime.block_on(run(start, inbox, serve, datagrams)),
                Err(error) => tracing::error!(%error, "cannot build a worker's runtime"),
            }
        })?;
    Ok(Worker { commands, thread })
}

/// A socket that is accepted on. Dropping it empties the socket's queue and closes it.
struct Accepting {
    transport: Transport,
    addr: ListenAddr,
    listener: Rc<RefCell<ListenerName>>,
    stop: Option<oneshot::Sender<()>>,
}

/// Keeps the sockets that stay, perhaps for another listener than before, and drops all others.
fn keep_sockets(accepting: &RefCell<Vec<Accepting>>, keep: &[Listening]) {
    accepting.borrow_mut().retain(|one| {
        let is_it = |what: &&Listening| what.addr == one.addr && what.transport == one.transport;
        let stays = keep.iter().find(is_it);
        if let Some(what) = stays {
            one.listener.replace(what.listener.clone());
        }
        stays.is_some()
    });
}

async fn run<S, F, D, G>(start: Start, mut inbox: mpsc::Receiver<Command>, serve: S, datagrams: D)
where
    S: Fn(Rc<Local>, ListenerName, Stream, Peer) -> F + Clone + 'static,
    F: Future<Output = ()> + 'static,
    D: Fn(Rc<Local>, Rc<RefCell<ListenerName>>, UdpSocket, oneshot::Receiver<()>) -> G,
    G: Future<Output = ()> + 'static,
{
    let deadlines = Deadlines::new(clock::now());
    let journal = Journal::new(start.log);
    let local = Local::new(
        start.id,
        start.process,
        journal,
        deadlines,
        start.snapshot,
        start.epoch,
    );
    let accepting: RefCell<Vec<Accepting>> = RefCell::default();
    if start.io_uring {
        match bundle::open() {
            Ok(sends) => drop(task::spawn("sends", sends)),
            Err(error) if start.id == 0 => {
                tracing::info!(%error, "no io_uring: sends go one by one");
            }
            Err(_) => {}
        }
    }
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                local.tick(clock::now());
                if local.drain.phase() != Phase::Serving && local.presence.alone() {
                    break;
                }
            }
            command = inbox.recv() => match command {
                Some(Command::Commit { snapshot, epoch, open, keep, done }) => {
                    local.commit(snapshot, epoch);
                    keep_sockets(&accepting, &keep);
                    for (what, socket) in open {
                        match socket {
                            Opened::Tcp(socket) => begin(&local, &accepting, what, Acceptor::tcp(socket), serve.clone()),
                            Opened::Unix(socket, file) => {
                                begin(&local, &accepting, what, Acceptor::unix(socket, file), serve.clone());
                            }
                            Opened::Udp(socket) => begin_datagrams(&local, &accepting, what, socket, &datagrams),
                        }
                    }
                    let _ = done.send(());
                }
                Some(Command::Swap { snapshot, done }) => {
                    local.swap(snapshot);
                    let _ = done.send(());
                }
                Some(Command::Ping(answer)) => {
                    let _ = answer.send(());
                }
                Some(Command::Drain(phase)) => {
                    local.drain.advance(phase);
                    accepting.borrow_mut().clear();
                    local.deadlines.shorten_idle(Duration::from_secs(1), None);
                    if phase == Phase::Forced {
                        bundle::stop();
                        local.deadlines.fire_all();
                    }
                }
                None => break,
            },
        }
    }
    local.journal.flush();
}

/// Serves one socket of datagrams until its [`Accepting`] is dropped and its flows have ended.
fn begin_datagrams<D, G>(
    local: &Rc<Local>,
    accepting: &RefCell<Vec<Accepting>>,
    what: Listening,
    socket: std::net::UdpSocket,
    serve: &D,
) where
    D: Fn(Rc<Local>, Rc<RefCell<ListenerName>>, UdpSocket, oneshot::Receiver<()>) -> G,
    G: Future<Output = ()> + 'static,
{
    let addr = what.addr.clone();
    let (listener, stopped) = enlist(accepting, what);
    match UdpSocket::from_std(socket) {
        Ok(socket) => {
            let served = serve(Rc::clone(local), listener, socket, stopped);
            task::spawn_holding("datagrams", local.presence.join(), served);
        }
        Err(error) => tracing::error!(%error, %addr, "cannot take datagrams"),
    }
}

/// One more socket: whose it is, and what tells its task to stop.
fn enlist(
    accepting: &RefCell<Vec<Accepting>>,
    what: Listening,
) -> (Rc<RefCell<ListenerName>>, oneshot::Receiver<()>) {
    let (stop, stopped) = oneshot::channel();
    let listener = Rc::new(RefCell::new(what.listener));
    accepting.borrow_mut().push(Accepting {
        transport: what.transport,
        addr: what.addr,
        listener: Rc::clone(&listener),
        stop: Some(stop),
    });
    (listener, stopped)
}

/// Accepts on one socket until its [`Accepting`] is dropped; then empties the queue and closes it.
fn begin<S, F>(
    local: &Rc<Local>,
    accepting: &RefCell<Vec<Accepting>>,
    what: Listening,
    acceptor: io::Result<Acceptor>,
    serve: S,
) where
    S: Fn(Rc<Local>, ListenerName, Stream, Peer) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let addr = what.addr.clone();
    let (listener, stopped) = enlist(accepting, what);
    let mut acceptor = match acceptor {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::error!(%error, %addr, "cannot accept on a listening socket");
            return;
        }
    };
    let local = Rc::clone(local);
    let presence = local.presence.join();
    task::spawn("accept", async move {
        let mut stopped = stopped;
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                taken = acceptor.next() => match taken {
                    Ok((stream, peer)) => take(&local, listener.borrow().clone(), stream, peer, &serve),
                    Err(failure) => {
                        let cells = cells(&local, &listener.borrow());
                        // Idle connections to endpoints are the first that can be done without (E-134).
                        if !matches!(failure, Failure::Connection(_)) {
                            local.pool.clear();
                        }
                        back_off(&addr, cells.as_deref(), failure).await;
                    }
                },
            }
        }
        acceptor
            .close(|stream, peer| take(&local, listener.borrow().clone(), stream, peer, &serve))
            .await;
        drop(presence);
    });
}

fn take<S, F>(local: &Rc<Local>, listener: ListenerName, stream: Stream, peer: Peer, serve: &S)
where
    S: Fn(Rc<Local>, ListenerName, Stream, Peer) -> F,
    F: Future<Output = ()> + 'static,
{
    let presence = local.presence.join();
    let served = serve(Rc::clone(local), listener, stream, peer);
    task::spawn_holding("connection", presence, served);
}

/// What the listener counts here; `None` when it is gone.
fn cells(local: &Local, listener: &ListenerName) -> Option<Arc<ListenerCells>> {
    let view = local.view();
    let position = view.listener(listener)?;
    let found = view.listeners.get(position)?;
    Some(Arc::clone(&found.cells))
}

async fn back_off(addr: &ListenAddr, cells: Option<&ListenerCells>, failure: Failure) {
    let rejected = || {
        if let Some(cells) = cells {
            cells.rejected(Reason::Overloaded, Detail::NoFiles);
        }
    };
    match failure {
        Failure::Connection(error) => {
            tracing::debug!(%error, %addr, "a connection was gone");
        }
        Failure::Crowded => rejected(),
        Failure::Exhausted(error, pause) => {
            rejected();
            tracing::warn!(%error, %addr, "cannot accept; waiting");
            tokio::time::sleep(pause).await;
        }
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}
