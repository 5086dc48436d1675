//! Endpoints that speak HTTP/2: what they are sent, what comes of what they answer, and how their connections are used.

mod connections;
mod grpc;
mod messages;
mod refusals;

use crate::support::Setup;
use std::net::SocketAddr;

/// One worker and one cluster of HTTP/2 endpoints.
fn over(addrs: &[SocketAddr], keys: &str) -> Setup {
    let protocol = if keys.starts_with("protocol") {
        ""
    } else {
        "protocol = \"http2\""
    };
    Setup::over_with(addrs, &format!("{protocol}\n{keys}")).workers(1)
}
