//! Decisions about "how many" and "who is next" as plain arithmetic: counts and a time go in, a decision comes out; and
//! the ledger of memory.
//!
//! **Invariants.** Sans-io: no clock, no task. Time is an argument and never runs backwards here;
//! an earlier instant counts as the latest one seen. What is kept is bounded, whatever keys come.
//!
//! **Not here.** Caps of connections and the lock around a line (`endpoint`, `listener`), whose request it is (`limiter`), and
//! what a denial means for an exchange (`exchange`).

pub mod budget;
mod lanes;
pub mod ledger;
pub mod line;
pub mod meter;
mod meters;
pub mod places;
pub mod rule;
pub mod table;
pub mod top;
#[cfg(test)]
mod tests;

pub use budget::{Grant, RetryBudget};
pub use lanes::{Lane, Lanes};
pub use ledger::{Charge, Credit, Ledger, Level};
pub use meters::Meters;
pub use places::{Place, Places};
pub use rule::{Algorithm, Decision, Outcome, Over, Rule, RuleError};
pub use table::{Table, Tally};
pub use top::Top;
