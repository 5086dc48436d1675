//! Which certificate a client is shown.

use super::Bed;
use crate::support::eventually;
use crate::support::tls::{Any, Authority, Kind, ask, connect, run, shown};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::{Read, Write};
use std::sync::Arc;

fn five(authority: &Authority) -> Vec<crate::support::tls::Issued> {
    vec![
        authority.issue(&["first.example", "*.default.example"]),
        authority.issue_with(&["pair.example"], Kind::Rsa, |_| {}),
        authority.issue(&["pair.example"]),
        authority.issue(&["*.wild.example"]),
        authority.issue(&["exact.wild.example", "OTHER.example"]),
    ]
}

/// Of `five`, the one that `name` is shown.
fn asked(bed: &Bed, name: &str) -> usize {
    asked_of(bed, name, 5)
}

/// The same of so many.
fn asked_of(bed: &Bed, name: &str, count: usize) -> usize {
    let mut config = bed.authority.client();
    // What is shown counts here, not whether it fits.
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(Any::default()));
    let secure = connect(bed.proxy.web, name, &Arc::new(config)).expect("a handshake");
    let der = shown(&secure);
    (0..count)
        .find(|ix| {
            let path = bed.proxy.log_path().with_file_name(format!("c{ix}.pem"));
            let pem = std::fs::read_to_string(path).unwrap();
            CertificateDer::from_pem_slice(pem.as_bytes()).unwrap() == der
        })
        .expect("one of ours")
}

/// Some clients send the dot that ends a name in full; libraries do not.
#[test]
fn a_dot_at_the_end_of_a_name_says_nothing() {
    let bed = Bed::with("", &five);
    let at = bed.proxy.web.to_string();
    let name = "exact.wild.example.";
    let output = run(
        "openssl",
        &["s_client", "-connect", &at, "-servername", name],
        "",
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let pem = text.find("-----BEGIN CERTIFICATE").map(|at| &text[at..]);
    let shown = CertificateDer::from_pem_slice(pem.expect("a certificate").as_bytes()).unwrap();
    let path = bed.proxy.log_path().with_file_name("c4.pem");
    let ours = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        shown,
        CertificateDer::from_pem_slice(ours.as_bytes()).unwrap()
    );
}

/// Without a DNS name in them two certificates are no pair.
#[test]
fn of_certificates_without_names_the_first_is_shown() {
    let nameless = |authority: &Authority| {
        let address = |last: u8| {
            move |params: &mut rcgen::CertificateParams| {
                let ip = std::net::IpAddr::from([10, 0, 0, last]);
                params.subject_alt_names = vec![rcgen::SanType::IpAddress(ip)];
            }
        };
        vec![
            authority.issue_with(&[], Kind::Rsa, address(1)),
            authority.issue_with(&[], Kind::Ecdsa, address(2)),
        ]
    };
    let bed = Bed::with("", &nameless);
    assert_eq!(asked_of(&bed, "127.0.0.1", 2), 0);
}

#[test]
fn a_name_finds_its_certificate_and_any_other_gets_the_first() {
    let bed = Bed::with("", &five);
    for (name, expected) in [
        ("first.example", 0),
        ("FIRST.example", 0),
        ("a.default.example", 0),
        ("pair.example", 2),
        ("a.wild.example", 3),
        ("exact.wild.example", 4),
        ("other.example", 4),
        // A wildcard stands for one label, and for no part of one (RFC 6125, 6.4.3).
        ("a.b.wild.example", 0),
        ("wild.example", 0),
        ("stranger.example", 0),
        // An address is no server name (RFC 6066, 3).
        ("127.0.0.1", 0),
    ] {
        assert_eq!(asked(&bed, name), expected, "{name}");
    }
}

/// What openssl tells of the certificate that a client of this name and these signatures is shown.
fn told(bed: &Bed, name: &str, version: &str, algorithms: &str) -> String {
    let arguments = [
        "s_client",
        "-connect",
        &bed.proxy.web.to_string(),
        "-servername",
        name,
        version,
        "-sigalgs",
        algorithms,
        "-showcerts",
    ];
    let shown = run("openssl", &arguments, "Q\n");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let text = run("openssl", &["x509", "-noout", "-text"], &shown);
    shown + &String::from_utf8_lossy(&text.stdout)
}

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

