//! Idle connections of one worker: nothing else is pooled.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::ConnectSpec;
use super::rests::Rests;
use super::shared::Shared;
use crate::base::ClusterName;
use crate::base::clock::{Instant, between};
use crate::net::Stream;
use crate::net::deadline::{Deadlines, TICK, Tick};
use crate::net::socket::Quiet;

/// How hard to look before an idle connection is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Look {
    /// What the runtime has heard: enough where the request can be sent again.
    Runtime,
    /// Ask the kernel (one `recv` with `MSG_PEEK`), for a request that must not be sent twice: an endpoint may close
    /// without a word, and since the runtime's last turn. Not asked about a connection that was in use a moment ago, while
    /// its endpoint closes none: the runtime's turns are shorter than that, and no endpoint waits so little. One that
    /// has rested for longer than is known to be safe ([`Rests`]) is left to requests that can be sent again.
    Kernel,
}

/// An idle connection that is used again.
#[derive(Debug)]
pub struct Rested {
    /// The connection.
    pub stream: Stream,
    /// How long it was idle.
    pub rest: Duration,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    /// When it was put back.
    since: Instant,
    until: Tick,
}

#[derive(Debug)]
struct Aside {
    idle: Idle,
    from: Tick,
}

/// How long a connection stays aside: long enough for bytes that are on their way.
const ASIDE: Duration = Duration::from_millis(200);

/// How long before its endpoint a connection is closed here: more than a sweep is late, and a round trip.
const AHEAD: Duration = Duration::from_secs(1);

/// What an endpoint agrees to that may choose.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Agreed {
    /// HTTP/2, as far as is known.
    #[default]
    Http2,
    /// HTTP/1.1.
    Http1,
}

/// The idle connections of one connect spec, last in first out: the warmest is used, the coldest expire.
#[derive(Debug, Default)]
pub struct IdleSet {
    idle: RefCell<Vec<Idle>>,
    /// Not to be used before a sweep found them silent.
    aside: RefCell<Vec<Aside>>,
    /// Those that several exchanges use at once.
    pub shared: Shared,
    /// What the endpoint agreed to last, where that decides what is spoken.
    pub agreed: Cell<Agreed>,
    /// How long the endpoint lets them be.
    pub rests: Rests,
    limit: Cell<usize>,
    timeout: Cell<Duration>,
}

impl IdleSet {
    /// How many may stay, and for how long. Taken anew with each configuration; those over the limit close, the
    /// coldest first.
    pub fn tune(&self, limit: usize, timeout: Duration) {
        self.limit.set(limit);
        self.timeout.set(timeout);
        let mut idle = self.idle.borrow_mut();
        let over = idle.len().saturating_sub(limit);
        idle.drain(..over);
        self.aside.borrow_mut().truncate(limit);
    }

    /// Takes the connection that was put back last and is still open and silent; closes the dead ones that
    /// it meets.
    pub fn take(&self, look: Look, clock: &Deadlines, now: Instant) -> Option<Rested> {
        loop {
            let mut idle = self.idle.borrow_mut();
            let rest = between(idle.last()?.since, now);
            if look == Look::Kernel && !self.rests.is_safe(rest, clock) {
                // All others have rested for longer.
                return None;
            }
            let Idle { stream, .. } = idle.pop()?;
            drop(idle);
            let quiet = match look {
                Look::Kernel if rest >= TICK || self.rests.is_suspect(clock) => stream.quiet_now(),
                Look::Kernel | Look::Runtime => stream.quiet(),
            };
            if quiet == Quiet::Yes {
                self.rests.open(rest);
                return Some(Rested { stream, rest });
            }
            self.rests.closed(rest, clock);
        }
    }

    /// Puts a connection back; closes the coldest when there are enough. With `theirs` the endpoint said how long it keeps an
    /// idle connection.
    pub fn put(&self, stream: Stream, clock: &Deadlines, now: Instant, theirs: Option<Duration>) {
        let Some(until) = self.until(clock, theirs) else {
            return;
        };
        self.keep(Idle {
            stream,
            since: now,
            until,
        });
    }

    /// Keeps it among those that rest, the coldest first. Where there are enough, the coldest goes: requests that must not
    /// be sent twice have a use for the warm alone.
    fn keep(&self, new: Idle) {
        let mut idle = self.idle.borrow_mut();
        let at = idle.partition_point(|idle| idle.since <= new.since);
        idle.insert(at, new);
        if idle.len() > self.limit.get() {
            idle.remove(0);
        }
    }

    /// When a connection that falls idle now is closed: by our own clock, and before its endpoint closes it under a
    /// request that is on its way (E-200). `None`: at once.
    fn until(&self, clock: &Deadlines, theirs: Option<Duration>) -> Option<Tick> {
        let ours = self.timeout.get();
        let Some(theirs) = theirs else {
            return Some(clock.after(ours));
        };
        if theirs.is_zero() {
            return None;
        }
        let before = theirs.saturating_sub(AHEAD).max(theirs / 2);
        let limit = if ours.is_zero() {
            before
        } else {
            ours.min(before)
        };
        Some(clock.after(limit))
    }

