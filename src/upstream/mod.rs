//! The way to an endpoint: connect spec, connect, pool, lease.

pub mod spec;

pub use spec::ConnectSpec;
