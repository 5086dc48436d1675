//! Listening on unix sockets: the file, its access, reload, drain, and who the client is.

use super::tcp_listener;
use crate::support::answer::Step;
use crate::support::bytes::{ByteServer, dial, echoes};
use crate::support::{Answer, DEADLINE, Origin, Reload, Setup, endpoint, eventually, ports};
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn unix_echoes(mut stream: &UnixStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text.as_bytes());
}

fn ask(path: &Path, fields: &str) -> String {
    let mut stream = connect(path);
    let request = format!("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn listener(protocol: &str, path: &Path, keys: &str) -> String {
    let path = path.display();
    format!(
        "[[listeners]]\nname = \"file\"\nbind = [\"unix:{path}\"]\nprotocol = \"{protocol}\"\n{keys}\n"
    )
}

/// The inode tells whether it is the same file, the mode who may connect.
fn file(path: &Path) -> (u64, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.ino(), metadata.permissions().mode() & 0o777)
}

fn at(setup: &Setup) -> PathBuf {
    setup.dir.file("listen.sock")
}

/// A server of byte streams behind a file: what to start, its path, and its listener.
fn carried(server: &ByteServer) -> (Setup, PathBuf, String) {
    let setup = Setup::over(&[server.addr()]);
    let path = at(&setup);
    let tcp = listener("tcp", &path, "cluster = \"app\"");
    (setup.tail(&tcp), path, tcp)
}

#[test]
fn requests_come_over_a_file_and_their_client_is_this_machine() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let path = at(&setup);
    let setup = setup.tail(&listener("http", &path, ""));
    let mut proxy = setup.start();
    assert_eq!(file(&path).1, 0o600);
    let answer = ask(&path, "X-Forwarded-For: 203.0.113.9\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = origin.wait(1);
    assert_eq!(seen.one("x-forwarded-for"), Some("127.0.0.1"));
    let line = proxy.wait_log(1).remove(0);
    for (field, value) in [
        ("listener", "file"),
        ("client", "127.0.0.1"),
        ("peer", "unix"),
        ("reason", "completed"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    let status = proxy.status();
    let told = status["listeners"].to_string();
    assert!(told.contains(&format!("unix:{}", path.display())), "{told}");
    proxy.terminate();
    assert!(!path.exists(), "the file goes with its process");
}

/// F-06, E-217, over a file: who is gone holds no place in a queue, and with `half_close = "abort"` no endpoint.
#[test]
fn a_client_that_leaves_a_file_is_noticed() {
    let origin = Origin::answering(|_| Answer::silence().then(Step::Hang));
    let keys = "bulkhead = { connections_per_endpoint = 1, queue = { timeout = \"60s\" } }";
    let setup = Setup::over_with(&[origin.addr()], keys);
    let path = at(&setup);
    let proxy = setup
        .tail(&listener("http", &path, "half_close = \"abort\""))
        .start();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut served = connect(&path);
    served.write_all(request).unwrap();
    origin.wait(1);
    let mut queued = connect(&path);
    queued.write_all(request).unwrap();
    let app = [("cluster", "app")];
    proxy.wait_metric("tidegate_upstream_requests_queued", &app, |n| n == 1.0);
    drop(queued);
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["phase"]),
        (&"client_abort".into(), &"queue".into()),
        "{line}"
    );
    served.shutdown(Shutdown::Write).unwrap();
    origin.wait_closed(1);
    let line = proxy.wait_log(2).remove(1);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"client_abort".into(), &"eof".into()),
        "{line}"
    );
}

