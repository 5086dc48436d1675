//! A socket of a udp listener: datagrams from clients, each to the flow of its client.
//!
//! One task reads the socket; one more for each flow reads what its endpoint answers. The kernel hashes the addresses and ports
//! of a datagram to choose among the sockets of a group (`SO_REUSEPORT`, socket(7)), so that a flow stays with its worker.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

use super::flows::Flows;
use crate::base::{Detail, ListenerName, Reason, clock};
use crate::drain::Phase;
use crate::exchange::tcp::Session;
use crate::exchange::udp::{Line, Unsent, carry};
use crate::limit::Level;
use crate::listener::{Serves, UdpSpec};
use crate::metrics::{Lost, SessionCells};
use crate::net::Timer;
use crate::net::deadline::Tick;
use crate::record::{ConnectionFacts, Record, Transport};
use crate::task;
use crate::worker::local::group;
use crate::worker::{Local, View};

type Table = Rc<RefCell<Flows<Rc<Line>, Tick>>>;

/// How soon a socket looks again that waits for nothing but the time.
const SOON: Duration = Duration::from_millis(1);

/// Serves a socket until it is `stopped` and its last flow has ended.
pub async fn serve_datagrams(
    local: Rc<Local>,
    listener: Rc<RefCell<ListenerName>>,
    socket: UdpSocket,
    stopped: oneshot::Receiver<()>,
) {
    let view = local.view();
    let timer = Timer::new(&local.deadlines, group(&listener.borrow()));
    let mut desk = Desk {
        local,
        listener,
        socket: Rc::new(socket),
        flows: Table::default(),
        terms: None,
        seen: 0,
        view,
        closing: false,
    };
    desk.learn();
    let mut stopped = pin!(stopped);
    poll_fn(|cx| {
        timer.watch(cx);
        if !desk.closing && stopped.as_mut().poll(cx).is_ready() {
            desk.closing = true;
        }
        if desk.local.drain.phase() == Phase::Forced {
            desk.end_all();
            return Poll::Ready(());
        }
        desk.expire();
        let due = match desk.read(cx) {
            Read::Done => desk.next_due(),
            Read::Failed => desk.local.deadlines.after(SOON),
        };
        if desk.closing && desk.flows.borrow().len() == 0 {
            return Poll::Ready(());
        }
        timer.set(due);
        Poll::Pending
    })
    .await;
}

/// What new flows get.
struct Terms {
    spec: UdpSpec,
    cells: Arc<SessionCells>,
    unbound: Arc<SessionCells>,
    /// Most flows of this worker.
    cap: usize,
}

struct Desk {
    local: Rc<Local>,
    listener: Rc<RefCell<ListenerName>>,
    socket: Rc<UdpSocket>,
    flows: Table,
    terms: Option<Terms>,
    /// Counts the views that were seen, to know one that a flow has not.
    seen: u64,
    view: Rc<View>,
    closing: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Read {
    Done,
    Failed,
}

impl Desk {
    /// Takes on the view in effect. A listener that is gone keeps its last terms, for the flows that it still has.
    fn learn(&mut self) {
        self.seen += 1;
        let name = self.listener.borrow();
        let position = self.view.listener(&name);
        let found = position.and_then(|at| self.view.listeners.get(at));
        let Some(listener) = found else { return };
        let Serves::Udp(spec) = &listener.spec.serves else {
            return;
        };
        let cells = listener.sessions(spec.cluster);
        let workers = self.local.process.workers.max(1);
        self.terms = Some(Terms {
            spec: *spec,
            cells: Arc::clone(cells.unwrap_or(&listener.unbound)),
            unbound: Arc::clone(&listener.unbound),
            cap: (spec.max_flows as usize).div_ceil(workers),
        });
    }

