//! The line: order, calls that nobody answers, and a cluster of a few places under three times its load.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Call, Line, Mode, Ticket};
use crate::base::clock::{self, Instant};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Who was called by this call, in the order in which it is told; a bell is rung with the ticket.
struct Bells {
    line: Line<Option<Ticket>>,
    now: Instant,
}

impl Bells {
    fn new() -> Self {
        Self {
            line: Line::default(),
            now: clock::now(),
        }
    }

    fn join(&mut self) -> Ticket {
        let ticket = self.line.join(TIMEOUT, self.now, &mut Vec::new());
        assert_eq!(self.answer(ticket), None);
        ticket
    }

    fn answer(&mut self, ticket: Ticket) -> Option<Call> {
        self.line.answer(ticket, |bell| *bell = Some(ticket))
    }

    fn call(&mut self, call: Call) -> Vec<Ticket> {
        let mut told = Vec::new();
        self.line.call(call, self.now, &mut told);
        told.into_iter().flatten().collect()
    }

    fn leave(&mut self, ticket: Ticket) -> Option<Call> {
        self.line.leave(ticket, self.now, &mut Vec::new())
    }
}

#[test]
fn first_come_first_called_and_a_look_in_vain_costs_no_turn() {
    let mut bells = Bells::new();
    let [a, b, c] = [bells.join(), bells.join(), bells.join()];
    assert_eq!(bells.call(Call::Place), [a]);
    assert_eq!(bells.call(Call::Place), [b]);
    assert_eq!(bells.answer(a), Some(Call::Place));
    // It found nothing: it is still the first.
    assert_eq!(bells.answer(a), None);
    assert_eq!(bells.call(Call::Place), [a]);
    assert_eq!(bells.answer(a), Some(Call::Place));
    assert_eq!(bells.leave(a), None, "it answered its call");
    assert_eq!(bells.leave(b), Some(Call::Place), "it did not");
    assert_eq!(bells.call(Call::Place), [c]);
    assert_eq!(bells.leave(c), Some(Call::Place));
    assert!(bells.line.is_empty());
    assert_eq!(bells.call(Call::Place), []);
}

/// A burst that can be served within the timeout is served in order, however long it is and although the line was full.
#[test]
fn a_burst_is_not_an_overload() {
    let mut bells = Bells::new();
    let all: Vec<_> = (0..1000).map(|_| bells.join()).collect();
    bells.line.refuse(bells.now);
    for ticket in all {
        bells.now += Duration::from_millis(4);
        assert_eq!(bells.call(Call::Place), [ticket]);
        bells.leave(ticket);
    }
    assert_eq!(bells.line.mode(), Mode::Calm);
}

/// A line that is always there and refuses nobody is served in order for ever.
#[test]
fn a_long_line_that_refuses_nobody_is_not_an_overload() {
    let mut bells = Bells::new();
    let mut waiting: Vec<_> = (0..5).map(|_| bells.join()).collect();
    for _ in 0..1000 {
        bells.now += Duration::from_millis(600);
        let first = waiting.remove(0);
        assert_eq!(bells.call(Call::Place), [first]);
        bells.leave(first);
        waiting.push(bells.join());
    }
    assert_eq!(bells.line.mode(), Mode::Calm);
}

/// A cluster of so many places, each taken for `service`, with as many arrivals a second as `rate` in a run of virtual time.
struct Cluster {
    places: usize,
    service: Duration,
    size: usize,
    timeout: Duration,
}

#[derive(Debug, Default)]
struct Outcome {
    served: usize,
    /// Waits of those that were served and of those that were refused, from the second half of the run.
    waits: Vec<Duration>,
    refusals: Vec<Duration>,
    mode: Mode,
}

impl Outcome {
    fn quantile(mut waits: Vec<Duration>, share: f64) -> Duration {
        waits.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a position in a list"
        )]
        let at = (waits.len() as f64 * share) as usize;
        waits
            .get(at)
            .or_else(|| waits.last())
            .copied()
            .unwrap_or_default()
    }
}

