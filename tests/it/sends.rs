//! What a crowd is sent, which leaves by one system call for many (`runtime.io_uring`).

use crate::support::answer::Step;
use crate::support::client::{pattern, read_head, with_body};
use crate::support::strace::Strace;
use crate::support::{Answer, Client, DEADLINE, Origin, Proxy, Setup, eventually};
use socket2::{Domain, Socket, Type};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const RINGS: &str = "tidegate_runtime_rings";

fn echo() -> Origin {
    Origin::answering(|request| Answer::ok(request.target.clone()))
}

fn crowd(proxy: &Proxy) -> Vec<Client> {
    (0..48).map(|_| proxy.client()).collect()
}

/// All ask at once: the proxy finds everything when it goes on.
fn ask_together(proxy: &Proxy, clients: &mut [Client], round: usize) {
    proxy.signal("STOP");
    for (at, client) in clients.iter_mut().enumerate() {
        client.send(format!(
            "GET /{round}/{at} HTTP/1.1\r\nHost: test.example\r\n\r\n"
        ));
    }
    proxy.signal("CONT");
    for (at, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.response().is(200).text(), format!("/{round}/{at}"));
    }
}

/// How often each system call was made while that ran.
fn counted(proxy: &Proxy, setup: &Setup, run: impl FnOnce()) -> Calls {
    let report = setup.dir.file("strace");
    let calls = "trace=sendto,sendmsg,write,writev,io_uring_enter";
    let options = ["-c", "-e", calls, "-o"].map(OsStr::new);
    let strace = Strace::attach(proxy.pid(), options.into_iter().chain([report.as_os_str()]));
    run();
    drop(strace);
    let text = eventually("strace's table", || std::fs::read_to_string(&report).ok());
    Calls(crate::counts::table(&text))
}

/// System calls, by name.
struct Calls(HashMap<String, f64>);

impl Calls {
    fn of(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }
}

#[test]
fn what_a_crowd_is_sent_leaves_together() {
    let origin = echo();
    let setup = Setup::over(&[origin.addr()])
        .workers(1)
        .access("output", "\"off\"");
    let proxy = setup.start();
    assert_eq!(proxy.metric(RINGS, &[]), 1.0);
    let mut clients = crowd(&proxy);
    ask_together(&proxy, &mut clients, 0);
    let calls = counted(&proxy, &setup, || {
        (1..=20).for_each(|round| ask_together(&proxy, &mut clients, round));
    });
    let requests = 20.0 * 48.0;
    // The requests leave by one call each time, and of the answers those that came together.
    let (sends, enters) = (
        calls.of("sendto") / requests,
        calls.of("io_uring_enter") / requests,
    );
    assert!(
        sends + enters < 1.3,
        "{sends} sends, {enters} calls of the ring"
    );
    assert!(enters > 0.0);
    // One alone has nobody to wait for.
    let calls = counted(&proxy, &setup, || {
        (0..100).for_each(|_| drop(clients[0].get("/")));
    });
    assert_eq!(calls.of("io_uring_enter"), 0.0);
}

#[test]
fn without_rings_each_send_is_a_call() {
    let origin = echo();
    let off = Setup::over(&[origin.addr()])
        .workers(1)
        .runtime("io_uring", false);
    let proxy = off.start();
    assert_eq!(proxy.metric(RINGS, &[]), 0.0);
    assert!(!proxy.output().contains("io_uring"), "it was asked for");
    let calls = counted(&proxy, &off, || {
        ask_together(&proxy, &mut crowd(&proxy), 0);
    });
    assert_eq!(calls.of("io_uring_enter"), 0.0);
    assert!(calls.of("sendto") >= 96.0);
}

/// A kernel that has none, or a filter that allows none.
#[test]
fn a_kernel_without_rings_is_told_and_served_all_the_same() {
    let origin = echo();
    let setup = Setup::over(&[origin.addr()]).workers(2);
    let mut command = Command::new("strace");
    command
        // What is started here is the proxy then, and not what traces it, which ends with it.
        .arg("-D")
        .args(["-f", "--seccomp-bpf", "-e", "trace=io_uring_setup"])
        .args(["-e", "inject=io_uring_setup:error=EPERM", "-o", "/dev/null"])
        .arg(crate::support::proxy::binary().get_program())
        .args(["run", "-c"])
        .arg(setup.config_path())
        .env("NO_COLOR", "1");
    let proxy = Proxy::start_by(&setup, command);
    assert_eq!(proxy.metric(RINGS, &[]), 0.0);
    proxy.wait_output("no io_uring: sends go one by one");
    assert_eq!(proxy.output().matches("no io_uring").count(), 1);
    let mut clients = crowd(&proxy);
    for (at, client) in clients.iter_mut().enumerate() {
        assert_eq!(
            client.get(&format!("/{at}")).is(200).text(),
            format!("/{at}")
        );
    }
}

