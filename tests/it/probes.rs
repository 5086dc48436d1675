//! Kinds of probes: gRPC against a real server, programs, bytes over tcp, more of http, ports of their own.

use crate::support::{Answer, Origin, Proxy, Received, Setup, eventually, ports, python};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const FAST: &str =
    "interval = \"100ms\"\nfailing_interval = \"50ms\"\ntimeout = \"5s\"\nrise = 1\nfall = 1";

fn health(check: &str, more: &str) -> String {
    format!("[clusters.app.health]\ncheck = {check}\n{FAST}\n{more}\n")
}

#[track_caller]
fn wait_state(proxy: &Proxy, state: &str) {
    eventually(state, || {
        let labels = [("cluster", "app"), ("state", state)];
        (proxy.metric("tidegate_upstream_endpoints", &labels) == 1.0).then_some(())
    });
}

fn checks(proxy: &Proxy, result: &str) -> f64 {
    let labels = [("cluster", "app"), ("result", result)];
    proxy.metric("tidegate_health_checks_total", &labels)
}

/// grpcio's health service as a process of its own; what it says is ordered line by line.
struct Health {
    child: Child,
    addr: SocketAddr,
}

const SERVER: &str = r#"
import sys
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

states = health_pb2.HealthCheckResponse
server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
servicer.set("", states.SERVING)
servicer.set("shop.v1.Cart", states.SERVING)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
for line in sys.stdin:
    service, state = line.split()
    servicer.set(service, states.ServingStatus.Value(state))
    print("set", flush=True)
"#;

impl Health {
    fn start() -> Self {
        let mut child = Command::new(python())
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python");
        let port: u16 = line(&mut child)
            .parse()
            .expect("a port: is grpcio installed?");
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        Self { child, addr }
    }

    fn set(&mut self, service: &str, state: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{service} {state}").unwrap();
        assert_eq!(line(&mut self.child), "set");
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(child: &mut Child) -> String {
    let output = child.stdout.as_mut().unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while output.read(&mut byte).unwrap_or(0) == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

/// The real service: serving, not serving, a service that it does not know; each over new and over kept connections.
#[test]
fn grpc_asks_the_health_service() {
    let mut server = Health::start();
    for keep in [false, true] {
        let more = format!("keep_alive = {keep}");
        let asking = |service: &str| {
            let check = format!("{{ grpc = {{ service = \"{service}\" }} }}");
            Setup::over_with(&[server.addr], &health(&check, &more)).start()
        };
        let (whole, cart, unknown) = (asking(""), asking("shop.v1.Cart"), asking("shop.v1.Other"));
        wait_state(&whole, "healthy");
        wait_state(&cart, "healthy");
        wait_state(&unknown, "unhealthy");
        unknown.wait_output("grpc-status 5");
        eventually("several probes", || {
            (checks(&cart, "pass") >= 5.0).then_some(())
        });
        assert_eq!(checks(&cart, "fail") + checks(&cart, "timeout"), 0.0);
        server.set("shop.v1.Cart", "NOT_SERVING");
        wait_state(&cart, "unhealthy");
        cart.wait_output("the service is not serving");
        wait_state(&whole, "healthy");
        server.set("shop.v1.Cart", "SERVING");
        wait_state(&cart, "healthy");
    }
}

/// A server that speaks HTTP/1.1 only is no gRPC service, and that is a failure, not a hang.
#[test]
fn grpc_against_something_else_fails() {
    let origin = Origin::named("web");
    let check = "{ grpc = {} }";
    let proxy = Setup::over_with(&[origin.addr()], &health(check, "")).start();
    wait_state(&proxy, "unhealthy");
}

/// One connection for many probes, and another when the endpoint has closed it: no failure is seen.
#[test]
fn kept_connections_serve_many_probes() {
    let origin = Origin::plan().requests(5).start();
    let check = "{ http = { path = \"/healthz\" } }";
    let keys = health(check, "keep_alive = true");
    let proxy = Setup::over_with(&[origin.addr()], &keys).start();
    eventually("twenty probes", || {
        (checks(&proxy, "pass") >= 20.0).then_some(())
    });
    assert_eq!(checks(&proxy, "fail"), 0.0);
    let (probes, connections) = (origin.count(), origin.connections());
    assert!(connections <= probes / 5 + 2, "{connections} for {probes}");
    assert!(
        origin
            .requests()
            .iter()
            .all(|probe| probe.one("connection").is_none())
    );
    let fresh = Origin::named("x");
    let proxy = Setup::over_with(&[fresh.addr()], &health(check, "")).start();
    eventually("five probes", || {
        (checks(&proxy, "pass") >= 5.0).then_some(())
    });
    assert!(fresh.connections() >= 5);
}

/// Method, fields and a pattern for the body; and both what it must contain and what it must match.
#[test]
fn http_probes_say_more_and_look_closer() {
    let answer = |request: &Received| match request.target.as_str() {
        "/healthz" if request.one("x-probe") != Some("yes") => Answer::status(400),
        "/healthz" => Answer::ok("{\"state\": \"green\", \"lag\": 17}"),
        _ => Answer::ok("x"),
    };
    let origin = Origin::answering(answer);
    let check = |more: &str| {
        format!("{{ http = {{ path = \"/healthz\", headers = {{ x-probe = \"yes\" }}, {more} }} }}")
    };
    for (more, state) in [
        ("method = \"OPTIONS\"", "healthy"),
        ("method = \"HEAD\"", "healthy"),
        ("body_regex = '\"state\": \"(green|yellow)\"'", "healthy"),
        ("body_regex = '\"lag\": \\d{1,3}}'", "healthy"),
        ("body_regex = '^green'", "unhealthy"),
        ("body_regex = 'green', body_contains = \"lag\"", "healthy"),
        (
            "body_regex = 'green', body_contains = \"lead\"",
            "unhealthy",
        ),
    ] {
        let proxy = Setup::over_with(&[origin.addr()], &health(&check(more), "")).start();
        wait_state(&proxy, state);
        eventually("a probe", || {
            (checks(&proxy, "pass") + checks(&proxy, "fail") >= 1.0).then_some(())
        });
        wait_state(&proxy, state);
    }
    let methods: Vec<_> = origin.requests().into_iter().map(|r| r.method).collect();
    assert!(
        methods.iter().any(|method| method == "OPTIONS"),
        "{methods:?}"
    );
    assert!(methods.iter().any(|method| method == "HEAD"), "{methods:?}");
}

/// A service that says `+PONG` to `PING`, in two pieces, and a zero byte to another one.
fn pinged() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut asked = [0; 64];
                while let Ok(len @ 1..) = stream.read(&mut asked) {
                    let parts: &[&[u8]] = match &asked[..len] {
                        b"PING\r\n" => &[b"+PO", b"NG\r\n"],
                        b"\0\x01" => &[b"\xff\xfe"],
                        _ => &[b"-ERR\r\n"],
                    };
                    for part in parts {
                        let _ = stream.write_all(part);
                    }
                }
            });
        }
    });
    addr
}

