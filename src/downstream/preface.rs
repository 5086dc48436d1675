//! The PROXY protocol in front of a connection, from peers that are trusted to speak for others.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use super::connection::Connection;
use crate::base::{CidrSet, Detail, Error, Reason};
use crate::drain::Phase;
use crate::listener::{ListenerSpec, ProxyProtocol};
use crate::message::forwarded::{Trust, trust};
use crate::net::preface::{Carrier, Ends, MAX, Preface, Progress, SIGNATURE, parse};
use crate::worker::local::ClientSlot;
use crate::worker::scratch::HEADROOM;

/// What is awaited before the first byte of a connection.
pub(super) struct Step {
    need: Need,
    time: Duration,
    /// Connections that one client may have, once it is known.
    cap: u32,
    trusted: CidrSet,
}

/// Whether a connection may go without a header.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Need {
    Optional,
    Required,
}

impl Step {
    /// What this peer has to say first; an error when it may not speak for others and would have to.
    pub(super) fn admit(spec: &ListenerSpec, peer: IpAddr) -> Result<Option<Self>, Error> {
        let trusted = || spec.trusted.contains(peer);
        let need = match spec.proxy_protocol {
            ProxyProtocol::Off => return Ok(None),
            // What a stranger says is taken for what it wants to have carried.
            ProxyProtocol::Accept if !trusted() => return Ok(None),
            ProxyProtocol::Accept => Need::Optional,
            ProxyProtocol::Require if !trusted() => {
                return Err(Error::new(Reason::PrefaceInvalid, Detail::Untrusted));
            }
            ProxyProtocol::Require => Need::Required,
        };
        Ok(Some(Self {
            need,
            time: spec.timeouts.preface,
            cap: spec.limits.connections_per_client,
            trusted: spec.trusted.clone(),
        }))
    }

    /// Takes the header off the connection, byte for byte, and writes down what it says. What is returned is the place of
    /// the client that it speaks for in its count.
    pub(super) async fn run(&self, connection: &Connection) -> Result<Option<ClientSlot>, Error> {
        let clock = &connection.local.deadlines;
        connection.timer.set_idle(clock.after(self.time));
        let mut held = Vec::new();
        let preface = poll_fn(|cx| {
            connection.timer.watch(cx);
            self.poll(cx, connection, &mut held)
        })
        .await?;
        let Some(preface) = preface else {
            connection.keep(&held);
            return Ok(None);
        };
        let Some(ends) = preface.ends else {
            return Ok(None);
        };
        connection.facts.told(ends);
        // The peer was exempt, as one who speaks for many; whom it speaks for is not, unless it is trusted itself.
        let cap = match trust(ends.source.ip(), &self.trusted) {
            Trust::Proxy => 0,
            Trust::Stranger => self.cap,
        };
        let slot = connection.local.process.admit_client(ends.source.ip(), cap);
        slot.map(Some)
            .ok_or(Error::new(Reason::ConnLimit, Detail::Client))
    }

    /// Bytes are looked at first and taken when it is known what they are: nothing behind the header is read here.
    fn poll(
        &self,
        cx: &mut Context<'_>,
        connection: &Connection,
        held: &mut Vec<u8>,
    ) -> Poll<Result<Option<Preface>, Error>> {
        loop {
            let before = held.len();
            let mut scratch = connection.local.scratch();
            let room = MAX - before.min(MAX) + 1;
            let buf = scratch.get_mut(HEADROOM..HEADROOM + room);
            let buf = buf.unwrap_or_default();
            let seen = match connection.stream.poll_look(cx, buf) {
                Poll::Ready(Ok(0) | Err(_)) => {
                    let error = Error::new(Reason::PrefaceInvalid, Detail::Eof);
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(seen)) => seen,
                Poll::Pending if connection.local.drain.phase() == Phase::Forced => {
                    return Poll::Ready(Err(Error::from(Reason::Shutdown)));
                }
                Poll::Pending if connection.timer.fired() => {
                    return Poll::Ready(Err(Error::from(Reason::PrefaceTimeout)));
                }
                Poll::Pending => return Poll::Pending,
            };
            held.extend_from_slice(buf.get(..seen).unwrap_or_default());
            let (take, end) = match parse(held, Carrier::Stream) {
                Ok(Progress::Partial) => (seen, None),
                Ok(Progress::Whole(preface, used)) => {
                    (used.saturating_sub(before), Some(Ok(Some(preface))))
                }
                Ok(Progress::Other) if self.need == Need::Optional => (0, Some(Ok(None))),
                Ok(Progress::Other) | Err(_) => (0, Some(Err(Error::from(Reason::PrefaceInvalid)))),
            };
            held.truncate(before + take);
            let buf = scratch.get_mut(..take).unwrap_or_default();
            if !buf.is_empty() && !taken(cx, connection, buf) {
                let error = Error::new(Reason::PrefaceInvalid, Detail::Eof);
                return Poll::Ready(Err(error));
            }
            if let Some(end) = end {
                return Poll::Ready(end);
            }
        }
    }
}

/// Where in its flow a datagram stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// It begins one.
    First,
    /// There is one for its peer; who that is has been said.
    Later,
}

/// What stands in front of a datagram.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    /// Both ends of the flow that it speaks for; `None`: it speaks for its peer, or does not say.
    pub(super) ends: Option<Ends>,
    /// How many bytes; 0: there is no header.
    pub(super) used: usize,
}

impl Said {
    /// Whose flow a header says that it belongs to.
    pub(super) fn source(&self, peer: SocketAddr) -> Option<SocketAddr> {
        let source = self.ends.map_or(peer, |ends| ends.source);
        (self.used > 0).then_some(source)
    }
}

/// Looks for a header in front of a datagram. From peers that are not trusted it is theirs, like all the rest.
pub(super) fn of_datagram(
    spec: &ListenerSpec,
    peer: IpAddr,
    datagram: &[u8],
    turn: Turn,
) -> Result<Said, Error> {
    let needed = spec.proxy_protocol == ProxyProtocol::Require && turn == Turn::First;
    if spec.proxy_protocol == ProxyProtocol::Off {
        return Ok(Said::default());
    }
    if !spec.trusted.contains(peer) {
        return if needed {
            Err(Error::new(Reason::PrefaceInvalid, Detail::Untrusted))
        } else {
            Ok(Said::default())
        };
    }
    match parse(datagram, Carrier::Datagram) {
        Ok(Progress::Whole(Preface { ends }, used)) => Ok(Said { ends, used }),
        // A few bytes of a client may be the first of a header, too; its whole signature and not all of it behind is broken.
        Ok(Progress::Partial) if datagram.len() >= SIGNATURE.len() => Err(INVALID),
        Ok(Progress::Other | Progress::Partial) if !needed => Ok(Said::default()),
        Ok(Progress::Other | Progress::Partial) | Err(_) => Err(INVALID),
    }
}

const INVALID: Error = Error::new(Reason::PrefaceInvalid, Detail::None);

/// Takes what was looked at: it is there, so that one read has all of it.
fn taken(cx: &mut Context<'_>, connection: &Connection, buf: &mut [u8]) -> bool {
    let wanted = buf.len();
    matches!(connection.stream.poll_read(cx, buf), Poll::Ready(Ok(read)) if read == wanted)
}
