//! The table: nothing lost, nothing grown, nothing admitted twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::limit::table::Table;

/// The key of a number: spread as a hash is.
fn key(n: u64) -> u128 {
    crate::base::hash::HashKey::from_seed("table").hash128(&n.to_le_bytes())
}

#[test]
fn a_table_is_a_map_of_meters() {
    let rule = rule(Algorithm::TokenBucket, 3, SECOND, 5, Over::Reject);
    let table = Table::<Bucket>::new(100_000);
    let mut map: HashMap<u64, Bucket> = HashMap::new();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut now = START;
    for _ in 0..200_000 {
        now += rng.u64(0..200);
        let n = rng.u64(0..20_000);
        let wanted = map.entry(n).or_default().take(&rule, 1, now);
        assert_eq!(table.take(key(n), &rule, 1, now), wanted);
    }
    assert_eq!(table.evicted(), 0);
    let tally = table.tally();
    assert_eq!(tally.allow + tally.deny, 200_000);
    now += 10 * SECOND;
    for n in 0..20_000 {
        table.take(key(1_000_000 + n), &rule, 1, now);
    }
    assert!(
        table.len() < 26_000,
        "what is done with goes: {}",
        table.len()
    );
}

#[test]
fn a_million_keys_fit_into_64_mib() {
    const KEYS: u64 = 1_000_000;
    let rule = rule(
        Algorithm::SlidingWindow,
        100,
        60 * SECOND,
        100,
        Over::Reject,
    );
    let table = Table::<SlidingWindow>::new(1_000_000);
    for n in 0..KEYS {
        table.take(key(n), &rule, 1, START);
    }
    assert_eq!((table.len() as u64, table.evicted()), (KEYS, 0));
    assert!(table.bytes() <= 64 << 20, "{} bytes", table.bytes());
    // As many again: nothing grows beyond the bound, and what was forgotten is counted.
    for n in KEYS..KEYS * 2 {
        table.take(key(n), &rule, 1, START);
    }
    assert!(table.bytes() <= 64 << 20, "{} bytes", table.bytes());
    assert_eq!(table.len() as u64 + table.evicted(), KEYS * 2);
}

#[test]
fn a_flood_of_new_keys_does_not_free_those_that_are_over() {
    let rule = rule(Algorithm::TokenBucket, 10, 3600 * SECOND, 10, Over::Reject);
    let table = Table::<Bucket>::new(10_000);
    let over: Vec<_> = (0..100).map(key).collect();
    for key in &over {
        for _ in 0..10 {
            table.take(*key, &rule, 1, START);
        }
    }
    for n in 0..200_000 {
        table.take(key(1000 + n), &rule, 1, START + n);
    }
    assert!(table.evicted() > 150_000);
    let freed = over
        .iter()
        .filter(|key| table.take(**key, &rule, 1, START + SECOND).outcome == Outcome::Pass);
    assert_eq!(freed.count(), 0);
    assert!(table.len() <= 10_000 * 9 / 8 + 256);
}

#[test]
fn workers_together_admit_what_one_would() {
    for algorithm in [
        Algorithm::TokenBucket,
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
        Algorithm::SlidingLog,
    ] {
        let rule = rule(algorithm, 1000, 3600 * SECOND, 1000, Over::Reject);
        let meters = Meters::new(algorithm, 1000);
        let passed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for worker in 0..4_u64 {
                let (rule, meters, passed) = (&rule, &meters, &passed);
                scope.spawn(move || {
                    for n in 0..5000 {
                        // Each has its own idea of the time.
                        let now = START + n + worker * 50;
                        let decision = meters.take(key(n % 4), rule, 1, now);
                        if decision.outcome == Outcome::Pass {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 4 * 1000, "{algorithm:?}");
    }
}

#[test]
fn what_was_cleared_is_new() {
    let rule = rule(Algorithm::FixedWindow, 1, 3600 * SECOND, 1, Over::Reject);
    let table = Table::<FixedWindow>::new(10);
    table.take(7, &rule, 1, START);
    assert_eq!(table.peek(7, |_| ()), Some(()));
    table.clear();
    assert!(table.is_empty() && table.peek(7, |_| ()).is_none());
    assert_eq!(
        table.take(0, &rule, 1, START).outcome,
        Outcome::Pass,
        "0 is a key like any"
    );
    assert!(table.with(0, &rule, START, |meter| meter.idle_at(&rule) > START));
}