#[test]
fn tcp_probes_send_and_expect() {
    let addr = pinged();
    for (check, state) in [
        (
            "{ tcp = { send = \"PING\\r\\n\", expect = \"+PONG\" } }",
            "healthy",
        ),
        (
            "{ tcp = { send_hex = \"0001\", expect_hex = \"FFfe\" } }",
            "healthy",
        ),
        ("{ tcp = { send = \"QUIT\\r\\n\" } }", "healthy"),
    ] {
        let proxy = Setup::over_with(&[addr], &health(check, "")).start();
        eventually("passes", || (checks(&proxy, "pass") >= 2.0).then_some(()));
        wait_state(&proxy, state);
        assert_eq!(checks(&proxy, "fail"), 0.0, "{check}");
    }
    // It answers something else and stays: what was expected does not come in time.
    let keys = health("{ tcp = { send = \"HELO\", expect = \"250\" } }", "");
    let keys = keys.replace("timeout = \"5s\"", "timeout = \"300ms\"");
    let proxy = Setup::over_with(&[addr], &keys).start();
    wait_state(&proxy, "unhealthy");
    assert!(checks(&proxy, "timeout") >= 1.0);
}

/// The probe goes to a port of its own, and the traffic does not.
#[test]
fn probes_have_a_port_of_their_own() {
    let (traffic, probed) = (Origin::named("traffic"), Origin::named("probed"));
    let more = format!("port = {}\naddress = \"127.0.0.1\"", probed.addr().port());
    let check = "{ http = { path = \"/healthz\" } }";
    let proxy = Setup::over_with(&[traffic.addr()], &health(check, &more)).start();
    let probe = probed.wait(1);
    let host = probed.addr().to_string();
    assert_eq!(
        (probe.target.as_str(), probe.one("host")),
        ("/healthz", Some(host.as_str()))
    );
    assert_eq!(proxy.get("/").is(200).text(), "traffic");
    probed.stop();
    wait_state(&proxy, "unhealthy");
    assert!(
        traffic
            .requests()
            .iter()
            .all(|request| request.target != "/healthz")
    );
}

