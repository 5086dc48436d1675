//! F-22, and the kin of F-27 in HTTP/1: clients that dawdle, and clients that flood.

use super::is_calm;
use crate::support::answer::Step;
use crate::support::client::pattern;
use crate::support::load::{Shape, Style};
use crate::support::wire::Wire;
use crate::support::{
    Answer, Client, DEADLINE, Origin, Proxy, Received, Setup, endpoint, eventually, scale,
};
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fn site(timeouts: &str) -> (Origin, Setup) {
    let large = pattern(8 << 20);
    let origin = Origin::plan()
        .counts_only()
        .respond(move |request: &Received| match request.target.as_str() {
            "/large" => Answer::ok(large.clone()),
            "/pipelined" => Answer::ok(&large[..8192]),
            _ => Answer::ok(request.one("x-nonce").unwrap_or("-")),
        })
        .start();
    let keys = "bulkhead = { connections_per_endpoint = 0 }";
    let setup = Setup::over_with(&[origin.addr()], keys).listener(&format!(
        "timeouts = {{ {timeouts} }}\nlimits = {{ connections_per_client = 0 }}"
    ));
    (origin, setup)
}

/// A client whose kernel takes next to nothing for it.
fn narrow(web: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect_timeout(&web.into(), DEADLINE).unwrap();
    Client {
        wire: Wire::new(socket.into(), Some(DEADLINE)),
    }
}

fn connections(proxy: &Proxy) -> f64 {
    proxy.metric("tidegate_connections_active", &[])
}

/// In what a client is slow.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Head,
    Body,
    Reads,
}

/// F-22: thousands of clients that send half a head, or half a body, or do not read. Each is put out when its time is
/// up; nobody else notices; memory has its bound.
#[test]
fn slow_clients_are_put_out_in_time_and_cost_little() {
    let (_origin, setup) = site("header = \"3s\", body = \"3s\", write = \"3s\"");
    let count = scale(300, 8000);
    let proxy = setup.start();
    proxy.get("/").is(200);
    let base = proxy.held();
    let usual = Shape::gets(2, Style::KeepAlive)
        .requests(scale(500, 10_000))
        .start(proxy.web)
        .join();
    let healthy = Shape::gets(2, Style::KeepAlive).start(proxy.web);
    healthy.more(200);
    let began = Instant::now();
    // One that does not read costs the kernel megabytes: there are few of them.
    let kind = |at: usize| match at {
        at if at % 90 == 89 => Kind::Reads,
        at if at % 2 == 0 => Kind::Head,
        _ => Kind::Body,
    };
    let mut slow: Vec<_> = (0..count)
        .map(|at| {
            let mut client = narrow(proxy.web);
            client.send(match kind(at) {
                Kind::Head => "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
                Kind::Body => {
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhalf of it"
                }
                Kind::Reads => "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
            });
            client
        })
        .collect();
    let sent = began.elapsed();
    let most = proxy.held().saturating_sub(base);
    // A byte now and then does not move the deadline of a head.
    for (at, client) in slow.iter_mut().enumerate() {
        if kind(at) == Kind::Head {
            let _ = client.wire.stream.write(b"x");
        }
    }
    eventually("all of them are put out", || {
        (connections(&proxy) <= 2.0).then_some(())
    });
    let took = began.elapsed();
    let tally = healthy.stop();
    println!(
        "F-22: {count} slow clients connected in {sent:?} and were gone after {took:?} (limits 3 s), {most} KiB; beside \
         them {tally}; before them {usual}"
    );
    tally.all_good();
    assert!(took >= Duration::from_secs(3), "{took:?}");
    assert!(took < sent + Duration::from_secs(15), "{took:?}");
    assert!(most <= count * 16 + 16 * 1024, "{most} KiB");
    let labels = |reason| [("reason", reason)];
    let ended = |reason| proxy.metric("tidegate_request_terminations_total", &labels(reason));
    let heads = (0..count).filter(|at| kind(*at) == Kind::Head).count();
    assert_eq!(ended("header_timeout"), heads as f64);
    assert_eq!(ended("body_timeout"), (count - heads) as f64);
    drop(slow);
    is_calm(&proxy);
}

