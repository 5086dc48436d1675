//! The own zone first: over real picks of every algorithm.

use super::*;

/// A set of these zones, one endpoint each; a word of one letter.
fn set_in(zones: &str) -> EndpointSet {
    let endpoints = zones.chars().enumerate().map(|(port, zone)| {
        let plain = Arc::into_inner(endpoint(port, 1, 0)).unwrap();
        let zone = (zone != '-').then(|| zone.to_string().into());
        let origin = Origin {
            zone,
            ..plain.origin
        };
        Arc::new(Endpoint { origin, ..plain })
    });
    EndpointSet::new(endpoints.collect())
}

fn balancer(algorithm: Algorithm, set: &EndpointSet) -> Balancer {
    balancer_in("a", algorithm, set)
}

fn balancer_in(zone: &str, algorithm: Algorithm, set: &EndpointSet) -> Balancer {
    Balancer::new(algorithm, set, HashKey::from_seed("test")).at_home(Some(zone.into()), set)
}

/// How often each is picked of 30 000.
fn shares(balancer: &Balancer, set: &EndpointSet) -> Vec<f64> {
    let mut cursor = Cursor::with_seed(7);
    let tried = Tried::new();
    let mut counts = vec![0; set.len()];
    for number in 0..30_000_u64 {
        let hash = Some(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let input = PickInput {
            hash,
            ..input(&tried)
        };
        let Pick::Endpoint(ix) = balancer.pick(set, &mut cursor, &input) else {
            panic!("nobody");
        };
        counts[ix.0 as usize] += 1;
    }
    counts
        .into_iter()
        .map(|n| f64::from(n) / 30_000.0)
        .collect()
}

fn unkeyed() -> impl Iterator<Item = Algorithm> {
    ALL.iter().copied().filter(|algorithm| {
        matches!(
            algorithm,
            Algorithm::RoundRobin
                | Algorithm::Random
                | Algorithm::LeastRequest
                | Algorithm::LeastConnections
                | Algorithm::LeastTime
        )
    })
}

#[test]
fn who_has_enough_stays_in_its_zone() {
    for algorithm in unkeyed() {
        let set = set_in("abcabc");
        let found = shares(&balancer(algorithm, &set), &set);
        assert!(
            found[1] + found[2] + found[4] + found[5] < 1e-9,
            "{algorithm:?}"
        );
        assert!(found[0] > 0.2 && found[3] > 0.2, "{algorithm:?}: {found:?}");
    }
}

#[test]
fn what_is_too_much_for_the_zone_spills_over() {
    for algorithm in unkeyed() {
        let set = set_in("abbbbb");
        let found = shares(&balancer(algorithm, &set), &set);
        assert!(
            (found[0] - 1.0 / 3.0).abs() < 0.02,
            "{algorithm:?}: {found:?}"
        );
        // Whatever the zones are called: the own one need not be the first of them.
        let set = set_in("aaaaabc");
        for (zone, wanted) in [("b", 3.0 / 7.0), ("c", 3.0 / 7.0), ("a", 1.0)] {
            let found = shares(&balancer_in(zone, algorithm, &set), &set);
            let own: f64 = (found.iter().zip("aaaaabc".chars()))
                .filter(|(_, of)| zone.starts_with(*of))
                .map(|(share, _)| share)
                .sum();
            assert!(
                (own - wanted).abs() < 0.02,
                "{algorithm:?} {zone}: {found:?}"
            );
        }
        // Of a zone that lost half of what it had, half of what it brings goes elsewhere.
        let set = set_in("aabb");
        disable(&set, 0);
        let found = shares(&balancer(algorithm, &set), &set);
        assert!(
            (found[1] - 2.0 / 3.0).abs() < 0.02,
            "{algorithm:?}: {found:?}"
        );
    }
}

#[test]
fn the_own_zone_is_left_where_nobody_in_it_can_serve() {
    for algorithm in unkeyed() {
        let set = set_in("aab-");
        let balancer = balancer(algorithm, &set);
        let mut cursor = Cursor::with_seed(1);
        let mut tried = Tried::new();
        for _ in 0..2 {
            let Pick::Endpoint(ix) = balancer.pick(&set, &mut cursor, &input(&tried)) else {
                panic!("nobody");
            };
            assert!(ix.0 < 2, "{algorithm:?}");
            tried.insert(ix);
        }
        // A retry leaves it when it has tried all of it.
        let Pick::Endpoint(ix) = balancer.pick(&set, &mut cursor, &input(&tried)) else {
            panic!("nobody");
        };
        assert!(ix.0 >= 2, "{algorithm:?}");
        // So does who finds it full.
        let held = [0, 1].map(|ix| {
            let state = &set.endpoint(EndpointIx(ix)).unwrap().state;
            ConnectionSlot::take(state, 1).unwrap()
        });
        let (none, now) = (Tried::new(), clock::now());
        let full = PickInput {
            cap: 1,
            now,
            ..input(&none)
        };
        let Pick::Endpoint(ix) = balancer.pick(&set, &mut cursor, &full) else {
            panic!("nobody");
        };
        assert!(ix.0 >= 2, "{algorithm:?}");
        drop(held);
    }
}

/// A key belongs where it belongs, whichever zone asks.
#[test]
fn keys_do_not_heed_zones() {
    let set = set_in("abcabc");
    for algorithm in ALL.iter().copied() {
        if unkeyed().any(|other| other == algorithm) {
            continue;
        }
        let there = Balancer::new(algorithm, &set, HashKey::from_seed("test"));
        assert_eq!(
            shares(&balancer(algorithm, &set), &set),
            shares(&there, &set),
            "{algorithm:?}"
        );
    }
}

#[test]
fn another_set_is_picked_from_as_zones_say_there() {
    let all = set_in("aabb");
    let found = balancer(Algorithm::RoundRobin, &all);
    let less = set_in("bb");
    let found = shares(&found.remade(&less), &less);
    assert!(
        found.iter().all(|share| (share - 0.5).abs() < 0.01),
        "{found:?}"
    );
}
