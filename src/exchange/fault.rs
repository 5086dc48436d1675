//! A fault on demand, for the test of row F-13: what a panic in the middle of an exchange costs.
//!
//! **Only in builds with debug assertions**, which no release has (`debug_assertions = false` in the release profile),
//! and there only when the process was started with `TIDEGATE_TEST_FAULTS=1`. A test of release builds asks for the
//! fault and must not get it.

use std::sync::LazyLock;

use crate::message::RequestHead;

static ASKED_FOR: LazyLock<bool> =
    LazyLock::new(|| std::env::var("TIDEGATE_TEST_FAULTS").is_ok_and(|value| value == "1"));

/// Panics for a request that has `x-tidegate-fault: panic`.
#[expect(clippy::panic, reason = "this is the fault")]
pub(super) fn strike(head: &RequestHead) {
    if *ASKED_FOR
        && head
            .values(b"x-tidegate-fault")
            .any(|fault| fault == b"panic")
    {
        panic!("a fault was asked for");
    }
}
