//! Tidegate from the outside: the built binary as a process, real sockets, exact bytes.
//!
//! Every test starts a proxy of its own on free ports and ends it. Nothing is timed: durations are
//! deadlines after which a test gives up. `TIDEGATE_FAULT_SCALE=full` runs the long ones at full size.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what it expects by stopping, and tells what it saw"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests have deadlines of their own"
)]
#![expect(clippy::float_cmp, reason = "counters are whole numbers")]
#![expect(clippy::too_many_lines, reason = "tables")]

mod access;
mod accesslog;
mod admin;
mod auth;
mod balance;
mod bandwidth;
mod bulkhead;
mod cors;
mod counts;
mod demo;
mod discovery;
mod drain;
mod endpoints;
mod error_pages;
mod events;
mod explain;
mod faults;
mod filters;
mod finish;
mod forward;
mod forward_auth;
mod framing;
mod health;
mod http2;
mod journal;
mod jwt;
mod l4;
mod limits;
mod maintenance;
mod notify;
mod outlier;
mod overload;
mod overrides;
mod pool;
mod rate_limit;
mod probes;
mod reload;
mod retry;
mod rewrite;
mod route_tests;
mod selftest;
mod sends;
mod sizes;
mod sni;
mod sticky;
mod support;
mod timeouts;
mod tls;
mod upgrade;
