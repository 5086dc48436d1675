//! TLS on layer 4: passed through by what a client hello asks for, or ended here.

use super::tcp_over;
use crate::support::bytes::{ByteServer, dial, ended};
use crate::support::tls::{Authority, ask, connect, run};
use crate::support::{Answer, Origin, Proxy, Setup, endpoint, ports};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// A server of HTTPS that says its name, with a certificate for these.
fn server(authority: &Authority, says: &'static str, names: &[&str]) -> (Proxy, Origin) {
    let origin = Origin::answering(move |_| Answer::ok(says));
    let setup = Setup::over(&[origin.addr()]);
    let entry = authority.issue(names).write(&setup.dir, "server");
    let keys = format!("tls = {{ certificates = [{entry}] }}");
    (setup.listener(&keys).start(), origin)
}

/// A listener `raw` with these rules, and where it listens.
fn passing(clusters: &[(&str, SocketAddr)], keys: &str) -> (Setup, SocketAddr) {
    let raw = ports::free();
    let mut setup = Setup::new();
    for (name, addr) in clusters {
        setup = setup.cluster(name, &[endpoint(*addr)], "");
    }
    let listener =
        format!("[[listeners]]\nname = \"raw\"\nbind = [\"{raw}\"]\nprotocol = \"tcp\"\n{keys}\n");
    (setup.tail(&listener), raw)
}

const RULES: &str = "sni = [{ hosts = [\"db.example.com\"], cluster = \"one\" }, { hosts = [\"*.internal.example.com\"], cluster = \"two\" }]";

#[test]
fn the_name_decides_and_nothing_is_decrypted() {
    let authority = Authority::new("Test Authority");
    let (one, _a) = server(&authority, "one", &["db.example.com"]);
    let (two, _b) = server(
        &authority,
        "two",
        &["x.internal.example.com", "other.example.com"],
    );
    let (setup, raw) = passing(&[("one", one.web), ("two", two.web)], RULES);
    let proxy = setup.start();
    let client = Arc::new(authority.client());
    for (name, says) in [
        ("db.example.com", "one"),
        ("x.internal.example.com", "two"),
        ("db.example.com", "one"),
    ] {
        let mut secure = connect(raw, name, &client).expect("a connection");
        let answer = ask(&mut secure, "GET", "/", name);
        assert!(answer.ends_with(says), "{name}: {answer}");
    }
    // A name that no rule has, and no name, and no TLS: there is no place for them.
    assert!(connect(raw, "other.example.com", &client).is_err());
    let stream = dial(raw);
    (&stream).write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(ended(&stream));
    let lines = proxy.wait_log(5);
    let named = |name: &str| lines.iter().filter(|line| line["host"] == name).count();
    assert_eq!(
        (named("db.example.com"), named("other.example.com")),
        (2, 1)
    );
    let ended = |reason: &str| lines.iter().filter(|line| line["reason"] == reason).count();
    assert_eq!(
        (
            ended("completed"),
            ended("no_route"),
            ended("tls_handshake")
        ),
        (3, 1, 1)
    );
    let labels = [("cluster", "-"), ("reason", "no_route")];
    proxy.wait_metric("tidegate_l4_terminations_total", &labels, |sum| sum == 1.0);
}

#[test]
fn the_rest_goes_to_the_cluster_of_the_listener() {
    let authority = Authority::new("Test Authority");
    let (one, _a) = server(&authority, "one", &["db.example.com"]);
    let (two, _b) = server(&authority, "two", &["other.example.com"]);
    let plain = ByteServer::named("plain");
    let keys = format!("{RULES}\ncluster = \"two\"");
    let (setup, raw) = passing(&[("one", one.web), ("two", two.web)], &keys);
    let _proxy = setup.start();
    let client = Arc::new(authority.client());
    let mut secure = connect(raw, "other.example.com", &client).expect("a connection");
    assert!(ask(&mut secure, "GET", "/", "other.example.com").ends_with("two"));
    let (setup, raw) = passing(&[("one", one.web), ("two", plain.addr())], &keys);
    let _proxy = setup.start();
    let stream = dial(raw);
    (&stream).write_all(b"anything").unwrap();
    let mut answer = [0; 13];
    (&stream).read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"plainanything");
}

