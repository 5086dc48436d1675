//! More than there is room for: connections over a cap are closed and counted, and a process that is
//! out of file descriptors waits without spinning and goes on as soon as it can.

use crate::support::proxy::binary;
use crate::support::wire::Wire;
use crate::support::{Answer, Client, DEADLINE, Origin, Proxy, Reload, Setup, eventually};
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

fn rejected(proxy: &Proxy, reason: &str, detail: &str) -> f64 {
    let labels = [("listener", "web"), ("reason", reason), ("detail", detail)];
    proxy.metric("tidegate_connections_rejected_total", &labels)
}

/// A connection from this address of ours.
fn from(addr: &str, to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let local: SocketAddr = format!("{addr}:0").parse().unwrap();
    socket.bind(&local.into()).unwrap();
    socket.connect_timeout(&to.into(), DEADLINE).unwrap();
    Client {
        wire: Wire::new(socket.into(), Some(DEADLINE)),
    }
}

/// Connections that have a place: each had an answer.
#[track_caller]
fn inside(count: usize, connect: impl Fn() -> Client) -> Vec<Client> {
    let mut clients: Vec<_> = (0..count).map(|_| connect()).collect();
    for client in &mut clients {
        client.get("/").is(200);
    }
    clients
}

/// A place becomes free as soon as the proxy sees that a client is gone.
#[track_caller]
fn a_place_is_free(connect: impl Fn() -> Client) -> Client {
    eventually("a place is free", || {
        let mut client = connect();
        client.try_get("/").is_ok().then_some(client)
    })
}

/// `runtime.max_connections` is for the whole process, whichever worker takes them; a reload moves it.
#[test]
fn connections_of_the_process() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]).workers(2);
    let small = setup.clone().runtime("max_connections", 4);
    let proxy = small.start();
    let mut clients = inside(4, || proxy.client());
    for _ in 0..8 {
        proxy.client().ends();
    }
    eventually("each is counted", || {
        (rejected(&proxy, "conn_limit", "process") == 8.0).then_some(())
    });
    // Nobody who was inside notices.
    for client in &mut clients {
        client.get("/").is(200);
    }
    clients.pop();
    clients.push(a_place_is_free(|| proxy.client()));
    proxy.client().ends();

    assert_eq!(
        proxy.reload(&setup.clone().runtime("max_connections", 6)),
        Reload::Done
    );
    clients.extend(inside(2, || proxy.client()));
    proxy.client().ends();

    // Fewer than there are: nobody is put out, nobody gets in.
    assert_eq!(proxy.reload(&small), Reload::Done);
    for client in &mut clients {
        client.get("/").is(200);
    }
    clients.truncate(5);
    proxy.client().ends();
    let rows = proxy.metrics();
    let reasons = rows.sum("tidegate_connections_rejected_total", &[]);
    assert_eq!(reasons, rejected(&proxy, "conn_limit", "process"));
}

/// `limits.connections_per_client`: each address for itself, over all workers; who speaks for others is
/// exempt.
#[test]
fn connections_of_a_client() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()])
        .workers(2)
        .listener("limits = { connections_per_client = 3 }\ntrusted_proxies = [\"127.0.0.3/32\"]");
    let proxy = setup.start();
    let connect = |addr: &'static str| {
        let web = proxy.web;
        move || from(addr, web)
    };
    let mut one = inside(3, connect("127.0.0.1"));
    for _ in 0..5 {
        from("127.0.0.1", proxy.web).ends();
    }
    let _two = inside(3, connect("127.0.0.2"));
    from("127.0.0.2", proxy.web).ends();
    let _proxy = inside(12, connect("127.0.0.3"));
    eventually("each is counted", || {
        (rejected(&proxy, "conn_limit", "client") == 6.0).then_some(())
    });
    for client in &mut one {
        client.get("/").is(200);
    }
    one.pop();
    one.push(a_place_is_free(connect("127.0.0.1")));
    from("127.0.0.1", proxy.web).ends();
    assert_eq!(rejected(&proxy, "conn_limit", "process"), 0.0);
}

const FILES: usize = 64;

/// The proxy with room for [`FILES`] descriptors.
fn short_of_files(setup: &Setup) -> Proxy {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -n {FILES} && exec \"$0\" run -c \"$1\""))
        .arg(binary().get_program())
        .arg(setup.config_path())
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG");
    Proxy::start_by(setup, command)
}

