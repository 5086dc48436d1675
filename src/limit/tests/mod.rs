//! Every algorithm against a model that is too plain to be wrong, in virtual time.

mod model;
mod table;

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::meter::{Bucket, FixedWindow, Meter, Refused, SlidingLog, SlidingWindow};
use super::*;
use crate::base::scale::scaled;
use model::Model;

const SECOND: u64 = 1_000_000;
/// Some time in 2026.
const START: u64 = 1_790_000_000 * SECOND;

fn rule(algorithm: Algorithm, rate: u64, per: u64, burst: u64, over: Over) -> Rule {
    Rule::new(algorithm, rate, per, burst, over).unwrap()
}

/// What an algorithm is driven with: a pause before each request, and its cost.
type Trace = Vec<(u64, u32)>;

/// Pauses around the marks of a rule: nothing, a few microseconds, the time of a unit, the period, and far jumps.
fn trace(rate: u64, per: u64) -> impl Strategy<Value = Trace> {
    let unit = per / rate;
    let pause = prop_oneof![
        4 => Just(0),
        2 => 0..4_u64,
        3 => (0..=2_u64).prop_map(move |d| (unit + d).saturating_sub(1)),
        2 => 0..=unit * 3,
        1 => (0..=2_u64).prop_map(move |d| (per + d).saturating_sub(1)),
        1 => 0..=per * 2,
        1 => Just(86_400 * SECOND),
    ];
    let cost = prop_oneof![6 => Just(1_u32), 1 => 1..4_u32];
    prop::collection::vec((pause, cost), 1..40)
}

fn numbers() -> impl Strategy<Value = (u64, u64, u64)> {
    let rate = prop_oneof![1..12_u64, Just(97), Just(1000), Just(999_983)];
    let per = prop_oneof![
        Just(1000_u64),
        Just(SECOND),
        Just(60 * SECOND),
        1..5000_u64,
        Just(86_400 * SECOND),
    ];
    (rate, per, 1..9_u64)
}

/// Runs a trace through a meter and its model; they must say the same, word for word.
fn agree<M: Meter>(rule: &Rule, trace: &Trace) {
    let (mut meter, mut model, mut now) = (M::default(), Model::new(rule), START);
    for (step, &(pause, cost)) in trace.iter().enumerate() {
        now += pause;
        let found = meter.take(rule, cost, now);
        let wanted = model.take(cost, now);
        assert_eq!(found, wanted, "step {step} at +{}: {rule:?}", now - START);
    }
    let idle = meter.idle_at(rule).max(now);
    assert_eq!(
        meter.take(rule, 1, idle),
        M::default().take(rule, 1, idle),
        "as good as new when it says so"
    );
}

/// 10^5 traces over all algorithms and modes; at full scale for each of them.
const TRACES: u32 = 12_500;
const ALL_TRACES: u32 = 100_000;

fn config() -> Config {
    Config {
        cases: scaled(TRACES, ALL_TRACES),
        failure_persistence: None,
        ..Config::default()
    }
}

macro_rules! agrees {
    ($($name:ident: $meter:ty, $algorithm:ident, $over:expr;)*) => {
        proptest! {
            #![proptest_config(config())]
            $(
                #[test]
                fn $name((rule, trace) in numbers().prop_flat_map(|(rate, per, burst)| {
                    let over: fn(u64) -> Over = $over;
                    let rule = rule(Algorithm::$algorithm, rate, per, burst, over(per));
                    (Just(rule), trace(rate, per))
                })) {
                    agree::<$meter>(&rule, &trace);
                }
            )*
        }
    };
}

agrees! {
    token_bucket_is_exact: Bucket, TokenBucket, |_| Over::Reject;
    token_bucket_delays_exactly: Bucket, TokenBucket, |per| Over::Delay(per / 3 + 1);
    leaky_bucket_is_exact: Bucket, LeakyBucket, |_| Over::Reject;
    fixed_window_is_exact: FixedWindow, FixedWindow, |_| Over::Reject;
    fixed_window_delays_exactly: FixedWindow, FixedWindow, |per| Over::Delay(per * 2);
    sliding_window_is_its_formula: SlidingWindow, SlidingWindow, |_| Over::Reject;
    sliding_log_is_exact: SlidingLog, SlidingLog, |_| Over::Reject;
    sliding_log_delays_exactly: SlidingLog, SlidingLog, |per| Over::Delay(per / 2);
}

