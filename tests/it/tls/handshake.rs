//! Versions, protocols, and handshakes that come to nothing.

use super::Bed;
use crate::support::tls::{Authority, ask, connect, run, status};
use crate::support::{Client, Origin, Reload, Setup, eventually};
use rustls::pki_types::ServerName;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

const HANDSHAKES: &str = "tidegate_tls_handshakes_total";
const REJECTED: &str = "tidegate_connections_rejected_total";

#[test]
fn curl_is_served_and_the_endpoint_hears_of_https() {
    let bed = Bed::logging(&["tls_version"]);
    let ca = bed.proxy.log_path().with_file_name("ca.pem");
    let port = bed.proxy.web.port();
    let resolve = format!("test.example:{port}:127.0.0.1");
    let url = format!("https://test.example:{port}/a");
    for version in ["--tls-max 1.2", "--tlsv1.3"] {
        let mut arguments: Vec<&str> = version.split(' ').collect();
        let ca = ca.display().to_string();
        arguments.extend(["-sS", "--cacert", &ca, "--resolve", &resolve, &url]);
        let output = run("curl", &arguments, "");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text, "echo /a\n", "{output:?}");
    }
    for request in bed.origin.requests() {
        assert_eq!(request.one("x-forwarded-proto"), Some("https"));
    }
    // Each worker writes for itself: lines may change places.
    let log = bed.proxy.wait_log(2);
    let mut versions = [0, 1].map(|at| log[at]["tls_version"].as_str().unwrap());
    versions.sort_unstable();
    assert_eq!(versions, ["1.2", "1.3"]);
    for version in ["1.2", "1.3"] {
        let labels = [("version", version), ("result", "ok"), ("resumed", "no")];
        assert_eq!(bed.proxy.metric(HANDSHAKES, &labels), 1.0);
    }
}

#[test]
fn gnutls_is_served() {
    let bed = Bed::new();
    let ca = bed.proxy.log_path().with_file_name("ca.pem");
    let (ca, port) = (ca.display().to_string(), bed.proxy.web.port().to_string());
    for version in ["1.2", "1.3"] {
        let priority = format!("NORMAL:-VERS-ALL:+VERS-TLS{version}");
        let arguments = [
            "--x509cafile",
            &ca,
            "--port",
            &port,
            "--priority",
            &priority,
            "--sni-hostname",
            "test.example",
            "--verify-hostname",
            "test.example",
            "--alpn",
            "http/1.1",
            "127.0.0.1",
        ];
        let request = "GET /g HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n";
        let output = run("gnutls-cli", &arguments, request);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("echo /g"), "{output:?}");
        let labels = [("version", version), ("result", "ok")];
        assert_eq!(bed.proxy.metric(HANDSHAKES, &labels), 1.0);
    }
}

#[test]
fn the_key_exchange_survives_quantum_computers_where_the_client_can() {
    let bed = Bed::new();
    assert_eq!(status(bed.proxy.web, "test.example", &bed.client()), 200);
    let labels = [("group", "X25519MLKEM768"), ("version", "1.3")];
    assert_eq!(bed.proxy.metric(HANDSHAKES, &labels), 1.0);
}

#[test]
fn old_versions_are_refused() {
    let strict = Bed::with(", min_version = \"1.3\"", &|authority| {
        vec![authority.issue(&["test.example"])]
    });
    let old = |bed: &Bed, version: &'static rustls::SupportedProtocolVersion| {
        let config = rustls::ClientConfig::builder_with_provider(crate::support::tls::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(bed.authority.roots())
            .with_no_client_auth();
        connect(bed.proxy.web, "test.example", &Arc::new(config)).map(drop)
    };
    assert!(old(&strict, &rustls::version::TLS12).is_err());
    old(&strict, &rustls::version::TLS13).expect("1.3 is spoken");
    let labels = [("reason", "tls_handshake"), ("detail", "incompatible")];
    strict.proxy.wait_metric(REJECTED, &labels, |n| n == 1.0);

    let bed = Bed::new();
    old(&bed, &rustls::version::TLS12).expect("1.2 is spoken");
    for version in ["-tls1", "-tls1_1"] {
        let addr = bed.proxy.web.to_string();
        let arguments = [
            "s_client",
            "-connect",
            &addr,
            version,
            "-cipher",
            "ALL:@SECLEVEL=0",
        ];
        let output = run("openssl", &arguments, "Q\n");
        assert!(!output.status.success(), "{version}: {output:?}");
    }
}

