//! `bandwidth_limit`: what passes is the same, and takes its time.

use crate::support::answer::Step;
use crate::support::client::pattern;
use crate::support::websocket::{self, WebSocket};
use crate::support::{Answer, Client, Origin, Proxy, Setup};
use std::thread;

const LENGTH: usize = 128 << 10;

fn proxy(app: &Origin, limit: &str, keys: &str) -> Proxy {
    Setup::over(&[app.addr()])
        .without_routes()
        .listener("timeouts = { body = \"500ms\" }")
        .route(
            "all",
            &format!(
                "cluster = \"app\"\nfilters = [{{ bandwidth_limit = {{ {limit} }} }}]\n{keys}"
            ),
        )
        .start()
}

fn large() -> Origin {
    Origin::answering(|_| Answer::ok(pattern(LENGTH)))
}

fn waits(proxy: &Proxy, direction: &str) -> f64 {
    let labels = [("route", "all"), ("direction", direction)];
    proxy.metric("tidegate_bandwidth_waits_total", &labels)
}

/// The times that limit a peer's silence are not for silence of our own making.
const IMPATIENT: &str = "timeouts = { response_idle = \"200ms\" }";

#[test]
fn an_answer_passes_in_pieces() {
    let app = large();
    let proxy = proxy(&app, "download = \"64KiB\"", IMPATIENT);
    let mut client = proxy.client();
    assert_eq!(client.get("/").is(200).body, pattern(LENGTH));
    // Sixteen pieces of an eighth of a second.
    let waited = waits(&proxy, "download");
    assert!((3.0..=20.0).contains(&waited), "{waited}");
    assert_eq!(waits(&proxy, "upload"), 0.0);
    client.get("/").is(200);
}

#[test]
fn one_slower_than_a_timeout_passes() {
    let app = Origin::answering(|_| Answer::ok(pattern(3 << 10)));
    let proxy = proxy(&app, "download = \"1KiB\"", IMPATIENT);
    assert_eq!(proxy.get("/").is(200).body, pattern(3 << 10));
    assert!(waits(&proxy, "download") >= 1.0);
}

#[test]
fn the_first_bytes_are_free() {
    let app = large();
    let proxy = proxy(&app, "download = \"1KiB\", after = \"1MiB\"", "");
    assert_eq!(proxy.get("/").is(200).body, pattern(LENGTH));
    assert_eq!(waits(&proxy, "download"), 0.0);
}

#[test]
fn a_body_is_read_no_faster() {
    let app = Origin::start();
    let proxy = proxy(&app, "upload = \"128KiB\"", "");
    let mut client = proxy.client();
    client.post("/", &pattern(2 * LENGTH)).is(200);
    assert_eq!(app.wait(1).body, pattern(2 * LENGTH));
    assert!(waits(&proxy, "upload") >= 1.0);
    assert_eq!(waits(&proxy, "download"), 0.0);
}

#[test]
fn those_with_one_key_share() {
    let app = large();
    let proxy = proxy(&app, "download = \"256KiB\", key = \"client_ip\"", "");
    let web = proxy.web;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::connect(web);
                assert_eq!(client.get("/").is(200).body, pattern(LENGTH));
            })
        })
        .collect();
    for reader in readers {
        reader.join().expect("a reader");
    }
    // Alone each would have had a few.
    let waited = waits(&proxy, "download");
    assert!(waited >= 4.0, "{waited}");
    // Who comes back finds what is not paid for; and it is the same over a reload.
    proxy.get("/").is(200);
}

#[test]
fn a_websocket_passes_through_it() {
    let app = Origin::answering(|_| websocket::accept());
    let proxy = proxy(&app, "download = \"1KiB\", upload = \"1KiB\"", "");
    let mut socket = WebSocket::connect(proxy.web, "/");
    for at in 0..20 {
        let text = format!("{at}{}", "x".repeat(100));
        socket.say(&text);
        assert_eq!(socket.hear().expect("an echo"), text);
    }
    assert!(waits(&proxy, "download") >= 1.0);
}

#[test]
fn who_asks_again_and_again_waits_too() {
    let app = Origin::answering(|_| Answer::ok(pattern(512)));
    let proxy = proxy(&app, "download = \"2KiB\", key = \"client_ip\"", IMPATIENT);
    // Each answer comes in one read with its head, and costs a quarter of a second.
    for _ in 0..8 {
        assert_eq!(proxy.get("/").is(200).body, pattern(512));
    }
    let waited = waits(&proxy, "download");
    assert!((5.0..=8.0).contains(&waited), "{waited}");
    // Nothing is owed for an answer without a body, and so nothing is waited for.
    let before = waits(&proxy, "download");
    let mut client = proxy.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.response_to("HEAD").is(200);
    assert_eq!(waits(&proxy, "download"), before);
}

#[test]
fn who_owes_learns_of_an_endpoint_that_hangs() {
    let app = Origin::answering(|asked| match &*asked.target {
        "/hang" => Answer::silence().then(Step::Hang),
        _ => Answer::ok(pattern(3 << 10)),
    });
    let keys = "timeouts = { response = \"200ms\" }";
    let proxy = proxy(&app, "download = \"1KiB\", key = \"global\"", keys);
    proxy.get("/").is(200);
    proxy.get("/hang").is(504);
}

#[test]
fn who_leaves_while_its_body_waits_is_noticed() {
    let app = Origin::start();
    let proxy = proxy(&app, "upload = \"1KiB\"", "");
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.send(pattern(2 << 10));
    crate::support::eventually("the wait", || (waits(&proxy, "upload") > 0.0).then_some(()));
    drop(client);
    proxy.wait_line("its end", |line| line["reason"] == "client_abort");
}
