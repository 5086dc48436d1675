//! The state of one worker.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ids::Ids;
use super::kit::Kit;
use super::presence::Presence;
use super::scratch::{Page, READ, Scratch};
use super::spares::Spares;
use super::view::{Carried, View};
use crate::base::ListenerName;
use crate::base::cidr::client_key;
use crate::drain::Drain;
use crate::limit::{Charge, Credit, Ledger, Level};
use crate::metrics::Hub;
use crate::net::deadline::Tick;
use crate::net::{Deadlines, Pipes, bundle};
use crate::record::Journal;
use crate::snapshot::Snapshot;
use crate::state::Registry;
use crate::upstream::Pool;

/// Bytes of one read while memory is tight.
const SMALL_READ: usize = 4 * 1024;

/// How often spare buffers are given back that nobody has needed meanwhile.
const TRIM: Duration = Duration::from_secs(5);

/// How long the view of a removed listener is kept for the connections that it still has.
const RETIRED: Duration = Duration::from_secs(10);

/// The group of all timers of one listener's connections.
pub fn group(listener: &ListenerName) -> u64 {
    let mut hasher = DefaultHasher::new();
    listener.hash(&mut hasher);
    hasher.finish()
}

/// What all workers share.
#[derive(Debug)]
pub struct Process {
    /// Where everything is counted.
    pub hub: Arc<Hub>,
    /// Connections from clients, all workers together.
    pub connections: AtomicUsize,
    /// Most of them.
    pub max_connections: AtomicUsize,
    /// Connections by client.
    pub clients: Clients,
    /// Memory for what peers make us hold.
    pub ledger: Arc<Ledger>,
    /// Connection ids of QUIC, by listener.
    pub ids: Registry<ListenerName, Ids>,
    /// Number of workers.
    pub workers: usize,
}

/// How many locks the table of clients is spread over.
const SHARDS: usize = 16;

/// Connections by client, over all workers. Asked once for each connection, never for a request.
#[derive(Debug, Default)]
pub struct Clients {
    shards: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
    hasher: RandomState,
}

/// One connection's place in its client's count.
#[derive(Debug)]
pub struct ClientSlot {
    process: Arc<Process>,
    key: IpAddr,
}

impl Clients {
    fn shard(&self, key: &IpAddr) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default();
        let [first, ..] = &self.shards;
        let shard = self.shards.get(index).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let mut open = self.process.clients.shard(&self.key);
        if let Some(count) = open.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.key);
            }
        }
    }
}

/// One accepted connection's place in the process-wide count.
#[derive(Debug)]
pub struct Admission(Arc<Process>);