/// E-163: a client that means another protocol is not served this one.
#[test]
fn a_client_that_asks_for_no_protocol_of_ours_is_refused() {
    let bed = Bed::new();
    let with = |protocols: &[&str]| {
        let mut config = bed.authority.client();
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        connect(bed.proxy.web, "test.example", &Arc::new(config))
    };
    let agreed = with(&["ftp", "http/1.1"]).unwrap();
    assert_eq!(agreed.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(with(&[]).unwrap().conn.alpn_protocol(), None);
    let refused = with(&["ftp"]).unwrap_err();
    assert!(
        refused.to_string().contains("NoApplicationProtocol"),
        "{refused}"
    );
    let labels = [("reason", "tls_handshake"), ("detail", "alpn")];
    bed.proxy.wait_metric(REJECTED, &labels, |n| n == 1.0);
}

#[test]
fn what_is_not_tls_is_closed_and_told_apart() {
    let bed = Bed::new();
    let mut client = Client::connect(bed.proxy.web);
    client.send("GET / HTTP/1.1\r\nHost: test.example\r\n\r\n");
    let answer = client.wire.rest().unwrap_or_default();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    drop(TcpStream::connect(bed.proxy.web).unwrap());
    for (detail, count) in [("malformed", 1.0), ("eof", 1.0)] {
        let labels = [("reason", "tls_handshake"), ("detail", detail)];
        bed.proxy.wait_metric(REJECTED, &labels, |n| n == count);
        let labels = [("result", detail), ("version", "none")];
        bed.proxy.wait_metric(HANDSHAKES, &labels, |n| n == count);
    }
    // A client that does not trust us says so.
    let stranger = Authority::new("Stranger");
    let config = Arc::new(stranger.client());
    connect(bed.proxy.web, "test.example", &config).unwrap_err();
    let labels = [("reason", "tls_handshake"), ("detail", "alert")];
    bed.proxy.wait_metric(REJECTED, &labels, |n| n == 1.0);
    assert_eq!(bed.origin.requests().len(), 0);
}

#[test]
fn a_handshake_has_a_deadline_and_only_so_many_are_under_way() {
    let bed = Bed::on(
        Origin::start(),
        "",
        "timeouts = { handshake = \"300ms\" }\nlimits = { handshakes = 2 }",
        &|authority| vec![authority.issue(&["test.example"])],
    );
    let silent: Vec<_> = (0..2).map(|_| Client::connect(bed.proxy.web)).collect();
    // The workers may take them in any order: one more than fit is refused in the end.
    eventually("a connection over the cap", || {
        drop(Client::connect(bed.proxy.web));
        let labels = [("reason", "conn_limit"), ("detail", "handshakes")];
        (bed.proxy.metric(REJECTED, &labels) >= 1.0).then_some(())
    });
    for mut client in silent {
        client.ends();
    }
    let labels = [("reason", "tls_handshake"), ("detail", "timeout")];
    // One of the two may have been the one over the cap.
    bed.proxy.wait_metric(REJECTED, &labels, |n| n >= 1.0);
    eventually("a place is free again", || {
        let config = bed.client();
        connect(bed.proxy.web, "test.example", &config).ok()
    });
}

/// F-33: whoever says nothing keeps nobody out, though all places are taken.
#[test]
fn a_silent_client_makes_way_for_one_that_speaks() {
    let limits = "timeouts = { handshake = \"60s\" }\nlimits = { handshakes = 1 }";
    let bed = Bed::on(Origin::start(), "", limits, &|authority| {
        vec![authority.issue(&["test.example"])]
    });
    let mut silent = Client::connect(bed.proxy.web);
    let labels = [("reason", "conn_limit"), ("detail", "handshakes")];
    let config = bed.client();
    // Whichever of them the workers saw first: silence has the place for a second at most.
    let mut secure = eventually("a place", || {
        let secure = connect(bed.proxy.web, "test.example", &config).ok();
        secure.filter(|_| bed.proxy.metric(REJECTED, &labels) >= 1.0)
    });
    assert!(ask(&mut secure, "GET", "/", "test.example").starts_with("HTTP/1.1 200"));
    silent.ends();
}

/// E-161: a hello may come in any pieces, and one with a post-quantum share does not fit a segment.
#[test]
fn a_hello_byte_by_byte_is_understood() {
    let bed = Bed::new();
    let name = ServerName::try_from("test.example").unwrap();
    let mut connection = rustls::ClientConnection::new(bed.client(), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    assert!(hello.len() > 1200, "{}", hello.len());
    let mut socket = TcpStream::connect(bed.proxy.web).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(15)))
        .unwrap();
    for byte in hello {
        socket.write_all(&[byte]).unwrap();
    }
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).unwrap();
    }
    let mut secure = rustls::StreamOwned::new(connection, socket);
    assert!(ask(&mut secure, "GET", "/", "test.example").starts_with("HTTP/1.1 200"));
}

