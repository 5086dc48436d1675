//! F-13: a panic in the middle of an exchange ends that exchange and its connection, and nothing else.
//!
//! The fault is asked for by a field of the request and an environment variable; it is compiled into builds with debug
//! assertions only (`src/exchange/fault.rs`), and a release is shown not to have it.

#[cfg(debug_assertions)]
use crate::support::load::{Shape, Style};
use crate::support::proxy::binary;
use crate::support::{Origin, Proxy, Setup};
use std::process::Command;

const ASKS: &str = "GET /fault HTTP/1.1\r\nHost: a\r\nX-Tidegate-Fault: panic\r\n\r\n";

fn armed(setup: &Setup) -> Command {
    let mut command = binary();
    command
        .args(["run", "-c"])
        .arg(setup.config_path())
        .env("TIDEGATE_TEST_FAULTS", "1");
    command
}

#[cfg(debug_assertions)]
#[test]
fn a_panic_ends_its_connection_and_nothing_else() {
    use super::is_calm_but_for;
    use crate::support::answer::Answer;
    use crate::support::scale;

    let origin = Origin::plan()
        .counts_only()
        .respond(|request| Answer::ok(request.one("x-nonce").unwrap_or("-")))
        .start();
    let setup = Setup::over(&[origin.addr()]);
    let proxy = Proxy::start_by(&setup, armed(&setup));
    let load = Shape::gets(4, Style::KeepAlive).start(proxy.web);
    load.more(100);
    let (files, panics) = (proxy.files(), scale(100, 2000));
    for _ in 0..panics {
        let mut client = proxy.client();
        client.get("/before").is(200);
        client.send(ASKS);
        assert!(
            client.try_response_to("GET").is_err(),
            "nothing can be said any more"
        );
        load.more(1);
    }
    load.everybody();
    let tally = load.stop();
    tally.all_good();
    println!("F-13: {panics} panics beside {tally}");
    let internal = proxy.metric(
        "tidegate_request_terminations_total",
        &[("reason", "internal")],
    );
    assert_eq!(internal, panics as f64);
    is_calm_but_for(&proxy, panics as f64);
    assert!(
        proxy.files() <= files,
        "{} files, before {files}",
        proxy.files()
    );
    let line = proxy.wait_line("the line of a panic", |line| line["reason"] == "internal");
    assert_eq!(
        (&line["path"], &line["status"]),
        (&"/fault".into(), &500.into())
    );
    assert_eq!(proxy.admin_get("/ready").status, 200);
}

/// What came before a panic may look whole: only a reset says that it is not, as it is with a tunnel of layer 4.
#[cfg(debug_assertions)]
#[test]
fn a_panic_in_a_tunnel_is_a_reset_on_both_sides() {
    use crate::support::bytes::is_reset;
    use crate::support::client::read_head;
    use crate::support::websocket;
    use crate::support::wire::Fault;
    use std::io::Write;
    use std::net::TcpListener;

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = Setup::over(&[listener.local_addr().unwrap()]);
    let origin = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&mut stream);
        stream.write_all(websocket::accepted().as_bytes()).unwrap();
        is_reset(&stream)
    });
    let proxy = Proxy::start_by(&setup, armed(&setup));
    let mut client = proxy.client();
    client.send(websocket::request("/chat").replacen(
        "Upgrade: websocket",
        "Upgrade: websocket\r\nX-Tidegate-Fault: panic in the tunnel",
        1,
    ));
    client.response().is(101);
    client.send("hello");
    assert_eq!(client.wire.fill(), Err(Fault::Reset));
    assert!(origin.join().unwrap(), "the origin saw a clean end");
    proxy.wait_metric("tidegate_runtime_task_panics_total", &[], |now| now == 1.0);
}

/// Without the variable, and in a release whatever the environment says, the field is a field like any other.
#[test]
fn nobody_can_ask_a_release_for_a_panic() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let proxies = [
        Some(setup.start()),
        (!cfg!(debug_assertions)).then(|| {
            let setup = Setup::over(&[origin.addr()]);
            Proxy::start_by(&setup, armed(&setup))
        }),
    ];
    for proxy in proxies.into_iter().flatten() {
        let mut client = proxy.client();
        client.send(ASKS);
        client.response().is(200);
        assert_eq!(proxy.metric("tidegate_runtime_task_panics_total", &[]), 0.0);
    }
}
