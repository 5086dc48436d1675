//! Sockets: their options, binding, accepting, byte streams, and the coarse clock that watches them.
//!
//! **Invariants.** Every option is set in [`socket`]. A listening socket made here has `SO_REUSEPORT`, and its
//! address was proved free of strangers first. Streams take `&self`: a connection's two directions are polled
//! by one task, each operation borrowing for the length of one system call.
//!
//! **Not here.** What the bytes mean (`http1`), which endpoint (`balance`), keeping connections (`upstream`).
//!
//! **Cancel safety.** All operations are polls or single system calls; nothing is lost by dropping a future
//! between them.

pub mod accept;
pub mod batch;
pub mod bind;
pub mod bundle;
pub mod datagrams;
pub mod deadline;
pub mod files;
mod io;
pub mod liveness;
mod owed;
pub mod pace;
pub mod preface;
pub mod quic;
pub mod runs;
pub mod secure;
pub mod socket;
pub mod source;
pub mod splice;
pub mod stall;
pub mod stream;
pub mod unix;

pub use accept::Acceptor;
pub use bundle::Tell;
pub use deadline::{Deadlines, Timer};
pub use liveness::Liveness;
pub use pace::Pace;
pub use secure::{HandshakeError, Session};
pub use socket::UNSENT;
pub use source::{NoSource, Source, prove_for_others};
pub use splice::{Pipe, Pipes};
pub use stall::{Slow, Stall};
pub use stream::Stream;
