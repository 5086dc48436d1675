//! Certificates of clients: who is let in, what is known of them, and that no session outlives what it was verified by.

use super::Bed;
use crate::support::tls::{Authority, Issued, Kind, Secure, ask, connect, replace};
use crate::support::{Origin, Setup, endpoint, eventually, ports};
use rcgen::{CertificateParams, DnType, SanType};
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, HandshakeKind, SignatureScheme};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

const REJECTED: &str = "tidegate_connections_rejected_total";
const HANDSHAKES: &str = "tidegate_tls_handshakes_total";
const NAME: &str = "test.example";

fn one(authority: &Authority) -> Vec<Issued> {
    vec![authority.issue(&[NAME])]
}

/// A client's certificate with this number and this SPIFFE name.
fn person(authority: &Authority, serial: u64, spiffe: &str) -> Issued {
    authority.issue_with(&["client.example"], Kind::Ecdsa, |params| {
        params.serial_number = Some(serial.into());
        let uri = SanType::URI(spiffe.try_into().unwrap());
        params.subject_alt_names.push(uri);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Zoë \"Z\", Ltd");
    })
}

/// A proxy that asks for certificates of `people`, with further keys beside `ca` and of the listener.
fn asking(manner: &str, keys: &str, people: &Authority, setup: Setup, listener: &str) -> Bed {
    let ca = setup.dir.file("people.pem");
    replace(&ca, &people.pem());
    let auth = format!(
        ", client_auth = {{ {manner} = {{ ca = \"{}\"{keys} }} }}",
        ca.display()
    );
    Bed::of(setup, Origin::start(), &auth, listener, &one)
}

impl Bed {
    /// A client that trusts the proxy and shows this.
    fn showing(&self, own: &Issued) -> Arc<ClientConfig> {
        Arc::new(self.authority.client_with(own))
    }

    /// What a GET is answered; empty where the connection is refused, which TLS 1.3 says after the handshake.
    fn answered(&self, client: &Arc<ClientConfig>) -> String {
        answered(self.proxy.web, client)
    }

    fn rejected(&self, detail: &str, count: f64) {
        let labels = [("reason", "tls_handshake"), ("detail", detail)];
        self.proxy.wait_metric(REJECTED, &labels, |n| n >= count);
    }
}

fn answered(addr: SocketAddr, client: &Arc<ClientConfig>) -> String {
    let Ok(mut secure) = connect(addr, NAME, client) else {
        return String::new();
    };
    got(&mut secure)
}

fn got(secure: &mut Secure) -> String {
    let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = secure.write_all(request.as_bytes());
    let _ = secure.read_to_string(&mut answer);
    answer
}