    /// Reads what is there. The runtime's budget ends the loop when others wait.
    fn read(&mut self, cx: &mut Context<'_>) -> Read {
        let view = self.local.view();
        if !Rc::ptr_eq(&view, &self.view) {
            self.view = view;
            self.learn();
        }
        let local = Rc::clone(&self.local);
        let socket = Rc::clone(&self.socket);
        loop {
            let mut scratch = local.scratch();
            let mut buf = ReadBuf::new(&mut scratch);
            let client = match socket.poll_recv_from(cx, &mut buf) {
                Poll::Ready(Ok(client)) => client,
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "cannot read datagrams; waiting");
                    return Read::Failed;
                }
                Poll::Pending => return Read::Done,
            };
            if let Some(line) = self.find(client) {
                self.pass(&line, buf.filled());
                continue;
            }
            // The flow's own step takes the worker's buffer, too.
            let mut first = local.take_buffer();
            first.extend_from_slice(buf.filled());
            drop(scratch);
            match self.open(client, cx) {
                Ok(line) => self.pass(&line, &first),
                Err(lost) => self.lost(lost),
            }
            local.give_buffer(first);
        }
    }

    fn lost(&self, lost: Lost) {
        if let Some(terms) = &self.terms {
            terms.cells.datagrams.lost(lost);
        }
    }

    /// The client's flow, if it has one whose endpoint serves it still.
    fn find(&self, client: SocketAddr) -> Option<Rc<Line>> {
        let terms = self.terms.as_ref()?;
        let due = self.local.deadlines.after(terms.spec.idle);
        let mut flows = self.flows.borrow_mut();
        let line = Rc::clone(flows.touch(client, due)?);
        if line.stands(self.seen, &self.view.snapshot) {
            return Some(line);
        }
        line.end(Reason::Killed, Detail::EndpointDown);
        flows.remove_if(client, |_| true);
        None
    }

    fn pass(&self, line: &Line, datagram: &[u8]) {
        if let Some(terms) = &self.terms {
            terms.cells.datagrams.received.inc();
        }
        match line.send(datagram) {
            Ok(()) => {}
            Err(Unsent::Dropped) => self.lost(Lost::Send),
            Err(Unsent::Ended) => self.lost(Lost::NoEndpoint),
        }
    }

    /// A flow for a client that has none, with its endpoint picked and its task started.
    fn open(&self, client: SocketAddr, cx: &mut Context<'_>) -> Result<Rc<Line>, Lost> {
        let terms = self.terms.as_ref().filter(|_| !self.closing);
        let terms = terms.ok_or(Lost::Closing)?;
        if self.local.credit.level() == Level::Full {
            return Err(Lost::Full);
        }
        let cluster = self.view.clusters.get(terms.spec.cluster.index());
        let cluster = Rc::clone(cluster.ok_or(Lost::NoEndpoint)?);
        while self.flows.borrow().len() >= terms.cap {
            let Some(oldest) = self.flows.borrow_mut().pop() else {
                break;
            };
            oldest.end(Reason::Killed, Detail::Overload);
        }
        let started = clock::now();
        let facts = ConnectionFacts::new(self.listener.borrow().clone(), client);
        let journal = &self.local.journal;
        let mut record = Record::session(journal, &facts, Transport::Udp, &terms.unbound, started);
        record.bound(&terms.cells);
        let line = Rc::new(Line::new(self.seen));
        let due = self.local.deadlines.after(terms.spec.idle);
        let entry = Rc::clone(&line);
        self.flows.borrow_mut().insert(client, entry, due);
        let (spec, cells) = (terms.spec, Arc::clone(&terms.cells));
        let (local, flows) = (Rc::clone(&self.local), Rc::clone(&self.flows));
        let (socket, ours) = (Rc::clone(&self.socket), Rc::clone(&line));
        let mut flow = Box::pin(async move {
            let session = Session {
                local: &local,
                cluster: &cluster,
                record: &mut record,
                client: client.ip(),
                started,
            };
            let answer = |datagram: &[u8]| {
                let due = local.deadlines.after(spec.idle);
                flows.borrow_mut().touch(client, due);
                match socket.try_send_to(datagram, client) {
                    Ok(_) => cells.datagrams.sent.inc(),
                    Err(_) => cells.datagrams.lost(Lost::Send),
                }
            };
            let (reason, detail) = carry(session, &ours, spec.responses, answer).await;
            let is_ours = |line: &Rc<Line>| Rc::ptr_eq(line, &ours);
            flows.borrow_mut().remove_if(client, is_ours);
            record.end(reason, detail, clock::now());
        });
        // Its first step here and now: the first datagram needs the endpoint, and those behind it must not overtake it.
        match flow.as_mut().poll(cx) {
            Poll::Ready(()) => Err(Lost::NoEndpoint),
            Poll::Pending => {
                let presence = self.local.presence.join();
                task::spawn_holding("flow", presence, flow);
                Ok(line)
            }
        }
    }

    fn expire(&self) {
        let now = self.local.deadlines.tick();
        while let Some(line) = self.flows.borrow_mut().expired(now) {
            line.end_idle();
        }
    }

    /// When there is something to do although nothing comes.
    fn next_due(&self) -> Tick {
        if self.closing {
            return self.local.deadlines.after(SOON);
        }
        let first = self.flows.borrow().first_due();
        first.unwrap_or(Tick::NEVER)
    }

    fn end_all(&self) {
        while let Some(line) = self.flows.borrow_mut().pop() {
            line.end(Reason::Shutdown, Detail::None);
        }
    }
}