    /// Puts a connection aside on which something unasked may still arrive; a sweep puts it back if it stayed
    /// silent.
    pub fn put_aside(
        &self,
        stream: Stream,
        clock: &Deadlines,
        now: Instant,
        theirs: Option<Duration>,
    ) {
        let mut aside = self.aside.borrow_mut();
        if aside.len() < self.limit.get()
            && let Some(until) = self.until(clock, theirs)
        {
            aside.push(Aside {
                idle: Idle {
                    stream,
                    since: now,
                    until,
                },
                from: clock.after(ASIDE),
            });
        }
    }

    /// How many connections wait.
    pub fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty()
    }

    /// Closes all of them.
    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
        self.aside.borrow_mut().clear();
        self.shared.clear();
    }

    fn sweep(&self, clock: &Deadlines, at: Instant) {
        let now = clock.tick();
        self.shared
            .sweep(clock, self.limit.get(), self.timeout.get());
        let mut aside = self.aside.borrow_mut();
        for Aside { idle, .. } in aside.extract_if(.., |aside| aside.from <= now) {
            if idle.stream.quiet_now() == Quiet::Yes {
                self.keep(idle);
            } else {
                self.rests.closed(between(idle.since, at), clock);
            }
        }
        drop(aside);
        self.idle.borrow_mut().retain(|idle| {
            let quiet = idle.stream.quiet() == Quiet::Yes;
            let rest = between(idle.since, at);
            if quiet {
                self.rests.open(rest);
            } else {
                self.rests.closed(rest, clock);
            }
            quiet && idle.until > now
        });
    }
}

/// All idle sets of one worker, by cluster and connect spec. A set lives as long as a configuration or an exchange holds
/// it; with the last of them its connections close.
#[derive(Debug, Default)]
pub struct Pool {
    sets: RefCell<HashMap<(ClusterName, ConnectSpec), Weak<IdleSet>>>,
}

impl Pool {
    /// The set of this connect spec in this cluster. Two clusters that reach the same address share none: each
    /// has its own limits, and one of them must not use up the other's.
    pub fn set(&self, cluster: &ClusterName, spec: &ConnectSpec) -> Rc<IdleSet> {
        let key = (cluster.clone(), spec.clone());
        let mut sets = self.sets.borrow_mut();
        if let Some(set) = sets.get(&key).and_then(Weak::upgrade) {
            return set;
        }
        let set = Rc::new(IdleSet::default());
        sets.insert(key, Rc::downgrade(&set));
        set
    }

    /// Closes all idle connections.
    pub fn clear(&self) {
        for set in self.sets.borrow().values().filter_map(Weak::upgrade) {
            set.clear();
        }
    }

