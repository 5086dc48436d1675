mod hash;
mod load;
mod outlook;
mod simulation;
mod turns;
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