/// One that fails later: nothing that was handed to it is lost or sent twice.
#[test]
fn a_ring_that_fails_loses_nothing() {
    let origin = echo();
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    let mut clients = crowd(&proxy);
    ask_together(&proxy, &mut clients, 0);
    assert_eq!(proxy.metric(RINGS, &[]), 1.0);
    let strace = Strace::failing(proxy.pid(), "io_uring_enter", "ENOMEM", "2+");
    for round in 1..5 {
        ask_together(&proxy, &mut clients, round);
    }
    drop(strace);
    proxy.wait_metric(RINGS, &[], |rings| rings == 0.0);
    proxy.wait_output("io_uring failed; sends go one by one from now on");
    ask_together(&proxy, &mut clients, 5);
    assert_eq!(origin.count(), 6 * 48);
}

/// The clock of an answer goes from when the request was handed over, not from when somebody looked again.
#[test]
fn a_crowd_does_not_wait_longer_for_an_endpoint_that_is_silent() {
    let origin = Origin::answering(|_| Answer::silence());
    let proxy = Setup::over_with(
        &[origin.addr()],
        "timeouts = { response = \"2s\" }\nretry = { attempts = 0 }",
    )
    .workers(1)
    .tail("[defaults.route.timeouts]\nrequest = \"3s\"")
    .start();
    let mut clients = crowd(&proxy);
    proxy.signal("STOP");
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test.example\r\n\r\n");
    }
    proxy.signal("CONT");
    for client in &mut clients {
        client.response().is(504);
    }
    for line in proxy.wait_log(clients.len()) {
        assert_eq!(line["reason"], "response_timeout", "{line}");
    }
}

/// Who still waits when a drain runs out of time is told, however many they are.
#[test]
fn a_crowd_that_is_cut_by_a_drain_is_told() {
    let origin = Origin::answering(|_| Answer::silence());
    let mut proxy = Setup::over(&[origin.addr()])
        .workers(1)
        .runtime("drain_timeout", "\"500ms\"")
        .start();
    let mut clients = crowd(&proxy);
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test.example\r\n\r\n");
    }
    origin.wait(clients.len());
    proxy.signal("TERM");
    for client in &mut clients {
        client.response().is(503);
    }
    proxy.ends_well();
}

pub const PIPELINED: usize = 300;
const BODY: usize = 3000;

/// An origin of answers that together are more than any kernel holds for a client.
pub fn long() -> Origin {
    Origin::answering(|request| {
        let mut body = request.target.clone().into_bytes();
        body.resize(BODY, b'.');
        Answer::ok(body)
    })
}

/// Clients that ask for more than their kernels hold and read it late get all of it, in order.
pub fn read_late<S: Read + Write>(mut clients: Vec<S>, asks: impl Fn(usize) -> usize) {
    for (at, client) in clients.iter_mut().enumerate() {
        let requests: Vec<_> = (0..asks(at))
            .map(|number| format!("GET /{at}/{number} HTTP/1.1\r\nHost: test.example\r\n\r\n"))
            .collect();
        let requests = requests.concat();
        client.write_all(requests.as_bytes()).unwrap();
        client.flush().unwrap();
    }
    for (at, client) in clients.iter_mut().enumerate() {
        let mut client = std::io::BufReader::new(client);
        for number in 0..asks(at) {
            let head = read_head(&mut client);
            let mut body = vec![0; BODY];
            client.read_exact(&mut body).unwrap();
            let wanted = format!("/{at}/{number}.");
            assert!(
                body.starts_with(wanted.as_bytes()),
                "{wanted} {:?} {:?}",
                String::from_utf8_lossy(&head),
                String::from_utf8_lossy(&body[..40])
            );
        }
    }
}

