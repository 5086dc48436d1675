//! Requests, endpoints with queues, and virtual time: what balancers do to a pool over seconds, in milliseconds.
//!
//! Arrivals are a Poisson process of open clients; every endpoint serves a few at once and queues the rest. All
//! that is decided by chance comes from the seed. Everything an endpoint shows goes through [`Endpoint::observe`], so
//! whatever judges endpoints by their traffic takes part.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::super::*;
use super::{input, set};
use crate::base::clock;
use crate::endpoint::{InFlight, Outcome, Seen};

/// How an endpoint serves.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// Mean time of one request.
    mean: Duration,
    /// Share of requests that end in a 503, at once.
    failing: f64,
}

/// Requests that an endpoint serves at once.
const SLOTS: usize = 4;

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
struct Done {
    ix: EndpointIx,
    arrived: Duration,
    took: Duration,
    failed: bool,
}

/// A request at its endpoint.
struct Job {
    arrived: Duration,
    needs: Duration,
    failed: bool,
    _held: InFlight,
}

struct Server {
    manner: Manner,
    busy: Vec<Job>,
    waiting: VecDeque<Job>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Event {
    /// The next request comes.
    Arrival,
    /// The request that came then ends at this endpoint.
    End(EndpointIx, Duration),
}

struct World {
    set: EndpointSet,
    balancer: Balancer,
    cursor: Cursor,
    rng: fastrand::Rng,
    start: Instant,
    now: Duration,
    /// Mean time between two arrivals.
    pause: Duration,
    servers: Vec<Server>,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    done: Vec<Done>,
    refused: usize,
}

impl World {
    /// A pool of these, with `rate` requests a second.
    fn new(algorithm: Algorithm, manners: &[Manner], rate: f64, seed: u64) -> Self {
        let set = set(&vec![1; manners.len()]);
        let server = |&manner| Server {
            manner,
            busy: Vec::new(),
            waiting: VecDeque::new(),
        };
        Self {
            balancer: Balancer::new(algorithm, &set, HashKey::from_seed("world")),
            set,
            cursor: Cursor::with_seed(seed),
            rng: fastrand::Rng::with_seed(!seed),
            start: clock::now(),
            now: Duration::ZERO,
            pause: Duration::from_secs_f64(1.0 / rate),
            servers: manners.iter().map(server).collect(),
            events: BinaryHeap::from([Reverse((Duration::ZERO, Event::Arrival))]),
            done: Vec::new(),
            refused: 0,
        }
    }

    /// From now on this one serves otherwise.
    fn change(&mut self, ix: usize, manner: Manner) {
        self.servers[ix].manner = manner;
    }

    /// The time, for what is told to endpoints from outside.
    fn clock(&self) -> Instant {
        self.start + self.now
    }

    /// Goes on until then.
    fn run(&mut self, until: Duration) {
        while let Some(Reverse((at, event))) = self.events.peek().copied()
            && at <= until
        {
            self.events.pop();
            self.now = at;
            match event {
                Event::Arrival => self.arrive(),
                Event::End(ix, arrived) => self.end(ix, arrived),
            }
        }
        self.now = until;
    }

    fn arrive(&mut self) {
        let pause = self.spread(self.pause);
        self.events
            .push(Reverse((self.now + pause, Event::Arrival)));
        let tried = Tried::new();
        let input = PickInput {
            now: self.clock(),
            hash: Some(self.rng.u64(..)),
            ..input(&tried)
        };
        let Pick::Endpoint(ix) = self.balancer.pick(&self.set, &mut self.cursor, &input) else {
            self.refused += 1;
            return;
        };
        let manner = self.servers[ix.0 as usize].manner;
        let failed = self.rng.f64() < manner.failing;
        // Half of it is always the same.
        let half = manner.mean / 2;
        let job = Job {
            arrived: self.now,
            needs: if failed {
                Duration::ZERO
            } else {
                half + self.spread(half)
            },
            failed,
            _held: InFlight::begin(&self.set.endpoint(ix).unwrap().state),
        };
        self.servers[ix.0 as usize].waiting.push_back(job);
        self.serve(ix);
    }

    fn serve(&mut self, ix: EndpointIx) {
        let server = &mut self.servers[ix.0 as usize];
        while server.busy.len() < SLOTS
            && let Some(job) = server.waiting.pop_front()
        {
            let end = self.now + job.needs;
            self.events
                .push(Reverse((end, Event::End(ix, job.arrived))));
            server.busy.push(job);
        }
    }