#[test]
fn who_must_show_a_certificate_is_let_in_with_a_right_one_alone() {
    let (people, strangers) = (Authority::new("People"), Authority::new("Strangers"));
    let fields = "[\"tls_client_subject\", \"tls_client_serial\", \"tls_client_fingerprint\"]";
    let setup = Setup::new().access("fields", fields);
    let told = "forwarding_headers = [\"x-forwarded-client-cert\", \"client-cert\", \"client-cert-chain\"]";
    let bed = asking("required", "", &people, setup, told);
    let own = person(&people, 0x0102, "spiffe://test/ann");

    assert_eq!(bed.answered(&bed.client()), "");
    bed.rejected("certificate", 1.0);
    let stranger = person(&strangers, 1, "spiffe://test/ann");
    assert_eq!(bed.answered(&bed.showing(&stranger)), "");
    bed.rejected("unknown_issuer", 1.0);
    let expired = people.issue_with(&["client.example"], Kind::Ecdsa, |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    assert_eq!(bed.answered(&bed.showing(&expired)), "");
    bed.rejected("expired", 1.0);
    assert!(bed.origin.requests().is_empty(), "nothing was served");

    for version in rustls::ALL_VERSIONS {
        let mut client = bed.authority.client_with(&own);
        let with = ClientConfig::builder_with_provider(crate::support::tls::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(bed.authority.roots())
            .with_client_cert_resolver(Arc::clone(&client.client_auth_cert_resolver));
        client = with;
        let answer = bed.answered(&Arc::new(client));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let request = &bed.origin.requests()[0];
    let der: Vec<u8> = own
        .chain
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect::<String>()
        .into_bytes();
    let shown = format!(":{}:", String::from_utf8(der).unwrap());
    assert_eq!(request.one("client-cert"), Some(shown.as_str()));
    assert_eq!(request.one("client-cert-chain"), None, "it showed none");
    let xfcc = request.one("x-forwarded-client-cert").unwrap();
    let line = &bed.proxy.wait_log(2)[0];
    let fingerprint = line["tls_client_fingerprint"].as_str().unwrap();
    assert_eq!(
        xfcc,
        format!(
            "Hash={fingerprint};Subject=\"CN=Zo\\\\C3\\\\AB \\\\\\\"Z\\\\\\\"\\\\, Ltd\";\
             URI=\"spiffe://test/ann\";DNS=\"client.example\""
        )
    );
    assert_eq!(fingerprint.len(), 64);
    assert_eq!(line["tls_client_serial"], "0102");
    assert_eq!(line["tls_client_subject"], "CN=Zo\\C3\\AB \\\"Z\\\"\\, Ltd");
}

/// What only the proxy may say, nobody else says: neither a stranger nor a trusted proxy that forgot to remove it.
#[test]
fn certificates_that_a_client_tells_of_are_not_believed() {
    let people = Authority::new("People");
    let own = person(&people, 1, "spiffe://test/ann");
    let lie = "Client-Cert: :bGll:\r\nclient_cert: :bGll:\r\nClient-Cert-Chain: :bGll:\r\n\
               X-Forwarded-Client-Cert: Hash=lie\r\nx_forwarded_client_cert: Hash=lie\r\n";
    let names = [
        "client-cert",
        "client_cert",
        "client-cert-chain",
        "x-forwarded-client-cert",
        "x_forwarded_client_cert",
    ];
    let told = "forwarding_headers = [\"client-cert\"]\n";
    let believing = "trusted_proxies = [\"127.0.0.1\"]\nidentity_headers = [\"client-cert\"]\n";
    for (listener, shows, passes) in [
        (String::new(), false, None),
        (told.to_owned(), false, None),
        (
            "trusted_proxies = [\"127.0.0.1\"]\n".to_owned(),
            false,
            None,
        ),
        (
            "identity_headers = [\"client-cert\"]\n".to_owned(),
            false,
            None,
        ),
        (believing.to_owned(), false, Some(":bGll:")),
        (format!("{told}{believing}"), false, Some(":bGll:")),
        (format!("{told}{believing}"), true, Some("own")),
    ] {
        let bed = asking("optional", "", &people, Setup::new(), &listener);
        let client = if shows {
            bed.showing(&own)
        } else {
            bed.client()
        };
        let mut secure = connect(bed.proxy.web, NAME, &client).unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n{lie}Connection: close\r\n\r\n");
        secure.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        secure.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let request = &bed.origin.requests()[0];
        let said: Vec<(&str, &str)> = names
            .iter()
            .filter_map(|&name| Some((name, request.one(name)?)))
            .collect();
        match passes {
            None => assert_eq!(said, [], "{listener}"),
            Some("own") => {
                assert_eq!(said.len(), 1, "{listener}: {said:?}");
                assert!(said[0].1.len() > 100, "{said:?}");
            }
            Some(value) => assert_eq!(said, [("client-cert", value)], "{listener}"),
        }
    }
}

#[test]
fn only_listed_names_are_let_in_and_filters_know_them() {
    let people = Authority::new("People");
    let keys = ", subject_alt_names = [\"spiffe://test/ann\", \"other.example\"]";
    let setup = Setup::new();
    let ca = setup.dir.file("people.pem");
    replace(&ca, &people.pem());
    let auth = format!(
        ", client_auth = {{ required = {{ ca = \"{}\"{keys} }} }}",
        ca.display()
    );
    let setup = setup.route(
        "named",
        "path_prefix = \"/named\"\ncluster = \"app\"\nfilters = [{ request_headers = { set = { \
         x-names = \"${tls.client.names}\", x-serial = \"${tls.client.serial}\", \
         x-issuer = \"${tls.client.issuer}\" } } }]",
    );
    let bed = Bed::of(setup, Origin::start(), &auth, "", &one);
    let bob = bed.showing(&person(&people, 2, "spiffe://test/bob"));
    assert_eq!(bed.answered(&bob), "");
    bed.rejected("name_mismatch", 1.0);
    let ann = bed.showing(&person(&people, 3, "spiffe://test/ann"));
    let mut secure = connect(bed.proxy.web, NAME, &ann).unwrap();
    assert!(ask(&mut secure, "GET", "/named", NAME).starts_with("HTTP/1.1 200"));
    let request = &bed.origin.requests()[0];
    assert_eq!(
        request.one("x-names"),
        Some("client.example,spiffe://test/ann")
    );
    assert_eq!(request.one("x-serial"), Some("03"));
    assert_eq!(request.one("x-issuer"), Some("CN=People"));
    assert_eq!(request.one("client-cert"), None, "nobody asked for it");
}

/// The list is watched: who was revoked is out, on new connections and, with one more answer, on those that are open.
#[test]
fn who_is_revoked_is_refused_and_not_resumed() {
    let people = Authority::new("People");
    let setup = Setup::new();
    let crl = setup.dir.file("people.crl");
    replace(&crl, &people.revoke(&[1]));
    let keys = format!(", crl = \"{}\"", crl.display());
    let bed = asking("required", &keys, &people, setup, "");
    let (gone, ann) = (
        person(&people, 1, "spiffe://test/gone"),
        bed.showing(&person(&people, 2, "spiffe://test/ann")),
    );
    assert_eq!(bed.answered(&bed.showing(&gone)), "");
    bed.rejected("revoked", 1.0);
    assert!(bed.answered(&ann).starts_with("HTTP/1.1 200"));
    let mut resumed = connect(bed.proxy.web, NAME, &ann).unwrap();
    assert!(got(&mut resumed).starts_with("HTTP/1.1 200"));
    assert_eq!(resumed.conn.handshake_kind(), Some(HandshakeKind::Resumed));

    let mut kept = connect(bed.proxy.web, NAME, &ann).unwrap();
    let asked = |kept: &mut Secure| {
        let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
        kept.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut buf = [0; 4096];
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = kept.read(&mut buf).unwrap();
            assert_ne!(read, 0);
            answer.extend_from_slice(&buf[..read]);
        }
        String::from_utf8(answer).unwrap()
    };
    assert!(!asked(&mut kept).contains("Connection: close"));
    let mut other = connect(bed.proxy.web, NAME, &ann).unwrap();
    assert!(!asked(&mut other).contains("Connection: close"));

    // What is broken changes nothing.
    replace(
        &crl,
        "-----BEGIN X509 CRL-----\nbm8=\n-----END X509 CRL-----\n",
    );
    bed.proxy.wait_output("people.crl` cannot be used");
    assert!(bed.answered(&ann).starts_with("HTTP/1.1 200"));
    replace(&crl, &people.revoke(&[1, 2]));
    eventually("the second one is out", || {
        (bed.answered(&ann).is_empty()).then_some(())
    });
    bed.rejected("revoked", 2.0);
    assert!(asked(&mut kept).contains("Connection: close"));
    // One more answer, but nothing that lasts.
    let upgrade = format!(
        "GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    other.write_all(upgrade.as_bytes()).unwrap();
    let mut answer = [0; 12];
    other.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 421");
    let until = bed.proxy.metric(
        "tidegate_tls_client_crl_next_update_timestamp_seconds",
        &[("listener", "web")],
    );
    assert!(until > 0.0);
}

/// A list that is too old says nothing more, so nobody is let in by an earlier handshake; whom it is not about makes another.
#[test]
fn an_old_list_of_another_authority_refuses_nobody() {
    let (people, retired) = (Authority::new("People"), Authority::new("Retired"));
    let setup = Setup::new();
    let crl = setup.dir.file("people.crl");
    replace(&crl, &(people.revoke(&[1]) + &retired.revoke_in(&[1], 2)));
    let keys = format!(", crl = \"{}\"", crl.display());
    let bed = asking("required", &keys, &people, setup, "");
    let ann = bed.showing(&person(&people, 2, "spiffe://test/ann"));
    for _ in 0..3 {
        let mut secure = connect(bed.proxy.web, NAME, &ann).unwrap();
        assert!(got(&mut secure).starts_with("HTTP/1.1 200"));
        assert_eq!(secure.conn.handshake_kind(), Some(HandshakeKind::Full));
    }
}

/// E-123: a ticket is good where it was made. Not at a listener that asks for more, and not when the authority is another.
#[test]
fn a_session_never_crosses_to_another_verifier() {
    let (people, others) = (Authority::new("People"), Authority::new("Others"));
    let setup = Setup::new();
    let open = ports::free();
    let ca = setup.dir.file("people.pem");
    replace(&ca, &people.pem());
    let authority_files = setup.dir.file("c0.pem").display().to_string();
    let key = setup.dir.file("c0.key").display().to_string();
    let setup = setup.tail(&format!(
        "[[listeners]]\nname = \"open\"\nbind = [\"{open}\"]\nprotocol = \"http\"\n\
         tls = {{ certificates = [{{ certificate = \"{authority_files}\", key = \"{key}\" }}] }}"
    ));
    let bed = asking("required", "", &people, setup, "");
    let resumed = |addr, client: &Arc<ClientConfig>| {
        let mut secure = connect(addr, NAME, client).ok()?;
        let answer = got(&mut secure);
        answer
            .starts_with("HTTP/1.1 200")
            .then(|| secure.conn.handshake_kind() == Some(HandshakeKind::Resumed))
    };
    // Nobody: its tickets are of the open listener, and are nothing at the other.
    let nobody = bed.client();
    assert_eq!(resumed(open, &nobody), Some(false));
    assert_eq!(resumed(open, &nobody), Some(true));
    assert_eq!(resumed(bed.proxy.web, &nobody), None);
    bed.rejected("certificate", 1.0);
    // Somebody: resumed at home, whatever worker takes it; made anew elsewhere.
    let ann = bed.showing(&person(&people, 1, "spiffe://test/ann"));
    assert_eq!(resumed(bed.proxy.web, &ann), Some(false));
    for _ in 0..8 {
        assert_eq!(resumed(bed.proxy.web, &ann), Some(true));
    }
    assert_eq!(resumed(open, &ann), Some(false));
    assert_eq!(
        resumed(bed.proxy.web, &ann),
        Some(false),
        "its tickets are of the other"
    );
    assert_eq!(resumed(bed.proxy.web, &ann), Some(true));
    // A reload that changes nothing about it keeps the tickets.
    bed.proxy.signal("HUP");
    let labels = [("result", "ok")];
    bed.proxy
        .wait_metric("tidegate_config_reloads_total", &labels, |n| n >= 2.0);
    assert_eq!(resumed(bed.proxy.web, &ann), Some(true));
    // An authority more: verified anew, and let in. Another: verified anew, and not.
    replace(&ca, &format!("{}{}", people.pem(), others.pem()));
    eventually("a full handshake", || {
        (resumed(bed.proxy.web, &ann) == Some(false)).then_some(())
    });
    assert_eq!(resumed(bed.proxy.web, &ann), Some(true));
    replace(&ca, &others.pem());
    eventually("it is out", || {
        resumed(bed.proxy.web, &ann).is_none().then_some(())
    });
    bed.rejected("unknown_issuer", 1.0);
    assert!(
        resumed(open, &nobody).is_some(),
        "the other listener is as it was"
    );
}

/// A session outlives the certificate that it was verified by: nobody is let in by it then.
#[test]
fn an_expired_certificate_is_not_resumed() {
    let people = Authority::new("People");
    let bed = asking("required", "", &people, Setup::new(), "");
    let until = SystemTime::now() + Duration::from_secs(4);
    let short = |params: &mut CertificateParams| params.not_after = until.into();
    let own = people.issue_with(&["client.example"], Kind::Ecdsa, short);
    let wallet = Arc::new(Wallet::of(&own));
    let mut client = bed.authority.client();
    client.client_auth_cert_resolver = Arc::clone(&wallet) as _;
    let client = Arc::new(client);
    // Each full handshake gives tickets; one is kept for later.
    assert!(bed.answered(&client).starts_with("HTTP/1.1 200"));
    eventually("its time is over", || {
        (SystemTime::now() > until + Duration::from_secs(1)).then_some(())
    });
    assert_eq!(bed.answered(&client), "");
    let labels = [("resumed", "no"), ("result", "expired")];
    bed.proxy.wait_metric(HANDSHAKES, &labels, |n| n == 1.0);
    // Whoever renewed it in time is let in, by a handshake that asks for it.
    wallet.put(&people.issue(&["client.example"]));
    assert!(bed.answered(&client).starts_with("HTTP/1.1 200"));
}

/// What a client shows, until it is renewed: sessions are the same as before.
#[derive(Debug)]
struct Wallet(Mutex<Arc<CertifiedKey>>);

impl Wallet {
    fn of(own: &Issued) -> Self {
        Self(Mutex::new(own.certified()))
    }

    fn put(&self, own: &Issued) {
        *self.0.lock().unwrap() = own.certified();
    }
}

impl ResolvesClientCert for Wallet {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock().unwrap()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Instances with the same secret make the same keys; who has another, or none, opens nothing of theirs.
#[test]
fn instances_with_the_same_secret_resume_each_others_sessions() {
    let people = Authority::new("People");
    let first = asking(
        "required",
        "",
        &people,
        secret("one secret of many bytes"),
        "",
    );
    let own = person(&people, 1, "spiffe://test/ann");
    let client = first.showing(&own);
    let again = |setup: Setup, people: &Authority| {
        let ca = setup.dir.file("people.pem");
        replace(&ca, &people.pem());
        let at = |name: &str| first.proxy.log_path().with_file_name(name);
        let tls = format!(
            "tls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}], \
             client_auth = {{ required = {{ ca = \"{}\" }} }} }}",
            at("c0.pem").display(),
            at("c0.key").display(),
            ca.display()
        );
        setup
            .cluster("app", &[endpoint(first.origin.addr())], "")
            .route("all", "cluster = \"app\"")
            .listener(&tls)
            .start()
    };
    let kind = |addr: SocketAddr| {
        let mut secure = connect(addr, NAME, &client).unwrap();
        assert!(got(&mut secure).starts_with("HTTP/1.1 200"));
        secure.conn.handshake_kind().unwrap()
    };
    assert_eq!(kind(first.proxy.web), HandshakeKind::Full);
    assert_eq!(kind(first.proxy.web), HandshakeKind::Resumed);
    let second = again(secret("one secret of many bytes"), &people);
    assert_eq!(kind(second.web), HandshakeKind::Resumed);
    let stranger = again(secret("another secret of many bytes"), &people);
    assert_eq!(kind(stranger.web), HandshakeKind::Full);
    let without = again(Setup::new(), &people);
    assert_eq!(kind(without.web), HandshakeKind::Full);
    // The same secret and another authority beside the first: what is asked is another thing.
    assert_eq!(
        kind(first.proxy.web),
        HandshakeKind::Full,
        "tickets of `without`"
    );
    let more = format!("{}{}", people.pem(), Authority::new("More").pem());
    replace(&second.log_path().with_file_name("people.pem"), &more);
    let labels = [("result", "ok")];
    second.wait_metric("tidegate_tls_renewals_total", &labels, |n| n == 1.0);
    assert_eq!(kind(second.web), HandshakeKind::Full);
}

fn secret(text: &str) -> Setup {
    let setup = Setup::new();
    let file = setup.dir.file("secret");
    replace(&file, text);
    let value = format!("\"{}\"", file.display());
    setup.runtime("secret_file", value)
}
