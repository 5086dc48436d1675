//! Every case that RFC 9113 and RFC 7541 make of an end that serves (`standard.py`), as a suite of conformance puts them:
//! frame by frame, all from one address, to a proxy as it is by default.

use super::frames::all_right;
use crate::support::tls::Authority;
use crate::support::{Answer, Origin, Setup};

const CASES: usize = 157;

#[test]
fn in_the_clear() {
    let origin = Origin::answering(|_| Answer::ok("fine enough"));
    let proxy = Setup::over(&[origin.addr()]).start();
    all_right("standard.py", &proxy, &["http", "/"], CASES);
    assert_eq!(proxy.metric("tidegate_h2_abuse_total", &[]), 0.0);
}

#[test]
fn under_tls() {
    let origin = Origin::answering(|_| Answer::ok("fine enough"));
    let setup = Setup::over(&[origin.addr()]);
    let certificate = Authority::new("Test Authority")
        .issue(&["test.example"])
        .write(&setup.dir, "c");
    let proxy = setup
        .listener(&format!("tls = {{ certificates = [{certificate}] }}"))
        .start();
    all_right("standard.py", &proxy, &["https", "/"], CASES);
}

/// What is answered before the request is whole is held to the rules all the same.
#[test]
fn by_answers_that_wait_for_nothing() {
    let proxy = Setup::new()
        .route("all", "respond = { status = 200, body = \"fine enough\" }")
        .start();
    all_right("standard.py", &proxy, &["http", "/"], CASES);
}
