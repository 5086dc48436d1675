//! Active probes: a check and a schedule turn an address into "may be picked" or "may not".
//!
//! **Invariants.** A cell stores observations; thresholds are arguments, so a reload that changes them migrates
//! nothing.
//!
//! **Not here.** Endpoints (`endpoint` asks a cell) and ejection from real traffic (passive health).

pub mod cell;

pub use cell::{HealthCell, HealthPolicy, Observation, Status, Transition};