/// Hundreds connect to a process that is short of descriptors. It stays, does not spin, serves who is
/// inside, and takes new ones once the others are gone.
#[track_caller]
fn survives(setup: &Setup, full: impl Fn(&Proxy, &[Client]) -> bool) -> Proxy {
    let proxy = short_of_files(setup);
    let mut kept = proxy.client();
    kept.get("/").is(200);
    let crowd: Vec<_> = (0..300).map(|_| proxy.client()).collect();
    let admin = Client::connect(proxy.admin);
    eventually("it is full", || full(&proxy, &crowd).then_some(()));
    // Not a wait: the stretch of time that is measured.
    let before = proxy.ticks();
    std::thread::sleep(Duration::from_secs(1));
    let spent = proxy.ticks() - before;
    assert!(spent < 50, "{spent} ticks in a second of being full");
    kept.get("/").is(200);
    drop((crowd, admin));
    for _ in 0..20 {
        a_place_is_free(|| proxy.client());
    }
    kept.get("/").is(200);
    eventually("the admin interface answers", || {
        let ready = Client::try_connect(proxy.admin).ok()?;
        let ready = { ready }.try_get_host("/ready", proxy.admin)?;
        (ready.status == 200).then_some(())
    });
    proxy
}

/// How many of these were closed.
fn turned_away(crowd: &[Client]) -> usize {
    let over = |client: &&Client| {
        let stream = &client.wire.stream;
        stream.set_nonblocking(true).unwrap();
        let ended = matches!(stream.peek(&mut [0]), Ok(0));
        stream.set_nonblocking(false).unwrap();
        ended
    };
    crowd.iter().filter(over).count()
}

/// More connections are allowed than there are descriptors: the last are not for clients, who are turned away, so
/// that those who are inside can be served.
#[test]
fn out_of_descriptors() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()])
        .workers(2)
        .runtime("max_connections", 1000);
    let mut proxy = survives(&setup, |_, crowd| turned_away(crowd) > 200);
    assert!(rejected(&proxy, "overloaded", "no_files") > 200.0);
    assert!(!proxy.output().contains("cannot accept; waiting"));
    proxy.terminate();
}

/// The cap that is derived from the limit closes what is too much, so that nobody waits for nothing.
#[test]
fn the_derived_cap_holds() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]).workers(2);
    let mut proxy = survives(&setup, |_, crowd| turned_away(crowd) > 250);
    // Taken faster than they are closed, some of a burst meet the end of the table first.
    let capped = rejected(&proxy, "conn_limit", "process");
    assert!(capped > 0.0 && capped + rejected(&proxy, "overloaded", "no_files") > 250.0);
    proxy.terminate();
}

/// E-134: errors of accept that are no one's fault. It neither ends nor spins, and goes on at once when they stop.
#[test]
fn accept_goes_on_after_every_error() {
    let origin = Origin::start();
    for errno in [
        "EMFILE",
        "ENFILE",
        "ENOBUFS",
        "ENOMEM",
        "ECONNABORTED",
        "EPERM",
        "EPROTO",
    ] {
        let setup = Setup::over(&[origin.addr()]).workers(1);
        let mut command = Command::new("strace");
        command
            .args(["-D", "-f", "-qq", "-e", "trace=accept4", "-e"])
            .arg(format!("inject=accept4:error={errno}:when=3..40"))
            .arg("-o")
            .arg("/dev/null")
            .arg(binary().get_program())
            .args(["run", "-c"])
            .arg(setup.config_path())
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG");
        let proxy = Proxy::start_by(&setup, command);
        let client = eventually(errno, || {
            let mut client = Client::try_connect(proxy.web).ok()?;
            client.try_get("/").is_ok().then_some(client)
        });
        drop(client);
        for _ in 0..20 {
            proxy.get("/").is(200);
        }
    }
}

/// Bytes of a connection from this port that the kernel holds and has not sent yet.
fn unsent(port: u16) -> Option<u64> {
    let filter = format!("( sport = :{port} )");
    let output = Command::new("ss")
        .args(["-tinOH", "state", "established", &filter])
        .output()
        .expect("ss, of iproute2");
    let told = String::from_utf8(output.stdout).unwrap();
    let (_, after) = told.split_once("notsent:")?;
    after.split_whitespace().next()?.parse().ok()
}

#[test]
fn the_kernel_holds_little_for_a_client_that_does_not_read() {
    let origin = Origin::answering(|_| Answer::ok(vec![b'x'; 32 << 20]));
    // The kernel looks before it takes a packet, which is of 64 KiB here.
    for (limits, least, most) in [
        ("", 1, (64 + 128) << 10),
        ("limits = { unsent = \"16KiB\" }", 1, (16 + 128) << 10),
        ("limits = { unsent = \"64MiB\" }", 512 << 10, u64::MAX),
    ] {
        let proxy = Setup::over(&[origin.addr()]).listener(limits).start();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&proxy.web.into()).unwrap();
        let mut stream = std::net::TcpStream::from(socket);
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let mut before = 0;
        let held = eventually("that nothing more is taken", || {
            let now = unsent(proxy.web.port())?;
            (std::mem::replace(&mut before, now) == now && now >= least).then_some(now)
        });
        assert!(held <= most, "{limits}: {held} bytes");
    }
}
