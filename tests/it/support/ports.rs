//! Free ports. Below the range from which the kernel takes ports for outgoing connections, so that
//! none of the thousands that the tests make can take one between the look and the child's bind.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// An address on 127.0.0.1 that nobody listens on, handed out once by this process.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs at once start far apart.
    let start = u16::try_from(std::process::id() % 199).unwrap_or(0) * 100;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(step)) % COUNT;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
    panic!("no free port");
}
