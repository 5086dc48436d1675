//! What filters see of an exchange beside its heads.

use std::net::IpAddr;
use std::time::Instant;

use crate::message::forwarded::Proto;
use crate::record::TlsFacts;

/// What is known of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who asks, behind trusted proxies.
    pub client: IpAddr,
    /// The name of the exchange: in letters, digits and `-._:=+/@`.
    pub request_id: &'a str,
    /// The listener that took the connection.
    pub listener: &'a str,
    /// The route that was found.
    pub route: &'a str,
    /// The cluster that it goes to, or came from; empty: none.
    pub cluster: &'a str,
    /// By which scheme the client asked, behind trusted proxies.
    pub scheme: Proto,
    /// What was agreed upon with the peer, where it speaks TLS.
    pub tls: Option<&'a TlsFacts>,
    /// When the request was there.
    pub now: Instant,
}