    /// Closes what expired or was closed by its endpoint, and forgets sets that nobody holds.
    pub fn sweep(&self, clock: &Deadlines, now: Instant) {
        self.sets.borrow_mut().retain(|_, set| {
            let Some(set) = set.upgrade() else {
                return false;
            };
            set.sweep(clock, now);
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{EndpointAddr, clock};
    use crate::upstream::Protocol;
    use crate::upstream::rests::SUSPECT;
    use std::io::Write;

    async fn connected(spec: &ConnectSpec) -> Stream {
        super::super::connect(spec, &[]).await.unwrap()
    }

    fn cluster() -> ClusterName {
        ClusterName::parse("app").unwrap()
    }

    fn spec(addr: std::net::SocketAddr) -> ConnectSpec {
        ConnectSpec {
            addr: EndpointAddr::Inet(addr),
            protocol: Protocol::Http1,
            preface: None,
            tls: None,
            socket: crate::upstream::SocketSpec::default(),
        }
    }

    #[tokio::test]
    async fn dead_and_talkative_connections_are_never_handed_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let spec = spec(listener.local_addr().unwrap());
        let start = clock::now();
        let deadlines = Deadlines::new(start);
        let pool = Pool::default();
        let set = pool.set(&cluster(), &spec);
        set.tune(2, Duration::from_secs(1));
        for _ in 0..3 {
            set.put(connected(&spec).await, &deadlines, start, None);
        }
        assert_eq!(set.len(), 2, "the limit holds");
        let (mut first, _) = listener.accept().unwrap();
        let (second, _) = listener.accept().unwrap();
        drop(listener.accept().unwrap());
        first.write_all(b"unasked").unwrap();
        drop(second);
        let now = start + Duration::from_secs(1);
        deadlines.sweep(now);
        set.rests.open(Duration::from_secs(9));
        let taken = set.take(Look::Kernel, &deadlines, now);
        assert!(taken.is_none(), "one talks, one is closed");
        // Its endpoint is suspected now: the kernel is asked even of what was in use a moment ago.
        let stream = connected(&spec).await;
        set.put(stream, &deadlines, now, None);
        drop(listener.accept().unwrap());
        assert!(set.take(Look::Kernel, &deadlines, now).is_none());
        let now = now + SUSPECT * 2;
        deadlines.sweep(now);
        let stream = connected(&spec).await;
        set.put(stream, &deadlines, now, None);
        assert!(set.take(Look::Kernel, &deadlines, now).is_some());
    }

    /// E-200: an endpoint that says how long it waits never sees a request come too late.
    #[tokio::test]
    async fn a_connection_is_closed_before_its_endpoint_closes_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let spec = spec(listener.local_addr().unwrap());
        for (ours, theirs, alive, dead) in [
            (Duration::from_secs(55), 5, 3900, 4300),
            (Duration::from_secs(55), 1, 400, 800),
            (Duration::from_secs(2), 60, 1900, 2300),
            (Duration::ZERO, 2, 900, 1300),
        ] {
            let start = clock::now();
            let deadlines = Deadlines::new(start);
            let pool = Pool::default();
            let set = pool.set(&cluster(), &spec);
            set.tune(8, ours);
            let stream = connected(&spec).await;
            set.put(stream, &deadlines, start, Some(Duration::from_secs(theirs)));
            for (after, left) in [(alive, 1), (dead, 0)] {
                let now = start + Duration::from_millis(after);
                deadlines.sweep(now);
                pool.sweep(&deadlines, now);
                assert_eq!(set.len(), left, "{ours:?}, timeout={theirs}, {after} ms");
            }
            let stream = connected(&spec).await;
            set.put(stream, &deadlines, start, Some(Duration::ZERO));
            assert!(set.is_empty(), "timeout=0: not kept at all");
        }
    }

    /// F-04: a request that must not be sent twice leaves alone what its endpoint may be closing; others use it.
    #[tokio::test]
    async fn what_an_endpoint_may_be_closing_is_left_to_requests_that_can_be_repeated() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let spec = spec(listener.local_addr().unwrap());
        let start = clock::now();
        let deadlines = Deadlines::new(start);
        let set = IdleSet::default();
        set.tune(8, Duration::from_mins(1));
        let at = |millis| start + Duration::from_millis(millis);
        let put = async |now| {
            let stream = connected(&spec).await;
            set.put(stream, &deadlines, now, None);
        };
        put(at(0)).await;
        put(at(10)).await;
        let rest = |taken: Option<Rested>| taken.map(|rested| rested.rest.as_millis());
        let take = |look, millis| rest(set.take(look, &deadlines, at(millis)));
        assert_eq!(take(Look::Kernel, 30), None, "nothing is known");
        assert_eq!(set.len(), 2, "they stay for others");
        set.sweep(&deadlines, at(40));
        assert_eq!(take(Look::Kernel, 31), None);
        assert_eq!(take(Look::Kernel, 30), Some(20), "one lived through 40");
        drop(listener.accept().unwrap());
        // The runtime hears of it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(take(Look::Runtime, 60), None, "it was closed at 60");
        put(at(70)).await;
        assert_eq!(take(Look::Kernel, 91), None);
        assert_eq!(take(Look::Kernel, 90), Some(20));
    }

    #[tokio::test]
    async fn where_there_are_enough_the_coldest_closes() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let spec = spec(listener.local_addr().unwrap());
        let start = clock::now();
        let deadlines = Deadlines::new(start);
        let set = IdleSet::default();
        set.tune(1, Duration::from_mins(1));
        let at = |millis| start + Duration::from_millis(millis);
        for since in [0, 30, 20] {
            let stream = connected(&spec).await;
            set.put(stream, &deadlines, at(since), None);
            assert_eq!(set.len(), 1);
        }
        let taken = set.take(Look::Kernel, &deadlines, at(35)).unwrap();
        assert_eq!(taken.rest, Duration::from_millis(5));
        set.tune(0, Duration::from_mins(1));
        set.put(taken.stream, &deadlines, at(40), None);
        assert!(set.is_empty());
    }

    #[tokio::test]
    async fn a_set_closes_its_connections_by_time_and_with_its_last_holder() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let spec = spec(listener.local_addr().unwrap());
        let start = clock::now();
        let deadlines = Deadlines::new(start);
        let pool = Pool::default();
        let set = pool.set(&cluster(), &spec);
        set.tune(8, Duration::from_secs(1));
        set.put(connected(&spec).await, &deadlines, start, None);
        let now = start + Duration::from_millis(900);
        deadlines.sweep(now);
        pool.sweep(&deadlines, now);
        assert_eq!(pool.set(&cluster(), &spec).len(), 1);
        let now = start + Duration::from_millis(1300);
        deadlines.sweep(now);
        pool.sweep(&deadlines, now);
        assert!(set.is_empty());
        set.put(connected(&spec).await, &deadlines, start, None);
        drop(set);
        assert!(pool.set(&cluster(), &spec).is_empty());
    }
}
