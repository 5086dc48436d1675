//! What every test stands on: the proxy as a child process, origins that record what reached them,
//! and a client that says exactly the bytes it is told to say.

pub mod answer;
pub mod bytes;
pub mod client;
pub mod dir;
pub mod dns;
pub mod frames;
pub mod gate;
pub mod load;
pub mod metrics;
pub mod origin;
pub mod perform;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod python;
pub mod setup;
pub mod strace;
pub mod streams;
pub mod tls;
pub mod tls_origin;
pub mod websocket;
pub mod wire;

pub use answer::Answer;
pub use client::{Client, Response};
pub use gate::Gate;
pub use origin::{Origin, Received};
pub use process::OriginProcess;
pub use proxy::{Proxy, Reload};
pub use python::python;
pub use setup::{Setup, backup, endpoint, weighted};
pub use wire::Fault;

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. A deadline only: nothing waits for it.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// Asks again until the answer is there; panics with `what` at the deadline.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, what, ask)
}

/// [`eventually`] with a deadline of its own.
pub fn within<T>(deadline: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number from the environment: `make gates` runs the same tests at full size.
pub fn scale(small: usize, full: usize) -> usize {
    match std::env::var("TIDEGATE_FAULT_SCALE").as_deref() {
        Ok("full") => full,
        Ok("") | Err(_) => small,
        Ok(share) => {
            let share: f64 = share
                .parse()
                .expect("TIDEGATE_FAULT_SCALE is `full` or a share of it");
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "counts of requests"
            )]
            let size = (full as f64 * share) as usize;
            size.max(1)
        }
    }
}
