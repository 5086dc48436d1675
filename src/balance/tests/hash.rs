//! Balancers by key: shares, who moves when endpoints come and go, and that everybody agrees.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::*;
use super::{chi_square, disable, endpoint, input, made, set};
use crate::endpoint::{Endpoint, InFlight};

const RING: Algorithm = Algorithm::RingHash {
    vnodes: 160,
    load_factor: None,
};
const MAGLEV: Algorithm = Algorithm::Maglev { table_size: 65_537 };
const KEYED: [Algorithm; 3] = [RING, MAGLEV, Algorithm::Rendezvous];

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap()
}

fn keys(count: u64) -> impl Iterator<Item = u64> {
    let seed = HashKey::from_seed("keys");
    (0..count).map(move |number| seed.hash(&number.to_le_bytes()))
}

fn picked(balancer: &Balancer, set: &EndpointSet, cursor: &mut Cursor, hash: u64) -> EndpointIx {
    let tried = Tried::new();
    let input = PickInput {
        hash: Some(hash),
        ..input(&tried)
    };
    match balancer.pick(set, cursor, &input) {
        Pick::Endpoint(ix) => ix,
        other => panic!("{other:?}"),
    }
}

/// Where each key goes, by the endpoint's address.
fn places(algorithm: Algorithm, set: &EndpointSet, count: u64) -> Vec<Arc<str>> {
    let balancer = made(algorithm, set);
    let mut cursor = Cursor::with_seed(1);
    let text = |ix| Arc::clone(&set.endpoint(ix).unwrap().text);
    keys(count)
        .map(|hash| text(picked(&balancer, set, &mut cursor, hash)))
        .collect()
}

fn shares(algorithm: Algorithm, set: &EndpointSet, count: u64) -> Vec<u32> {
    let mut shares: HashMap<Arc<str>, u32> = HashMap::new();
    for place in places(algorithm, set, count) {
        *shares.entry(place).or_default() += 1;
    }
    set.iter()
        .map(|endpoint| shares.get(&endpoint.text).copied().unwrap_or(0))
        .collect()
}

#[test]
fn keys_are_shared_by_weight() {
    for weights in [[1, 1, 1, 1], [10, 20, 30, 40], [1, 1, 500, 498]] {
        let set = set(&weights);
        // Exact: only chance in the keys. 99.99 % point of chi-square with three degrees of freedom.
        for algorithm in [MAGLEV, Algorithm::Rendezvous] {
            let shares = shares(algorithm, &set, 100_000);
            let chi = chi_square(&shares, &weights);
            assert!(chi < 21.11, "{algorithm:?} {weights:?} {shares:?} {chi}");
        }
        // A ring is as even as its points: the deviation of one share is about 1 / √points.
        let shares = shares(RING, &set, 100_000);
        let total: u32 = weights.iter().sum();
        for (share, weight) in shares.iter().zip(weights) {
            let fair = f64::from(weight) / f64::from(total);
            let slack = 5.0 / f64::from(160 * weight).sqrt();
            let off = (f64::from(*share) / 100_000.0 / fair - 1.0).abs();
            assert!(off < slack, "{weights:?} {shares:?}");
        }
    }
}

/// Who moves when the last of `n` endpoints goes: of the keys of others, and in all.
fn moved(algorithm: Algorithm, weights: &[u32]) -> (f64, f64) {
    const KEYS: u64 = 10_000;
    let all = set(weights);
    let fewer = set(weights.split_last().unwrap().1);
    let gone = Arc::clone(&all.iter().last().unwrap().text);
    let before = places(algorithm, &all, KEYS);
    let after = places(algorithm, &fewer, KEYS);
    let pairs = || before.iter().zip(&after);
    let others = pairs().filter(|(a, b)| **a != gone && a != b).count();
    let total = pairs().filter(|(a, b)| a != b).count();
    (others as f64 / KEYS as f64, total as f64 / KEYS as f64)
}

