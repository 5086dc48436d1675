//! Certificates in PKCS#12, as openssl writes them.

use crate::support::tls::{Authority, Issued, Kind, connect, run, shown, status};
use crate::support::tls_origin::{Front, strict_server};
use crate::support::{Origin, Proxy, Setup, endpoint, eventually};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;

/// Puts a certificate, its key and its authority into a file.
fn store(path: &Path, issued: &Issued, authority: &Authority, password: &str, how: &[&str]) {
    // Its own last: the file says in no order which is whose.
    let all = format!("{}{}{}", issued.key, authority.pem(), issued.chain);
    let (part, pem) = (path.with_extension("part"), path.with_extension("in"));
    std::fs::write(&pem, all).expect("a file");
    let (from, to) = (pem.display().to_string(), part.display().to_string());
    let password = format!("pass:{password}");
    let arguments = [
        "pkcs12", "-export", "-in", &from, "-out", &to, "-passout", &password,
    ];
    let output = run("openssl", &[&arguments[..], how].concat(), "");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    std::fs::rename(part, path).expect("a file");
}

fn serve(setup: Setup, entry: &str) -> Proxy {
    setup
        .route("all", "respond = { status = 204 }")
        .listener(&format!("tls = {{ certificates = [{entry}] }}"))
        .start()
}

fn renewals(proxy: &Proxy, result: &str) -> f64 {
    let labels = [("listener", "web"), ("result", result)];
    proxy.metric("tidegate_tls_renewals_total", &labels)
}

/// What the proxy shows: only what clients do not have themselves.
fn chain(proxy: &Proxy, authority: &Authority) -> Vec<CertificateDer<'static>> {
    let secure = connect(proxy.web, "test.example", &Arc::new(authority.client()));
    let secure = secure.expect("a connection");
    let chain = secure.conn.peer_certificates().expect("a certificate");
    chain.iter().map(|one| one.clone().into_owned()).collect()
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.chain.as_bytes()).expect("PEM")
}

#[test]
fn what_programs_of_today_write_is_shown() {
    let authority = Authority::new("Test Authority");
    for (kind, password, how) in [
        (Kind::Ecdsa, "wörd", &[][..]),
        (Kind::Rsa, "word", &[]),
        (Kind::Ecdsa, "", &[]),
        (
            Kind::Ecdsa,
            "word",
            &[
                "-keypbe",
                "aes-128-cbc",
                "-certpbe",
                "NONE",
                "-macalg",
                "sha512",
            ],
        ),
        (Kind::Rsa, "word", &["-nomac", "-iter", "1"]),
    ] {
        let setup = Setup::new();
        let issued = authority.issue_with(&["test.example"], kind, |_| {});
        let (path, secret) = (setup.dir.file("all.p12"), setup.dir.file("password"));
        store(&path, &issued, &authority, password, how);
        std::fs::write(&secret, format!("{password}\n")).expect("a file");
        let key = match password {
            "" => String::new(),
            _ => format!(", password = {{ file = \"{}\" }}", secret.display()),
        };
        let entry = format!("{{ pkcs12 = \"{}\"{key} }}", path.display());
        let proxy = serve(setup, &entry);
        assert_eq!(chain(&proxy, &authority), [der(&issued)], "{how:?}");
        let client = Arc::new(authority.client());
        assert_eq!(status(proxy.web, "test.example", &client), 204);
    }
}

