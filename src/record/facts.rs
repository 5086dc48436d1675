//! What is known of a connection.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::base::{ListenerName, Peer};
use crate::message::forwarded::Proto;
use crate::message::key;
use crate::net::preface::Ends;
use crate::net::quic::Id;

/// What every exchange of one connection shares.
#[derive(Debug)]
pub struct ConnectionFacts {
    /// The listener that took the connection.
    pub listener: ListenerName,
    /// The other end.
    pub peer: Peer,
    /// The peer's IP address as text.
    pub peer_text: Box<str>,
    /// What limits count it by. Few need it, and so it is elsewhere.
    source_key: OnceCell<Box<u128>>,
    rare: OnceCell<Box<Rare>>,
    tls: OnceCell<Box<TlsFacts>>,
}

/// What is known of few connections.
#[derive(Debug, Default)]
struct Rare {
    /// What a proxy in front has told of the connection that this one stands for, and who that is as text.
    told: OnceCell<(Ends, Box<str>)>,
    /// Our own address on the connection, where endpoints are told of it.
    local: OnceCell<SocketAddr>,
    /// The server name of a client hello that was looked into.
    asked: OnceCell<Box<[u8]>>,
    /// The protocol that it offers first.
    offered: OnceCell<Box<[u8]>>,
    /// By which a client of QUIC is found again, in hexadecimal.
    connection_id: OnceCell<Box<str>>,
}

/// What was agreed upon in a TLS handshake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFacts {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The suite, as IANA calls it.
    pub cipher: &'static str,
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
    /// Which names the certificate that it was shown is for, as a number that only the listener's TLS reads.
    pub shown: Option<u64>,
    /// What was asked of its own certificate, as such a number.
    pub asked: u64,
    /// The certificate that it showed.
    pub client: Option<Box<ClientCertificate>>,
}

/// A certificate that a client showed, and that was accepted. Texts are visible ASCII and spaces.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientCertificate {
    /// Whom it was made for (RFC 4514).
    pub subject: Box<str>,
    /// Who signed it (RFC 4514).
    pub issuer: Box<str>,
    /// Its number, in hexadecimal.
    pub serial: Box<str>,
    /// SHA-256 of it, in hexadecimal.
    pub fingerprint: Box<str>,
    /// The names that it is for, with commas between them.
    pub names: Box<str>,
    /// Whole field lines that tell endpoints of it.
    pub lines: Box<[u8]>,
}

impl ClientCertificate {
    /// Memory that it takes.
    fn weight(&self) -> usize {
        let texts = [
            &self.subject,
            &self.issuer,
            &self.serial,
            &self.fingerprint,
            &self.names,
        ];
        size_of::<Self>() + self.lines.len() + texts.iter().map(|text| text.len()).sum::<usize>()
    }
}

impl ConnectionFacts {
    /// Facts of a connection; an IPv4 peer of a dual-stack socket is shown as IPv4.
    pub fn new(listener: ListenerName, peer: Peer) -> Rc<Self> {
        let text = peer.addr().ip().to_canonical().to_string();
        Rc::new(Self {
            listener,
            peer,
            peer_text: text.into(),
            source_key: OnceCell::new(),
            rare: OnceCell::new(),
            tls: OnceCell::new(),
        })
    }

    /// For what is told of it.
    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// A flow is that of this connection of QUIC; of several the first counts.
    pub fn known_by(&self, id: &Id) {
        self.rare()
            .connection_id
            .get_or_init(|| id.to_string().into());
    }

    /// The connection of QUIC that it is known by, in hexadecimal.
    pub fn connection_id(&self) -> Option<&str> {
        self.rare.get()?.connection_id.get().map(|id| &**id)
    }

    /// The client asks for a server of this name.
    pub fn asked_for(&self, name: &[u8]) {
        // A second client hello is not looked into.
        let _ = self.rare().asked.set(name.into());
    }

    /// The client offers this protocol first (ALPN).
    pub fn offers(&self, protocol: &[u8]) {
        let _ = self.rare().offered.set(protocol.into());
    }

    /// The protocol that the client offers first, where its client hello was looked into.
    pub fn protocol(&self) -> Option<&[u8]> {
        let offered = self.rare.get()?.offered.get();
        offered.map(|protocol| &**protocol)
    }

    /// The server name that the client asks for, whoever ends its TLS.
    pub fn server_name(&self) -> Option<&[u8]> {
        let ended_here = || self.tls()?.server_name.as_ref();
        let asked = self.rare.get().and_then(|rare| rare.asked.get());
        let asked = asked.map(|name| &**name);
        asked.or_else(|| ended_here().map(|name| name.as_bytes()))
    }

    /// This connection stands for one between these ends (PROXY protocol). Said once, before anything else is known.
    pub fn told(&self, ends: Ends) {
        let text = ends.source.ip().to_canonical().to_string();
        // A second word does not count: there is none.
        let _ = self.rare().told.set((ends, text.into()));
    }

    #[inline]
    fn was_told(&self) -> Option<&(Ends, Box<str>)> {
        self.rare.get()?.told.get()
    }

    /// Who is at the other end, as far as the PROXY protocol tells: whom trust and limits are about.
    pub fn source(&self) -> SocketAddr {
        match self.was_told() {
            Some(told) => told.0.source,
            None => self.peer.addr(),
        }
    }

    /// The number of its IP address as a key. To be asked of requests: nothing is told of a connection behind the first of them.
    #[inline]
    pub fn source_key(&self) -> u128 {
        **self
            .source_key
            .get_or_init(|| Box::new(key::of_client(self.source().ip())))
    }

    /// Its IP address as text.
    pub fn source_text(&self) -> &str {
        self.was_told().map_or(&self.peer_text, |told| &told.1)
    }

    /// What the log says of the peer.
    pub fn peer_logged(&self) -> &str {
        match self.peer {
            Peer::Inet(_) => &self.peer_text,
            Peer::Unix => "unix",
        }
    }

    /// It was accepted at this address of ours.
    pub fn accepted_at(&self, local: SocketAddr) {
        let _ = self.rare().local.set(local);
    }

    /// Both ends of the connection, or of that which it stands for.
    pub fn ends(&self) -> Option<Ends> {
        let rare = self.rare.get()?;
        let told = rare.told.get().map(|told| told.0);
        told.or_else(|| {
            Some(Ends {
                source: self.peer.addr(),
                destination: *rare.local.get()?,
            })
        })
    }

    /// A handshake was made; only the first counts.
    pub fn secured(&self, facts: TlsFacts) {
        let _ = self.tls.set(Box::new(facts));
    }

    /// What the handshake agreed upon; `None` without TLS.
    #[inline]
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.get().map(|facts| &**facts)
    }

    /// The certificate that the client showed, and that was accepted.
    #[inline]
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.tls.get()?.client.as_deref()
    }

    /// Memory that a client's certificate takes here.
    #[inline]
    pub fn weight(&self) -> usize {
        self.client_certificate()
            .map_or(0, ClientCertificate::weight)
    }

    /// What the client speaks.
    #[inline]
    pub fn proto(&self) -> Proto {
        match self.tls.get() {
            None => Proto::Http,
            Some(_) => Proto::Https,
        }
    }
}
