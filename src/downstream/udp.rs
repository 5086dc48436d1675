//! A socket of a udp listener: datagrams from clients, each to the flow of its client.
//!
//! One task reads the socket; one more for each flow reads what its endpoint answers. The kernel hashes the addresses and ports
//! of a datagram to choose among the sockets of a group (`SO_REUSEPORT`, socket(7)), so that a flow stays with its worker.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::UdpSocket;
use tokio::sync::oneshot;

use super::answers::Answers;
use super::flows::Flows;
use super::preface::{Said, Turn};
use super::terms::Terms;
use crate::base::{Detail, ListenerName, Reason, clock};
use crate::drain::Phase;
use crate::exchange::admit;
use crate::exchange::tcp::{Session, key_input};
use crate::exchange::udp::{Line, Unsent, carry};
use crate::limit::Level;
use crate::metrics::Lost;
use crate::net::Timer;
use crate::net::batch::{Batch, SLOTS};
use crate::net::datagrams::{Datagrams, Ends};
use crate::net::deadline::{TICK, Tick};
use crate::record::{ConnectionFacts, Record, Transport};
use crate::task;
use crate::worker::local::group;
use crate::worker::{Holder, Local, View};

/// Batches that are read in one turn.
const BATCHES: usize = 8;

type Table = Rc<RefCell<Flows<Ends, Rc<Line>, Tick>>>;

/// Serves a socket until it is `stopped` and its last flow has ended.
pub async fn serve_datagrams(
    local: Rc<Local>,
    listener: Rc<RefCell<ListenerName>>,
    socket: UdpSocket,
    stopped: oneshot::Receiver<()>,
) {
    let socket = match Datagrams::new(socket) {
        Ok(socket) => Rc::new(socket),
        Err(error) => {
            tracing::error!(%error, "cannot take datagrams");
            return;
        }
    };
    let view = local.view();
    let timer = Timer::new(&local.deadlines, group(&listener.borrow()));
    let mut desk = Desk {
        local,
        listener,
        socket,
        flows: Table::default(),
        terms: None,
        seen: 0,
        view,
        closing: false,
        overflow: Cell::new(0),
        answers: Rc::default(),
        incoming: Rc::default(),
    };
    desk.learn();
    let mut stopped = pin!(stopped);
    let mut batch = Batch::default();
    poll_fn(|cx| {
        timer.watch(cx);
        desk.answers.watch(cx);
        desk.answers.flush(&desk.socket);
        if !desk.closing && stopped.as_mut().poll(cx).is_ready() {
            desk.closing = true;
        }
        if desk.local.drain.phase() == Phase::Forced {
            desk.end_all();
            return Poll::Ready(());
        }
        desk.expire();
        let due = match desk.read(cx, &mut batch) {
            Read::Done => desk.next_due(),
            Read::Failed => desk.local.deadlines.after(TICK),
        };
        if desk.closing && desk.flows.borrow().len() == 0 {
            return Poll::Ready(());
        }
        timer.set(due);
        Poll::Pending
    })
    .await;
}