impl Process {
    /// Takes a place; `None` when all are taken.
    pub fn admit(self: &Arc<Self>) -> Option<Admission> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let admission = Admission(Arc::clone(self));
        (before < self.max_connections.load(Ordering::Relaxed)).then_some(admission)
    }

    /// Takes a place for a client at `addr` (IPv6 by /64) that has fewer than `cap`; 0: no cap.
    pub fn admit_client(self: &Arc<Self>, addr: IpAddr, cap: u32) -> Option<ClientSlot> {
        let key = client_key(addr);
        let mut open = self.clients.shard(&key);
        let count = open.entry(key).or_insert(0);
        if cap != 0 && *count >= cap {
            return None;
        }
        *count += 1;
        drop(open);
        Some(ClientSlot {
            process: Arc::clone(self),
            key,
        })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything that a core owns alone.
#[derive(Debug)]
pub struct Local {
    /// Which worker this is, from 0.
    pub id: usize,
    /// What all workers share.
    pub process: Arc<Process>,
    /// The coarse clock.
    pub deadlines: Rc<Deadlines>,
    /// How far the end has come.
    pub drain: Drain,
    /// What must end before the worker may.
    pub presence: Presence,
    /// Exchanges under way.
    pub exchanges: Presence,
    /// Tunnels.
    pub tunnels: Presence,
    /// Where records are written.
    pub journal: Rc<Journal>,
    /// Idle connections to endpoints.
    pub pool: Pool,
    /// Pipes for bulk.
    pub pipes: Rc<Pipes>,
    /// Memory that is charged here.
    pub credit: Rc<Credit>,
    /// What the spare buffers are charged.
    spare: Charge,
    carried: Carried,
    view: RefCell<Rc<View>>,
    scratch: Rc<Scratch>,
    kits: Spares<Box<Kit>>,
    buffers: Spares<Vec<u8>>,
    trim_at: Cell<Tick>,
    epoch: Cell<u64>,
    retired: RefCell<Vec<(ListenerName, Rc<View>, Tick)>>,
}

impl Local {
    /// The state of worker `id`, with its first configuration.
    pub fn new(
        id: usize,
        process: Arc<Process>,
        journal: Rc<Journal>,
        deadlines: Rc<Deadlines>,
        snapshot: Arc<Snapshot>,
        epoch: u64,
    ) -> Rc<Self> {
        let pool = Pool::default();
        let carried = Carried::default();
        journal.configure(Arc::clone(&snapshot.access_log));
        let view = View::build(id, &process, &pool, &carried, snapshot, epoch);
        let credit = Credit::new(&process.ledger);
        Rc::new(Self {
            id,
            process,
            spare: Charge::new(&credit),
            credit,
            deadlines,
            drain: Drain::default(),
            presence: Presence::default(),
            exchanges: Presence::default(),
            tunnels: Presence::default(),
            journal,
            pool,
            pipes: Rc::default(),
            carried,
            view: RefCell::new(Rc::new(view)),
            scratch: Scratch::new(),
            kits: Spares::default(),
            buffers: Spares::default(),
            trim_at: Cell::new(Tick::NEVER),
            epoch: Cell::new(epoch),
            retired: RefCell::default(),
        })
    }

    /// Takes on a new configuration. Exchanges that are under way keep theirs.
    pub fn commit(&self, snapshot: Arc<Snapshot>, epoch: u64) {
        self.journal.configure(Arc::clone(&snapshot.access_log));
        let view = View::build(
            self.id,
            &self.process,
            &self.pool,
            &self.carried,
            snapshot,
            epoch,
        );
        let before = self.view.replace(Rc::new(view));
        before.forget_idle();
        self.epoch.set(epoch);
        self.retire(&before);
        self.carried.sweep(&self.view());
    }

    /// Takes on a snapshot that differs from the one in effect in some clusters alone. Exchanges that are under way
    /// keep theirs.
    pub fn swap(&self, snapshot: Arc<Snapshot>) {
        let view = self
            .view()
            .swapped(self.id, &self.process, &self.pool, &self.carried, snapshot);
        self.view.replace(Rc::new(view));
    }

    /// Keeps the last view of listeners that are gone, so that a request which is on its way on one of their
    /// connections still finds its answer; those that are silent end soon.
    fn retire(&self, before: &Rc<View>) {
        let until = self.deadlines.after(RETIRED);
        let view = self.view();
        for listener in before.listeners.iter() {
            let name = &listener.spec.name;
            if view.listener(name).is_none() {
                self.retired
                    .borrow_mut()
                    .push((name.clone(), Rc::clone(before), until));
                self.deadlines
                    .shorten_idle(Duration::from_secs(1), Some(group(name)));
            }
        }
    }

    /// The last view that had this listener, and its position there.
    pub fn retired(&self, name: &ListenerName) -> Option<(Rc<View>, usize)> {
        let retired = self.retired.borrow();
        let (_, view, _) = retired.iter().rev().find(|(gone, ..)| gone == name)?;
        view.listener(name)
            .map(|position| (Rc::clone(view), position))
    }

    /// The configuration in effect.
    #[inline]
    pub fn view(&self) -> Rc<View> {
        Rc::clone(&self.view.borrow())
    }

    /// Number of the configuration in effect: a cheap test for whether it changed.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// The page that every read of this worker goes into: [`HEADROOM`](super::scratch::HEADROOM), [`READ`],
    /// [`TAIL`](super::scratch::TAIL). Never held across an await.
    #[inline]
    pub fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow()
    }

    /// Keeps that page for these bytes on it. `None`: they are to be copied.
    pub fn turn_page(&self, now: &mut Box<[u8]>, bytes: &Range<usize>) -> Option<Page> {
        match self.credit.level() {
            Level::Normal => self.scratch.turn(now, bytes),
            _ => None,
        }
    }

    /// One exchange more, until what is returned is dropped.
    pub fn begin_exchange(&self) -> Presence {
        let among = self.exchanges.join();
        bundle::gather(self.exchanges.is_crowd());
        among
    }

    /// Buffers for one exchange.
    pub fn take_kit(&self) -> Box<Kit> {
        self.kits.take().unwrap_or_default()
    }

    /// Takes them back.
    pub fn give_kit(&self, mut kit: Box<Kit>) {
        kit.clear();
        self.kits.give(kit);
    }

    /// An empty buffer, for bytes that the kernel did not take.
    pub fn take_buffer(&self) -> Vec<u8> {
        self.buffers.take().unwrap_or_default()
    }

    /// Takes it back.
    pub fn give_buffer(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && buffer.capacity() <= 2 * READ {
            buffer.clear();
            self.buffers.give(buffer);
        }
    }

    /// How many bytes may be read at a time: while memory is tight, few, because what the other side does not take
    /// is held.
    #[inline]
    pub fn read_len(&self) -> usize {
        if self.credit.level() == Level::Normal {
            READ
        } else {
            SMALL_READ
        }
    }

    /// Gives back what memory allows no more, and weighs what is spare.
    fn weigh(&self) {
        if let Some(level) = self.credit.look() {
            let (taken, budget) = (self.process.ledger.taken(), self.process.ledger.budget());
            let level = level.as_str();
            tracing::warn!(level, taken, budget, "memory for peers");
        }
        let level = self.credit.level();
        if level >= Level::Tight {
            self.kits.clear();
            self.buffers.clear();
            self.scratch.clear();
        }
        if level >= Level::Short {
            self.pool.clear();
            self.deadlines.shorten_idle(Duration::from_millis(1), None);
        }
        let now = self.deadlines.tick();
        if self.trim_at.get() <= now || self.trim_at.get() == Tick::NEVER {
            self.trim_at.set(self.deadlines.after(TRIM));
            self.kits.trim();
            self.buffers.trim();
            self.scratch.trim();
        }
        let kits = self.kits.weight(|kit| kit.weight());
        let buffers = self.buffers.weight(Vec::capacity);
        self.spare.set(kits + buffers + self.scratch.weight());
    }

    /// What is done every tick: memory, deadlines, idle connections, queues, the log.
    pub fn tick(&self, now: crate::base::clock::Instant) {
        self.weigh();
        self.deadlines.sweep(now);
        self.pool.sweep(&self.deadlines, now);
        self.journal.flush();
        self.view.borrow().tick(now, &self.deadlines);
        let tick = self.deadlines.tick();
        self.retired
            .borrow_mut()
            .retain(|(.., until)| *until > tick);
    }
}
