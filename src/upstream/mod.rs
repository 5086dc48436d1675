//! The way to an endpoint: connect spec, connect, idle connections.
//!
//! **Invariants.** A [`ConnectSpec`], and where it says so the client's address, is the only input to [`connect()`]; it is the
//! key of the [`Pool`]. A connection is in the pool only while nothing is expected on it; one on which bytes or an end have
//! arrived is never handed out. One that carries a client's authentication, or comes from its address, is never in the pool
//! ([`Private`]).
//!
//! **Not here.** Which endpoint (`balance`), what is sent (`exchange`), how many may be open (`endpoint`).
//!
//! **Cancel safety.** Dropping a connect closes the half-open socket; dropping a connection closes it.

pub mod connect;
pub mod pool;
pub mod private;
pub mod rests;
pub mod shared;
pub mod spec;

pub use connect::{Spoken, connect, connect_for, datagrams, spoken};
pub use pool::{Agreed, IdleSet, Look, Pool};
pub use private::Private;
pub use spec::{ConnectSpec, Protocol, SocketSpec};
