//! Session tickets: whose they are, and what they are sealed with.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::CertificateDer;
use rustls::server::ProducesTickets;

use super::clients::Mark;
use super::reader::Reader;
use super::x509::Facts;
use crate::base::secret::Secret;
use crate::base::{ListenerName, clock};

/// Whose tickets: a session is resumed where what was asked of the client is what is asked now, and nowhere else. rustls
/// does not verify a client's certificate again when it resumes (E-123).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Whose {
    pub(super) listener: ListenerName,
    pub(super) clients: Option<Mark>,
    /// What says which secret the keys are made of.
    pub(super) secret: Option<[u8; 32]>,
}

/// Makes and opens session tickets.
pub(super) struct Tickets(pub(super) Option<Arc<dyn ProducesTickets>>);

impl Tickets {
    /// Sealed with keys made of this secret, or with random ones of this process. Either rotate (E-167).
    pub(super) fn new(whose: &Whose, secret: Option<&Secret>) -> Self {
        Self(match secret {
            Some(secret) => Some(Arc::new(Shared {
                secret: secret.clone(),
                listener: whose.listener.clone(),
                clients: whose.clients.map_or_else(String::new, Mark::text),
            })),
            None => Ticketer::new()
                .inspect_err(|error| tracing::error!(%error, "no keys for session tickets"))
                .ok(),
        })
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

/// How long tickets are sealed with one key, in seconds; they are opened for as long again.
const SPAN: u64 = 6 * 3600;

/// How the number of a span stands before a ticket.
const SPAN_LEN: usize = 4;

/// Keys that every instance with the same secret makes for itself, one for each span of time.
#[derive(Debug)]
struct Shared {
    secret: Secret,
    listener: ListenerName,
    clients: String,
}

impl Shared {
    fn key(&self, span: u32) -> Option<LessSafeKey> {
        let (span, listener) = (span.to_string(), self.listener.as_str());
        let parts = ["tidegate tickets 1", listener, &self.clients, &span];
        let tag = self.secret.sign(&parts);
        // Nonces are random, and instances do not know of each other's: SIV forgives one that comes twice.
        let key = UnboundKey::new(&AES_256_GCM_SIV, tag.as_ref()).ok()?;
        Some(LessSafeKey::new(key))
    }

    fn seal(&self, plain: &[u8], span: u32) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let head = span.to_be_bytes();
        let mut sealed = plain.to_vec();
        self.key(span)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(head),
                &mut sealed,
            )
            .ok()?;
        Some([&head[..], &nonce, &sealed].concat())
    }

    /// Clocks of instances differ a little: a ticket of the span to come is opened, too.
    fn open(&self, ticket: &[u8], now: u32) -> Option<Vec<u8>> {
        let (head, rest) = ticket.split_first_chunk::<SPAN_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let span = u32::from_be_bytes(*head);
        if span.abs_diff(now) > 1 {
            return None;
        }
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self
            .key(span)?
            .open_in_place(nonce, Aad::from(*head), &mut plain);
        let len = opened.ok()?.len();
        plain.truncate(len);
        Some(plain)
    }
}

/// The number of the span that is now.
fn now() -> u32 {
    u32::try_from(clock::wall().as_secs() / SPAN).unwrap_or(u32::MAX)
}

impl ProducesTickets for Shared {
    fn enabled(&self) -> bool {
        true
    }

    #[expect(clippy::cast_possible_truncation, reason = "hours")]
    fn lifetime(&self) -> u32 {
        2 * SPAN as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, now())
    }
}

/// Tickets of clients that show certificates. A ticket has what they showed in it, and nobody verifies that again: it opens while all of those
/// certificates are valid, and all lists of revoked ones are good. After that a client makes a handshake of its own, in which it may show what it
/// has by now. Were it refused behind a resumed one, it would be given another ticket of the same kind first.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) tickets: Arc<dyn ProducesTickets>,
    /// Until when all lists are good, in seconds since the Unix epoch.
    pub(super) lists_until: u64,
}

impl ProducesTickets for Shown {
    fn enabled(&self) -> bool {
        self.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.encrypt(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let now = clock::wall().as_secs();
        if self.lists_until < now {
            return None;
        }
        let plain = self.tickets.decrypt(ticket)?;
        let certificates = shown(&mut Reader(&plain))?;
        let valid =
            |one: CertificateDer<'_>| Facts::read(&one).is_some_and(|facts| facts.not_after >= now);
        certificates.into_iter().all(valid).then_some(plain)
    }
}

/// The certificates that a session was made with: rustls's own layout of a session. Were that to change nobody would resume, and a test would
/// say so.
fn shown<'b>(session: &mut Reader<'b>) -> Option<Vec<CertificateDer<'b>>> {
    // The name that was asked for.
    if said(session)? {
        session.vector8()?;
    }
    // Version, suite, secret, and whether the secret is bound to its handshake.
    session.take(2 + 2)?;
    session.vector8()?;
    session.byte()?;
    let mut certificates = Vec::new();
    if said(session)? {
        let mut chain = session.vector24()?;
        while !chain.0.is_empty() {
            certificates.push(CertificateDer::from(chain.vector24()?.0));
        }
    }
    Some(certificates)
}

/// Whether what may be left away follows.
fn said(session: &mut Reader<'_>) -> Option<bool> {
    match session.byte()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(secret: &str, listener: &str, clients: &str) -> Shared {
        Shared {
            secret: Secret::from_text(secret.as_bytes()),
            listener: ListenerName::parse(listener).unwrap(),
            clients: clients.to_owned(),
        }
    }

    #[test]
    fn a_ticket_opens_where_all_is_the_same_for_two_spans() {
        let one = shared("secret", "web", "mark");
        let ticket = one.seal(b"a session", 7).unwrap();
        let opened = |other: &Shared, now| other.open(&ticket, now);
        let same = shared("secret", "web", "mark");
        for now in [6, 7, 8] {
            assert_eq!(opened(&same, now).as_deref(), Some(&b"a session"[..]));
        }
        for now in [0, 5, 9, u32::MAX] {
            assert_eq!(opened(&same, now), None);
        }
        for other in [
            shared("another", "web", "mark"),
            shared("secret", "web2", "mark"),
            shared("secret", "web", ""),
        ] {
            assert_eq!(opened(&other, 7), None);
        }
        assert_ne!(one.seal(b"a session", 7).unwrap(), ticket);
    }

    #[test]
    fn whatever_was_changed_or_cut_does_not_open() {
        let one = shared("secret", "web", "");
        let ticket = one.seal(b"a session", 7).unwrap();
        for at in 0..ticket.len() {
            let mut other = ticket.clone();
            other[at] ^= 1;
            assert_eq!(one.open(&other, 7), None, "{at}");
            assert_eq!(one.open(&ticket[..at], 7), None, "{at}");
        }
    }
}