#[test]
fn a_client_without_ecdsa_gets_the_rsa_certificate_of_the_same_name() {
    let bed = Bed::with("", &five);
    for (algorithms, expected) in [
        ("RSA-PSS+SHA256:RSA+SHA256", "rsaEncryption"),
        ("ECDSA+SHA256", "id-ecPublicKey"),
        ("RSA-PSS+SHA256:ECDSA+SHA256", "id-ecPublicKey"),
    ] {
        for version in VERSIONS {
            let text = told(&bed, "pair.example", version, algorithms);
            assert!(text.contains(expected), "{algorithms} {version}: {text}");
        }
    }
}

#[test]
fn a_stranger_gets_the_default_of_its_kind_in_whatever_order_the_names_are() {
    let bed = Bed::with("", &|authority| {
        vec![
            authority.issue(&["one.example", "two.example"]),
            authority.issue_with(&["two.example", "one.example"], Kind::Rsa, |_| {}),
        ]
    });
    for version in VERSIONS {
        for (algorithms, expected) in [
            ("RSA-PSS+SHA256:RSA+SHA256", "rsaEncryption"),
            ("ECDSA+SHA256", "id-ecPublicKey"),
        ] {
            let text = told(&bed, "stranger.example", version, algorithms);
            assert!(text.contains(expected), "{algorithms} {version}: {text}");
        }
    }
}

/// RFC 9110, 7.4: a name that the certificate does not have is asked for on another connection; a client that named nobody may ask for
/// any.
#[test]
fn a_request_for_another_name_is_misdirected() {
    let bed = Bed::with("", &|authority| {
        vec![
            authority.issue(&["a.example", "b.example"]),
            authority.issue(&["c.example"]),
        ]
    });
    let status = |name: &str, host: &str| {
        let mut secure = connect(bed.proxy.web, name, &bed.client()).unwrap();
        let answer = ask(&mut secure, "GET", "/", host);
        answer.get(9..12).unwrap().to_owned()
    };
    for (name, host, wanted) in [
        ("a.example", "a.example", "200"),
        ("a.example", "A.Example.:443", "200"),
        ("a.example", "b.example", "200"),
        ("a.example", "c.example", "421"),
        ("c.example", "a.example", "421"),
        ("c.example", "c.example:8443", "200"),
    ] {
        assert_eq!(status(name, host), wanted, "{name} {host}");
    }
    let line = bed
        .proxy
        .wait_line("a refusal", |line| line["status"] == 421);
    assert_eq!(line["reason"], "misdirected");
    assert_eq!(bed.origin.count(), 4);
    let mut config = bed.authority.client();
    config.enable_sni = false;
    let mut secure = connect(bed.proxy.web, "a.example", &Arc::new(config)).unwrap();
    assert!(ask(&mut secure, "GET", "/", "c.example").starts_with("HTTP/1.1 200"));
}

/// A connection outlives the configuration that it was made under: what it was shown counts, not where that stood in the file.
#[test]
fn what_was_shown_is_judged_whatever_the_order_of_the_file() {
    let bed = Bed::with("", &|authority| {
        vec![
            authority.issue(&["a.example", "b.example"]),
            authority.issue(&["c.example"]),
        ]
    });
    let mut kept = connect(bed.proxy.web, "a.example", &bed.client()).unwrap();
    let mut status = |host: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        kept.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut buf = [0; 4096];
            let read = kept.read(&mut buf).unwrap();
            assert_ne!(read, 0, "the connection stays");
            answer.extend_from_slice(&buf[..read]);
        }
        String::from_utf8(answer).unwrap()[9..12].to_owned()
    };
    assert_eq!(status("b.example"), "200");
    let path = bed.proxy.log_path().with_file_name("tidegate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let turned = text
        .replace("c0.", "cx.")
        .replace("c1.", "c0.")
        .replace("cx.", "c1.");
    assert_ne!(text, turned);
    std::fs::write(&path, turned).unwrap();
    eventually("the other one is the default", || {
        (asked_of(&bed, "stranger.example", 2) == 1).then_some(())
    });
    assert_eq!(status("b.example"), "200");
    assert_eq!(status("c.example"), "421");
}
