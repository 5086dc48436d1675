//! What is known of an exchange, told exactly once: a log line and counts, when the [`Record`] is dropped.
//!
//! A worker's [`Journal`] gathers formatted lines and hands them over in batches; one thread, the
//! [`LogWriter`], owns the output.
//!
//! **Invariants.** Every exchange is counted once and logged once (or, where the configuration samples,
//! weighed once). A record is one line, whatever its values hold. A fresh record says `client_abort` until
//! someone knows better. A slow or full output never delays a worker: batches that do not fit are dropped
//! whole and their lines counted, so lines written plus lines dropped are the exchanges logged.
//!
//! **Not here.** Why an exchange ended (`base::reason`, decided in `exchange`), who catches SIGUSR1 (`server`).

mod compile;
mod escape;
mod exchange;
mod facts;
mod format;
mod id;
mod journal;
mod note;
mod plan;
mod queue;
mod session;
mod sink;
mod stamp;
mod writer;
#[cfg(test)]
mod tests;

pub use exchange::Record;
pub use facts::{ClientCertificate, ConnectionFacts, TlsFacts};
pub use journal::Journal;
pub use plan::{AccessLog, Field, Format, Output};
pub use queue::LogHandle;
pub use session::Transport;
pub use sink::Sink;
pub use writer::LogWriter;