    fn end(&mut self, ix: EndpointIx, arrived: Duration) {
        let server = &mut self.servers[ix.0 as usize];
        let at = server.busy.iter().position(|job| job.arrived == arrived);
        let job = server.busy.swap_remove(at.unwrap());
        let took = self.now.saturating_sub(arrived);
        let outcome = Outcome::Answered {
            status: if job.failed { 503 } else { 200 },
            retry_after: None,
        };
        let at = self.clock();
        self.set
            .endpoint(ix)
            .unwrap()
            .observe(&Seen { outcome, took, at });
        self.done.push(Done {
            ix,
            arrived,
            took,
            failed: job.failed,
        });
        self.serve(ix);
    }

    /// Exponential with this mean.
    fn spread(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.rng.f64()).ln())
    }

    /// Those that came from then on.
    fn since(&self, then: Duration) -> impl Iterator<Item = &Done> {
        self.done.iter().filter(move |done| done.arrived >= then)
    }

    /// Share of one endpoint of those that came from then on, in proportion to a fair one.
    fn of_fair(&self, ix: u32, then: Duration) -> f64 {
        let all = self.since(then).count();
        let its = self
            .since(then)
            .filter(|done| done.ix == EndpointIx(ix))
            .count();
        its as f64 * self.set.len() as f64 / all as f64
    }
}

const MEAN: Duration = Duration::from_millis(50);
const FINE: Manner = Manner {
    mean: MEAN,
    failing: 0.0,
};
/// Half of what twenty can serve.
const RATE: f64 = 20.0 * SLOTS as f64 / 0.05 / 2.0;
const SEEDS: u64 = 256;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// One of twenty becomes ten times as slow: two seconds later it has at most a tenth of its share, and nobody notices.
#[test]
fn least_time_leaves_a_slow_endpoint() {
    let (mut shares, mut with, mut without) = (0.0, Vec::new(), Vec::new());
    for seed in 0..SEEDS {
        let mut world = World::new(Algorithm::LeastTime, &[FINE; 20], RATE, seed);
        world.run(seconds(1.0));
        let slow = Manner {
            mean: MEAN * 10,
            ..FINE
        };
        world.change(7, slow);
        world.run(seconds(5.0));
        let share = world.of_fair(7, seconds(3.0));
        assert!(share <= 0.25, "seed {seed}: {share}");
        shares += share;
        with.extend(world.since(seconds(3.0)).map(|done| done.took));

        let mut world = World::new(Algorithm::LeastTime, &[FINE; 19], RATE, seed);
        world.run(seconds(5.0));
        without.extend(world.since(seconds(3.0)).map(|done| done.took));
    }
    let mean = shares / SEEDS as f64;
    assert!(mean <= 0.1, "{mean} of a fair share");
    let (with, without) = (p99(with), p99(without));
    assert!(
        with <= without.mul_f64(1.3),
        "{with:?} with it, {without:?} without"
    );
}

/// One of twenty refuses everything at once (E-212): it must not draw the traffic, whoever looks at load or time.
#[test]
fn least_time_leaves_an_endpoint_that_refuses() {
    let mut shares = 0.0;
    for seed in 0..SEEDS {
        let mut world = World::new(Algorithm::LeastTime, &[FINE; 20], RATE / 4.0, seed);
        world.run(seconds(1.0));
        let refusing = Manner {
            failing: 1.0,
            ..FINE
        };
        world.change(7, refusing);
        world.run(seconds(5.0));
        let share = world.of_fair(7, seconds(3.0));
        assert!(share <= 0.75, "seed {seed}: {share}");
        shares += share;
        let failed = world.since(seconds(3.0)).filter(|done| done.failed).count();
        assert!(
            failed * 20 <= world.since(seconds(3.0)).count(),
            "seed {seed}: {failed}"
        );
    }
    let mean = shares / SEEDS as f64;
    assert!(mean <= 0.3, "{mean} of a fair share");
}

/// A pool of equals stays one: nobody is left out for an unlucky answer, and nobody is crowded.
#[test]
fn equals_get_equal_shares() {
    for algorithm in [Algorithm::LeastTime, Algorithm::LeastRequest] {
        for seed in 0..SEEDS / 8 {
            let mut world = World::new(algorithm, &[FINE; 20], RATE, seed);
            world.run(seconds(5.0));
            for ix in 0..20 {
                let share = world.of_fair(ix, seconds(1.0));
                assert!(
                    (0.5..1.6).contains(&share),
                    "{algorithm:?}, seed {seed}: {share}"
                );
            }
            assert_eq!(world.refused, 0);
        }
    }
}
