//! A WebSocket of which one side is a stream of HTTP/2: no connection can be handed over, so what follows the handshake is
//! carried as bodies without a length, both ways at once.

use std::time::Duration;

use super::{Transfer, Upload};
use crate::base::{Detail, Error, Reason, clock};
use crate::exchange::side::Downstream;
use crate::exchange::upstream::Upstream;
use crate::http1::body::More;
use crate::message::{ResponseHead, Version, websocket};
use crate::net::Pace;
use crate::net::deadline::Tick;

/// What becomes of a connection, or a stream, when the protocol is changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum After {
    /// It is handed over.
    Handed,
    /// It stays with its driver, and bytes pass through that.
    Carried,
}

impl<D: Downstream, U: Upstream> Transfer<'_, D, U> {
    /// Whether bytes are carried once the protocol is changed.
    pub(super) fn carries(&self) -> After {
        match (self.down.after(), self.up.after()) {
            // What is handed over, nobody slows down.
            (After::Handed, After::Handed) if self.throttled.is_none() => After::Handed,
            _ => After::Carried,
        }
    }

    /// A client over HTTP/2 cannot see whether the endpoint has read its key, which is ours; so we look (RFC 6455, 4.1).
    pub(super) fn agreed(&self, head: &ResponseHead<'_>) -> Result<(), Error> {
        let asked = self.x.record.head();
        if asked.version() != Version::Http2 || head.version == Version::Http2 {
            return Ok(());
        }
        let wanted = asked.values(websocket::KEY).next().map(websocket::accept);
        let mut said = head.values(websocket::ACCEPT);
        match (wanted, said.next(), said.next()) {
            (Some(wanted), Some(said), None) if wanted.as_bytes() == said => Ok(()),
            _ => Err(Error::new(Reason::UpstreamProtocol, Detail::Upgrade)),
        }
    }

    /// From here on bytes pass as they come; only silence has a limit, and a client that does not read: what waits for it is held here, not by the
    /// kernel.
    pub(super) fn carry(&mut self) {
        self.down.carry();
        self.up.carry();
        self.carried = After::Carried;
        // What follows are bytes that nobody judges.
        self.watch.done(clock::now());
        self.upload = Upload::Body;
        self.body = More::Follows;
        self.idle = self.limits.tunnel;
        self.limits.total = Tick::NEVER;
        self.limits.body = Duration::ZERO;
        self.body_pace = Pace::new(0);
    }
}