#[test]
fn protocols_decide_among_rules_for_one_name() {
    let authority = Authority::new("Test Authority");
    let (one, _a) = server(&authority, "one", &["db.example.com"]);
    let (two, _b) = server(&authority, "two", &["db.example.com"]);
    let rules = "sni = [{ hosts = [\"*.example.com\"], cluster = \"one\" }, { hosts = [\"*.example.com\"], alpn = [\"http/1.1\"], cluster = \"two\" }]";
    let (setup, raw) = passing(&[("one", one.web), ("two", two.web)], rules);
    let _proxy = setup.start();
    for (alpn, says) in [(None, "one"), (Some("http/1.1"), "two")] {
        let mut config = authority.client();
        config.alpn_protocols = alpn
            .iter()
            .map(|it: &&str| it.as_bytes().to_vec())
            .collect();
        let mut secure = connect(raw, "db.example.com", &Arc::new(config)).expect("a connection");
        assert!(
            ask(&mut secure, "GET", "/", "db.example.com").ends_with(says),
            "{alpn:?}"
        );
    }
}

/// A client hello in single bytes, and one that never ends.
#[test]
fn a_hello_may_come_in_any_pieces_but_not_late() {
    let authority = Authority::new("Test Authority");
    let (one, _a) = server(&authority, "one", &["db.example.com"]);
    let keys = format!("{RULES}\ntimeouts = {{ first_byte = \"300ms\" }}");
    let (setup, raw) = passing(&[("one", one.web), ("two", one.web)], &keys);
    let proxy = setup.start();
    let client = Arc::new(authority.client());
    let name = rustls::pki_types::ServerName::try_from("db.example.com").unwrap();
    let mut tls = rustls::ClientConnection::new(client, name).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    let mut socket = TcpStream::connect(raw).unwrap();
    socket.set_nodelay(true).unwrap();
    for byte in &hello {
        socket.write_all(&[*byte]).unwrap();
    }
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).unwrap();
    }
    drop(socket);
    for part in [0, 1, 5, 100] {
        let stream = dial(raw);
        (&stream).write_all(&hello[..part]).unwrap();
        assert!(ended(&stream));
    }
    let stream = dial(raw);
    (&stream)
        .write_all(b"\x16\x03\x01\x40\x00\x01\x00\xff\xff")
        .unwrap();
    assert!(ended(&stream), "declared too long");
    let lines = proxy.wait_log(6);
    let count = |reason: &str| lines.iter().filter(|line| line["reason"] == reason).count();
    assert_eq!(
        (count("header_timeout"), count("tls_handshake")),
        (4, 1),
        "{lines:?}"
    );
}

/// curl, from Debian, does not notice.
#[test]
fn curl_passes_through() {
    let authority = Authority::new("Test Authority");
    let (one, _a) = server(&authority, "one", &["db.example.com"]);
    let (setup, raw) = passing(&[("one", one.web), ("two", one.web)], RULES);
    let _proxy = setup.start();
    let roots = setup.dir.file("roots.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    let resolve = format!("db.example.com:{}:127.0.0.1", raw.port());
    let url = format!("https://db.example.com:{}/", raw.port());
    let roots = roots.to_str().unwrap();
    let output = run(
        "curl",
        &["-sS", "--cacert", roots, "--resolve", &resolve, &url],
        "",
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "one", "{output:?}");
}

/// TLS ends here, and the endpoint gets plain bytes.
#[test]
fn tls_may_end_here() {
    let authority = Authority::new("Test Authority");
    let server = ByteServer::echo();
    let dir = Setup::new().dir;
    let entry = authority.issue(&["db.example.com"]).write(&dir, "server");
    let keys = format!("tls = {{ certificates = [{entry}] }}");
    let (setup, raw) = tcp_over(&[server.addr()], &keys, "");
    let proxy = setup.start();
    let mut config = authority.client();
    // Whatever is spoken inside is between the client and the endpoint.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let mut secure = connect(raw, "db.example.com", &Arc::new(config)).expect("a connection");
    let bytes = crate::support::client::pattern(300_000);
    let mut back = vec![0; bytes.len()];
    for (part, room) in bytes.chunks(20_000).zip(back.chunks_mut(20_000)) {
        secure.write_all(part).unwrap();
        secure.read_exact(room).unwrap();
    }
    assert!(back == bytes);
    drop(secure);
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(line["host"], "db.example.com", "{line}");
    assert_eq!(line["bytes_in"], 300_000, "{line}");
}
