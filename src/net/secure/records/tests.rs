//! Records against rustls's own, and what a peer may not send.

use std::io::{Read, Write};
use std::sync::Arc;

use proptest::prelude::*;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{
    ClientConfig, ClientConnection, Connection, HandshakeKind, RootCertStore, ServerConfig,
    ServerConnection,
};

use super::super::session::Session;
use super::*;

const NAME: &str = "a.example";

/// What both ends of a connection go by.
struct Terms {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Terms {
    fn new(suite: SupportedCipherSuite) -> Self {
        let mut provider = default_provider();
        provider.cipher_suites = vec![suite];
        let provider = Arc::new(provider);
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([NAME.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        server.enable_secret_extraction = true;
        client.enable_secret_extraction = true;
        Self {
            server: Arc::new(server),
            client: Arc::new(client),
        }
    }

    fn server(&self) -> Ours {
        Ours::new(Session::server(&self.server).unwrap())
    }

    fn client(&self) -> Ours {
        let name = NAME.try_into().unwrap();
        Ours::new(Session::client(&self.client, name, Vec::new()).unwrap())
    }

    fn theirs(&self, ours: Whose) -> Connection {
        match ours {
            Whose::Client => ServerConnection::new(Arc::clone(&self.server))
                .unwrap()
                .into(),
            Whose::Server => {
                let name = NAME.try_into().unwrap();
                ClientConnection::new(Arc::clone(&self.client), name)
                    .unwrap()
                    .into()
            }
        }
    }

    fn ours(&self, whose: Whose) -> Ours {
        match whose {
            Whose::Server => self.server(),
            Whose::Client => self.client(),
        }
    }

    /// Both ends ours, the handshake done, records taken over.
    fn both(&self) -> (Ours, Ours) {
        let (mut server, mut client) = (self.server(), self.client());
        client.take(&[]).unwrap();
        while server.session.is_handshaking() || client.session.is_handshaking() {
            let wire = client.said();
            server.take(&wire).unwrap();
            let wire = server.said();
            client.take(&wire).unwrap();
        }
        let wire = server.said();
        client.session.take_over().unwrap();
        server.session.take_over().unwrap();
        assert_eq!(client.take(&wire).unwrap(), b"", "tickets");
        (server, client)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Whose {
    Server,
    Client,
}

/// Our end, without a socket.
struct Ours {
    session: Session,
    flow: Flow,
    held: Vec<u8>,
}

impl Ours {
    fn new(session: Session) -> Self {
        Self {
            session,
            flow: Flow::default(),
            held: Vec::new(),
        }
    }

    /// What came; the data in it.
    fn take(&mut self, wire: &[u8]) -> Result<Vec<u8>, Error> {
        if self.held.is_empty() {
            self.session.take_over()?;
        }
        self.held.extend_from_slice(wire);
        let mut job = Job::Read {
            into: &mut [],
            got: 0,
        };
        let used = self
            .session
            .advance(&mut self.held, &mut job, &mut self.flow)?;
        self.held.drain(..used);
        Ok(std::mem::take(&mut self.flow.plain))
    }

    /// What it has to say for itself.
    fn said(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.flow.out)
    }

    fn give(&mut self, first: &[u8], second: &[u8]) -> Vec<u8> {
        self.session.take_over().unwrap();
        let mut wire = self.said();
        let at = wire.len();
        let mut job = Job::Write {
            first,
            second,
            place: &mut wire,
            at,
        };
        self.session
            .advance(&mut [], &mut job, &mut self.flow)
            .unwrap();
        let Job::Write { at, .. } = job else {
            unreachable!()
        };
        assert_eq!(at, wire.len());
        wire
    }

    fn close(&mut self) -> Vec<u8> {
        self.session
            .advance(&mut [], &mut Job::Close, &mut self.flow)
            .unwrap();
        self.said()
    }

    fn records(&mut self) -> &mut Records {
        self.session.records().expect("its records are ours")
    }

    /// A record of this inner type.
    fn record(&mut self, kind: u8, what: &[u8]) -> Vec<u8> {
        let mut wire = vec![0; MORE + what.len()];
        self.records()
            .sealing
            .seal_as(kind, what, &[], &mut wire)
            .unwrap();
        wire
    }

    /// The alert in what the other end said; `None`: it said nothing.
    fn alerted(&mut self, said: &mut [u8]) -> Option<u8> {
        let (header, sealed) = said.split_first_chunk_mut()?;
        let (kind, opened) = self.records().opening.open(*header, sealed).unwrap();
        assert_eq!((kind, opened.len(), opened[0]), (Some(Kind::Alert), 2, 2));
        Some(opened[1])
    }
}

/// The other end's: what it said.
fn said(theirs: &mut Connection) -> Vec<u8> {
    let mut wire = Vec::new();
    while theirs.wants_write() {
        theirs.write_tls(&mut wire).unwrap();
    }
    wire
}

/// What it reads of that.
fn heard(theirs: &mut Connection, mut wire: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while !wire.is_empty() {
        theirs.read_tls(&mut wire).unwrap();
        theirs.process_new_packets().unwrap();
        let mut part = vec![0; 1 << 20];
        while let Ok(got @ 1..) = theirs.reader().read(&mut part) {
            data.extend_from_slice(&part[..got]);
        }
    }
    data
}

fn shake_hands(ours: &mut Ours, theirs: &mut Connection) {
    ours.take(&[]).unwrap();
    while ours.session.is_handshaking() || theirs.is_handshaking() {
        heard(theirs, &ours.said());
        ours.take(&said(theirs)).unwrap();
    }
}

fn suites() -> [SupportedCipherSuite; 3] {
    [
        TLS13_AES_128_GCM_SHA256,
        TLS13_AES_256_GCM_SHA384,
        TLS13_CHACHA20_POLY1305_SHA256,
    ]
}

/// What happens on a connection.
#[derive(Clone, Debug)]
enum Act {
    /// We send these two.
    Give(usize, usize),
    /// They send so much, which comes in pieces of so many bytes.
    Take(usize, usize),
    /// They change their key, and ask for ours to be.
    Renew,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let size = prop_oneof![
        1..600_usize,
        Just(RECORD - 1),
        Just(RECORD),
        Just(RECORD + 1),
        1..70_000_usize
    ];
    let act = prop_oneof![
        (size.clone(), prop_oneof![Just(0_usize), size.clone()]).prop_map(|(a, b)| Act::Give(a, b)),
        (size, 1..30_000_usize).prop_map(|(size, piece)| Act::Take(size, piece)),
        Just(Act::Renew),
    ];
    proptest::collection::vec(act, 1..12)
}

fn data(size: usize) -> Vec<u8> {
    (0..=250).cycle().take(size).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rustls_and_ours_understand_each_other(
        acts in acts(), which in 0..3_usize, client: bool, most in prop_oneof![Just(1_u64 << 24), 12..40_u64],
    ) {
        let whose = if client { Whose::Client } else { Whose::Server };
        let terms = Terms::new(suites()[which]);
        let (mut ours, mut theirs) = (terms.ours(whose), terms.theirs(whose));
        shake_hands(&mut ours, &mut theirs);
        for act in acts {
            match act {
                Act::Give(first, second) => {
                    let (first, second) = (data(first), data(second));
                    let wire = ours.give(&first, &second);
                    let records = ours.records();
                    records.most = most;
                    prop_assert!(records.sealing.used() < most.max(24));
                    prop_assert!(heard(&mut theirs, &wire) == [first, second].concat());
                }
                Act::Take(size, piece) => {
                    let sent = data(size);
                    let mut got = Vec::new();
                    for part in sent.chunks(RECORD) {
                        theirs.writer().write_all(part).unwrap();
                        for piece in said(&mut theirs).chunks(piece) {
                            got.extend(ours.take(piece).unwrap());
                        }
                    }
                    prop_assert!(got == sent);
                }
                Act::Renew => {
                    theirs.refresh_traffic_keys().unwrap();
                    prop_assert_eq!(ours.take(&said(&mut theirs)).unwrap(), b"");
                }
            }
        }
        let said_last = ours.close();
        prop_assert_eq!(heard(&mut theirs, &said_last), b"");
        prop_assert!(matches!(theirs.reader().read(&mut [0; 9]), Ok(0)));
        prop_assert!(ours.give(b"more", b"").is_empty(), "nothing behind the end");
        theirs.send_close_notify();
        prop_assert!(ours.take(&said(&mut theirs)).is_ok() && ours.flow.ended);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a peer seals, and however it comes: it is taken in or refused, and who is refused is told so or has said it itself.
    #[test]
    fn nothing_that_is_sealed_breaks_it(
        inner in proptest::collection::vec(
            (prop_oneof![Just(21_u8), Just(22), Just(23), any::<u8>()], proptest::collection::vec(
                prop_oneof![Just(0_u8), Just(1), Just(4), Just(24), any::<u8>()], 0..24)),
            1..8),
        piece in 1..60_usize, server: bool,
    ) {
        let terms = Terms::new(TLS13_AES_128_GCM_SHA256);
        let (mut to, mut from) = terms.both();
        if !server {
            std::mem::swap(&mut to, &mut from);
        }
        let mut wire = Vec::new();
        for (kind, what) in &inner {
            wire.extend(from.record(*kind, what));
        }
        for piece in wire.chunks(piece) {
            if let Err(error) = to.take(piece) {
                // An answer to a new key may be in front of that.
                let said = to.said();
                let told = matches!(error, Error::AlertReceived(_));
                prop_assert!(told || !said.is_empty(), "{}", error);
                prop_assert_eq!(to.give(b"more", b""), b"");
                break;
            }
        }
    }

    /// The same of bytes that nobody sealed.
    #[test]
    fn nothing_that_comes_breaks_it(
        mut wire in proptest::collection::vec(any::<u8>(), 5..200), typed: bool,
    ) {
        let terms = Terms::new(TLS13_AES_128_GCM_SHA256);
        let (mut to, _) = terms.both();
        if typed {
            wire[..3].copy_from_slice(&[23, 3, 3]);
        }
        if let Err(error) = to.take(&wire) {
            prop_assert!(!to.said().is_empty(), "{}", error);
        } else {
            prop_assert!(to.held == wire, "nothing was understood of it");
        }
    }
}

/// A ticket that comes behind the handshake is one for the next.
#[test]
fn a_ticket_is_used() {
    let terms = Terms::new(TLS13_AES_128_GCM_SHA256);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let (mut ours, mut theirs) = (terms.client(), terms.theirs(Whose::Client));
        ours.take(&[]).unwrap();
        while theirs.is_handshaking() {
            heard(&mut theirs, &ours.said());
            // Tickets wait until the request is out.
            if theirs.is_handshaking() {
                ours.take(&said(&mut theirs)).unwrap();
            }
        }
        kinds.push(theirs.handshake_kind());
        heard(&mut theirs, &ours.give(b"GET / ", b"HTTP/1.1"));
        for byte in said(&mut theirs) {
            ours.take(&[byte]).unwrap();
        }
    }
    assert_eq!(
        kinds,
        [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]
    );
}

/// What records carry.
type Inner<'r> = &'r [&'r [u8]];

/// What becomes of two records on their way.
type Change = fn(&mut Vec<u8>);

/// What a client may not send to a server: the error, and the alert about it.
#[test]
fn what_may_not_be_sent_is_refused() {
    const NONE: &[u8] = &[];
    let terms = Terms::new(TLS13_AES_128_GCM_SHA256);
    let overlong = data(RECORD + 1);
    let padded = [data(RECORD), vec![23, 0]].concat();
    let rows: &[(&str, u8, Inner<'_>, Option<u8>)] = &[
        ("no type at all", 0, &[NONE], Some(10)),
        ("zeros alone", 0, &[&[0; 40]], Some(10)),
        ("a type of no kind", 24, &[b"beat"], Some(10)),
        ("a sealed change of ciphers", 20, &[&[1]], Some(10)),
        ("more than a record carries", 23, &[&overlong], Some(22)),
        ("the same with padding", 0, &[&padded], Some(22)),
        ("an alert of one byte", 21, &[&[2]], Some(50)),
        ("an alert of three", 21, &[&[2, 40, 0]], Some(50)),
        ("two alerts in one", 21, &[&[1, 0, 2, 40]], Some(50)),
        ("no alert", 21, &[NONE], Some(50)),
        ("a fatal alert", 21, &[&[2, 40]], None),
        ("a warning of the same", 21, &[&[1, 40]], None),
        ("one that nobody knows", 21, &[&[1, 200]], None),
        ("no message", 22, &[NONE], Some(10)),
        ("a hello", 22, &[&[1, 0, 0, 2, 3, 3]], Some(10)),
        ("the beginning of one", 22, &[&[1, 0, 0, 200]], Some(10)),
        ("a ticket for a server", 22, &[&[4, 0, 0, 1, 0]], Some(10)),
        (
            "a key of another manner",
            22,
            &[&[24, 0, 0, 1, 2]],
            Some(47),
        ),
        ("a key without manner", 22, &[&[24, 0, 0, 0]], Some(47)),
        (
            "a key with too much of it",
            22,
            &[&[24, 0, 0, 2, 0, 0]],
            Some(47),
        ),
        ("more behind a key", 22, &[&[24, 0, 0, 1, 0, 24]], Some(10)),
        (
            "a message without end",
            22,
            &[&[24, 255, 255, 255]],
            Some(50),
        ),
        (
            "a message in parts, and no part",
            22,
            &[&[24, 0], NONE],
            Some(10),
        ),
        ("empty records without end", 23, &[NONE; 33], Some(10)),
        (
            "ends to come without end",
            21,
            &[&[1_u8, 90] as &[u8]; 33],
            Some(10),
        ),
    ];
    for (what, kind, records, alert) in rows {
        let (mut server, mut client) = terms.both();
        let (last, before) = records.split_last().unwrap();
        for record in before {
            let record = client.record(*kind, record);
            assert_eq!(server.take(&record), Ok(vec![]), "{what}");
        }
        let wire = client.record(*kind, last);
        let error = server.take(&wire).unwrap_err();
        assert_eq!(
            client.alerted(&mut server.said()),
            *alert,
            "{what}: {error}"
        );
        assert_eq!(
            matches!(error, Error::AlertReceived(_)),
            alert.is_none(),
            "{what}"
        );
        assert_eq!(server.give(b"more", b""), b"", "{what}");
    }
}

/// The same of what stands outside of what is sealed.
#[test]
fn what_was_not_sealed_like_that_is_refused() {
    let terms = Terms::new(TLS13_CHACHA20_POLY1305_SHA256);
    let rows: &[(&str, Change, u8)] = &[
        ("another byte in it", |wire| wire[7] ^= 1, 20),
        ("another proof", |wire| *wire.last_mut().unwrap() ^= 1, 20),
        ("another version", |wire| wire[2] = 1, 20),
        ("shorter than it says it was", |wire| wire[4] -= 1, 20),
        ("too short for a proof", |wire| wire[4] = 15, 20),
        ("longer than records are", |wire| wire[3] = 65, 22),
        (
            "an alert in the open",
            |wire| *wire = vec![21, 3, 3, 0, 2, 1, 0],
            10,
        ),
        (
            "a change of ciphers",
            |wire| *wire = vec![20, 3, 3, 0, 1, 1],
            10,
        ),
        ("a message in the open", |wire| wire[0] = 22, 10),
        (
            "no TLS",
            |wire| *wire = b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            10,
        ),
        (
            "the one before again",
            |wire| *wire = wire[..wire.len() / 2].repeat(2),
            20,
        ),
    ];
    for (what, change, alert) in rows {
        let (mut server, mut client) = terms.both();
        let mut wire = client.record(23, b"a request");
        wire.extend(client.record(23, b"a request"));
        change(&mut wire);
        server.take(&wire).unwrap_err();
        assert_eq!(client.alerted(&mut server.said()), Some(*alert), "{what}");
        assert_eq!(server.close(), b"", "{what}");
    }
}

/// What is odd and allowed.
#[test]
fn what_may_be_sent_is_taken() {
    let terms = Terms::new(TLS13_AES_256_GCM_SHA384);
    let (mut server, mut client) = terms.both();
    // Padding, and a record of it alone.
    let padded = client.record(0, &[b"one".as_slice(), &[23, 0, 0]].concat());
    assert_eq!(server.take(&padded).unwrap(), b"one");
    let full = client.record(23, &data(RECORD));
    assert_eq!(server.take(&full).unwrap().len(), RECORD);
    // As much talk as may be, and again behind data.
    for _ in 0..2 {
        for _ in 0..IDLE_TALK {
            let record = client.record(21, &[2, 90]);
            assert_eq!(server.take(&record).unwrap(), b"");
        }
        let record = client.record(23, b"data");
        assert_eq!(server.take(&record).unwrap(), b"data");
    }
    // A new key in pieces, and data by it.
    for piece in [&[24, 0][..], &[0, 1], &[1]] {
        let record = client.record(22, piece);
        assert_eq!(server.take(&record).unwrap(), b"");
    }
    client.records().sealing = client.records().side.next_sealing().unwrap();
    let mut wire = client.record(23, b"by another key");
    assert_eq!(server.take(&wire.clone()).unwrap(), b"by another key");
    // It was asked to have a new one, too, and says so in front of what follows.
    wire = server.give(b"so", b"");
    assert_eq!(client.take(&wire).unwrap(), b"so");
    // Behind the end there is nothing, whatever it is.
    wire = client.close();
    wire.extend([22, 3, 3, 255, 255, 1]);
    assert_eq!(server.take(&wire).unwrap(), b"");
    assert!(server.flow.ended);
    let wire = server.give(b"still", b" there");
    assert_eq!(client.take(&wire).unwrap(), b"still there");
}

/// Tickets may come in a row or in parts; nothing else may but new keys.
#[test]
fn a_client_takes_tickets_alone() {
    let terms = Terms::new(TLS13_AES_128_GCM_SHA256);
    let ticket: &[u8] = &[
        4, 0, 0, 17, 0, 0, 2, 0, 1, 2, 3, 4, 1, 7, 0, 3, b'a', b'b', b'c', 0, 0,
    ];
    let rows: &[(&str, Inner<'_>, Option<u8>)] = &[
        ("one", &[ticket], None),
        (
            "three in a row",
            &[&[ticket, ticket, ticket].concat()],
            None,
        ),
        (
            "one in parts",
            &[&ticket[..3], &ticket[3..9], &ticket[9..]],
            None,
        ),
        (
            "one and a half",
            &[&[ticket, &ticket[..7]].concat(), &ticket[7..]],
            None,
        ),
        ("one and a new key", &[&[ticket, &NOTICE].concat()], None),
        (
            "one behind a new key",
            &[&[&NOTICE, ticket].concat()],
            Some(10),
        ),
        ("nonsense", &[&[4, 0, 0, 3, 1, 2, 3]], Some(50)),
        ("a hello", &[&[2, 0, 0, 3, 1, 2, 3]], Some(10)),
        ("no end of one", &[&[4, 1, 0, 1]], Some(50)),
    ];
    for (what, records, alert) in rows {
        let (mut server, mut client) = terms.both();
        let mut alerted = None;
        for record in *records {
            let record = server.record(22, record);
            if client.take(&record).is_err() {
                alerted = server.alerted(&mut client.said());
            }
        }
        assert_eq!(alerted, *alert, "{what}");
    }
}

/// Where no number is left nothing is sealed: two records by one nonce give the key away.
#[test]
fn no_number_is_used_twice() {
    let terms = Terms::new(TLS13_AES_128_GCM_SHA256);
    let (mut server, _) = terms.both();
    server.records().sealing.exhaust();
    let mut place = Vec::new();
    let mut job = Job::Write {
        first: b"x",
        second: b"",
        place: &mut place,
        at: 0,
    };
    let Ours { session, flow, .. } = &mut server;
    assert_eq!(
        session.advance(&mut [], &mut job, flow),
        Err(Error::EncryptError)
    );
    assert!(session.advance(&mut [], &mut Job::Close, flow).is_err());
    assert!(flow.out.is_empty());
}
