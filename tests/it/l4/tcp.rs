//! Connections of tcp listeners: where they go, how they end, what is said of them.

use super::{tcp_listener, tcp_over};
use crate::support::bytes::{ByteServer, dial, echoes, ended, exactly, is_reset, rest};
use crate::support::strace::Strace;
use crate::support::{DEADLINE, Origin, Proxy, Reload, Setup, eventually, ports};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

const ACTIVE: &str = "tidegate_l4_sessions_active";

#[test]
fn a_connection_is_carried_and_written_down() {
    let server = ByteServer::named("hello ");
    let (setup, raw) = tcp_over(&[server.addr()], "", "");
    let proxy = setup.start();
    let stream = dial(raw);
    // The server speaks first: nothing of the client's is waited for.
    assert_eq!(exactly(&stream, 6), b"hello ");
    echoes(&stream, "ping");
    let labels = [("listener", "raw"), ("cluster", "app")];
    proxy.wait_metric(ACTIVE, &labels, |active| active == 1.0);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&stream), b"", "the end comes through");
    let line = proxy.wait_log(1).remove(0);
    for (field, value) in [
        ("listener", "raw"),
        ("protocol", "tcp"),
        ("cluster", "app"),
        ("client", "127.0.0.1"),
        ("reason", "completed"),
        ("phase", "last"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert_eq!(line["endpoint"], server.addr().to_string());
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&4.into(), &10.into())
    );
    assert!(line["status"].is_null() && line["path"].is_null(), "{line}");
    assert!(line["connect_ms"].is_number() && line["duration_ms"].is_number());
    proxy.wait_metric("tidegate_l4_sessions_total", &labels, |sum| sum == 1.0);
    proxy.wait_metric(ACTIVE, &labels, |active| active == 0.0);
    let reason = [("listener", "raw"), ("reason", "completed")];
    proxy.wait_metric("tidegate_l4_terminations_total", &reason, |sum| sum == 1.0);
    let spoken = [("listener", "raw"), ("protocol", "tcp")];
    proxy.wait_metric("tidegate_connections_total", &spoken, |sum| sum == 1.0);
}

/// F-06: the answer comes after the client has said that it will send no more, and the other way round.
#[test]
fn half_closes_pass_each_way() {
    let server = ByteServer::running(|stream| {
        let asked = rest(&stream);
        (&stream).write_all(&asked).unwrap();
    });
    let (setup, raw) = tcp_over(&[server.addr()], "", "");
    let proxy = setup.start();
    let stream = dial(raw);
    (&stream).write_all(b"all of it").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&stream), b"all of it");
    let server = ByteServer::running(|stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&stream), b"late");
        let _ = (&stream).write_all(b"never seen");
    });
    let next = Setup::over(&[server.addr()])
        .at(&setup)
        .tail(&tcp_listener(raw, ""));
    assert_eq!(proxy.reload(&next), Reload::Done);
    let stream = dial(raw);
    assert_eq!(rest(&stream), b"", "the server has nothing to say");
    (&stream).write_all(b"late").unwrap();
    drop(stream);
    proxy.wait_log(2);
}

/// A connection that cannot be made loses nothing: another endpoint gets all of it.
#[test]
fn another_endpoint_is_tried() {
    let server = ByteServer::echo();
    let dead = [ports::free(), ports::free()];
    let keys = "balancer = \"round_robin\"\nretry = { backoff = { base = \"1ms\", max = \"2ms\" }, budget = { min_per_second = 1000 } }\noutlier = { max_ejected = 0 }";
    let (setup, raw) = tcp_over(&[dead[0], dead[1], server.addr()], "", keys);
    let proxy = setup.start();
    for number in 0..12 {
        let stream = dial(raw);
        echoes(&stream, &format!("number {number}"));
    }
    let lines = proxy.wait_log(12);
    assert!(lines.iter().all(|line| line["reason"] == "completed"));
    assert!(lines.iter().any(|line| line["attempts"] == 3));
    let labels = [("cluster", "app"), ("result", "success")];
    proxy.wait_metric("tidegate_upstream_retries_total", &labels, |sum| sum > 0.0);
}