fn passed<M: Meter>(rule: &Rule, times: impl IntoIterator<Item = u64>) -> usize {
    let mut meter = M::default();
    let passes = |now: u64| meter.take(rule, 1, now).outcome == Outcome::Pass;
    times
        .into_iter()
        .map(passes)
        .filter(|passed| *passed)
        .count()
}

#[test]
fn ninety_and_ninety_over_an_edge() {
    let edge = START - START % (60 * SECOND) + 60 * SECOND;
    let times = || {
        (0..90)
            .map(|n| edge - 1000 + n)
            .chain((0..90).map(|n| edge + 1000 + n))
    };
    let of = |algorithm| rule(algorithm, 100, 60 * SECOND, 100, Over::Reject);
    let fixed = passed::<FixedWindow>(&of(Algorithm::FixedWindow), times());
    assert_eq!(fixed, 180, "a fixed window sees two windows");
    let sliding = passed::<SlidingWindow>(&of(Algorithm::SlidingWindow), times());
    assert_eq!(sliding, 100, "a sliding window sees one period");
    let log = passed::<SlidingLog>(&of(Algorithm::SlidingLog), times());
    assert_eq!(log, 100);
}

#[test]
fn a_token_bucket_lets_a_burst_of_twice_and_thrice_the_rate_go() {
    for times in [2, 3] {
        let rule = rule(
            Algorithm::TokenBucket,
            100,
            SECOND,
            100 * times,
            Over::Reject,
        );
        let at_once = passed::<Bucket>(&rule, std::iter::repeat_n(START, 1000));
        assert_eq!(at_once as u64, 100 * times);
        // Ten seconds of twice the rate: the burst, and then what comes back.
        let steady = passed::<Bucket>(&rule, (0..2000).map(|n| START + n * 5000));
        assert_eq!(steady as u64, 100 * times + 999);
    }
}

#[test]
fn a_leaky_bucket_spaces_what_comes_at_once() {
    let rule = rule(Algorithm::LeakyBucket, 10, SECOND, 5, Over::Reject);
    let mut meter = Bucket::default();
    let outcomes: Vec<_> = (0..6)
        .map(|_| meter.take(&rule, 1, START).outcome)
        .collect();
    let waits = [0, 100_000, 200_000, 300_000, 400_000];
    assert_eq!(outcomes[0], Outcome::Pass);
    for (outcome, wait) in outcomes[1..5].iter().zip(&waits[1..]) {
        assert_eq!(*outcome, Outcome::Delay(*wait));
    }
    assert_eq!(outcomes[5], Outcome::Deny(100_000), "the queue is full");
}

/// The worst case that `docs/filters/rate_limit.md` states: what the estimate lets through in one period.
#[test]
fn two_windows_never_let_twice_the_rate_through() {
    for rate in [1, 2, 10, 100] {
        let rule = rule(Algorithm::SlidingWindow, rate, SECOND, rate, Over::Reject);
        let start = START - START % SECOND;
        let (mut meter, mut passes) = (SlidingWindow::default(), Vec::new());
        // All at the end of one window, and then as soon as anything may.
        let mut now = start + SECOND - 1;
        while now < start + 3 * SECOND {
            match meter.take(&rule, 1, now).outcome {
                Outcome::Deny(wait) => now += wait,
                _ => passes.push(now),
            }
        }
        let most = passes
            .iter()
            .map(|from| {
                let until = from + SECOND;
                passes
                    .iter()
                    .filter(|at| (from..&until).contains(at))
                    .count() as u64
            })
            .max()
            .unwrap();
        assert!(most < 2 * rate || rate == 1, "{most} in a period at {rate}");
        assert!(most >= rate, "{most} at {rate}");
    }
}

