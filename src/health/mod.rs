//! Active probes: a check and a schedule turn an address into "may be picked" or "may not".
//!
//! **Invariants.** A cell stores observations; thresholds are arguments, so a reload that changes them migrates
//! nothing. One address has one probe under way at most, and the process a bounded number. A probe ends within
//! its timeout. Cells are written by the control thread and read by every worker.
//!
//! **Not here.** Endpoints (`endpoint` asks a cell) and ejection from real traffic (passive health).
//!
//! **Cancel safety.** Dropping the [`Prober`], or applying targets without one, drops a probe in the middle and
//! closes its connection; the cell keeps what it had.

pub mod cell;
mod compile;
pub mod prober;
pub mod spec;

mod probe;
mod schedule;
#[cfg(test)]
mod tests;

pub use cell::{HealthCell, HealthPolicy, Observation, Status, Transition};
pub use compile::compile;
pub use probe::Failure;
pub use prober::{Prober, Report, Target};
pub use spec::{Check, HealthSpec, HttpCheck};