fn script(setup: &Setup, name: &str, text: &str) -> PathBuf {
    let path = setup.dir.file(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The program decides by its exit code; it sees the endpoint in its environment, and nothing of ours beside PATH.
#[test]
fn a_program_decides() {
    let origin = Origin::named("x");
    let setup = Setup::new();
    let (verdict, saw) = (setup.dir.file("verdict"), setup.dir.file("saw"));
    std::fs::write(&verdict, "0").unwrap();
    let text = format!(
        "env > {saw}.new; echo \"arguments $*\" >> {saw}.new; mv {saw}.new {saw}\nexit $(cat {verdict})",
        saw = saw.display(),
        verdict = verdict.display()
    );
    let program = script(&setup, "probe", &text);
    let check = format!(
        "{{ command = {{ argv = [\"{}\", \"--deep\", \"a b; exit 9\"] }} }}",
        program.display()
    );
    let list = [crate::support::endpoint(origin.addr())];
    let proxy = setup
        .cluster("app", &list, &health(&check, ""))
        .route("all", "cluster = \"app\"")
        .start();
    eventually("two probes", || {
        (checks(&proxy, "pass") >= 2.0).then_some(())
    });
    wait_state(&proxy, "healthy");
    let seen = std::fs::read_to_string(&saw).unwrap();
    for wanted in [
        format!("TIDEGATE_ENDPOINT={}", origin.addr()),
        "TIDEGATE_CLUSTER=app".to_owned(),
        "TIDEGATE_HOST=127.0.0.1".to_owned(),
        format!("TIDEGATE_PORT={}", origin.addr().port()),
        "arguments --deep a b; exit 9".to_owned(),
    ] {
        assert!(seen.lines().any(|line| line == wanted), "{wanted}: {seen}");
    }
    assert!(
        !seen.contains("CARGO"),
        "our environment is not for it: {seen}"
    );
    std::fs::write(&verdict, "7").unwrap();
    wait_state(&proxy, "unhealthy");
    proxy.wait_output("exit code 7");
    std::fs::write(&verdict, "0").unwrap();
    wait_state(&proxy, "healthy");
}

/// At its timeout a program is killed with what it started, and none is left behind.
#[test]
fn a_program_that_hangs_is_killed() {
    let origin = Origin::named("x");
    let setup = Setup::new();
    let pids = setup.dir.file("pids");
    let text = format!(
        "sleep 1000 & echo $! >> {0}; echo $$ >> {0}; wait",
        pids.display()
    );
    let program = script(&setup, "probe", &text);
    let check = format!("{{ command = {{ argv = [\"{}\"] }} }}", program.display());
    let keys = health(&check, "").replace("timeout = \"5s\"", "timeout = \"300ms\"");
    let list = [crate::support::endpoint(origin.addr())];
    let mut proxy = setup
        .cluster("app", &list, &keys)
        .route("all", "cluster = \"app\"")
        .start();
    eventually("two timeouts", || {
        (checks(&proxy, "timeout") >= 2.0).then_some(())
    });
    proxy.terminate();
    let started: Vec<String> = std::fs::read_to_string(&pids)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(started.len() >= 4, "{started:?}");
    eventually("nobody is left", || {
        let alive = |pid: &&String| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
            status.is_ok_and(|status| !status.contains("State:\tZ"))
        };
        started.iter().find(alive).is_none().then_some(())
    });
}

#[test]
fn a_program_that_is_not_there_is_a_failure() {
    let origin = Origin::named("x");
    let check = "{ command = { argv = [\"/nonexistent/probe\"] } }";
    let proxy = Setup::over_with(&[origin.addr()], &health(check, "")).start();
    wait_state(&proxy, "unhealthy");
    proxy.wait_output("cannot start the program");
}

/// Programs are processes: however many endpoints want one, sixteen run at a time.
#[test]
fn programs_are_few_at_a_time() {
    let setup = Setup::new();
    let dir = setup.dir.file("running");
    std::fs::create_dir(&dir).unwrap();
    let text = format!("touch {0}/$$; sleep 0.2; rm {0}/$$", dir.display());
    let program = script(&setup, "probe", &text);
    let check = format!("{{ command = {{ argv = [\"{}\"] }} }}", program.display());
    let list: Vec<_> = (0..60)
        .map(|_| crate::support::endpoint(ports::free()))
        .collect();
    let most = Arc::new(AtomicUsize::new(0));
    let proxy = setup
        .cluster(
            "app",
            &list,
            &health(&check, "").replace("timeout = \"5s\"", "timeout = \"30s\""),
        )
        .route("all", "cluster = \"app\"")
        .start();
    eventually("sixty probes", || {
        let running = std::fs::read_dir(&dir).unwrap().count();
        most.fetch_max(running, Ordering::SeqCst);
        (checks(&proxy, "pass") >= 60.0).then_some(())
    });
    let most = most.load(Ordering::SeqCst);
    assert!((2..=16).contains(&most), "{most} at a time");
}
