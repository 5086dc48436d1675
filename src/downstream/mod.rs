//! One connection from a client, from its first byte to its last: preface, TLS, protocol.
//!
//! Turns an accepted socket into exchanges. A driver (`h1`) reads heads and bodies off the wire and calls
//! `exchange`, which is the same for every protocol.
//!
//! **Invariants.** Between two requests a connection holds no buffer and a small future; the state of an exchange
//! is boxed, and the boxes are used again. Every wait has a deadline.
//!
//! **Not here.** What happens to a request (`exchange`), how bytes become one (`http1`).
//!
//! **Cancel safety.** The task of a connection is never cancelled while the process lives; a panic in it ends this
//! connection only.

mod connection;
mod h1;
mod linger;
mod outbox;
mod side;
mod tunnel;

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use crate::base::{Detail, ListenerName, Reason, clock};
use crate::message::forwarded::{Trust, trust};
use crate::worker::Local;
use connection::Connection;

/// Serves one accepted connection until it ends.
pub async fn serve(local: Rc<Local>, listener: ListenerName, stream: TcpStream, peer: SocketAddr) {
    let view = local.view();
    // A connection that waited in the queue of a listener which is gone by now is served by its last rules.
    let found = match view.listener(&listener) {
        Some(position) => Some((view, position)),
        None => local.retired(&listener),
    };
    let Some((view, position)) = found else {
        return;
    };
    let Some(settings) = view.listeners.get(position) else {
        return;
    };
    let counted = Counted::new(&settings.cells);
    let spec = &settings.spec;
    let Some(admission) = local.process.admit() else {
        settings.cells.rejected(Reason::ConnLimit, Detail::Process);
        return;
    };
    let cap = match trust(peer.ip(), &spec.trusted) {
        Trust::Proxy => 0,
        Trust::Stranger => spec.limits.connections_per_client,
    };
    let Some(client) = local.process.admit_client(peer.ip(), cap) else {
        settings.cells.rejected(Reason::ConnLimit, Detail::Client);
        return;
    };
    let connection = Rc::new(Connection::new(&local, listener, stream, peer, spec));
    drop(view);
    h1::drive(Rc::clone(&connection)).await;
    counted.cells.closed(connection.cause());
    drop((connection, counted, admission, client));
}

/// Counts a connection while it lives.
struct Counted {
    cells: std::sync::Arc<crate::metrics::ListenerCells>,
    since: std::time::Instant,
}

impl Counted {
    fn new(cells: &std::sync::Arc<crate::metrics::ListenerCells>) -> Self {
        cells.accepted.inc();
        cells.active.inc();
        Self {
            cells: std::sync::Arc::clone(cells),
            since: clock::now(),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.cells.active.dec();
        self.cells.lasted(clock::between(self.since, clock::now()));
    }
}
