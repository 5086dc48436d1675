//! A cluster in virtual time: arrivals, balancer, endpoints that fail as they are told, outlier detection. Everything is
//! decided by a seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use super::compile_ok;
use crate::balance::{Cursor, Pick, PickInput};
use crate::base::clock::{self, Instant};
use crate::cluster::{Cluster, Live, Visit};
use crate::endpoint::{Endpoint, EndpointIx, InFlight, Tried};
use crate::metrics::HealthCells;
use crate::outlier::{Moment, State};

const SEEDS: u64 = 256;
const COUNT: usize = 20;

/// One request at an endpoint, until its end.
struct Running {
    ends: u64,
    number: u64,
    ix: EndpointIx,
    visit: Visit,
    failed: bool,
    _held: InFlight,
}

/// By the end, then by the order of arrival.
impl Running {
    fn key(&self) -> (u64, u64) {
        (self.ends, self.number)
    }
}

impl PartialEq for Running {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Running {}

impl PartialOrd for Running {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Running {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// What was seen of one endpoint.
#[derive(Clone, Copy, Default)]
struct Story {
    asked: u64,
    /// Changes between serving as usual and not.
    turns: u64,
    /// When it was ejected first.
    first: Option<u64>,
    serving: bool,
    on_trial: u32,
}

struct World {
    cluster: Cluster,
    cells: HealthCells,
    start: Instant,
    rng: fastrand::Rng,
    cursor: Cursor,
    running: BinaryHeap<Reverse<Running>>,
    /// Share of failures of each endpoint.
    failing: [f64; COUNT],
    stories: [Story; COUNT],
    most_out: usize,
    refused: u64,
    arrivals: u64,
    now: u64,
}

/// A moment at which every window of ten seconds begins a slot: the same in each run.
fn aligned() -> Instant {
    const SPAN: u64 = 10_000_000_000;
    let now = clock::now();
    now + Duration::from_nanos(SPAN - clock::stamp(now) % SPAN)
}

impl World {
    fn new(seed: u64, keys: &str) -> Self {
        let list: Vec<_> = (0..COUNT)
            .map(|n| format!("'127.0.0.1:{}'", n + 1))
            .collect();
        let lines = format!("endpoints = [{}]\n{keys}", list.join(", "));
        Self {
            cluster: compile_ok(&lines, &Live::new()),
            cells: HealthCells::default(),
            start: aligned(),
            rng: fastrand::Rng::with_seed(seed),
            cursor: Cursor::with_seed(seed),
            running: BinaryHeap::new(),
            failing: [0.0; COUNT],
            stories: [Story {
                serving: true,
                ..Story::default()
            }; COUNT],
            most_out: 0,
            refused: 0,
            arrivals: 0,
            now: 0,
        }
    }

    fn endpoint(&self, ix: EndpointIx) -> Arc<Endpoint> {
        Arc::clone(self.cluster.set.endpoint(ix).unwrap())
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn moment(&self) -> Moment {
        Moment::of(self.instant())
    }

    /// Lets `millis` pass with `rate` arrivals a second.
    fn run(&mut self, millis: u64, rate: f64) {
        let until = self.now + millis;
        while self.now < until {
            while let Some(Reverse(first)) = self.running.peek()
                && first.ends <= self.now
            {
                if let Some(Reverse(done)) = self.running.pop() {
                    self.end(&done);
                }
            }
            if self.now.is_multiple_of(100) {
                let chance = self.rng.f64();
                self.cluster.sweep(self.moment(), || chance, &self.cells);
                self.look();
            }
            let expected = rate / 1000.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a handful"
            )]
            let whole = expected.floor() as u64;
            let more = u64::from(self.rng.f64() < expected.fract());
            for _ in 0..whole + more {
                self.arrive();
            }
            self.now += 1;
        }
    }

    fn arrive(&mut self) {
        self.arrivals += 1;
        let tried = Tried::new();
        let input = PickInput {
            tried: &tried,
            cap: 0,
            hash: None,
            now: self.instant(),
        };
        let pick = self
            .cluster
            .balancer
            .pick(&self.cluster.set, &mut self.cursor, &input);
        let Pick::Endpoint(ix) = pick else {
            self.refused += 1;
            return;
        };
        let endpoint = self.endpoint(ix);
        let visit = self
            .cluster
            .visit(&endpoint)
            .expect("picked, so nobody is on trial");
        let story = &mut self.stories[ix.0 as usize];
        story.asked += 1;
        if visit == Visit::Trial {
            story.on_trial += 1;
            assert_eq!(story.on_trial, 1, "one at a time");
        }
        let failed = self.rng.f64() < self.failing[ix.0 as usize];
        // Failures come quicker than answers, as a full queue or a closed port do.
        let took = if failed { 1 } else { self.rng.u64(5..15) };
        self.running.push(Reverse(Running {
            ends: self.now + took,
            number: self.arrivals,
            ix,
            visit,
            failed,
            _held: InFlight::begin(&endpoint.state),
        }));
    }

