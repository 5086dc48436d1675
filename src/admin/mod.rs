//! The operators' interface: metrics, liveness, readiness, status, reload.
//!
//! Runs on the control thread with its own socket and its own limits; a flood of it cannot take anything
//! from the data path but CPU.
//!
//! **Invariants.** Every request passes the guard before a handler sees it. A change needs the token, a unix
//! socket or loopback. One request a connection, and a bound on each connection's whole life, so that no slow
//! client can hold a slot for long.
//!
//! **Not here.** What a reload does (`reload`), what is counted (`metrics`).
//!
//! **Cancel safety.** Dropping the future of [`serve()`] closes the socket; requests under way end with it.

mod bind;
mod certificates;
mod clusters;
mod context;
mod guard;
mod limiters;
mod live;
mod maintenance;
mod readiness;
mod routes;
mod serve;
mod state;
mod wire;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;

pub use bind::Bound;
pub use context::{Context, Listening, Loaded, Reload, Reloaded, Running, Swap};
pub use live::register;
pub use readiness::Readiness;

use crate::listener::admin::Exposure;
use guard::Guard;
use serve::Limits;

/// Serves the interface for as long as the future lives; on the control thread.
pub async fn serve(bound: Bound, context: Context) -> io::Result<Infallible> {
    serve_within(Limits::DEFAULT, bound, context).await
}

async fn serve_within(limits: Limits, bound: Bound, context: Context) -> io::Result<Infallible> {
    let exposure = Exposure::of(&bound.addr());
    let running = context.running.clone();
    // A reload may change the token while the socket stays.
    let guard = move || Guard {
        exposure,
        token: running.borrow().token.clone(),
    };
    serve::serve(bound, Box::new(guard), routes::router(context), limits).await
}