#[test]
fn without_an_endpoint_it_is_closed_and_the_reason_is_told() {
    let (setup, raw) = tcp_over(&[ports::free()], "", "retry = { attempts = 0 }");
    let proxy = setup.start();
    let stream = dial(raw);
    assert!(is_reset(&stream), "not an empty answer");
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["phase"]),
        (&"connect_refused".into(), &"connect".into())
    );
    let labels = [("listener", "raw"), ("reason", "connect_refused")];
    proxy.wait_metric("tidegate_l4_terminations_total", &labels, |sum| sum == 1.0);
}

/// A reset reaches the other side at once, and both are gone.
#[test]
fn the_end_of_either_side_ends_the_other() {
    let server = ByteServer::echo();
    let (setup, raw) = tcp_over(&[server.addr()], "", "");
    let proxy = setup.start();
    let stream = dial(raw);
    echoes(&stream, "x");
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"client_abort".into(), &"reset".into())
    );
    eventually("the server's side is closed", || {
        (server.open() == 0).then_some(())
    });

    let server = ByteServer::running(|stream| {
        exactly(&stream, 1);
        let socket = socket2::SockRef::from(&stream);
        socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    });
    let next = Setup::over(&[server.addr()])
        .at(&setup)
        .tail(&tcp_listener(raw, ""));
    assert_eq!(proxy.reload(&next), Reload::Done);
    let stream = dial(raw);
    (&stream).write_all(b"x").unwrap();
    assert!(ended(&stream));
    let line = proxy.wait_log(2).remove(1);
    assert_eq!(line["reason"], "upstream_truncated", "{line}");
}

#[test]
fn silence_and_age_end_a_connection() {
    let server = ByteServer::echo();
    let cluster = "timeouts = { tunnel = \"300ms\" }";
    let (setup, raw) = tcp_over(&[server.addr()], "", cluster);
    let proxy = setup.start();
    let stream = dial(raw);
    echoes(&stream, "x");
    assert!(ended(&stream));
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"upstream_idle".into(), &"idle".into())
    );
    let aging = tcp_listener(raw, "tcp = { max_duration = \"400ms\" }");
    let next = Setup::over(&[server.addr()]).at(&setup).tail(&aging);
    assert_eq!(proxy.reload(&next), Reload::Done);
    let stream = dial(raw);
    while (&stream).write_all(b"still here").is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let line = proxy.wait_log(2).remove(1);
    assert_eq!(line["reason"], "max_duration", "{line}");
    // One side has ended, and the other says nothing.
    let silent = ByteServer::running(|stream| drop(rest(&stream)));
    let server = ByteServer::running(move |stream| {
        rest(&stream);
        let _ = exactly(&dial(silent.addr()), 1);
    });
    let half = tcp_listener(raw, "tcp = { half_close_timeout = \"300ms\" }");
    let next = Setup::over(&[server.addr()]).at(&setup).tail(&half);
    assert_eq!(proxy.reload(&next), Reload::Done);
    let stream = dial(raw);
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(is_reset(&stream), "it still waited for an answer");
    let line = proxy.wait_log(3).remove(2);
    assert_eq!(line["detail"], "idle", "{line}");
}

