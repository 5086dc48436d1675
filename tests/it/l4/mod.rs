//! Layer 4: byte streams and datagrams.

mod exact;
mod flows;
mod policy;
mod preface;
mod quic;
mod real;
mod sni;
mod sockets;
mod tcp;
mod transparent;
mod udp;
mod unix;

use crate::support::{Setup, ports};
use std::net::SocketAddr;

/// A setup with a tcp listener `raw` in front of the cluster `app` of these endpoints, and where it listens.
fn tcp_over(endpoints: &[SocketAddr], listener: &str, cluster: &str) -> (Setup, SocketAddr) {
    let raw = ports::free();
    let setup = Setup::over_with(endpoints, cluster).tail(&tcp_listener(raw, listener));
    (setup, raw)
}

fn tcp_listener(addr: SocketAddr, keys: &str) -> String {
    format!(
        "[[listeners]]\nname = \"raw\"\nbind = [\"{addr}\"]\nprotocol = \"tcp\"\ncluster = \"app\"\n{keys}\n"
    )
}