impl Cluster {
    /// Arrivals by chance at `load` times the capacity for `time`.
    fn run(&self, load: f64, time: Duration, seed: u64) -> Outcome {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (start, mut outcome) = (clock::now(), Outcome::default());
        let mut line: Line<Option<Ticket>> = Line::default();
        let mut waiting: BTreeMap<Ticket, Instant> = BTreeMap::new();
        let mut busy: BTreeSet<(Instant, usize)> = BTreeSet::new();
        let gap = self.service.as_secs_f64() / self.places as f64 / load;
        let (mut arrival, mut number) = (start, 0);
        while arrival < start + time {
            let free = busy.first().map(|&(at, _)| at);
            let now = free.map_or(arrival, |free| free.min(arrival));
            let late = now > start + time / 2;
            let mut told = Vec::new();
            while let Some(first) = waiting.first_entry()
                && now.duration_since(*first.get()) >= self.timeout
            {
                let (ticket, _) = first.remove_entry();
                line.refuse(now);
                line.leave(ticket, now, &mut told);
                if late {
                    outcome.refusals.push(self.timeout);
                }
            }
            number += 1;
            if now == arrival {
                arrival += Duration::from_secs_f64(-gap * (1.0 - rng.f64()).ln());
                if busy.len() < self.places && waiting.is_empty() {
                    busy.insert((now + self.service, number));
                    outcome.served += 1;
                } else if waiting.len() >= self.size {
                    line.refuse(now);
                    if late {
                        outcome.refusals.push(Duration::ZERO);
                    }
                } else {
                    let ticket = line.join(self.timeout, now, &mut told);
                    line.answer(ticket, |bell| *bell = Some(ticket));
                    waiting.insert(ticket, now);
                }
            } else {
                busy.pop_first();
                line.call(Call::Place, now, &mut told);
            }
            while let Some(ticket) = told.pop() {
                let ticket = ticket.unwrap();
                // Its time was up at the very same moment.
                let Some(since) = waiting.remove(&ticket) else {
                    continue;
                };
                let waited = now.duration_since(since);
                match line.answer(ticket, |_| {}).unwrap() {
                    Call::GiveUp => {
                        line.refuse(now);
                        if late {
                            outcome.refusals.push(waited);
                        }
                    }
                    Call::Place | Call::Chance => {
                        busy.insert((now + self.service, number));
                        outcome.served += 1;
                        if late {
                            outcome.waits.push(waited);
                        }
                    }
                }
                line.leave(ticket, now, &mut told);
            }
        }
        outcome.mode = line.mode();
        outcome
    }
}

/// F-32: at three times the capacity the places stay busy, those that are served wait for a short time, and so do those
/// that are refused.
#[test]
fn overload_keeps_the_goodput_and_the_waits_short() {
    let millis = Duration::from_millis;
    for (places, service, size, timeout) in [
        (10, 20, 1024, 500),
        (10, 20, 5000, 3000),
        (2, 100, 1024, 2000),
        (40, 20, 10_000, 500),
        (1, 50, 1024, 3000),
    ] {
        let cluster = Cluster {
            places,
            service: millis(service),
            size,
            timeout: millis(timeout),
        };
        for seed in 0..8 {
            let time = cluster.timeout * 8;
            let outcome = cluster.run(3.0, time, seed);
            let peak = time.as_secs_f64() / cluster.service.as_secs_f64() * places as f64;
            let share = outcome.served as f64 / peak;
            assert!(share >= 0.9, "{share} of {peak}, {places} × {service}");
            assert_eq!(outcome.mode, Mode::Overloaded);
            // One that is the newest may stay until a newer one comes.
            let bound = cluster.timeout / 10 + cluster.service;
            let worst = Outcome::quantile(outcome.waits, 0.99);
            assert!(
                worst <= bound,
                "served: {worst:?} over {bound:?}, {places} × {service}"
            );
            let worst = Outcome::quantile(outcome.refusals, 0.99);
            assert!(
                worst <= bound,
                "refused: {worst:?} over {bound:?}, {places} × {service}"
            );
        }
    }
}

/// A small queue never gets there: it refuses at the door, and whoever is inside is served in order.
#[test]
fn a_small_queue_refuses_at_once() {
    let cluster = Cluster {
        places: 10,
        service: Duration::from_millis(20),
        size: 10,
        timeout: Duration::from_secs(1),
    };
    for seed in 0..64 {
        let outcome = cluster.run(3.0, Duration::from_secs(8), seed);
        assert!(outcome.served >= 8 * 500 * 9 / 10, "{}", outcome.served);
        assert_eq!(outcome.mode, Mode::Calm);
        assert_eq!(Outcome::quantile(outcome.refusals, 1.0), Duration::ZERO);
    }
}

/// When the load is gone so is the overload: the next who come are served in order.
#[test]
fn an_overload_ends() {
    let mut bells = Bells::new();
    // More than can be served, until the line says so.
    for step in 0..2000 {
        bells.now += Duration::from_millis(10);
        bells.join();
        if step % 3 == 0 {
            bells.line.refuse(bells.now);
            if let Some(&called) = bells.call(Call::Place).last() {
                bells.leave(called);
            }
        }
    }
    assert_eq!(bells.line.mode(), Mode::Overloaded);
    while let Some(&called) = bells.call(Call::Place).last() {
        bells.leave(called);
    }
    bells.now += TIMEOUT / 2;
    let [a, b] = [bells.join(), bells.join()];
    assert_eq!(bells.line.mode(), Mode::Calm);
    assert_eq!(bells.call(Call::Place), [a]);
    assert_eq!(bells.call(Call::Place), [b]);
}