#[test]
fn a_time_of_before_gives_nothing_back() {
    fn never_more<M: Meter>(rule: &Rule) {
        let mut meter = M::default();
        let jumps = [0, 5, 3, 1, 0, 5, 5, 2];
        let times = jumps.iter().cycle().take(400);
        let passes = times
            .filter(|&&jump| meter.take(rule, 1, START + jump * 1000).outcome == Outcome::Pass)
            .count();
        assert!(passes <= rule.rate() as usize, "{passes}: {rule:?}");
    }
    let of = |algorithm| rule(algorithm, 10, 3600 * SECOND, 10, Over::Reject);
    never_more::<Bucket>(&of(Algorithm::TokenBucket));
    never_more::<FixedWindow>(&of(Algorithm::FixedWindow));
    never_more::<SlidingWindow>(&of(Algorithm::SlidingWindow));
    never_more::<SlidingLog>(&of(Algorithm::SlidingLog));
}

/// A reload may change every number under a meter: whatever they become, nothing overflows and the new limit holds
/// after one period.
#[test]
fn numbers_may_change_under_a_meter() {
    fn change<M: Meter>(algorithm: Algorithm) {
        let rules = [
            rule(
                algorithm,
                1_000_000_000,
                SECOND,
                1_000_000_000,
                Over::Reject,
            ),
            rule(algorithm, 1, 3600 * SECOND, 1, Over::Reject),
            rule(algorithm, 5, 60 * SECOND, 5, Over::Reject),
        ];
        let mut meter = M::default();
        let mut now = START;
        for round in 0..30 {
            for rule in &rules {
                for cost in [1, 3, rule.capacity().min(1000)] {
                    meter.take(rule, cost, now);
                }
                now += 7919 * (round + 1);
            }
        }
        let last = &rules[2];
        now += 100 * 3600 * SECOND;
        let passes = (0..100)
            .filter(|_| meter.take(last, 1, now).outcome == Outcome::Pass)
            .count();
        assert_eq!(passes, 5, "{algorithm:?}");
    }
    change::<Bucket>(Algorithm::TokenBucket);
    change::<FixedWindow>(Algorithm::FixedWindow);
    change::<SlidingWindow>(Algorithm::SlidingWindow);
    change::<SlidingLog>(Algorithm::SlidingLog);
}

#[test]
fn numbers_that_are_no_limit_are_refused() {
    use Algorithm::{FixedWindow, SlidingWindow, TokenBucket};
    let of = |algorithm, rate, per, burst| Rule::new(algorithm, rate, per, burst, Over::Reject);
    assert_eq!(of(TokenBucket, 0, 1, 1), Err(RuleError::Rate));
    assert_eq!(
        of(TokenBucket, rule::MAX_RATE + 1, 1, 1),
        Err(RuleError::Rate)
    );
    assert_eq!(of(TokenBucket, 1, 0, 1), Err(RuleError::Period));
    assert_eq!(of(TokenBucket, 1, 1, 0), Err(RuleError::Burst));
    assert_eq!(
        of(TokenBucket, 1, rule::MAX_REFILL, 2),
        Err(RuleError::Refill)
    );
    assert_eq!(
        of(SlidingWindow, 1_000_000_000, 1000, 1).map(|_| ()),
        Ok(())
    );
    assert_eq!(
        of(SlidingWindow, 1_000_000, 86_400 * SECOND, 1)
            .unwrap()
            .grain(),
        1000
    );
    assert_eq!(
        of(SlidingWindow, 1_000_000_000, 7 * SECOND + 1, 1),
        Err(RuleError::Window)
    );
    assert_eq!(
        of(FixedWindow, 3, 1, 0).unwrap().capacity(),
        3,
        "no burst apart"
    );
}

/// What a store said of one refusal holds for those after it: how long to wait, and when the quota is whole, each by its own clock.
#[test]
fn a_refusal_that_is_remembered_tells_what_was_told() {
    let mut refused = Refused::default();
    refused.note(2, START, 20 * SECOND, 60 * SECOND);
    let later = START + 5 * SECOND;
    let rule = rule(Algorithm::FixedWindow, 3, 60 * SECOND, 3, Over::Reject);
    assert_eq!(
        refused.take(&rule, 2, later),
        Decision {
            outcome: Outcome::Deny(15 * SECOND),
            remaining: 0,
            reset: 55 * SECOND,
        }
    );
    assert_eq!(
        refused.left(1, later),
        None,
        "a smaller cost may still pass"
    );
    assert_eq!(refused.left(2, START + 20 * SECOND), None);
}