#[test]
fn byte_streams_go_from_file_to_file() {
    let setup = Setup::new();
    let (front, back) = (at(&setup), setup.dir.file("server.sock"));
    let server = UnixListener::bind(&back).unwrap();
    std::thread::spawn(move || {
        for stream in server.incoming().flatten() {
            let mut from = stream.try_clone().unwrap();
            let mut to = stream;
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    let endpoints = [format!("\"unix:{}\"", back.display())];
    let setup = setup
        .cluster("app", &endpoints, "send_proxy_protocol = \"off\"")
        .tail(&listener("tcp", &front, "cluster = \"app\""));
    let proxy = setup.start();
    // More of them than workers: the one queue serves all.
    let streams: Vec<_> = (0..8).map(|_| connect(&front)).collect();
    for (number, stream) in streams.iter().enumerate() {
        unix_echoes(stream, &format!("number {number}"));
    }
    // Enough for the pipe.
    let big = "0123456789abcdef".repeat(1 << 14);
    let writer = streams[0].try_clone().unwrap();
    let sent = big.clone();
    let sending = std::thread::spawn(move || (&writer).write_all(sent.as_bytes()));
    let mut back = vec![0; big.len()];
    (&streams[0]).read_exact(&mut back).unwrap();
    sending.join().unwrap().unwrap();
    assert!(back == big.as_bytes());
    drop(streams);
    let lines = proxy.wait_log(8);
    assert!(lines.iter().all(|line| line["peer"] == "unix"));
}

/// A reload that keeps the path keeps the socket, even for another listener; one that drops it ends it gently.
#[test]
fn a_reload_hands_the_socket_over_and_a_removed_one_goes() {
    let server = ByteServer::echo();
    let (start, path, tcp) = carried(&server);
    let proxy = start.start();
    let live = connect(&path);
    unix_echoes(&live, "before");
    let (inode, _) = file(&path);
    let renamed = tcp.replace("\"file\"", "\"other\"") + "unix = { mode = \"660\" }\n";
    let next = Setup::over(&[server.addr()]).at(&start).tail(&renamed);
    assert_eq!(proxy.reload(&next), Reload::Done);
    assert_eq!(
        file(&path),
        (inode, 0o660),
        "the same socket, for more people"
    );
    unix_echoes(&connect(&path), "after");
    unix_echoes(&live, "still");
    let lines = proxy.wait_log(1);
    assert_eq!(lines[0]["listener"], "other");
    let gone = Setup::over(&[server.addr()]).at(&start);
    assert_eq!(proxy.reload(&gone), Reload::Done);
    eventually("the file is gone", || (!path.exists()).then_some(()));
    unix_echoes(&live, "to its end");
    // And it may come back at once.
    assert_eq!(proxy.reload(&next), Reload::Done);
    unix_echoes(&connect(&path), "again");
}

/// Clients that connect all the time lose nothing while the listener is taken away: who got through is served.
#[test]
fn nobody_who_got_through_is_lost_when_the_listener_goes() {
    let server = ByteServer::echo();
    let (start, path, _) = carried(&server);
    let proxy = start.start();
    let to = path.clone();
    let clients = std::thread::spawn(move || {
        let mut served = 0;
        while let Ok(stream) = UnixStream::connect(&to) {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            unix_echoes(&stream, "served");
            served += 1;
        }
        served
    });
    proxy.wait_log(10);
    let gone = Setup::over(&[server.addr()]).at(&start);
    assert_eq!(proxy.reload(&gone), Reload::Done);
    assert!(clients.join().unwrap() >= 10);
}

#[test]
fn what_a_dead_process_left_is_replaced_and_what_lives_is_not() {
    let server = ByteServer::echo();
    let (setup, path, tcp) = carried(&server);
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let raw = ports::free();
    let proxy = setup.start();
    unix_echoes(&connect(&path), "instead");
    let taken = setup.dir.file("taken.sock");
    let other = UnixListener::bind(&taken).unwrap();
    let wrong = tcp.replace("listen.sock", "taken.sock");
    let next = Setup::new()
        .cluster("app", &[endpoint(server.addr())], "")
        .route("all", "cluster = \"app\"")
        .at(&setup)
        .tail(&wrong)
        .tail(&tcp_listener(raw, ""));
    assert_eq!(proxy.reload(&next), Reload::Refused);
    proxy.wait_output("taken.sock (listener `file`)");
    assert!(taken.exists(), "another's socket is left alone");
    drop(other);
    unix_echoes(&connect(&path), "as before");
    assert!(std::net::TcpStream::connect(raw).is_err(), "nothing of it");
    let fixed = Setup::over(&[server.addr()])
        .at(&setup)
        .tail(&tcp)
        .tail(&tcp_listener(raw, ""));
    assert_eq!(proxy.reload(&fixed), Reload::Done);
    echoes(&dial(raw), "now");
}

/// What cannot be done as a whole is not done in part; and what is no longer our file is not touched.
#[test]
fn a_reload_that_fails_leaves_every_file_as_it_was() {
    let server = ByteServer::echo();
    let (start, path, tcp) = carried(&server);
    let proxy = start.start();
    let before = file(&path);
    let wide = tcp.clone() + "unix = { mode = \"666\" }\n";
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let two = |extra: &str| {
        let next = Setup::over(&[server.addr()]).at(&start).tail(&wide);
        next.tail(extra)
    };
    let held = tcp_listener(taken.local_addr().unwrap(), "");
    assert_eq!(proxy.reload(&two(&held)), Reload::Refused);
    assert_eq!(file(&path), before);
    // Somebody else's by now.
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(proxy.reload(&two("")), Reload::Refused);
    assert_eq!(file(&path).1, 0o640);
    drop(other);
    fs::remove_file(&path).unwrap();
    assert_eq!(proxy.reload(&two("")), Reload::Done);
    assert_eq!(file(&path).1, 0o666, "made anew");
    unix_echoes(&connect(&path), "again");
}

/// Trust, limits and the PROXY protocol take the peer for `127.0.0.1`.
#[test]
fn who_speaks_for_others_over_a_file_is_believed_when_this_machine_is_trusted() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let path = at(&setup);
    let keys = "proxy_protocol = \"require\"\ntrusted_proxies = [\"127.0.0.1\"]\nlimits = { connections_per_client = 1 }";
    let setup = setup.tail(&listener("http", &path, keys));
    let proxy = setup.start();
    let open = |client: &str| {
        let stream = connect(&path);
        let header = format!("PROXY TCP4 {client} 192.0.2.1 4711 80\r\n");
        let request = "GET /told HTTP/1.1\r\nHost: a\r\n\r\n";
        (&stream).write_all((header + request).as_bytes()).unwrap();
        let mut first = [0; 12];
        let read = (&stream).read(&mut first).unwrap_or(0);
        let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
        (stream, String::from_utf8_lossy(&first[..read]).into_owned())
    };
    let (held, first) = open("203.0.113.1");
    assert_eq!(first, "HTTP/1.1 200");
    assert_eq!(open("203.0.113.1").1, "", "it has as many as it may");
    assert_eq!(open("203.0.113.2").1, "HTTP/1.1 200");
    drop(held);
    let line = proxy.wait_line("as told", |line| line["client"] == "203.0.113.1");
    assert_eq!(line["peer"], "unix");
}
