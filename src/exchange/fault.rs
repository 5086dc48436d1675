//! A fault on demand, for the test of row F-13: what a panic in the middle of an exchange costs.
//!
//! **Only in builds with debug assertions**, which no release has (`debug_assertions = false` in the release profile),
//! and there only when the process was started with `TIDEGATE_TEST_FAULTS=1`. A test of release builds asks for the
//! fault and must not get it.

use std::sync::LazyLock;

use crate::message::RequestHead;

static ASKED_FOR: LazyLock<bool> =
    LazyLock::new(|| std::env::var("TIDEGATE_TEST_FAULTS").is_ok_and(|value| value == "1"));

/// Where a request may ask for a panic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// `x-tidegate-fault: panic`: when its route is found.
    Route,
    /// `x-tidegate-fault: panic in the tunnel`: when its tunnel has taken something from the client.
    Tunnel,
}

/// The fault.
///
/// # Panics
///
/// For a request that asks for it here.
pub fn strike(head: &RequestHead, place: Place) {
    let asks: &[u8] = match place {
        Place::Route => b"panic",
        Place::Tunnel => b"panic in the tunnel",
    };
    let is_asked = *ASKED_FOR && head.values(b"x-tidegate-fault").any(|fault| fault == asks);
    assert!(!is_asked, "a fault was asked for");
}
