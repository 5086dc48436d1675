//! Those that look at load and time.

use super::*;

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
