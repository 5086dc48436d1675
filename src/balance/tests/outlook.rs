//! Panics and slow starts: who is picked while few are left, and how much those get who come back.

use std::sync::Arc;
use std::time::Duration;

use super::super::*;
use super::{endpoint, input, set};
use crate::base::clock;
use crate::endpoint::{Admin, Endpoint, EndpointState};
use crate::health::{HealthPolicy, Observation, Status};

const ALL: [Algorithm; 8] = [
    Algorithm::RoundRobin,
    Algorithm::Random,
    Algorithm::LeastRequest,
    Algorithm::LeastConnections,
    Algorithm::LeastTime,
    Algorithm::RingHash {
        vnodes: 160,
        load_factor: None,
    },
    Algorithm::Maglev { table_size: 4_093 },
    Algorithm::Rendezvous,
];

/// An endpoint with a health of its own.
fn judged(port: usize, tier: u8, status: Status) -> Arc<Endpoint> {
    let plain = Arc::into_inner(endpoint(port, 1, tier)).unwrap();
    Arc::new(Endpoint {
        health: Some(plain.state.health_cell(1, status)),
        ..plain
    })
}

fn pool(healthy: usize, unhealthy: usize) -> EndpointSet {
    let status = |port| {
        if port < healthy {
            Status::Healthy
        } else {
            Status::Unhealthy
        }
    };
    let make = |port| judged(port, 0, status(port));
    EndpointSet::new((0..healthy + unhealthy).map(make).collect())
}

struct Rig<'a> {
    set: &'a EndpointSet,
    balancer: Balancer,
    cursor: Cursor,
    start: Instant,
}

impl<'a> Rig<'a> {
    fn new(algorithm: Algorithm, set: &'a EndpointSet, policy: Policy) -> Self {
        Self {
            set,
            balancer: Balancer::new(algorithm, set, HashKey::from_seed("test")).under(policy),
            cursor: Cursor::with_seed(1),
            start: clock::now(),
        }
    }

    fn pick(&mut self, after: Duration, number: u64) -> Pick {
        let tried = Tried::new();
        let input = PickInput {
            now: self.start + after,
            hash: Some(HashKey::from_seed("key").hash(&number.to_le_bytes())),
            ..input(&tried)
        };
        self.balancer.pick(self.set, &mut self.cursor, &input)
    }

    fn shares(&mut self, after: Duration, picks: u64) -> Vec<u32> {
        let mut shares = vec![0; self.set.len()];
        for number in 0..picks {
            match self.pick(after, number) {
                Pick::Endpoint(ix) => shares[ix.0 as usize] += 1,
                other => panic!("{other:?}"),
            }
        }
        shares
    }
}

fn threshold(panic_threshold: u8) -> Policy {
    Policy {
        panic_threshold,
        ..Policy::default()
    }
}

fn ramp(seconds: u64) -> Policy {
    Policy {
        slow_start: Duration::from_secs(seconds),
        ..Policy::default()
    }
}

fn state(set: &EndpointSet, ix: u32) -> &EndpointState {
    &set.endpoint(EndpointIx(ix)).unwrap().state
}

#[test]
fn below_the_threshold_everybody_is_asked_but_those_an_operator_took_out() {
    for algorithm in ALL {
        let set = pool(2, 4);
        state(&set, 5).set_admin(Admin::Disabled);
        // Two of five are 40 %: the disabled one does not count.
        let calm = Rig::new(algorithm, &set, threshold(40)).shares(Duration::ZERO, 600);
        assert_eq!(calm[2..], [0; 4], "{algorithm:?}");
        let panic = Rig::new(algorithm, &set, threshold(41)).shares(Duration::ZERO, 600);
        assert!(
            panic[..5].iter().all(|&share| share > 0),
            "{algorithm:?}: {panic:?}"
        );
        assert_eq!(panic[5], 0, "{algorithm:?}");
    }
}

#[test]
fn with_nobody_left_the_threshold_decides() {
    for algorithm in ALL {
        let set = pool(0, 3);
        assert_eq!(
            Rig::new(algorithm, &set, threshold(0)).pick(Duration::ZERO, 1),
            Pick::None
        );
        let mut open = Rig::new(algorithm, &set, threshold(1));
        assert!(
            matches!(open.pick(Duration::ZERO, 1), Pick::Endpoint(_)),
            "{algorithm:?}"
        );
        for ix in 0..3 {
            state(&set, ix).set_admin(Admin::Drain);
        }
        assert_eq!(
            open.pick(Duration::from_secs(1), 1),
            Pick::None,
            "{algorithm:?}"
        );
    }
}

