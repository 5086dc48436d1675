//! What filters see of an exchange beside its heads.

use std::net::IpAddr;

use crate::base::clock::Instant;
use crate::message::forwarded::Proto;
use crate::record::{Record, TlsFacts};

/// What is known of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who asks, behind trusted proxies.
    pub client: IpAddr,
    /// What the exchange is called.
    pub name: Said<'a>,
    /// The listener that took the connection.
    pub listener: &'a str,
    /// The route that was found.
    pub route: &'a str,
    /// The cluster that it goes to, or came from; empty: none.
    pub cluster: Said<'a>,
    /// By which scheme the client asked, behind trusted proxies.
    pub scheme: Proto,
    /// What was agreed upon with the peer, where it speaks TLS.
    pub tls: Option<&'a TlsFacts>,
    /// When the request was there.
    pub now: Instant,
}

/// What is said of an exchange. Few filters ask, and what the record says is made when somebody does.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// This.
    Text(&'a str),
    /// What the record says.
    By(&'a Record),
}

impl<'a> Facts<'a> {
    /// The name of the exchange: in letters, digits and `-._:=+/@`.
    pub fn request_id(&self) -> &'a str {
        match self.name {
            Said::Text(name) => name,
            Said::By(record) => record.request_id(),
        }
    }

    /// The client's address as text, where that is made already: of the one that its connection comes from.
    pub fn client_text(&self) -> Option<&'a str> {
        let Said::By(record) = self.name else {
            return None;
        };
        let facts = record.facts();
        (facts.source().ip() == self.client).then(|| facts.source_text())
    }

    /// The cluster that it goes to, or came from; empty: none.
    pub fn cluster(&self) -> &'a str {
        match self.cluster {
            Said::Text(name) => name,
            Said::By(record) => record.cluster(),
        }
    }
}
