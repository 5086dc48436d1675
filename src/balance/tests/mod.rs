mod hash;
mod outlook;
mod simulation;
mod zones;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::base::{ClusterName, EndpointAddr, clock};
use crate::endpoint::{
    Admin, ConnectionSlot, Endpoint, EndpointKey, EndpointState, InFlight, Origin, Outcome, Seen,
};
use crate::upstream::ConnectSpec;

/// Those that pick by key do it by chance here: no request has one.
const ALL: [Algorithm; 8] = [
    Algorithm::RingHash {
        vnodes: 20,
        load_factor: None,
    },
    Algorithm::Maglev { table_size: 251 },
    Algorithm::Rendezvous,
    Algorithm::LeastTime,
    Algorithm::RoundRobin,
    Algorithm::Random,
    Algorithm::LeastRequest,
    Algorithm::LeastConnections,
];

/// An endpoint named by its port.
fn endpoint(port: usize, weight: u32, tier: u8) -> Arc<Endpoint> {
    let addr = EndpointAddr::parse(&format!("127.0.0.1:{}", port + 1)).unwrap();
    Arc::new(Endpoint {
        text: addr.to_string().into(),
        spec: Arc::new(ConnectSpec {
            addr: addr.clone(),
            protocol: crate::upstream::Protocol::Http1,
            preface: None,
            tls: None,
            socket: crate::upstream::SocketSpec::default(),
        }),
        key: EndpointKey {
            cluster: ClusterName::parse("c").unwrap(),
            addr,
        },
        weight,
        admin: Admin::Ready,
        origin: Origin::default(),
        tier,
        health: None,
        state: Arc::new(EndpointState::default()),
    })
}

fn set(weights: &[u32]) -> EndpointSet {
    let numbered = weights.iter().enumerate();
    EndpointSet::new(numbered.map(|(port, &w)| endpoint(port, w, 0)).collect())
}

fn disable(set: &EndpointSet, ix: u32) {
    let endpoint = set.endpoint(EndpointIx(ix)).unwrap();
    endpoint.state.set_admin(Admin::Disabled);
}

fn input(tried: &Tried) -> PickInput<'_> {
    PickInput {
        tried,
        cap: 0,
        hash: None,
        now: clock::now(),
    }
}

fn pick_once(
    algorithm: Algorithm,
    set: &EndpointSet,
    cursor: &mut Cursor,
    input: &PickInput<'_>,
) -> Pick {
    made(algorithm, set).pick(set, cursor, input)
}

fn made(algorithm: Algorithm, set: &EndpointSet) -> Balancer {
    Balancer::new(algorithm, set, HashKey::from_seed("test"))
}

fn picked(balancer: Algorithm, set: &EndpointSet, cursor: &mut Cursor) -> usize {
    match pick_once(balancer, set, cursor, &input(&Tried::new())) {
        Pick::Endpoint(ix) => ix.0 as usize,
        other => panic!("{other:?}"),
    }
}

fn counts(algorithm: Algorithm, set: &EndpointSet, cursor: &mut Cursor, picks: u32) -> Vec<u32> {
    let mut counts = vec![0; set.len()];
    let balancer = made(algorithm, set);
    for _ in 0..picks {
        match balancer.pick(set, cursor, &input(&Tried::new())) {
            Pick::Endpoint(ix) => counts[ix.0 as usize] += 1,
            other => panic!("{other:?}"),
        }
    }
    counts
}

/// Pearson's statistic against the shares that `weights` ask for.
fn chi_square(counts: &[u32], weights: &[u32]) -> f64 {
    let picks: u32 = counts.iter().sum();
    let total: u32 = weights.iter().sum();
    let term = |(&count, &weight): (&u32, &u32)| {
        let expected = f64::from(picks) * f64::from(weight) / f64::from(total);
        (f64::from(count) - expected).powi(2) / expected.max(f64::MIN_POSITIVE)
    };
    counts.iter().zip(weights).map(term).sum()
}

#[test]
fn round_robin_is_exact_in_every_cycle() {
    for weights in [
        vec![1, 1, 1],
        vec![5, 1, 1],
        vec![1000, 1],
        vec![7, 3, 2, 900],
    ] {
        let set = set(&weights);
        let mut cursor = Cursor::with_seed(7);
        let cycle: u32 = weights.iter().sum();
        for _ in 0..5 {
            let counts = counts(Algorithm::RoundRobin, &set, &mut cursor, cycle);
            assert_eq!(counts, weights);
        }
    }
}