/// The bars, for removal; addition is the same read backwards.
#[test]
fn few_keys_move_when_an_endpoint_goes_or_comes() {
    for n in [2, 5, 20] {
        // Weights 1-5 where there are enough; between two, a ring is as uneven as its points are few.
        let uneven = if n > 2 { 5 } else { 1 };
        for weights in [
            vec![1; n],
            (0..n).map(|ix| small(ix % uneven + 1)).collect(),
        ] {
            let total: u32 = weights.iter().sum();
            let share = f64::from(*weights.last().unwrap()) / f64::from(total);
            for (algorithm, more) in [(RING, 0.02), (MAGLEV, 0.05), (Algorithm::Rendezvous, 0.02)] {
                let (others, total) = moved(algorithm, &weights);
                assert!(
                    total <= share + more,
                    "{algorithm:?} of {n}: {total}, share {share}"
                );
                if algorithm != MAGLEV {
                    assert!(
                        others.abs() < f64::EPSILON,
                        "{algorithm:?} of {n}: {others} between survivors"
                    );
                }
            }
        }
    }
}

/// An endpoint that cannot be picked moves its own keys, for every algorithm, and gets the same ones back.
#[test]
fn only_the_keys_of_an_unavailable_endpoint_move() {
    let weights = [3, 1, 2, 2, 1, 4];
    for algorithm in KEYED {
        let set = set(&weights);
        let before = places(algorithm, &set, 10_000);
        disable(&set, 3);
        let gone = Arc::clone(&set.endpoint(EndpointIx(3)).unwrap().text);
        let after = places(algorithm, &set, 10_000);
        let mut heirs: HashMap<Arc<str>, u32> = HashMap::new();
        for (a, b) in before.iter().zip(&after) {
            assert_ne!(**b, *gone);
            if *a == gone {
                *heirs.entry(Arc::clone(b)).or_default() += 1;
            } else {
                assert_eq!(a, b, "{algorithm:?}");
            }
        }
        // The lot does not fall to one of them.
        assert_eq!(heirs.len(), 5, "{algorithm:?}: {heirs:?}");
        let most = heirs.values().max().unwrap();
        assert!(*most < 10_000 * 2 / 13, "{algorithm:?}: {heirs:?}");
    }
}

#[test]
fn the_order_of_the_file_is_no_matter() {
    let endpoints: Vec<Arc<Endpoint>> = (0..12)
        .map(|port| endpoint(port, small(port % 3 + 1), u8::from(port > 9)))
        .collect();
    let forward = EndpointSet::new(endpoints.clone());
    let reverse = EndpointSet::new(endpoints.into_iter().rev().collect());
    for algorithm in KEYED {
        let there = places(algorithm, &forward, 10_000);
        assert_eq!(there, places(algorithm, &reverse, 10_000), "{algorithm:?}");
    }
}

/// The mapping is public: another version that places keys elsewhere would reshuffle every cache behind it.
#[test]
fn keys_stay_where_they_are_from_version_to_version() {
    let set = set(&[1, 2, 3, 4, 5]);
    let said = KEYED.map(|algorithm| {
        let places = places(algorithm, &set, 16);
        let digits = places.iter().map(|text| text.chars().last().unwrap());
        digits.collect::<String>()
    });
    assert_eq!(
        said,
        ["5355443353234334", "4455453454355434", "5151334435551424"]
    );
}

#[test]
fn an_absent_key_is_sent_by_chance() {
    let set = set(&[1, 1, 2]);
    for algorithm in KEYED {
        let balancer = made(algorithm, &set);
        let mut cursor = Cursor::with_seed(3);
        let mut counts = [0u32; 3];
        for _ in 0..10_000 {
            let Pick::Endpoint(ix) = balancer.pick(&set, &mut cursor, &input(&Tried::new())) else {
                panic!("nobody");
            };
            counts[ix.0 as usize] += 1;
        }
        assert!(
            chi_square(&counts, &[1, 1, 2]) < 18.42,
            "{algorithm:?}: {counts:?}"
        );
    }
}

#[test]
fn a_tried_endpoint_passes_its_key_on_and_is_the_last_resort() {
    let set = set(&[1; 4]);
    for algorithm in KEYED {
        let balancer = made(algorithm, &set);
        for hash in keys(200) {
            let mut tried = Tried::new();
            let mut order = Vec::new();
            for _ in 0..4 {
                let mut cursor = Cursor::with_seed(hash);
                let input = PickInput {
                    hash: Some(hash),
                    ..input(&tried)
                };
                let Pick::Endpoint(ix) = balancer.pick(&set, &mut cursor, &input) else {
                    panic!("nobody");
                };
                assert!(!order.contains(&ix), "{algorithm:?}");
                order.push(ix);
                tried.insert(ix);
            }
            let mut cursor = Cursor::with_seed(hash);
            let input = PickInput {
                hash: Some(hash),
                ..input(&tried)
            };
            let again = balancer.pick(&set, &mut cursor, &input);
            assert_eq!(again, Pick::Endpoint(order[0]), "{algorithm:?}");
        }
    }
}

