//! Tidegate: a reverse proxy and load balancer, L4 and L7, in one binary.
//!
//! This page is the map: one room a line, one total order. A room imports only rooms above it
//! (`tests/architecture.rs` holds it to that). `docs/architecture.md` tells the life of a request.

pub mod base;
pub mod config;
pub mod message;
pub mod metrics;
pub mod limit;
pub mod drain;
pub mod state;
pub mod task;
pub mod net;
pub mod record;
pub mod tls;
pub mod http1;
pub mod http2;
pub mod dns;
pub mod upstream;
pub mod health;
pub mod outlier;
pub mod endpoint;
pub mod balance;
pub mod cluster;
pub mod limiter;
pub mod filter;
pub mod route;
pub mod listener;
pub mod snapshot;
pub mod worker;
pub mod exchange;
pub mod downstream;
pub mod reload;
pub mod admin;
pub mod server;
pub mod cli;