#[test]
fn round_robin_is_smooth() {
    let weights = [5, 3, 1];
    let set = set(&weights);
    for seed in 0..50 {
        let mut cursor = Cursor::with_seed(seed);
        let mut seen = [0u32; 3];
        for picks in 1..=90u32 {
            seen[picked(Algorithm::RoundRobin, &set, &mut cursor)] += 1;
            for (count, weight) in seen.iter().zip(weights) {
                let due = f64::from(picks) * f64::from(weight) / 9.0;
                let lead = (f64::from(*count) - due).abs();
                assert!(lead < 2.0, "seed {seed}, after {picks}: {seen:?}");
            }
        }
    }
}

#[test]
fn workers_do_not_march_in_step() {
    let set = set(&[1; 8]);
    let first = |seed| picked(Algorithm::RoundRobin, &set, &mut Cursor::with_seed(seed));
    let firsts: std::collections::HashSet<_> = (0..64).map(first).collect();
    assert!(firsts.len() >= 6, "{firsts:?}");
}

#[test]
fn round_robin_keeps_its_turns_over_a_reload() {
    let endpoints: Vec<_> = (0..4).map(|port| endpoint(port, 1, 0)).collect();
    let forward = EndpointSet::new(endpoints.clone());
    let reverse = EndpointSet::new(endpoints.iter().rev().cloned().collect());
    let mut cursor = Cursor::with_seed(3);
    let mut seen = vec![0; 4];
    // A reload after every pick, in another order each time: still every endpoint in its turn.
    for step in 0..400 {
        let (set, flip) = if step % 2 == 0 {
            (&forward, false)
        } else {
            (&reverse, true)
        };
        let ix = picked(Algorithm::RoundRobin, set, &mut cursor);
        seen[if flip { 3 - ix } else { ix }] += 1;
    }
    assert_eq!(seen, [100; 4]);
}

#[test]
fn a_cursor_copes_with_any_other_set() {
    let mut cursor = Cursor::with_seed(1);
    for weights in [vec![1, 2, 3], vec![4], vec![], vec![1; 50], vec![2, 2]] {
        let set = set(&weights);
        for balancer in ALL {
            let pick = pick_once(balancer, &set, &mut cursor, &input(&Tried::new()));
            assert_eq!(pick == Pick::None, weights.is_empty());
        }
    }
}

#[test]
fn who_comes_back_takes_its_share_at_once() {
    let set = set(&[2, 2, 1]);
    let mut cursor = Cursor::with_seed(5);
    disable(&set, 0);
    let without = counts(Algorithm::RoundRobin, &set, &mut cursor, 300);
    assert_eq!(without, [0, 200, 100]);
    set.endpoint(EndpointIx(0))
        .unwrap()
        .state
        .set_admin(Admin::Ready);
    let with = counts(Algorithm::RoundRobin, &set, &mut cursor, 50);
    assert!(with[0].abs_diff(20) <= 1, "{with:?}");
}

#[test]
fn draws_respect_the_weights() {
    // 99.99 % point of chi-square with three degrees of freedom.
    const BOUND: f64 = 21.11;
    for balancer in [
        Algorithm::Random,
        Algorithm::LeastRequest,
        Algorithm::LeastConnections,
        Algorithm::LeastTime,
    ] {
        for weights in [[1, 1, 1, 1], [10, 20, 30, 40], [1, 1, 500, 498]] {
            for seed in 0..4 {
                let set = set(&weights);
                let mut cursor = Cursor::with_seed(seed);
                let counts = counts(balancer, &set, &mut cursor, 40_000);
                let chi = chi_square(&counts, &weights);
                assert!(chi < BOUND, "{balancer:?} {weights:?} {counts:?} {chi}");
            }
        }
    }
}

#[test]
fn draws_respect_the_weights_of_what_is_left() {
    let weights: Vec<u32> = (0..100).map(|ix| ix % 7 + 1).collect();
    let set = set(&weights);
    // So many are gone that most picks end in the look at all of them.
    for ix in 3..100 {
        disable(&set, ix);
    }
    for balancer in ALL {
        let counts = counts(balancer, &set, &mut Cursor::with_seed(9), 30_000);
        let chi = chi_square(&counts[..3], &weights[..3]);
        assert!(chi < 18.42, "{balancer:?}: {:?}", &counts[..3]);
    }
}

#[test]
fn load_decides_in_proportion_to_the_weight() {
    let set = set(&[3, 1]);
    for balancer in [Algorithm::LeastRequest, Algorithm::LeastConnections] {
        let mut cursor = Cursor::with_seed(2);
        let mut held = Vec::new();
        let mut seen = [0u32; 2];
        for _ in 0..400 {
            let ix = picked(balancer, &set, &mut cursor);
            seen[ix] += 1;
            let endpoint = set
                .endpoint(EndpointIx(u32::try_from(ix).unwrap()))
                .unwrap();
            held.push(InFlight::begin(&endpoint.state));
        }
        assert!(seen[0].abs_diff(300) <= 2, "{balancer:?}: {seen:?}");
    }
}