struct Desk {
    local: Rc<Local>,
    listener: Rc<RefCell<ListenerName>>,
    socket: Rc<Datagrams>,
    flows: Table,
    terms: Option<Terms>,
    /// Counts the views that were seen, to know one that a flow has not.
    seen: u64,
    view: Rc<View>,
    closing: bool,
    /// How many datagrams the socket had no room for, as far as was told.
    overflow: Cell<u32>,
    /// What goes back to clients at the end of the turn.
    answers: Rc<Answers>,
    /// What comes from endpoints, one flow at a time.
    incoming: Rc<RefCell<Batch>>,
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
        let terms = Terms::new(&self.local, &self.view, &self.listener.borrow());
        self.terms = terms.or_else(|| self.terms.take());
    }

    /// Reads what is there, so much at a time.
    fn read(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Read {
        let view = self.local.view();
        if !Rc::ptr_eq(&view, &self.view) {
            self.view = view;
            self.learn();
        }
        let socket = Rc::clone(&self.socket);
        for _ in 0..BATCHES {
            match socket.poll_fill(cx, batch) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "cannot read datagrams; waiting");
                    return Read::Failed;
                }
                Poll::Pending => return Read::Done,
            }
            let mut run: [&[u8]; SLOTS] = [&[]; SLOTS];
            let mut all = batch.iter().peekable();
            while let Some(met) = all.next() {
                let (ends, mut count, mut next) = (met.ends, 0, Some(met));
                while let (Some(met), Some(place)) = (next.take(), run.get_mut(count)) {
                    if let Some(sum) = met.overflowed {
                        self.overflowed(sum);
                    }
                    (*place, count) = (met.bytes, count + 1);
                    next = all.next_if(|it| it.ends == ends);
                }
                if let Some(ends) = ends {
                    self.take_all(ends, run.get(..count).unwrap_or_default(), cx);
                }
            }
        }
        // Others have a turn, too.
        cx.waker().wake_by_ref();
        Read::Done
    }

    /// Datagrams that one client sent behind each other.
    fn take_all(&self, ends: Ends, datagrams: &[&[u8]], cx: &mut Context<'_>) {
        let headers = self.terms.as_ref().is_none_or(Terms::heeds_headers);
        let mut rest = datagrams;
        while let Some((first, behind)) = rest.split_first() {
            rest = match self.line(ends, first, cx) {
                Ok((line, _)) if !headers => {
                    let passed = Self::pass(&line, rest);
                    rest.get(passed..).unwrap_or_default()
                }
                Ok((line, used)) => {
                    Self::pass(&line, &[first.get(used..).unwrap_or_default()]);
                    behind
                }
                Err(lost) => {
                    self.lost(lost);
                    behind
                }
            };
        }
    }

    /// The flow that a datagram goes to, its client's or a new one, and how long the header in front of it is.
    fn line(
        &self,
        ends: Ends,
        datagram: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(Rc<Line>, usize), Lost> {
        let found = self.find(ends);
        let turn = if found.is_some() {
            Turn::Later
        } else {
            Turn::First
        };
        let terms = self.terms.as_ref().ok_or(Lost::Closing)?;
        let said = terms.said(ends, datagram, turn)?;
        let whose = said.source(ends.peer);
        let line = match found {
            Some(line) if whose.is_none_or(|whose| whose == line.client()) => line,
            Some(other) => {
                // The peer's port speaks for another client now, whose datagrams must not ride in this one's flow.
                other.end_replaced();
                self.flows.borrow_mut().remove_if(ends, |_| true);
                self.open(ends, said, datagram, cx)?
            }
            None => self.open(ends, said, datagram, cx)?,
        };
        Ok((line, said.used))
    }

    /// Counts what the socket had no room for, of which the kernel tells the sum.
    fn overflowed(&self, sum: u32) {
        let more = sum.wrapping_sub(self.overflow.replace(sum));
        if let Some(terms) = self.terms.as_ref().filter(|_| more > 0) {
            terms
                .cells
                .datagrams
                .lost_many(Lost::Overflow, u64::from(more));
        }
    }

    fn lost(&self, lost: Lost) {
        if let Some(terms) = &self.terms {
            terms.cells.datagrams.lost(lost);
        }
    }

    /// The client's flow, if it has one whose endpoint serves it still.
    fn find(&self, ends: Ends) -> Option<Rc<Line>> {
        let terms = self.terms.as_ref()?;
        let due = self.local.deadlines.after(terms.spec.idle);
        let mut flows = self.flows.borrow_mut();
        let line = Rc::clone(flows.touch(ends, due)?);
        if line.stands(self.seen, &self.view.snapshot) {
            return Some(line);
        }
        line.end(Reason::Killed, Detail::EndpointDown);
        flows.remove_if(ends, |_| true);
        None
    }

    /// Passes on some of what a client sent, from the first on; how many.
    fn pass(line: &Line, datagrams: &[&[u8]]) -> usize {
        let counts = &line.cells().datagrams;
        let (count, sent) = line.send_some(datagrams);
        counts.received.add(count as u64);
        if let Err(why) = sent {
            let lost = match why {
                Unsent::Dropped => Lost::Send,
                Unsent::Ended => Lost::NoEndpoint,
            };
            counts.lost_many(lost, count as u64);
        }
        count
    }

    /// A flow for a client that has none, with its endpoint picked and its task started.
    fn open(
        &self,
        ends: Ends,
        said: Said,
        datagram: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Rc<Line>, Lost> {
        let terms = self.terms.as_ref().filter(|_| !self.closing);
        let terms = terms.ok_or(Lost::Closing)?;
        if self.local.credit.level() == Level::Full {
            return Err(Lost::Full);
        }
        let started = clock::now();
        let listener = terms.listener().ok_or(Lost::Closing)?;
        let facts = ConnectionFacts::new(self.listener.borrow().clone(), ends.peer.into());
        if let Some(told) = said.ends {
            facts.told(told);
        }
        if terms.view.tells_addresses {
            facts.accepted_at(self.socket.local(&ends));
        }
        let source = facts.source();
        let client = source.ip();
        let journal = &self.local.journal;
        let (udp, unbound) = (Transport::Udp, &listener.unbound);
        let mut record = Record::session(journal, &facts, udp, unbound, started);
        let admitted = admit::flow(&mut record, client, started, &listener.spec.filters);
        let kept = admitted.map_err(|error| {
            record.end(error.reason(), error.detail(), started);
            Lost::Refused
        })?;
        let home = terms.home(datagram.get(said.used..).unwrap_or_default());
        let ix = match &home {
            Some(home) => Some(home.cluster),
            None => terms.spec.way.choose(&key_input(&record, client)),
        };
        let Some((ix, cluster)) =
            ix.and_then(|ix| Some((ix, terms.view.clusters.get(ix.index())?)))
        else {
            record.end(Reason::Internal, Detail::None, started);
            return Err(Lost::NoEndpoint);
        };
        let cluster = Rc::clone(cluster);
        let cells = Arc::clone(listener.sessions(ix).unwrap_or(unbound));
        record.bound(&cells);
        let holder = terms
            .ids
            .as_ref()
            .map(|ids| Holder::new(ids, &cells, &facts));
        if let (Some(holder), Some(home)) = (&holder, &home) {
            holder.found(home.id, &home.key);
        }
        let home = home.map(|home| home.endpoint);
        let line = Rc::new(Line::new(self.seen, source, &cells));
        let due = self.local.deadlines.after(terms.spec.idle);
        let entry = Rc::clone(&line);
        self.flows.borrow_mut().insert(ends, entry, due);
        let (idle, responses) = (terms.spec.idle, terms.spec.responses);
        let (local, flows) = (Rc::clone(&self.local), Rc::clone(&self.flows));
        let (socket, ours) = (Rc::clone(&self.socket), Rc::clone(&line));
        let (answers, incoming) = (Rc::clone(&self.answers), Rc::clone(&self.incoming));
        let mut flow = Box::pin(async move {
            let session = Session {
                local: &local,
                cluster: &cluster,
                record: &mut record,
                client,
                started,
            };
            let answer = |datagram: &[u8]| {
                let due = local.deadlines.after(idle);
                flows.borrow_mut().touch(ends, due);
                if let Some(holder) = &holder {
                    holder.hear(datagram, || ours.endpoint());
                }
                answers.push(&socket, datagram, ends, &cells);
            };
            let (reason, detail) = carry(session, &ours, home, responses, &incoming, answer).await;
            let is_ours = |line: &Rc<Line>| Rc::ptr_eq(line, &ours);
            flows.borrow_mut().remove_if(ends, is_ours);
            record.end(reason, detail, clock::now());
            drop(kept);
        });
        // Its first step here and now: the first datagram needs the endpoint, and those behind it must not overtake it.
        match flow.as_mut().poll(cx) {
            Poll::Ready(()) => Err(Lost::NoEndpoint),
            Poll::Pending => {
                // Only now, as it has its endpoint, another gives way to it.
                while self.flows.borrow().len() > terms.cap {
                    let Some(oldest) = self.flows.borrow_mut().pop() else {
                        break;
                    };
                    oldest.end(Reason::Killed, Detail::Overload);
                }
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
            return self.local.deadlines.after(TICK);
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