/// Caps of connections, and the queue for a place at an endpoint.
#[test]
fn caps_hold_and_a_place_is_waited_for() {
    let server = ByteServer::echo();
    let cluster =
        "bulkhead = { connections_per_endpoint = 1, queue = { size = 1, timeout = \"10s\" } }";
    let (setup, raw) = tcp_over(&[server.addr()], "", cluster);
    let proxy = setup.start();
    let first = dial(raw);
    echoes(&first, "first");
    let second = dial(raw);
    (&second).write_all(b"second").unwrap();
    let queued = [("cluster", "app")];
    proxy.wait_metric("tidegate_upstream_requests_queued", &queued, |waiting| {
        waiting == 1.0
    });
    let third = dial(raw);
    assert!(ended(&third), "the queue is full");
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(line["reason"], "queue_full", "{line}");
    drop(first);
    assert_eq!(exactly(&second, 6), b"second");
    assert_eq!(server.accepted(), 2);
    drop((second, proxy));
    let (setup, raw) = tcp_over(
        &[server.addr()],
        "limits = { connections_per_client = 2 }",
        "",
    );
    let proxy = setup.start();
    let inside = [dial(raw), dial(raw)];
    for stream in &inside {
        echoes(stream, "x");
    }
    assert!(ended(&dial(raw)));
    let labels = [("listener", "raw"), ("reason", "conn_limit")];
    proxy.wait_metric("tidegate_connections_rejected_total", &labels, |sum| {
        sum == 1.0
    });
}

#[test]
fn a_removed_listener_takes_nobody_and_its_connections_go_on() {
    let server = ByteServer::echo();
    let (setup, raw) = tcp_over(&[server.addr()], "", "");
    let mut proxy = setup.start();
    let stream = dial(raw);
    echoes(&stream, "before");
    assert_eq!(
        proxy.reload(&Setup::over(&[server.addr()]).at(&setup)),
        Reload::Done
    );
    eventually("nobody listens there", || {
        TcpStream::connect(raw).err().map(drop)
    });
    echoes(&stream, "after");
    // An endpoint that is gone from the file keeps those that it has.
    let other = ByteServer::named("other");
    let next = Setup::over(&[other.addr()])
        .at(&setup)
        .tail(&tcp_listener(raw, ""));
    assert_eq!(proxy.reload(&next), Reload::Done);
    echoes(&stream, "still");
    assert_eq!(exactly(&dial(raw), 5), b"other");
    proxy.signal("TERM");
    eventually("nobody listens there", || {
        TcpStream::connect(raw).err().map(drop)
    });
    echoes(&stream, "while it drains");
    drop(stream);
    proxy.ends_well();
}

/// `on_endpoint_down = "close"`: the connections of an endpoint that fails its probes, or is disabled, are cut.
#[test]
fn connections_follow_their_endpoint_down_if_so_configured() {
    let server = ByteServer::echo();
    let probed = Origin::start();
    let health = format!(
        "health = {{ check = {{ http = {{}} }}, port = {}, interval = \"100ms\", failing_interval = \"100ms\", fall = 1, jitter = 0.0 }}",
        probed.addr().port()
    );
    let keys = format!("on_endpoint_down = \"close\"\n{health}");
    let (first, raw) = tcp_over(&[server.addr()], "", &keys);
    let proxy = first.start();
    let stream = dial(raw);
    echoes(&stream, "x");
    drop(probed);
    assert!(ended(&stream));
    let line = proxy.wait_log(1).remove(0);
    let cut = (&"killed".into(), &"endpoint_down".into());
    assert_eq!((&line["reason"], &line["detail"]), cut);

    let in_state = |state: &str, word: &str| {
        let endpoint = format!("{{ address = \"{}\", state = \"{state}\" }}", server.addr());
        let keys = format!("on_endpoint_down = \"{word}\"");
        let setup = Setup::new().at(&first).cluster("app", &[endpoint], &keys);
        setup.tail(&tcp_listener(raw, ""))
    };
    assert_eq!(proxy.reload(&in_state("ready", "keep")), Reload::Done);
    let kept = dial(raw);
    echoes(&kept, "x");
    assert_eq!(proxy.reload(&in_state("ready", "close")), Reload::Done);
    let stream = dial(raw);
    echoes(&stream, "x");
    assert_eq!(proxy.reload(&in_state("disabled", "close")), Reload::Done);
    assert!(ended(&stream));
    let line = proxy.wait_log(2).remove(1);
    assert_eq!((&line["reason"], &line["detail"]), cut);
    echoes(&kept, "it was promised to be kept");
}

