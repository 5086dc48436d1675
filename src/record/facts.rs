//! What is known of a connection.

use std::net::SocketAddr;
use std::rc::Rc;

use crate::base::ListenerName;

/// What every exchange of one connection shares.
#[derive(Debug)]
pub struct ConnectionFacts {
    /// The listener that took the connection.
    pub listener: ListenerName,
    /// The other end.
    pub peer: SocketAddr,
    /// The peer's IP address as text.
    pub peer_text: Box<str>,
}

impl ConnectionFacts {
    /// Facts of a connection; an IPv4 peer of a dual-stack socket is shown as IPv4.
    pub fn new(listener: ListenerName, peer: SocketAddr) -> Rc<Self> {
        let text = peer.ip().to_canonical().to_string();
        Rc::new(Self {
            listener,
            peer,
            peer_text: text.into(),
        })
    }
}