#[test]
fn least_request_avoids_the_busy_one() {
    let set = set(&[1; 5]);
    let busy = &set.endpoint(EndpointIx(2)).unwrap().state;
    let _held: Vec<_> = (0..10).map(|_| InFlight::begin(busy)).collect();
    let counts = counts(
        Algorithm::LeastRequest,
        &set,
        &mut Cursor::with_seed(4),
        10_000,
    );
    assert_eq!(counts[2], 0, "two are always compared: {counts:?}");
}

fn see(set: &EndpointSet, ix: u32, took: u64, outcome: Outcome) {
    let took = Duration::from_millis(took);
    let at = clock::now();
    let endpoint = set.endpoint(EndpointIx(ix)).unwrap();
    endpoint.observe(&Seen { outcome, took, at });
}

const FINE: Outcome = Outcome::Answered {
    status: 200,
    retry_after: None,
};

#[test]
fn least_time_asks_who_would_answer_sooner() {
    let set = set(&[1; 5]);
    for ix in 0..5 {
        see(&set, ix, if ix == 2 { 100 } else { 10 }, FINE);
    }
    let mut cursor = Cursor::with_seed(4);
    let shares = counts(Algorithm::LeastTime, &set, &mut cursor, 10_000);
    assert_eq!(shares[2], 0, "two are always compared: {shares:?}");
    // Ten times slower, but the others have a queue of twenty each.
    let busy = [0, 1, 3, 4].map(|ix| &set.endpoint(EndpointIx(ix)).unwrap().state);
    let held = busy.map(|state| (0..20).map(|_| InFlight::begin(state)).collect::<Vec<_>>());
    let shares = counts(Algorithm::LeastTime, &set, &mut cursor, 10_000);
    assert!((3_500..4_500).contains(&shares[2]), "{shares:?}");
    drop(held);
}

#[test]
fn least_time_is_not_drawn_to_who_refuses_quickly() {
    let set = set(&[1; 4]);
    for ix in 0..4 {
        see(&set, ix, 10, FINE);
    }
    for _ in 0..50 {
        see(&set, 1, 0, Outcome::Failed);
    }
    let shares = counts(
        Algorithm::LeastTime,
        &set,
        &mut Cursor::with_seed(4),
        10_000,
    );
    assert_eq!(shares[1], 10_000 - shares[0] - shares[2] - shares[3]);
    assert!(shares[1] <= 2_500, "{shares:?}");
}

#[test]
fn least_time_heeds_a_retry_after_while_it_can() {
    let asks = Outcome::Answered {
        status: 503,
        retry_after: Some(Duration::from_secs(30)),
    };
    let set = set(&[1; 3]);
    see(&set, 0, 1, asks);
    let shares = counts(
        Algorithm::LeastTime,
        &set,
        &mut Cursor::with_seed(4),
        10_000,
    );
    assert_eq!(shares[0], 0, "{shares:?}");
    see(&set, 1, 1, asks);
    see(&set, 2, 1, asks);
    let shares = counts(
        Algorithm::LeastTime,
        &set,
        &mut Cursor::with_seed(4),
        10_000,
    );
    assert!(shares[0] > 0, "{shares:?}");
}

#[test]
fn who_has_not_answered_yet_gets_no_more_than_its_turn() {
    let set = set(&[1; 4]);
    for ix in 1..4 {
        see(&set, ix, 10, FINE);
    }
    let mut cursor = Cursor::with_seed(4);
    let mut held = Vec::new();
    let mut shares = [0u32; 4];
    for _ in 0..400 {
        let ix = picked(Algorithm::LeastTime, &set, &mut cursor);
        shares[ix] += 1;
        let ix = EndpointIx(u32::try_from(ix).unwrap());
        held.push(InFlight::begin(&set.endpoint(ix).unwrap().state));
    }
    assert!(shares[0].abs_diff(100) < 5, "{shares:?}");
}