/// An end that was declared stands, although the other direction is cut: what the kernel has not delivered yet arrives.
#[test]
fn what_was_declared_whole_arrives_after_a_cut() {
    const LENGTH: usize = 120 * 1024;
    let server = ByteServer::running(|stream| {
        (&stream).write_all(&vec![7; LENGTH]).unwrap();
    });
    let half = "tcp = { half_close_timeout = \"300ms\" }";
    let (setup, raw) = tcp_over(&[server.addr()], half, "");
    let proxy = setup.start();
    // It reads nothing before the cut, and says nothing.
    let stream = dial(raw);
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(line["reason"], "upstream_idle", "{line}");
    assert!(rest(&stream) == vec![7; LENGTH]);
}

/// Nobody has said that what came before our own cut is whole: it is a reset on both sides, and never an end.
#[test]
fn what_we_cut_is_reset_on_both_sides() {
    let (told, seen) = mpsc::channel();
    let told = Mutex::new(told);
    let server = ByteServer::running(move |stream| {
        let told = told.lock().unwrap().clone();
        (&stream).write_all(b"some").unwrap();
        told.send(is_reset(&stream)).unwrap();
    });
    let (first, raw) = tcp_over(&[server.addr()], "", "");
    let mut proxy = first.start();
    let with = |listener: &str, keys: &str, state: &str| {
        let endpoint = format!("{{ address = \"{}\", state = \"{state}\" }}", server.addr());
        let setup = Setup::new().at(&first).cluster("app", &[endpoint], keys);
        let setup = setup.runtime("drain_timeout", "\"200ms\"");
        setup.tail(&tcp_listener(raw, listener))
    };
    let dialled = || {
        let stream = dial(raw);
        assert_eq!(exactly(&stream, 4), b"some");
        stream
    };
    let mut count = 0;
    let mut both_are = |stream: &TcpStream, proxy: &Proxy, reason: &str| {
        count += 1;
        assert!(is_reset(stream), "{reason}: the client's side");
        assert!(seen.recv_timeout(DEADLINE).unwrap(), "{reason}: the other");
        let line = proxy.wait_log(count).remove(count - 1);
        assert_eq!(line["reason"], reason, "{line}");
    };
    let silence = with("", "timeouts = { tunnel = \"300ms\" }", "ready");
    assert_eq!(proxy.reload(&silence), Reload::Done);
    both_are(&dialled(), &proxy, "upstream_idle");
    let age = with("tcp = { max_duration = \"300ms\" }", "", "ready");
    assert_eq!(proxy.reload(&age), Reload::Done);
    both_are(&dialled(), &proxy, "max_duration");
    let close = "on_endpoint_down = \"close\"";
    assert_eq!(proxy.reload(&with("", close, "ready")), Reload::Done);
    let stream = dialled();
    assert_eq!(proxy.reload(&with("", close, "disabled")), Reload::Done);
    both_are(&stream, &proxy, "killed");
    assert_eq!(proxy.reload(&with("", "", "ready")), Reload::Done);
    let stream = dialled();
    proxy.signal("TERM");
    both_are(&stream, &proxy, "shutdown");
    proxy.wait_exit(DEADLINE);
}

/// A stream that never pauses has the same end: by its age, and with its endpoint.
#[test]
fn a_stream_that_never_pauses_ends_too() {
    let flood = |stream: &TcpStream| {
        let mut writer = stream.try_clone().unwrap();
        std::thread::spawn(move || while writer.write_all(&[0; 16 * 1024]).is_ok() {});
    };
    let server = ByteServer::running(move |stream| {
        flood(&stream);
        ended(&stream);
    });
    let aging = "tcp = { max_duration = \"400ms\" }";
    let (first, raw) = tcp_over(&[server.addr()], aging, "");
    let proxy = first.start();
    let stream = dial(raw);
    flood(&stream);
    assert!(stops(&stream));
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(line["reason"], "max_duration", "{line}");

    let in_state = |state: &str| {
        let endpoint = format!("{{ address = \"{}\", state = \"{state}\" }}", server.addr());
        let setup = Setup::new().at(&first);
        let setup = setup.cluster("app", &[endpoint], "on_endpoint_down = \"close\"");
        setup.tail(&tcp_listener(raw, ""))
    };
    assert_eq!(proxy.reload(&in_state("ready")), Reload::Done);
    let stream = dial(raw);
    flood(&stream);
    exactly(&stream, 1024 * 1024);
    assert_eq!(proxy.reload(&in_state("disabled")), Reload::Done);
    assert!(stops(&stream));
    let line = proxy.wait_log(2).remove(1);
    let cut = (&"killed".into(), &"endpoint_down".into());
    assert_eq!((&line["reason"], &line["detail"]), cut, "{line}");
}

