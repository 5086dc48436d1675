//! What one core owns: its runtime, its sockets, its pools, its view of the configuration.
//!
//! A worker is a thread with a local runtime. It learns of a new configuration by a message and builds its own
//! [`View`] of it: metric cells, balancer cursors and idle connections are looked up once, there, so that an
//! exchange finds all by position, takes no lock and touches no counter that another core writes.
//!
//! **Invariants.** Everything here is `!Send` and stays on its thread, but for [`Command`]s.
//!
//! **Not here.** What is done with a connection: the closure given to [`thread::spawn`].

pub mod ids;
pub mod kit;
pub mod local;
pub mod presence;
pub mod scratch;
mod spares;
pub mod thread;
pub mod view;

pub use ids::{Holder, Ids};
pub use kit::Kit;
pub use local::{Local, Process};
pub use presence::Presence;
pub use thread::{Command, Listening, Worker};
pub use view::{ClusterView, ListenerView, View};