/// Like those in PEM they are watched, with their password, and a wrong one changes nothing.
#[test]
fn a_store_is_exchanged_like_any_certificate() {
    let authority = Authority::new("Test Authority");
    let setup = Setup::new();
    let (path, secret) = (setup.dir.file("all.p12"), setup.dir.file("password"));
    let first = authority.issue(&["test.example"]);
    store(&path, &first, &authority, "word", &[]);
    std::fs::write(&secret, "word").expect("a file");
    let entry = format!(
        "{{ pkcs12 = \"{}\", password = {{ file = \"{}\" }} }}",
        path.display(),
        secret.display()
    );
    let proxy = serve(setup, &entry);
    let client = Arc::new(authority.client());
    let now = || shown(&connect(proxy.web, "test.example", &client).expect("a connection"));
    let whole = std::fs::read(&path).expect("a file");
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for (bytes, says) in [
        (
            &whole[..whole.len() / 2],
            "is not PKCS#12, or not all of it",
        ),
        (
            &damaged,
            "cannot be opened with this password, or is damaged",
        ),
    ] {
        let before = renewals(&proxy, "error");
        std::fs::write(&path, bytes).expect("a file");
        eventually("it is refused", || {
            (renewals(&proxy, "error") > before).then_some(())
        });
        proxy.wait_output(says);
        assert_eq!(now(), der(&first), "{says}");
    }
    // Another password, in any order.
    let next = authority.issue(&["test.example"]);
    store(&path, &next, &authority, "another", &[]);
    std::fs::write(&secret, "another").expect("a file");
    eventually("the next one is shown", || {
        (now() == der(&next)).then_some(())
    });
}

/// What a cluster shows to its endpoints may stand in one, too. A change of it is a reload, and makes other connections.
#[test]
fn an_endpoint_is_shown_what_is_in_the_store_of_its_cluster() {
    let (servers, clients) = (Authority::new("Servers"), Authority::new("Clients"));
    let origin = Origin::start();
    let config = strict_server(&servers.issue(&["127.0.0.1"]), &clients);
    let front = Front::over(origin.addr(), config);
    let setup = Setup::new();
    let (path, secret) = (setup.dir.file("own.p12"), setup.dir.file("password"));
    let ca = setup.dir.file("ca.pem");
    std::fs::write(&ca, servers.pem()).expect("a file");
    std::fs::write(&secret, "word").expect("a file");
    let first = clients.issue(&["proxy.example"]);
    store(&path, &first, &clients, "word", &[]);
    let tls = format!(
        "tls = {{ ca = \"{}\", pkcs12 = \"{}\", password = {{ file = \"{}\" }} }}",
        ca.display(),
        path.display(),
        secret.display()
    );
    let proxy = setup
        .cluster("app", &[endpoint(front.addr())], &tls)
        .route("all", "cluster = \"app\"")
        .start();
    let shown = || {
        proxy.get("/").is(200);
        front.shakes().pop().and_then(|shake| shake.shown)
    };
    assert_eq!(shown().as_deref(), Some(&*der(&first)));
    let next = clients.issue(&["proxy.example"]);
    store(&path, &next, &clients, "another", &[]);
    std::fs::write(&secret, "another").expect("a file");
    eventually("the next one is shown", || {
        (shown().as_deref() == Some(&*der(&next))).then_some(())
    });
}

#[test]
fn what_cannot_be_read_is_told_at_the_start() {
    let authority = Authority::new("Test Authority");
    let issued = authority.issue(&["test.example"]);
    for (password, how, says) in [
        ("another", &[][..], "cannot be opened with this password"),
        ("secretword", &["-legacy"], "openssl pkcs12 -legacy -in OLD"),
        ("secretword", &["-nokeys"], "has 0 private keys in PKCS#12"),
    ] {
        let setup = Setup::new();
        let path = setup.dir.file("all.p12");
        store(&path, &issued, &authority, password, how);
        let entry = format!(
            "{{ pkcs12 = \"{}\", password = \"secretword\" }}",
            path.display()
        );
        let setup = setup
            .route("all", "respond = { status = 204 }")
            .listener(&format!("tls = {{ certificates = [{entry}] }}"));
        setup.write();
        let path = setup.config_path().display().to_string();
        let output = run(
            env!("CARGO_BIN_EXE_tidegate"),
            &["check", "--config", &path],
            "",
        );
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(says), "{error}");
        assert!(!error.contains("secretword"), "{error}");
    }
}
