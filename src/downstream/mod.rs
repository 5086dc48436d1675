//! One connection from a client, from its first byte to its last: preface, TLS, protocol.
//!
//! Turns an accepted socket into exchanges, or into a tunnel (`tcp`). A driver (`h1`) reads heads and bodies off the wire and calls
//! `exchange`, which is the same for every protocol.
//!
//! **Invariants.** Between two requests a connection holds no buffer and a small future; the state of an exchange
//! is boxed, and the boxes are used again. Every wait has a deadline.
//!
//! **Not here.** What happens to a request (`exchange`), how bytes become one (`http1`).
//!
//! **Cancel safety.** The task of a connection is never cancelled while the process lives; a panic in it ends this
//! connection only.

mod answers;
mod behind;
mod connection;
mod counted;
mod flows;
mod h1;
mod h2;
mod hello;
mod intake;
mod linger;
mod outbox;
mod preface;
mod prior;
mod reading;
mod secure;
mod side;
mod slot;
mod tcp;
mod terms;
mod tunnel;
mod udp;

use std::rc::Rc;

use crate::base::{Detail, ListenerName, Peer, Reason};
use crate::limit::Level;
use crate::listener::Serves;
use crate::message::forwarded::{Trust, trust};
use crate::net::Stream;
use crate::task;
use crate::worker::Local;
use crate::worker::local::{Admission, ClientSlot};
use connection::Connection;
use counted::Counted;
use secure::{Made, Spoken, Step};

pub use udp::serve_datagrams;

/// Judges an accepted connection at once, and serves it until it ends. One that has no place is closed before the
/// next is accepted: were it judged by its task, a burst would take all descriptors first.
#[expect(clippy::needless_pass_by_value, reason = "what workers call it with")]
pub fn serve(
    local: Rc<Local>,
    listener: ListenerName,
    stream: Stream,
    peer: Peer,
) -> impl Future<Output = ()> {
    let admitted = admit(&local, listener, stream, peer);
    async move {
        if let Some(mut admitted) = admitted {
            let connection = Rc::clone(&admitted.seat.connection);
            // Boxed: a connection does not carry its size afterwards.
            if let Some(step) = admitted.preface.take() {
                match Box::pin(step.run(&connection)).await {
                    Ok(Some(client)) => admitted.seat.client = client,
                    Ok(None) => {}
                    Err(error) => {
                        let cells = &connection.counted.cells;
                        cells.rejected(error.reason(), error.detail());
                        if admitted.protocol == Protocol::Tcp {
                            connection.stream.abort();
                        }
                        return;
                    }
                }
            }
            if let Some(step) = admitted.secure.take() {
                // Boxed: what idles afterwards must not carry its size.
                let cells = &connection.counted.cells;
                let made = Box::pin(step.run(&connection, cells)).await;
                if made == Made::Failed {
                    return;
                }
            }
            match admitted.protocol {
                Protocol::Http => match secure::spoken(&connection) {
                    Spoken::Http1 => match h1::drive(Rc::clone(&connection)).await {
                        h1::Ended::Here => {}
                        // Boxed: a connection of HTTP/1 must not carry its size.
                        h1::Ended::Http2 => Box::pin(h2::drive(connection)).await,
                    },
                    Spoken::Http2 => Box::pin(h2::drive(connection)).await,
                },
                Protocol::Tcp => {
                    if let Some(parts) = Box::pin(tcp::join(&connection)).await {
                        let presence = connection.local.presence.join();
                        let tunnel = tunnel::serve(admitted.seat, parts);
                        task::spawn_holding("tunnel", presence, tunnel);
                        return;
                    }
                    // A stream of which nothing came is not an empty one.
                    connection.stream.abort();
                }
            }
            admitted.seat.closed();
        }
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protocol {
    Http,
    Tcp,
}

/// A connection and its places in the counts; they go in this order.
#[derive(Debug)]
struct Seat {
    connection: Rc<Connection>,
    _process: Admission,
    client: ClientSlot,
}

impl Seat {
    /// It has ended.
    fn closed(&self) {
        let cause = self.connection.cause();
        self.connection.counted.cells.closed(cause);
    }
}

/// A connection, and what is done before its first request.
struct Admitted {
    seat: Seat,
    secure: Option<Step>,
    protocol: Protocol,
    preface: Option<preface::Step>,
}

fn admit(
    local: &Rc<Local>,
    listener: ListenerName,
    stream: Stream,
    peer: Peer,
) -> Option<Admitted> {
    let view = local.view();
    // A connection that waited in the queue of a listener which is gone by now is served by its last rules.
    let (view, position) = match view.listener(&listener) {
        Some(position) => (view, position),
        None => local.retired(&listener)?,
    };
    let settings = view.listeners.get(position)?;
    let counted = Counted::new(&settings.cells);
    let spec = &settings.spec;
    let refuse = |reason, detail| {
        settings.cells.rejected(reason, detail);
        // A stream of which nothing came is not an empty one.
        if let Serves::Tcp(_) = spec.serves {
            stream.abort();
        }
    };
    if local.credit.level() == Level::Full {
        refuse(Reason::Overloaded, Detail::Memory);
        return None;
    }
    let Some(process) = local.process.admit() else {
        refuse(Reason::ConnLimit, Detail::Process);
        return None;
    };
    let source = peer.addr().ip();
    let cap = match trust(source, &spec.trusted) {
        Trust::Proxy => 0,
        Trust::Stranger => spec.limits.connections_per_client,
    };
    let Some(client) = local.process.admit_client(source, cap) else {
        refuse(Reason::ConnLimit, Detail::Client);
        return None;
    };
    let preface = match preface::Step::admit(spec, source) {
        Ok(step) => step,
        Err(error) => {
            refuse(error.reason(), error.detail());
            return None;
        }
    };
    let secure = match Step::admit(spec, preface.is_some()) {
        Ok(secure) => secure,
        Err((reason, detail)) => {
            refuse(reason, detail);
            return None;
        }
    };
    stream.hold_unsent(spec.limits.unsent);
    if !spec.liveness.is_silent() {
        stream.watch_over(&spec.liveness);
    }
    let connection = Connection::new(local, listener, stream, peer, spec, counted);
    let connection = Rc::new(connection);
    if view.tells_addresses
        && let Some(addr) = connection.stream.local_addr()
    {
        connection.facts.accepted_at(addr);
    }
    if let Serves::Tcp(_) = spec.serves {
        connection.counted.speaks(counted::Spoken::Own);
    }
    Some(Admitted {
        preface,
        secure,
        seat: Seat {
            connection,
            _process: process,
            client,
        },
        protocol: match spec.serves {
            Serves::Http => Protocol::Http,
            Serves::Tcp(_) => Protocol::Tcp,
            // The name belongs to a listener for datagrams by now.
            Serves::Udp(_) => return None,
        },
    })
}