/// A record that says it is longer than any may be ends the handshake, however slowly it comes.
#[test]
fn a_hello_without_end_is_cut() {
    let bed = Bed::new();
    let mut socket = TcpStream::connect(bed.proxy.web).unwrap();
    // Handshake records that carry one message of 16 MiB - 1.
    let mut record = vec![22, 3, 1, 0x40, 0];
    record.resize(5 + 0x4000, 0);
    record[5..9].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
    let mut sent = 0;
    while sent < 1 << 20 && socket.write_all(&record).is_ok() {
        sent += record.len();
        record[5..9].copy_from_slice(&[0; 4]);
    }
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    let labels = [("reason", "tls_handshake"), ("detail", "malformed")];
    bed.proxy.wait_metric(REJECTED, &labels, |n| n == 1.0);
}

/// Only by its key, and with a warning: the secrets of a connection in the format that debuggers read.
#[test]
fn secrets_are_written_where_an_operator_asks_for_them() {
    let setup = Setup::new();
    let log = setup.dir.file("keys.log");
    let value = format!("\"{}\"", log.display());
    let setup = setup.runtime("danger_tls_key_log", value);
    let bed = Bed::of(setup, Origin::start(), "", "", &|authority| {
        vec![authority.issue(&["test.example"])]
    });
    bed.proxy.wait_output("C0312");
    assert_eq!(status(bed.proxy.web, "test.example", &bed.client()), 200);
    let text = std::fs::read_to_string(&log).expect("a file");
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!((words.len(), words[1].len()), (3, 64), "{line}");
    }
    for label in ["CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "] {
        assert!(text.lines().any(|line| line.starts_with(label)), "{text}");
    }
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(log).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// A reload asks for TLS where there was none: who came before shows nothing, and is served once more (E-123).
#[test]
fn plain_connections_end_where_tls_is_asked_for_by_now() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let proxy = setup.start();
    let mut client = proxy.client();
    assert!(!client.get("/").is(200).closes());
    let authority = Authority::new("Test Authority");
    let certificate = authority.issue(&["test.example"]).write(&setup.dir, "c");
    let tls = format!("tls = {{ certificates = [{certificate}] }}");
    let setup = setup.listener(&tls);
    assert_eq!(proxy.reload(&setup), Reload::Done);
    assert!(client.get("/").is(200).closes());
    client.ends();
}
