//! What a service manager hears: ready, reloading, stopping, alive; each when it is true.

use crate::support::proxy::binary;
use crate::support::{Answer, Client, DEADLINE, Gate, Origin, Proxy, Reload, Setup, eventually};
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

/// The manager's end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn listen(setup: &Setup) -> Self {
        let path = setup.dir.file("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE * 2)).unwrap();
        Self { socket, path }
    }

    /// The command of the proxy as this manager starts it.
    fn command(&self, setup: &Setup) -> Command {
        let mut command = binary();
        command
            .args(["run", "-c"])
            .arg(setup.config_path())
            .env("NOTIFY_SOCKET", &self.path)
            .env_remove("WATCHDOG_PID")
            .env_remove("WATCHDOG_USEC");
        command
    }

    /// The next message, as its lines.
    #[track_caller]
    fn hear(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let count = loop {
            match self.socket.recv(&mut buffer) {
                // A read with a timeout is not begun again by the kernel.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                heard => break heard.expect("a message"),
            }
        };
        let text = String::from_utf8(buffer[..count].to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The next one that is no sign of life.
    #[track_caller]
    fn hear_news(&self) -> Vec<String> {
        loop {
            let lines = self.hear();
            if lines != ["WATCHDOG=1"] {
                return lines;
            }
        }
    }
}

fn value<'a>(lines: &'a [String], key: &str) -> &'a str {
    lines
        .iter()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("no {key} in {lines:?}"))
}

#[test]
fn ready_means_that_the_port_answers() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let manager = Manager::listen(&setup);
    let command = manager.command(&setup);
    let (web, admin) = (setup.web, setup.admin);
    // Asked at the moment of the message, not after the test's own wait.
    let first = thread::spawn(move || {
        let lines = manager.hear();
        let answer = Client::connect(web).get("/").status;
        let ready = Client::connect(admin).try_get_host("/ready", admin);
        (manager, lines, answer, ready.unwrap().status)
    });
    let mut proxy = Proxy::start_by(&setup, command);
    let (manager, lines, answer, ready) = first.join().unwrap();
    assert_eq!(value(&lines, "READY"), "1", "the first that it says");
    assert_eq!((answer, ready), (200, 200));
    proxy.signal("TERM");
    assert_eq!(value(&manager.hear_news(), "STOPPING"), "1");
    proxy.ends_well();
}

/// A manager may listen at a name that is no file.
#[test]
fn an_abstract_socket_is_told_too() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let name = format!("tidegate-it-notify-{}", std::process::id());
    let addr = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&addr).unwrap();
    socket.set_read_timeout(Some(DEADLINE * 2)).unwrap();
    let manager = Manager {
        socket,
        path: format!("@{name}").into(),
    };
    let mut proxy = Proxy::start_by(&setup, manager.command(&setup));
    assert_eq!(value(&manager.hear_news(), "READY"), "1");
    proxy.signal("TERM");
    assert_eq!(value(&manager.hear_news(), "STOPPING"), "1");
    proxy.ends_well();
}

/// One that cannot start never says that it did.
#[test]
fn what_does_not_start_is_not_ready() {
    let origin = Origin::start();
    let mut setup = Setup::over(&[origin.addr()]);
    setup.web = origin.addr();
    setup.write();
    let manager = Manager::listen(&setup);
    let output = manager.command(&setup).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    manager.socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    let heard = manager.socket.recv(&mut buffer).map_err(|e| e.kind());
    assert_eq!(heard, Err(ErrorKind::WouldBlock), "{said}");
}

/// A reload is told with the time of its begin, and that it is over, however it ended.
#[test]
fn a_reload_begins_and_ends() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let manager = Manager::listen(&setup);
    let proxy = Proxy::start_by(&setup, manager.command(&setup));
    assert_eq!(value(&manager.hear_news(), "READY"), "1");
    let mut before = 0;
    let mut began = || {
        let lines = manager.hear_news();
        assert_eq!(value(&lines, "RELOADING"), "1");
        let at: u64 = value(&lines, "MONOTONIC_USEC").parse().unwrap();
        assert!(at > before, "{at} after {before}");
        before = at;
    };

    // The same file again: whoever asked waits for an end.
    proxy.signal("HUP");
    began();
    assert_eq!(value(&manager.hear_news(), "READY"), "1");

    let next = setup.clone().route(
        "new",
        "path = \"/new\"\nrespond = { status = 200, body = \"new\" }",
    );
    assert_eq!(proxy.reload(&next), Reload::Done);
    began();
    let over = manager.hear_news();
    assert_eq!(value(&over, "READY"), "1");
    assert!(!value(&over, "STATUS").contains("refused"), "{over:?}");
    assert_eq!(proxy.get("/new").text(), "new");

    let bad = setup.route("bad", "path = \"/bad\"\ncluster = \"nowhere\"");
    assert_eq!(proxy.reload(&bad), Reload::Refused);
    began();
    let over = manager.hear_news();
    assert_eq!(value(&over, "READY"), "1");
    assert!(value(&over, "STATUS").contains("refused"), "{over:?}");
}

/// Signs of life come for as long as the process lives: while it serves, and while it drains with one
/// worker that has nothing left to do and one that has.
#[test]
fn the_watchdog_is_fed_to_the_end() {
    const ENOUGH: usize = 8;
    let gate = Gate::shut();
    let inside = gate.clone();
    let origin = Origin::answering(move |_| Answer::ok("finished").held(&inside));
    let setup = Setup::over(&[origin.addr()])
        .workers(2)
        .runtime("drain_timeout", "\"60s\"");
    let manager = Manager::listen(&setup);
    let mut command = manager.command(&setup);
    command.env("WATCHDOG_USEC", "400000");
    let mut proxy = Proxy::start_by(&setup, command);
    assert_eq!(value(&manager.hear_news(), "READY"), "1");
    for _ in 0..ENOUGH {
        assert_eq!(manager.hear(), ["WATCHDOG=1"]);
    }
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait(1);
    proxy.signal("TERM");
    assert_eq!(value(&manager.hear_news(), "STOPPING"), "1");
    eventually("one worker is left", || {
        (worker_threads(proxy.pid()) == 1).then_some(())
    });
    // What was said before that is of before; a second is more than the manager's patience.
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 4096]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    for _ in 0..ENOUGH {
        assert_eq!(manager.hear(), ["WATCHDOG=1"]);
    }
    gate.open();
    assert_eq!(client.response().text(), "finished");
    proxy.ends_well();
    let output = proxy.output();
    assert!(!output.contains("does not answer"), "{output}");
}

fn worker_threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .expect("/proc")
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("worker-"))
        .count()
}
