//! Turns and draws: shares by weight, whatever the load.

use super::*;

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