/// Whether a stream that never pauses comes to its end.
fn stops(stream: &TcpStream) -> bool {
    let deadline = Instant::now() + DEADLINE;
    let mut scratch = vec![0; 64 * 1024];
    while let Ok(1..) = (&mut &*stream).read(&mut scratch) {
        if Instant::now() > deadline {
            return false;
        }
    }
    true
}

#[test]
fn an_endpoint_may_be_a_unix_socket() {
    let dir = crate::support::dir::Dir::new();
    let path = dir.file("server.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut from = stream.try_clone().unwrap();
            let mut to = stream;
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    let raw = ports::free();
    let endpoints = [format!("\"unix:{}\"", path.display())];
    let setup = Setup::new()
        .cluster("app", &endpoints, "")
        .tail(&tcp_listener(raw, ""));
    let _proxy = setup.start();
    echoes(&dial(raw), "over a unix socket");
}

/// Layer 4 has the balancers of layer 7: a client stays with its endpoint.
#[test]
fn a_client_keeps_its_endpoint_by_hash() {
    let servers: Vec<_> = ["one", "two", "six"].map(ByteServer::named).into();
    let addrs: Vec<SocketAddr> = servers.iter().map(ByteServer::addr).collect();
    let (setup, raw) = tcp_over(
        &addrs,
        "",
        "balancer = { maglev = { key = \"client_ip\" } }",
    );
    let _proxy = setup.start();
    let name = exactly(&dial(raw), 3);
    for _ in 0..10 {
        assert_eq!(exactly(&dial(raw), 3), name);
    }
}

/// Bulk does not come up to the worker: pipes carry it. Small messages never meet one.
#[test]
fn bulk_is_spliced_and_small_messages_are_copied() {
    let server = ByteServer::running(|stream| {
        let asked = rest(&stream);
        (&stream)
            .write_all(&(asked.len() as u64).to_le_bytes())
            .unwrap();
    });
    let (setup, raw) = tcp_over(&[server.addr()], "", "");
    let setup = setup.workers(1);
    let proxy = setup.start();
    let report = setup.dir.file("strace");
    let calls = |size: usize| {
        let options = ["-c", "-e", "trace=splice,recvfrom,sendto", "-o"].map(OsStr::new);
        let strace = Strace::attach(proxy.pid(), options.into_iter().chain([report.as_os_str()]));
        let stream = dial(raw);
        for part in vec![7; size].chunks(1 << 20) {
            (&stream).write_all(part).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&stream), (size as u64).to_le_bytes());
        drop(strace);
        let table = eventually("strace's table", || std::fs::read_to_string(&report).ok());
        let of = |name: &str| {
            let line = table.lines().find(|line| line.ends_with(name));
            let word = line.and_then(|line| line.split_whitespace().nth(3));
            word.map_or(0, |word| word.parse::<usize>().unwrap())
        };
        (of("splice"), of("recvfrom") + of("sendto"))
    };
    let (spliced, copied) = calls(64 << 20);
    assert!(spliced > 100, "{spliced} spliced, {copied} copied");
    // Copied, it would be 2048 at the least.
    assert!(copied < 1000, "{spliced} spliced, {copied} copied");
    let (spliced, _) = calls(1000);
    assert_eq!(spliced, 0);
}