#[test]
fn a_cap_makes_full_and_then_spills_over() {
    let endpoints = vec![endpoint(0, 1, 0), endpoint(1, 1, 1)];
    let set = EndpointSet::new(endpoints.clone());
    let tried = Tried::new();
    let capped = PickInput {
        tried: &tried,
        cap: 1,
        hash: None,
        now: clock::now(),
    };
    for balancer in ALL {
        let mut cursor = Cursor::with_seed(1);
        let first = ConnectionSlot::take(&endpoints[0].state, 1);
        assert!(first.is_some());
        let pick = pick_once(balancer, &set, &mut cursor, &capped);
        assert_eq!(pick, Pick::Endpoint(EndpointIx(1)), "the backup");
        let second = ConnectionSlot::take(&endpoints[1].state, 1);
        assert_eq!(pick_once(balancer, &set, &mut cursor, &capped), Pick::Full);
        drop((first, second));
        let pick = pick_once(balancer, &set, &mut cursor, &capped);
        assert_eq!(pick, Pick::Endpoint(EndpointIx(0)));
    }
}

#[test]
fn none_when_all_are_out() {
    let set = set(&[1; 40]);
    (0..40).for_each(|ix| disable(&set, ix));
    for balancer in ALL {
        let pick = pick_once(
            balancer,
            &set,
            &mut Cursor::with_seed(1),
            &input(&Tried::new()),
        );
        assert_eq!(pick, Pick::None);
    }
}

#[derive(Clone, Debug)]
struct Member {
    weight: u32,
    tier: u8,
    out: bool,
    tried: bool,
    load: u32,
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let member = (1..=1000u32, 0..3u8, any::<bool>(), any::<bool>(), 0..4u32);
    let member = member.prop_map(|(weight, tier, out, tried, load)| Member {
        weight,
        tier,
        out,
        tried,
        load,
    });
    prop::collection::vec(member, 0..40)
}

proptest! {
    /// Whatever the set: only the available are picked; of these the untried of the lowest tier first.
    #[test]
    fn picks_only_what_the_rules_allow(members in members(), seed in any::<u64>()) {
        let numbered = members.iter().enumerate();
        let set = EndpointSet::new(numbered.map(|(port, m)| endpoint(port, m.weight, m.tier)).collect());
        let mut tried = Tried::new();
        let mut held = Vec::new();
        for (ix, member) in (0u32..).zip(&members) {
            if member.out {
                disable(&set, ix);
            }
            if member.tried {
                tried.insert(EndpointIx(ix));
            }
            let state = &set.endpoint(EndpointIx(ix)).unwrap().state;
            held.extend((0..member.load).map(|_| InFlight::begin(state)));
        }
        let rank = |ix: u32| (tried.contains(EndpointIx(ix)), members[ix as usize].tier);
        let available = (0u32..).zip(&members).filter(|(_, member)| !member.out);
        let best = available.map(|(ix, _)| rank(ix)).min();
        for balancer in ALL {
            let mut cursor = Cursor::with_seed(seed);
            let balancer = made(balancer, &set);
            for number in 0..20 {
                let hash = (number % 2 == 0).then(|| HashKey::from_seed("key").hash(&[number]));
                let input = PickInput { hash, ..input(&tried) };
                match balancer.pick(&set, &mut cursor, &input) {
                    Pick::Endpoint(ix) => {
                        prop_assert!(!members[ix.0 as usize].out);
                        prop_assert_eq!(Some(rank(ix.0)), best);
                    }
                    other => {
                        prop_assert_eq!(other, Pick::None);
                        prop_assert_eq!(best, None);
                    }
                }
            }
        }
    }

    /// Round robin gives each endpoint its weight in every cycle, whatever the weights and the seed.
    #[test]
    fn round_robin_respects_any_weights(
        weights in prop::collection::vec(1..=50u32, 1..12),
        seed in any::<u64>(),
    ) {
        let set = set(&weights);
        let cycle: u32 = weights.iter().sum();
        let counts = counts(Algorithm::RoundRobin, &set, &mut Cursor::with_seed(seed), cycle * 3);
        for (count, weight) in counts.iter().zip(&weights) {
            prop_assert!(count.abs_diff(weight * 3) <= 1, "{:?} for {:?}", counts, weights);
        }
    }
}

/// A place that another worker gives back between two looks is no reason to say that there is nobody.
#[test]
fn whoever_gives_a_place_back_does_not_make_it_vanish() {
    let set = set(&[1]);
    let state = Arc::clone(&set.endpoint(EndpointIx(0)).unwrap().state);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                drop(ConnectionSlot::take(&state, 1));
            }
        });
        let balancer = Balancer::new(Algorithm::RoundRobin, &set, HashKey::from_seed("test"));
        let (mut cursor, tried) = (Cursor::with_seed(1), Tried::new());
        let input = PickInput {
            cap: 1,
            ..input(&tried)
        };
        let nobody =
            (0..300_000).filter(|_| balancer.pick(&set, &mut cursor, &input) == Pick::None);
        let nobody = nobody.count();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(nobody, 0);
    });
}
