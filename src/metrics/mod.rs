//! What is counted: names, cells that one worker writes, and the text that Prometheus scrapes.
//!
//! A cell is resolved by its labels when a worker builds its view of a configuration; after that counting
//! is a relaxed load and store. Cells are kept by their labels for the life of the process, so counters
//! survive reloads. A scrape sums the workers' cells.
//!
//! **Invariants.** Every cell of a shard has one writer, its worker. No label comes from a client. Names
//! and label names stand in [`names`] only. Over [`MAX_SERIES`] label sets fold into `_other`.
//!
//! **Not here.** When something is counted (`record`, `upstream`, `health`), and the HTTP endpoint that
//! serves the text (`admin`).

mod cell;
mod cluster;
mod codes;
mod dns;
mod exchange;
mod grpc;
mod http2;
mod hub;
mod listener;
pub mod names;
mod os;
mod process;
mod scrape;
mod session;
#[cfg(test)]
mod tests;

pub use cell::{Counter, Gauge, Histogram, SharedCounter};
pub use cluster::{ClusterCells, Http2Cells, RetryResult};
pub use dns::{DnsCells, DnsOutcome};
pub use exchange::{ExchangeCells, Step};
pub use grpc::Outcome;
pub use http2::{Abuse, CODES, H2Cells, Scope};
pub use hub::{Hub, MAX_SERIES, PROTOCOL};
pub use listener::{Closed, Handshake, ListenerCells};
pub use process::{
    BreakerState, CheckResult, Ejection, EjectionCause, HealthCells, ProcessCells, ReloadResult,
    TransitionCause,
};
pub use scrape::Scrape;
pub use session::{IdEvent, Lost, SessionCells};

/// The label value that stands for every label set over the cap.
pub const OTHER: &str = "_other";
