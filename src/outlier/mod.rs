//! What real traffic shows of an endpoint or a cluster, and the circuit that keeps requests away from what fails.
//!
//! One machine serves both: closed (it serves), open (it does not, until a moment), half-open (one request at a
//! time, and their answers decide). For an endpoint that is called ejection and probation, for a cluster a
//! circuit breaker.
//!
//! **Invariants.** No clock, no chance, no I/O: both come as arguments. State stores observations, and policy is
//! passed in, so a reload that changes thresholds migrates nothing. Observing a good answer is two loads and one
//! atomic addition, without a lock; locks are taken only to eject.
//!
//! **Not here.** Endpoints (`endpoint` holds a cell), how many of them may be ejected (`cluster` counts them under a
//! crowd's lock), and what an attempt showed (`exchange`).

mod breaker;
mod cell;
mod circuit;
mod compile;
mod crowd;
mod moment;
mod policy;
mod window;

pub use breaker::{Breaker, Gate};
pub use cell::OutlierCell;
pub use circuit::{Circuit, Entry, Opening, State};
pub use compile::{breaker, outlier};
pub use crowd::{Crowd, most_ejected, slowest};
pub use moment::Moment;
pub use policy::{BreakerPolicy, FailureRate, LatencyRule, OutlierPolicy, Timing};
pub use window::{Tally, Window};
