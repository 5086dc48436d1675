//! Active probes: a check and a schedule turn an address into "may be picked" or "may not".
//!
//! **Invariants.** A cell stores observations; thresholds are arguments, so a reload that changes them migrates
//! nothing. One address has one probe under way at most, and the process a bounded number. A probe ends within
//! its timeout, and a program that it started with it. Cells are written by the control thread and read by every worker.
//!
//! **Not here.** Endpoints (`endpoint` asks a cell) and ejection from real traffic (`outlier`).
//!
//! **Cancel safety.** Dropping the [`Prober`], or applying targets without one, drops a probe in the middle and
//! closes its connection; the cell keeps what it had.

pub mod cell;
mod checks;
mod command;
mod compile;
mod grpc;
mod http;
pub mod prober;
pub mod spec;

mod probe;
mod schedule;
#[cfg(test)]
mod tests;

pub use cell::{HealthCell, HealthPolicy, LastProbe, Observation, Patient, Status, Transition};
pub use compile::compile;
pub use probe::Failure;
pub use prober::{Prober, Report, Target};
pub use spec::{
    Check, CommandCheck, Connections, Elsewhere, GrpcCheck, HealthSpec, HttpCheck, ProbeTls,
    TcpCheck, UdpCheck,
};