/// F-27's kin: clients that ask and reset, as fast as they can. No more of it is with the endpoint at once than it may
/// have; what was given up there is given up; others do not notice.
#[test]
fn a_flood_of_requests_that_are_reset() {
    let victim = Origin::plan()
        .counts_only()
        .respond(|_| Answer::ok("late").first(Step::Pause(Duration::from_millis(20))))
        .start();
    let (_origin, setup) = site("header = \"10s\"");
    let keys = "bulkhead = { connections_per_endpoint = 64 }";
    let proxy = setup
        .cluster("victim", &[endpoint(victim.addr())], keys)
        .route(
            "victim",
            "path_prefix = \"/victim\"\ncluster = \"victim\"\npriority = 10",
        )
        .start();
    let healthy = Shape::gets(2, Style::KeepAlive).start(proxy.web);
    healthy.more(200);
    let before = proxy.held();
    let flood = scale(3000, 100_000);
    let mut most = 0;
    for at in 0..flood {
        let Ok(mut client) = Client::try_connect(proxy.web) else {
            continue;
        };
        client.send("GET /victim HTTP/1.1\r\nHost: a\r\n\r\n");
        let socket = socket2::SockRef::from(&client.wire.stream);
        let _ = socket.set_linger(Some(Duration::ZERO));
        drop(client);
        if at % 50 == 0 {
            most = most.max(victim.open_connections());
        }
    }
    let grown = proxy.held().saturating_sub(before);
    let tally = healthy.stop();
    println!(
        "F-27 in HTTP/1: {flood} requests that were reset: {} reached the endpoint, at most {most} connections at once, \
         {grown} KiB; beside them {tally}",
        victim.count()
    );
    tally.all_good();
    // Those that the proxy has closed may still be in their pause.
    assert!(most <= 64 * 4, "{most} connections");
    assert!(grown <= 10 * 1024, "{grown} KiB");
    victim_is_left(&victim);
    is_calm(&proxy);
}

fn victim_is_left(victim: &Origin) {
    eventually("nothing is left at the endpoint", || {
        (victim.open_connections() == 0).then_some(())
    });
}

/// F-27's kin: a client that sends request after request and never reads. We stop reading before long, hold one buffer,
/// and put it out when the time to read is up.
#[test]
fn a_flood_of_pipelined_requests() {
    let (origin, setup) = site("header = \"10s\", body = \"2s\", write = \"2s\"");
    let proxy = setup.start();
    let healthy = Shape::gets(2, Style::KeepAlive).start(proxy.web);
    healthy.more(200);
    let before = proxy.held();
    let mut client = proxy.client();
    client
        .wire
        .stream
        .set_write_timeout(Some(Duration::from_secs(8)))
        .unwrap();
    let requests = "GET /pipelined HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let mut sent = 0;
    let mut most = 0;
    // Until it is put out.
    while client.wire.stream.write_all(requests.as_bytes()).is_ok() {
        sent += requests.len();
        most = most.max(proxy.held().saturating_sub(before));
        assert!(sent < 1 << 30, "it is read without end");
    }
    let tally = healthy.stop();
    println!(
        "F-27 in HTTP/1: {} KiB of pipelined requests were taken, {} reached the endpoint, {most} KiB held; beside them \
         {tally}",
        sent / 1024,
        origin.count() - tally.good
    );
    tally.all_good();
    assert!(most <= 10 * 1024, "{most} KiB");
    // Before it had as many as a connection may have.
    let line = proxy.wait_line("its end", |line| line["detail"] == "write_stall");
    assert_eq!(line["reason"], "body_timeout", "{line}");
    drop(client);
    is_calm(&proxy);
}