    fn end(&mut self, done: &Running) {
        let endpoint = self.endpoint(done.ix);
        if done.visit == Visit::Trial {
            self.stories[done.ix.0 as usize].on_trial -= 1;
        }
        let now = self.moment();
        if done.failed {
            let chance = self.rng.f64();
            self.cluster
                .bad(&endpoint, done.visit, now, || chance, &self.cells);
        } else {
            self.cluster.good(&endpoint, done.visit, now, &self.cells);
        }
        self.look();
    }

    /// Writes down who is out.
    fn look(&mut self) {
        let mut out = 0;
        for (endpoint, story) in self.cluster.set.iter().zip(&mut self.stories) {
            let state = endpoint.state.circuit().state();
            let serving = state == State::Closed;
            out += usize::from(!serving);
            story.turns += u64::from(serving != story.serving);
            story.serving = serving;
            if !serving {
                story.first.get_or_insert(self.now);
            }
        }
        self.most_out = self.most_out.max(out);
    }
}

/// The bar: one of twenty that fails every other request is ejected within five seconds, nobody else is, and it
/// does not flap (E-204: one change in ten seconds at most).
#[test]
fn one_of_twenty_that_fails_half_is_found_and_does_not_flap() {
    let mut shares = 0.0;
    for seed in 0..SEEDS {
        let mut world = World::new(seed, "");
        world.failing[7] = 0.5;
        world.run(5_000, 2000.0);
        let story = world.stories[7];
        assert!(story.first.is_some(), "seed {seed}: not ejected in 5 s");
        world.run(55_000, 100.0);
        let story = world.stories[7];
        assert!(
            story.turns <= 6,
            "seed {seed}: {} changes in a minute",
            story.turns
        );
        for (at, other) in world.stories.iter().enumerate() {
            assert!(at == 7 || other.turns == 0, "seed {seed}: {at} was ejected");
        }
        assert_eq!(world.refused, 0, "seed {seed}");
        let share = story.asked as f64 / world.arrivals as f64 * COUNT as f64;
        assert!(share < 1.0, "seed {seed}: {share:.2} of its share");
        shares += share;
    }
    let mean = shares / SEEDS as f64;
    assert!(mean < 0.5, "{mean:.2} of its share");
}

/// Whatever fails how often: never more than the cap is out, and nobody is refused (E-206).
#[test]
fn never_more_than_the_cap_is_out() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, "outlier = { max_ejected = 30, ejection = '2s' }");
        let mut chance = fastrand::Rng::with_seed(seed ^ 0xfeed);
        for _ in 0..4 {
            for share in &mut world.failing {
                *share = chance.choice([0.0, 0.0, 0.1, 0.6, 1.0]).unwrap_or(0.0);
            }
            world.run(2_000, 400.0);
        }
        assert!(
            world.most_out <= 6,
            "seed {seed}: {} of 20 out",
            world.most_out
        );
        assert_eq!(world.refused, 0, "seed {seed}");
    }
}

/// After a failure of everything all come back, one request at a time each: nobody is met by a herd.
#[test]
fn everybody_comes_back_without_a_herd() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, "outlier = { ejection = '1s', max_ejection = '4s' }");
        world.failing = [1.0; COUNT];
        world.run(3_000, 400.0);
        assert_eq!(world.most_out, 10, "seed {seed}: half of them");
        world.failing = [0.0; COUNT];
        world.run(6_000, 400.0);
        let back = world.stories.iter().filter(|story| story.serving).count();
        assert_eq!(back, COUNT, "seed {seed}");
        assert_eq!(world.refused, 0);
    }
}

/// The slow one is found by its peers, and a cluster that is slow as a whole ejects nobody.
#[test]
fn times_are_compared_with_the_peers() {
    for seed in 0..SEEDS {
        let keys = "outlier = { latency = { min_requests = 20 } }";
        for (slow, ejected) in [(1, 1), (COUNT, 0)] {
            let mut world = World::new(seed, keys);
            for round in 0..60 {
                for at in 0..COUNT {
                    let ix = EndpointIx(u32::try_from(at).unwrap());
                    let (endpoint, now) = (world.endpoint(ix), world.moment());
                    let base = if at < slow { 100 } else { 10 };
                    let took = Duration::from_millis(base + world.rng.u64(0..5));
                    world.cluster.took(&endpoint, now, took);
                }
                world.now += 50;
                if round % 2 == 0 {
                    world.cluster.sweep(world.moment(), || 0.5, &world.cells);
                }
            }
            world.look();
            assert_eq!(world.most_out, ejected, "seed {seed}");
            assert_eq!(world.stories[0].serving, ejected == 0);
        }
    }
}
