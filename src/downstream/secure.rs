//! The TLS step: from an accepted socket to an agreed protocol, within a deadline.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::HandshakeKind;

use super::connection::Connection;
use crate::base::{Detail, Reason, clock};
use crate::drain::Phase;
use crate::listener::ListenerSpec;
use crate::message::forwarded::Headers;
use crate::metrics::{Handshake, ListenerCells};
use crate::record::TlsFacts;
use crate::tls::{self, HandshakeSlot, Hello, ServerTls};

/// A handshake that has a place among those under way.
pub(super) struct Step {
    tls: Arc<ServerTls>,
    told: Headers,
    deadline: Duration,
    /// Most handshakes at a time.
    most: usize,
    /// Its place; `None`: it has none yet.
    slot: Option<HandshakeSlot>,
}

/// What came of a handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Made {
    /// Data may flow.
    Whole,
    /// Nothing more is to be said.
    Failed,
}

/// What is spoken on a connection to an http listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spoken {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// All places are taken.
const CROWDED: (Reason, Detail) = (Reason::ConnLimit, Detail::Handshakes);

impl Step {
    /// The step that a connection of this listener needs, if any; what it is refused for when there are too many. One that is `told` of its
    /// client first takes its place behind that.
    pub(super) fn admit(spec: &ListenerSpec, told: bool) -> Result<Option<Self>, (Reason, Detail)> {
        let Some(tls) = &spec.tls else {
            return Ok(None);
        };
        let most = spec.limits.handshakes;
        let slot = if told {
            None
        } else {
            Some(tls.begin(most).ok_or(CROWDED)?)
        };
        Ok(Some(Self {
            most,
            tls: Arc::clone(tls),
            told: spec.forwarding,
            deadline: spec.timeouts.handshake,
            slot,
        }))
    }

    /// Makes the handshake and counts it. Bytes that were read already are the first of it.
    pub(super) async fn run(mut self, connection: &Connection, cells: &ListenerCells) -> Made {
        let began = clock::now();
        let early = std::mem::take(&mut *connection.input.borrow_mut());
        let made = self.handshake(connection, &early).await;
        connection.local.give_buffer(early);
        match made.and_then(|(hello, asked)| self.facts(connection, hello, asked)) {
            Ok(facts) => {
                let handshake = describe(connection);
                cells.shook_hands(handshake, clock::between(began, clock::now()));
                connection.facts.secured(facts);
                Made::Whole
            }
            Err((reason, detail)) => {
                cells.rejected(reason, detail);
                // One without a place was not made.
                if (reason, detail) != CROWDED {
                    cells.handshake_failed(describe(connection), detail);
                }
                Made::Failed
            }
        }
    }

    async fn handshake(
        &mut self,
        connection: &Connection,
        early: &[u8],
    ) -> Result<(Hello, u64), (Reason, Detail)> {
        let slot = self.slot.take().or_else(|| self.tls.begin(self.most));
        let slot = slot.ok_or(CROWDED)?;
        let (session, asked) = self.tls.session().map_err(|error| {
            tracing::error!(%error, listener = %connection.facts.listener, "no TLS session");
            (Reason::Internal, Detail::None)
        })?;
        let Connection {
            stream,
            timer,
            local,
            ..
        } = connection;
        stream.secure(session, early);
        timer.set_idle(local.deadlines.after(self.deadline));
        let mut hello = None;
        let mut crowded = false;
        let made = poll_fn(|cx| {
            timer.watch(cx);
            if slot.poll_lost(cx).is_ready() {
                crowded = true;
                return Poll::Ready(None);
            }
            let polled = stream.poll_handshake(cx);
            if let Some(said) = tls::last_hello() {
                slot.speaks();
                hello = Some(said);
            }
            // It holds what is left of a message that is not whole.
            connection.weigh(0);
            match polled {
                Poll::Pending if timer.fired() || local.drain.phase() == Phase::Forced => {
                    Poll::Ready(None)
                }
                polled => polled.map(Some),
            }
        })
        .await;
        let failed = |detail| Err((Reason::TlsHandshake, detail));
        match made {
            Some(Ok(())) => Ok((hello.unwrap_or_default(), asked)),
            None if crowded => Err(CROWDED),
            None => failed(Detail::Timeout),
            Some(Err(_)) if matches!(&hello, Some(Hello { shown: None, .. })) => {
                Err((Reason::TlsNoCertificate, Detail::None))
            }
            Some(Err(error)) => {
                let peer = &connection.facts.peer_text;
                tracing::debug!(%error, listener = %connection.facts.listener, %peer, "TLS handshake failed");
                failed(tls::detail(&error))
            }
        }
    }

    /// What is known of a connection from its handshake.
    fn facts(
        &self,
        connection: &Connection,
        hello: Hello,
        asked: u64,
    ) -> Result<TlsFacts, (Reason, Detail)> {
        let agreed = connection.stream.agreed(|common| {
            let suite = common.negotiated_cipher_suite();
            let version = common.protocol_version();
            let client = tls::client_certificate(common, self.told);
            client.map(|client| TlsFacts {
                version: version.map_or("", tls::version),
                cipher: suite.map_or("", |suite| tls::suite(suite.suite())),
                server_name: hello.name,
                shown: hello.shown,
                asked,
                client: client.map(Box::new),
            })
        });
        agreed
            .unwrap_or(Err(Detail::None))
            .map_err(|detail| (Reason::TlsHandshake, detail))
    }
}

/// What is spoken. This is the one place where ALPN decides; a client that did not ask speaks HTTP/1.
pub(super) fn spoken(connection: &Connection) -> Spoken {
    let agreed = connection
        .stream
        .agreed(|common| common.alpn_protocol().map(<[u8]>::to_vec));
    match agreed.flatten().as_deref() {
        Some(b"h2") => Spoken::Http2,
        Some(_) | None => Spoken::Http1,
    }
}

fn describe(connection: &Connection) -> Handshake {
    let agreed = connection.stream.agreed(|common| Handshake {
        version: common.protocol_version().map_or("none", tls::version),
        group: common
            .negotiated_key_exchange_group()
            .map_or("none", |group| tls::group(group.name())),
        resumed: match common.handshake_kind() {
            Some(HandshakeKind::Resumed) => "yes",
            _ => "no",
        },
    });
    agreed.unwrap_or_default()
}