fn socket(proxy: &Proxy) -> TcpStream {
    let socket = TcpStream::connect(proxy.web).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// The end of what a client sends is not the end of what it reads (`half_close`).
#[test]
fn clients_that_have_said_all_get_everything_in_order() {
    let origin = long();
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    let clients = (0..100).map(|_| Said(socket(&proxy)));
    // For some the last answer is the one that the kernel has no room for.
    read_late(clients.collect(), |at| 20 + at);
}

/// A client that closes its sending side behind its requests.
struct Said(TcpStream);

impl Read for Said {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

#[test]
fn clients_that_read_late_get_everything_in_order() {
    let origin = long();
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    let clients = (0..24).map(|_| socket(&proxy));
    read_late(clients.collect(), |_| PIPELINED);
}

/// Who reads steadily is waited for between its answers as during one, though the kernel takes nothing of ours for longer than
/// `timeouts.write` (E-132).
#[test]
fn clients_that_read_slowly_get_everything_in_order() {
    let origin = long();
    let proxy = Setup::over(&[origin.addr()])
        .workers(1)
        .listener("timeouts = { write = \"3s\" }")
        .start();
    let begin = Instant::now();
    thread::scope(|scope| {
        for at in 0..80 {
            let socket = narrow(proxy.web);
            let ends = at % 2 == 0;
            let client = Slow {
                socket,
                begin,
                ends,
            };
            // For some the last answer is the one that the kernel has no room for.
            scope.spawn(move || read_late(vec![client], |_| 20 + at / 2));
        }
        // That is sent with others'.
        for _ in 0..100 {
            proxy.signal("STOP");
            thread::sleep(Duration::from_millis(10));
            proxy.signal("CONT");
            thread::sleep(Duration::from_millis(1));
        }
    });
    let whole = |line: &serde_json::Value| line["reason"] == "completed";
    let log = proxy.wait_log((0..80).map(|at| 20 + at / 2).sum());
    assert!(log.iter().all(whole), "{log:?}");
}

/// A client that takes little at a time, for seven seconds.
struct Slow {
    socket: TcpStream,
    begin: Instant,
    /// Whether it says that it has no more to ask.
    ends: bool,
}

impl Read for Slow {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let mut most = buf.len();
        if self.begin.elapsed() < Duration::from_secs(7) {
            thread::sleep(Duration::from_millis(100));
            most = most.min(800);
        }
        self.socket.read(&mut buf[..most])
    }
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.ends {
            self.socket.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}

/// One whose kernel takes little for it.
fn narrow(web: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.connect(&web.into()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.into()
}

/// In a crowd, too, a client that does not read has its time (`timeouts.write`), and nobody is to blame for what it does not take.
#[test]
fn clients_that_pause_are_waited_for() {
    const LENGTH: usize = 1 << 20;
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/long" => {
            // In little pieces, as events come: what the kernel has no room for is short.
            let piece = |at| {
                [
                    Step::Reply(at, at + 5),
                    Step::Pause(Duration::from_millis(2)),
                ]
            };
            Answer {
                steps: (0..200).flat_map(|at| piece(5 * at)).collect(),
                ..Answer::ok(pattern(LENGTH)).chunked(4000)
            }
        }
        target => Answer::ok(target),
    });
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    let mut pausing: Vec<_> = (0..12).map(|_| proxy.client()).collect();
    for client in &mut pausing {
        client.send("GET /long HTTP/1.1\r\nHost: test.example\r\n\r\n");
    }
    origin.wait(pausing.len());
    let mut clients = crowd(&proxy);
    // Longer than it takes until the kernel is asked how they get on, one second.
    let begin = Instant::now();
    for round in 0.. {
        ask_together(&proxy, &mut clients, round);
        if begin.elapsed() > Duration::from_secs(3) {
            break;
        }
    }
    for client in &mut pausing {
        assert!(client.response().is(200).body == pattern(LENGTH));
    }
    let whole = |line: &serde_json::Value| line["reason"] == "completed";
    assert!(proxy.log().iter().all(whole), "{:?}", proxy.log());
}

/// Clients that leave while their answers wait, beside others that stay.
#[test]
fn who_leaves_takes_nothing_along() {
    let origin = Origin::answering(|request| Answer::ok(request.body.clone()));
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    for round in 0..8 {
        let mut clients = crowd(&proxy);
        let body = |at: usize| pattern(1 + (at * 977 + round) % 9000);
        proxy.signal("STOP");
        for (at, client) in clients.iter_mut().enumerate() {
            client.send(with_body("POST", "/", &body(at)));
        }
        let mut stay = Vec::new();
        for (at, client) in clients.into_iter().enumerate() {
            match at % 3 {
                0 => client.reset(),
                _ => stay.push((at, client)),
            }
        }
        proxy.signal("CONT");
        for (at, client) in &mut stay {
            assert!(client.response().is(200).body == body(*at), "{round} {at}");
        }
    }
    assert_eq!(proxy.metric("tidegate_runtime_task_panics_total", &[]), 0.0);
}
