//! Parser and canonicaliser agree with their models on generated inputs.

use super::generate::Pieces;
use super::wire::checks;
use super::wire::model;

/// How many inputs.
fn size() -> usize {
    match std::env::var("TIDEGATE_FAULT_SCALE").as_deref() {
        Ok("full") => 1_000_000,
        _ => 20_000,
    }
}

#[test]
fn heads_are_read_as_the_model_reads_them() {
    let mut pieces = Pieces::new(1);
    let mut accepted = 0;
    for _ in 0..size() {
        accepted += usize::from(checks::head_within(&pieces.head(), &checks::LIMITS));
    }
    let share = accepted * 100 / size();
    assert!(
        (20..80).contains(&share),
        "{share} % of the inputs were accepted"
    );
}

#[test]
fn paths_are_made_canonical_as_the_model_makes_them() {
    let mut pieces = Pieces::new(2);
    let policies: Vec<_> = checks::policies().collect();
    let mut accepted = 0;
    for at in 0..size() {
        let canonical = checks::path_under(&pieces.path(), policies[at % policies.len()]);
        accepted += usize::from(canonical.is_some());
    }
    let share = accepted * 100 / size();
    assert!(
        (20..80).contains(&share),
        "{share} % of the inputs were accepted"
    );
}

#[test]
fn chunked_bodies_are_read_as_the_model_reads_them() {
    let mut pieces = Pieces::new(3);
    let mut accepted = 0;
    for _ in 0..size() {
        let body = pieces.chunked();
        checks::chunked(&body);
        accepted += usize::from(matches!(
            model::chunked(&body[1..]),
            model::Verdict::Accepted(..)
        ));
    }
    let share = accepted * 100 / size();
    assert!(
        (20..80).contains(&share),
        "{share} % of the inputs were accepted"
    );
}
