//! What the fuzzers found worth keeping holds in every run of the tests.

use std::fs;

use super::root;
use super::wire::{checks, http2};

/// Runs every file of a corpus.
fn replay(target: &str, check: fn(&[u8])) {
    let mut count = 0;
    for entry in fs::read_dir(root("fuzz/corpus").join(target)).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(|| check(&input));
        assert!(outcome.is_ok(), "{}", path.display());
        count += 1;
    }
    assert!(count >= 50, "{target}: only {count} inputs");
}

#[test]
fn heads_of_the_corpus() {
    replay("head", checks::head);
}

#[test]
fn responses_of_the_corpus() {
    replay("response", checks::response);
}

#[test]
fn chunked_bodies_of_the_corpus() {
    replay("chunked", checks::chunked);
}

#[test]
fn paths_of_the_corpus() {
    replay("path", checks::path);
}

#[test]
fn configurations_of_the_corpus() {
    replay("config", checks::config);
}

#[test]
fn prefaces_of_the_corpus() {
    replay("preface", checks::preface);
}

#[test]
fn client_hellos_of_the_corpus() {
    replay("hello", checks::hello);
}

#[test]
fn headers_of_quic_of_the_corpus() {
    replay("quic", checks::quic);
}

#[test]
fn connections_of_the_corpus() {
    replay("session", http2::session);
}

#[test]
fn blocks_of_the_corpus() {
    replay("hpack", http2::hpack);
}

#[test]
fn every_target_has_a_corpus_and_a_check() {
    let names = |path: &str| {
        let entries = fs::read_dir(root(path)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.trim_end_matches(".rs").to_owned())
            .collect();
        names.sort();
        names
    };
    let targets = names("fuzz/fuzz_targets");
    assert_eq!(
        targets,
        [
            "chunked", "config", "head", "hello", "hpack", "path", "preface", "quic", "response",
            "session"
        ]
    );
    assert_eq!(targets, names("fuzz/corpus"));
}
