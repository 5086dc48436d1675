//! What filters see of an exchange beside its heads.

use std::net::IpAddr;
use std::time::Instant;

use crate::message::forwarded::Proto;
use crate::record::{Record, TlsFacts};

/// What is known of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who asks, behind trusted proxies.
    pub client: IpAddr,
    /// What the exchange is called.
    pub name: Name<'a>,
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

/// What an exchange is called. Few filters ask, and a name is made when somebody does.
#[derive(Clone, Copy, Debug)]
pub enum Name<'a> {
    /// This, in letters, digits and `-._:=+/@`.
    Said(&'a str),
    /// What it is logged by.
    Of(&'a Record),
}

impl<'a> Facts<'a> {
    /// The name of the exchange.
    pub fn request_id(&self) -> &'a str {
        match self.name {
            Name::Said(name) => name,
            Name::Of(record) => record.request_id(),
        }
    }
}