#[test]
fn a_panic_begins_at_once_and_ends_soon() {
    let set = pool(4, 0);
    let mut rig = Rig::new(Algorithm::RoundRobin, &set, threshold(50));
    assert!(matches!(rig.pick(Duration::ZERO, 0), Pick::Endpoint(_)));
    let fall = |status| {
        for endpoint in set.iter() {
            let cell = endpoint.health.as_ref().unwrap();
            let seen = if status == Status::Healthy {
                Observation::Pass
            } else {
                Observation::Fail
            };
            for _ in 0..3 {
                cell.observe(seen, &POLICY);
            }
        }
    };
    fall(Status::Unhealthy);
    // The count of a moment ago said that all was well.
    assert!(matches!(
        rig.pick(Duration::from_millis(1), 0),
        Pick::Endpoint(_)
    ));
    assert!(rig.balancer.panics(&set, rig.start));
    fall(Status::Healthy);
    assert!(matches!(
        rig.pick(Duration::from_millis(200), 0),
        Pick::Endpoint(_)
    ));
    assert_eq!(rig.cursor.outlook.mood(), Mood::Calm);
}

const POLICY: HealthPolicy = HealthPolicy {
    interval: Duration::from_secs(1),
    failing_interval: Duration::from_secs(1),
    timeout: Duration::from_secs(1),
    max_response_time: Duration::ZERO,
    rise: 1,
    fall: 1,
    jitter: 0.0,
    initial: Status::Healthy,
};

#[test]
fn a_backup_that_is_whole_helps_before_there_is_a_panic() {
    for algorithm in ALL {
        let mut endpoints: Vec<_> = (0..3)
            .map(|port| {
                judged(
                    port,
                    0,
                    if port == 0 {
                        Status::Healthy
                    } else {
                        Status::Unhealthy
                    },
                )
            })
            .collect();
        endpoints.push(judged(3, 1, Status::Healthy));
        let set = EndpointSet::new(endpoints);
        let without = Rig::new(algorithm, &set, threshold(0)).shares(Duration::ZERO, 50);
        assert_eq!(without, [50, 0, 0, 0], "{algorithm:?}");
        let with = Rig::new(algorithm, &set, threshold(50)).shares(Duration::ZERO, 50);
        assert_eq!(with, [0, 0, 0, 50], "{algorithm:?}");
    }
}

/// E-203: in its first second one of twenty that came back gets at most a fifth of its share; later all of it.
#[test]
fn who_comes_back_starts_slowly_and_ends_with_its_share() {
    for algorithm in ALL {
        let set = set(&[1; 20]);
        let mut rig = Rig::new(algorithm, &set, ramp(30));
        rig.shares(Duration::ZERO, 10);
        state(&set, 7).set_admin(Admin::Disabled);
        rig.shares(Duration::from_mins(1), 10);
        state(&set, 7).set_admin(Admin::Ready);
        let back = Duration::from_secs(61);
        let first = rig.shares(back, 20_000)[7];
        let first = first.max(rig.shares(back + Duration::from_secs(1), 20_000)[7]);
        assert!(first <= 300, "{algorithm:?}: {first} where 1000 are fair");
        let whole = rig.shares(back + Duration::from_secs(40), 20_000)[7];
        assert!((600..1_500).contains(&whole), "{algorithm:?}: {whole}");
    }
}

/// With a ramp for everybody there is none: the start of a process, or the end of an outage of all.
#[test]
fn when_all_come_at_once_nobody_is_slow() {
    for algorithm in ALL {
        let set = set(&[1; 4]);
        let ramped = Rig::new(algorithm, &set, ramp(30)).shares(Duration::ZERO, 4_000);
        let plain = Rig::new(algorithm, &set, Policy::default()).shares(Duration::ZERO, 4_000);
        assert_eq!(ramped, plain, "{algorithm:?}");
    }
}

/// However cold, the only one left serves.
#[test]
fn one_that_is_cold_is_better_than_none() {
    for algorithm in ALL {
        let set = set(&[1; 2]);
        let mut rig = Rig::new(algorithm, &set, ramp(30));
        rig.shares(Duration::ZERO, 4);
        state(&set, 0).set_admin(Admin::Disabled);
        rig.shares(Duration::from_mins(1), 4);
        state(&set, 0).set_admin(Admin::Ready);
        rig.shares(Duration::from_secs(61), 4);
        state(&set, 1).set_admin(Admin::Disabled);
        let left = rig.shares(Duration::from_millis(61_050), 100);
        assert_eq!(left, [100, 0], "{algorithm:?}");
    }
}

/// Which keys come back first does not depend on who asks.
#[test]
fn keys_come_back_in_the_same_order_everywhere() {
    let set = set(&[1; 5]);
    for algorithm in [ALL[5], ALL[6], ALL[7]] {
        let mut one = Rig::new(algorithm, &set, ramp(30));
        let mut two = Rig::new(algorithm, &set, ramp(30));
        two.cursor = Cursor::with_seed(2);
        two.start = one.start;
        one.shares(Duration::ZERO, 1);
        state(&set, 2).set_admin(Admin::Disabled);
        one.shares(Duration::from_mins(1), 1);
        state(&set, 2).set_admin(Admin::Ready);
        one.shares(Duration::from_secs(61), 1);
        let mut before = 0;
        for second in [61, 66, 76, 92] {
            let after = Duration::from_secs(second);
            let back = one.shares(after, 2_000);
            assert_eq!(back, two.shares(after, 2_000), "{algorithm:?}");
            assert!(back[2] >= before, "{algorithm:?}: a key left again");
            before = back[2];
        }
    }
}
