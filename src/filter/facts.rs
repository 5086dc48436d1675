//! What filters see of an exchange beside its heads.

use std::net::IpAddr;

use crate::base::RouteName;
use crate::base::clock::Instant;
use crate::message::forwarded::{self, Proto, Trust};
use crate::record::{ConnectionFacts, Record, TlsFacts};

/// What is known of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who asks, behind trusted proxies.
    pub client: IpAddr,
    /// When the request was there.
    pub now: Instant,
    /// What few filters ask for.
    pub said: Said<'a>,
}

/// What is said of an exchange. Few filters ask, and what the record says is made when somebody does.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// What the record says.
    By {
        /// The exchange's.
        record: &'a Record,
        /// Whether its peer may speak for others.
        trust: Trust,
        /// The route that was found.
        route: &'a RouteName,
        /// The cluster that it goes to, empty if to none; `None`: where the answer came from.
        cluster: Option<&'a str>,
    },
    /// This.
    Text {
        /// What the exchange is called.
        name: &'a str,
        /// The listener that took the connection.
        listener: &'a str,
        /// The route that was found.
        route: &'a str,
        /// The cluster that it goes to, or came from; empty: none.
        cluster: &'a str,
        /// By which scheme the client asked.
        scheme: Proto,
    },
}

impl<'a> Facts<'a> {
    /// The name of the exchange: in letters, digits and `-._:=+/@`.
    pub fn request_id(&self) -> &'a str {
        match self.said {
            Said::By { record, .. } => record.request_id(),
            Said::Text { name, .. } => name,
        }
    }

    /// The client's address as text, where that is made already: of the one that its connection comes from.
    pub fn client_text(&self) -> Option<&'a str> {
        self.of_stranger().map(ConnectionFacts::source_text)
    }

    /// The client's number as a key ([`of_client`]), where that is made once for all of its connection.
    ///
    /// [`of_client`]: crate::message::key::of_client
    #[inline]
    pub fn client_key(&self) -> Option<u128> {
        self.of_stranger().map(ConnectionFacts::source_key)
    }

    /// What is known of the client's connection, where the client is the peer itself.
    #[inline]
    fn of_stranger(&self) -> Option<&'a ConnectionFacts> {
        match self.said {
            Said::By {
                record,
                trust: Trust::Stranger,
                ..
            } => Some(record.facts()),
            Said::By { .. } | Said::Text { .. } => None,
        }
    }

    /// The listener that took the connection.
    pub fn listener(&self) -> &'a str {
        match self.said {
            Said::By { record, .. } => record.facts().listener.as_str(),
            Said::Text { listener, .. } => listener,
        }
    }

    /// The route that was found.
    pub fn route(&self) -> &'a str {
        match self.said {
            Said::By { route, .. } => route.as_str(),
            Said::Text { route, .. } => route,
        }
    }

    /// The cluster that it goes to, or came from; empty: none.
    pub fn cluster(&self) -> &'a str {
        match self.said {
            Said::By {
                record, cluster, ..
            } => cluster.unwrap_or_else(|| record.cluster()),
            Said::Text { cluster, .. } => cluster,
        }
    }

    /// By which scheme the client asked, behind trusted proxies.
    pub fn scheme(&self) -> Proto {
        match self.said {
            Said::By { record, trust, .. } => {
                forwarded::proto(record.head(), trust, record.facts().proto())
            }
            Said::Text { scheme, .. } => scheme,
        }
    }

    /// What was agreed upon with the peer, where it speaks TLS.
    pub fn tls(&self) -> Option<&'a TlsFacts> {
        match self.said {
            Said::By { record, .. } => record.facts().tls(),
            Said::Text { .. } => None,
        }
    }
}
