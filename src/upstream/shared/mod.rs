//! Connections that several exchanges use at once: HTTP/2 to one endpoint, of one worker.
//!
//! **Invariants.** A connection serves no more exchanges at once than the configuration and its peer allow; where all
//! are full, another is made. Each is made and driven by a task of its own, so that the exchange that asked for it may leave.
//! Its windows are given back as clients take what came, and have room for every stream, so one that stalls holds up
//! no other.
//!
//! **Not here.** Heads and bodies (`exchange`), and who may ask an endpoint at all (`endpoint`).

mod connection;
pub mod failure;
mod io;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::Request;

use super::ConnectSpec;
use super::spec::Http2;
use crate::base::{Detail, Error, Reason};
use crate::metrics::Http2Cells;
use crate::net::Stream;
use crate::net::deadline::Deadlines;
use connection::Connection;
use failure::Stage;

/// The shared connections of one connect spec.
#[derive(Debug, Default)]
pub struct Shared {
    connections: RefCell<Vec<Rc<Connection>>>,
}

/// Whose connection a seat is at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Company {
    /// It was there.
    Joined,
    /// It is made, for another seat.
    Awaited,
    /// It is made for this seat.
    Founded,
}

/// What is made new where no seat is free.
#[derive(Debug)]
pub struct Means<'a> {
    /// Where to.
    pub spec: &'a Arc<ConnectSpec>,
    /// How it is spoken to.
    pub settings: Http2,
    /// How long making it may take.
    pub connect: Duration,
    /// The worker's clock.
    pub clock: &'a Rc<Deadlines>,
    /// What is counted.
    pub cells: &'a Arc<Http2Cells>,
}

/// A place for one stream, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    connection: Rc<Connection>,
    /// Whose connection it is at.
    pub company: Company,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connection.rise();
    }
}

/// Which connection will do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Which {
    /// Any with room.
    Any,
    /// One that has not served anybody yet: on another the request was just turned away.
    New,
}

impl Shared {
    /// A seat at a connection with room, else at one that is made.
    pub fn seat(&self, which: Which, means: &Means<'_>) -> Seat {
        let mut connections = self.connections.borrow_mut();
        let fits = |connection: &&Rc<Connection>| {
            connection.has_room() && (which == Which::Any || connection.is_connecting())
        };
        // The first with room, not the emptiest: connections that are not needed fall idle.
        let joined = connections.iter().find(fits).map(Rc::clone);
        let company = match &joined {
            Some(connection) if connection.is_connecting() => Company::Awaited,
            Some(_) => Company::Joined,
            None => Company::Founded,
        };
        let connection = joined.unwrap_or_else(|| {
            let made = Connection::open(means);
            connections.push(Rc::clone(&made));
            made
        });
        connection.sit();
        Seat {
            connection,
            company,
        }
    }

    /// How many connections nobody uses.
    pub fn idle(&self) -> usize {
        let connections = self.connections.borrow();
        let idle = connections.iter().filter(|c| c.idle_since().is_some());
        idle.count()
    }

    /// Closes all that nobody uses.
    pub fn clear(&self) {
        self.connections.borrow_mut().retain(|connection| {
            let stays = connection.is_used();
            if !stays {
                connection.retire(Reason::UpstreamReset, Detail::Idle);
            }
            stays
        });
    }

    /// Looks after all of them: closes those beyond `limit` that nobody uses, those that nobody has used for `timeout`, and
    /// those whose peer is gone.
    pub(super) fn sweep(&self, clock: &Deadlines, limit: usize, timeout: Duration) {
        let kept = Cell::new(0);
        self.connections.borrow_mut().retain(|connection| {
            connection.examine();
            if connection.is_closed() {
                // Streams that it still has must hear of a peer that is gone.
                return connection.is_used();
            }
            let Some(since) = connection.idle_since() else {
                return true;
            };
            let stays = kept.get() < limit && clock.since(since) < timeout;
            if stays {
                kept.set(kept.get() + 1);
            } else {
                connection.retire(Reason::UpstreamReset, Detail::Idle);
            }
            stays
        });
    }
}

impl Drop for Shared {
    /// Nothing new goes over any of them.
    fn drop(&mut self) {
        for connection in self.connections.get_mut() {
            connection.retire(Reason::UpstreamReset, Detail::Idle);
        }
    }
}

impl Seat {
    /// Waits until the connection is open.
    pub async fn ready(&self) -> Result<(), Error> {
        self.connection.opened().await
    }

    /// The connection as it is, where the endpoint may choose and does not speak HTTP/2; one of those who waited gets it.
    pub fn take_declined(&self) -> Option<Stream> {
        self.connection.take_declined()
    }

    /// Whether the endpoint takes a WebSocket, once it has said what it takes (RFC 8441, 3).
    pub async fn takes_websockets(&self) -> Result<bool, Error> {
        self.connection.takes_websockets().await
    }

    /// Begins the stream.
    pub fn send(
        &self,
        request: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.connection.send(request, end)
    }

    /// What ended a stream, in our words.
    pub fn fault(&self, error: h2::Error, stage: Stage) -> Error {
        failure::translate(error, stage, self.connection.is_dead())
    }

    /// The endpoint turned a stream away: counted, and nothing new goes over a connection that says it is closing.
    pub fn turned_away(&self, error: &h2::Error) {
        if error.is_go_away() {
            self.connection
                .retire(Reason::UpstreamReset, Detail::GoAway);
        } else {
            self.connection.cells.refused.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::EndpointAddr;
    use crate::base::clock;
    use crate::upstream::Protocol;
    use tokio::task::LocalSet;

    #[tokio::test]
    async fn a_connection_that_is_being_made_is_not_used_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = EndpointAddr::Inet(listener.local_addr().unwrap());
        let settings = Http2 {
            streams: 10,
            window: 65_535,
            head: 1024,
            ping_interval: Duration::ZERO,
            ping_timeout: Duration::from_secs(1),
        };
        let spec = Arc::new(ConnectSpec {
            addr,
            protocol: Protocol::Http2(settings),
            preface: None,
            tls: None,
            socket: crate::upstream::SocketSpec::default(),
        });
        let means = Means {
            spec: &spec,
            settings,
            connect: Duration::from_secs(10),
            clock: &Deadlines::new(clock::now()),
            cells: &Arc::default(),
        };
        let seats = async {
            let shared = Shared::default();
            let first = shared.seat(Which::Any, &means);
            assert_eq!(first.company, Company::Founded);
            let second = shared.seat(Which::Any, &means);
            assert_eq!(second.company, Company::Awaited);
            second.ready().await.unwrap();
            let third = shared.seat(Which::Any, &means);
            assert_eq!(third.company, Company::Joined);
            // Where memory is short those that are used stay, and so do those who wait for them.
            shared.clear();
            assert_eq!(shared.seat(Which::Any, &means).company, Company::Joined);
            drop((first, second, third));
            shared.clear();
            assert_eq!(shared.seat(Which::Any, &means).company, Company::Founded);
        };
        LocalSet::new().run_until(seats).await;
    }
}
