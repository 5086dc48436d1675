//! Decisions about "how many" as plain arithmetic: counts and a time go in, a grant or a denial comes out.
//!
//! **Invariants.** Sans-io: no clock, no lock, no task. Time is an argument and never runs backwards here;
//! an earlier instant counts as the latest one seen.
//!
//! **Not here.** Caps of connections (`endpoint`, `listener`) and what a denial means for an exchange (`exchange`).

pub mod budget;

pub use budget::{Grant, RetryBudget};