/// Everything that has a share keeps to its bound, even when every request has the same key.
#[test]
fn a_bounded_ring_keeps_everybody_below_its_bound() {
    let bounded = Algorithm::RingHash {
        vnodes: 160,
        load_factor: Some(1.25),
    };
    for weights in [vec![1; 20], vec![1, 2, 3, 4], vec![1; 3]] {
        for skew in [1, 7, 500] {
            let set = set(&weights);
            let balancer = made(bounded, &set);
            let mut cursor = Cursor::with_seed(1);
            let mut held = Vec::new();
            let total: u32 = weights.iter().sum();
            let keys: Vec<u64> = keys(skew).collect();
            for number in 0..600 {
                let ix = picked(&balancer, &set, &mut cursor, keys[number % keys.len()]);
                held.push(InFlight::begin(&set.endpoint(ix).unwrap().state));
                for endpoint in set.iter() {
                    let mean = held.len() as f64 * f64::from(endpoint.weight) / f64::from(total);
                    let load = endpoint.state.in_flight();
                    assert!(f64::from(load) <= (1.25 * mean).ceil(), "{load} of {mean}");
                }
            }
        }
    }
}

/// A key that nobody is in front of stays where it is: the bound moves nothing while loads are even.
#[test]
fn a_bound_moves_no_key_without_need() {
    let bounded = Algorithm::RingHash {
        vnodes: 160,
        load_factor: Some(1.25),
    };
    let set = set(&[1; 10]);
    assert_eq!(places(bounded, &set, 5_000), places(RING, &set, 5_000));
}

#[test]
fn every_slot_and_every_weight_is_filled() {
    let set = set(&[1000, 1, 1, 1]);
    let seed = HashKey::from_seed("test");
    let scores = Scores::new(&set, &set.tiers()[0], seed);
    for size in [5, 251, 4_093] {
        let slots = Slots::new(&scores, size);
        let mut counts = [0; 4];
        for ix in slots.slots() {
            counts[ix.0 as usize] += 1;
        }
        assert!(counts.iter().all(|&count| count > 0), "{size}: {counts:?}");
    }
}

#[test]
fn a_ring_has_a_limit() {
    let endpoints = (0..5_000).map(|port| endpoint(port, 1000, 0)).collect();
    let set = EndpointSet::new(endpoints);
    let scores = Scores::new(&set, &set.tiers()[0], HashKey::from_seed("test"));
    let ring = Ring::new(&scores, 4_096, None);
    assert!(ring.points() as u64 <= 5_000_000, "{}", ring.points());
}

/// Two snapshots of two files, compiled apart, in another order and with other health: a million keys. And every process,
/// of any version, on any machine: another digest would move everybody's keys at an upgrade.
#[test]
fn instances_agree_on_a_million_keys() {
    let endpoints = |order: &[usize]| {
        let make = |&port: &usize| endpoint(port, small(port % 4 + 1), 0);
        EndpointSet::new(order.iter().map(make).collect())
    };
    let (one, two) = (
        endpoints(&[0, 1, 2, 3, 4, 5, 6, 7]),
        endpoints(&[5, 2, 7, 0, 1, 3, 6, 4]),
    );
    disable(&two, 1);
    let gone = Arc::clone(&two.endpoint(EndpointIx(1)).unwrap().text);
    let digests = KEYED.map(|algorithm| {
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        let (a, b) = (made(algorithm, &one), made(algorithm, &two));
        let mut cursors = (Cursor::with_seed(1), Cursor::with_seed(2));
        for hash in keys(1_000_000 / 3) {
            let here = &one
                .endpoint(picked(&a, &one, &mut cursors.0, hash))
                .unwrap()
                .text;
            let there = &two
                .endpoint(picked(&b, &two, &mut cursors.1, hash))
                .unwrap()
                .text;
            assert!(
                here == there || *here == gone,
                "{algorithm:?}: {here} {there}"
            );
            for byte in here.bytes() {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        digest
    });
    let known = [
        0x89b8_05d9_97c4_75d9,
        0x6f8d_0a02_76c0_ad29,
        0xf9eb_6f7b_2ede_704b,
    ];
    assert_eq!(digests, known, "{digests:#x?}");
}
