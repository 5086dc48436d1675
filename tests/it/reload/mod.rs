//! A new configuration under way: nothing is lost, nothing is forgotten, nothing bad gets in.

use crate::support::websocket;
use crate::support::{
    Answer, Client, Gate, Origin, Proxy, Received, Reload, Setup, endpoint, eventually, ports,
    scale,
};
use std::time::Duration;

mod listeners;
mod under_load;

/// A setup with a route that answers by itself.
fn fixed(setup: Setup, name: &str, body: &str) -> Setup {
    setup.route(
        name,
        &format!("path = \"/{name}\"\nrespond = {{ status = 200, body = \"{body}\" }}"),
    )
}

#[test]
fn routes_and_clusters_come_and_go() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let first = Setup::over(&[one.addr()]);
    let proxy = first.start();
    let mut client = proxy.client();
    assert_eq!(client.get("/").text(), "one");
    let second = first
        .clone()
        .cluster("new", &[endpoint(two.addr())], "")
        .route("new", "path_prefix = \"/new\"\ncluster = \"new\"");
    assert_eq!(proxy.reload(&second), Reload::Done);
    assert_eq!(
        (client.get("/new/x").text(), client.get("/").text()),
        ("two".into(), "one".into())
    );
    let third = fixed(first.clone(), "fixed", "here");
    assert_eq!(proxy.reload(&third), Reload::Done);
    assert_eq!(
        (client.get("/new/x").text(), client.get("/fixed").text()),
        ("one".into(), "here".into())
    );
    // The endpoints of the cluster that is gone are left alone.
    two.wait_closed(1);
    // The same cluster, with other endpoints.
    let fourth = first
        .clone()
        .without_clusters()
        .cluster("app", &[endpoint(two.addr())], "");
    assert_eq!(proxy.reload(&fourth), Reload::Done);
    assert_eq!(client.get("/").text(), "two");
}

/// A file that changes is taken without a signal, and the API takes it on demand.
#[test]
fn files_and_the_api_trigger_too() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let proxy = setup.start();
    fixed(setup.clone(), "watched", "seen").write();
    eventually("the file's change is taken", || {
        (proxy.get("/watched").text() == "seen").then_some(())
    });
    fixed(setup.clone(), "asked", "done").write();
    let response = post_reload(&proxy);
    assert!((200..300).contains(&response.status), "{response:?}");
    assert_eq!(proxy.get("/asked").text(), "done");
}

fn post_reload(proxy: &Proxy) -> crate::support::Response {
    let mut client = Client::connect(proxy.admin);
    client.send(format!(
        "POST /api/v1/reload HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n",
        proxy.admin
    ));
    client.response_to("POST")
}

/// An included file is part of the configuration: its change counts too.
#[test]
fn included_files_are_part_of_it() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let part = |body: &str| {
        let route = format!(
            "[[routes]]\nname = \"part\"\npath = \"/part\"\nrespond = {{ status = 200, body = \"{body}\" }}\n"
        );
        let temporary = setup.dir.file("conf.d/part.new");
        std::fs::write(&temporary, route).unwrap();
        std::fs::rename(temporary, setup.dir.file("conf.d/part.toml")).unwrap();
    };
    std::fs::create_dir(setup.dir.file("conf.d")).unwrap();
    part("first");
    let whole = format!("include = [\"conf.d/*.toml\"]\n{}", setup.text());
    std::fs::write(setup.config_path(), &whole).unwrap();
    let mut command = crate::support::proxy::binary();
    command.args(["run", "-c"]).arg(setup.config_path());
    let proxy = Proxy::start_as_written(&setup, command);
    assert_eq!(proxy.get("/part").text(), "first");
    part("second");
    eventually("the included file's change is taken", || {
        (proxy.get("/part").text() == "second").then_some(())
    });
}

/// As a tool of configuration management does: the directory is there a while before its file.
#[test]
fn a_file_in_a_directory_that_was_empty_is_included() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let whole = format!(
        "include = [\"sites/*/*.toml\", \"more/**/*.toml\"]\n{}",
        setup.text()
    );
    for directory in ["sites", "more"] {
        std::fs::create_dir(setup.dir.file(directory)).unwrap();
    }
    std::fs::write(setup.config_path(), &whole).unwrap();
    let mut command = crate::support::proxy::binary();
    command.args(["run", "-c"]).arg(setup.config_path());
    let proxy = Proxy::start_as_written(&setup, command);
    for (name, directory) in [("a", "sites/a"), ("b", "more/b/c")] {
        std::fs::create_dir_all(setup.dir.file(directory)).unwrap();
        // Long enough that the empty directory is looked at by itself; nothing here depends on it.
        std::thread::sleep(Duration::from_millis(600));
        let route = format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nrespond = {{ status = 200, body = \"{name}\" }}\n"
        );
        std::fs::write(setup.dir.file(&format!("{directory}/t.toml")), route).unwrap();
        eventually("the file is included", || {
            (proxy.get(&format!("/{name}")).text() == name).then_some(())
        });
    }
}

/// F-21: a bad file changes nothing and says why, with its place.
#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let origin = Origin::start();
    let good = fixed(Setup::over(&[origin.addr()]), "old", "old");
    let proxy = good.start();
    let mut client = proxy.client();
    client.get("/").is(200);
    let taken = ports::free();
    let bad = [
        (
            "routes go nowhere",
            good.clone()
                .route("x", "path = \"/x\"\ncluster = \"nowhere\""),
            "nowhere",
        ),
        (
            "unknown key",
            good.clone().tail("[clusters.y]\nendpoint = []"),
            "endpoint",
        ),
        ("no TOML", good.clone().tail("[clusters.y\n"), ""),
        (
            "bad duration",
            good.clone().runtime("drain_timeout", "\"soon\""),
            "soon",
        ),
        ("name twice", fixed(good.clone(), "old", "new"), "old"),
        (
            "address in use",
            good.clone().tail(&listener("taken", origin.addr())),
            "",
        ),
    ];
    for (what, setup, word) in &bad {
        assert_eq!(proxy.reload(setup), Reload::Refused, "{what}");
        let response = post_reload(&proxy);
        assert!(response.status >= 400, "{what}: {response:?}");
        let why = response.text();
        assert!(
            why.contains(word) && !why.trim().is_empty(),
            "{what}: {why}"
        );
        assert_eq!(
            (client.get("/old").text(), client.get("/").status),
            ("old".into(), 200),
            "{what}"
        );
        proxy.wait_output(word);
    }
    let metrics = proxy.metrics();
    assert_eq!(
        metrics.sum("tidegate_config_last_reload_successful", &[]),
        0.0
    );
    assert!(Client::try_connect(taken).is_err());
    assert_eq!(origin.connections(), 1, "the pool is still the same");
    let status = proxy.status().to_string();
    assert!(status.contains("app"), "{status}");
    // And a good one is taken as if nothing had been.
    assert_eq!(proxy.reload(&fixed(good, "new", "new")), Reload::Done);
    assert_eq!(client.get("/new").text(), "new");
    assert_eq!(
        proxy.metric("tidegate_config_last_reload_successful", &[]),
        1.0
    );
}

fn listener(name: &str, addr: std::net::SocketAddr) -> String {
    format!("[[listeners]]\nname = \"{name}\"\nbind = [\"{addr}\"]\nprotocol = \"http\"\n")
}

/// F-21: the file may be cut off anywhere behind the listener: it is refused, or it is a smaller
/// configuration, but nobody is hurt.
#[test]
fn a_half_written_file_does_no_harm() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let proxy = setup.start();
    let text = setup.text();
    let begin = text.find("protocol").unwrap();
    let mut client = proxy.client();
    let step = (text.len() - begin) / scale(20, 200);
    for cut in (begin..text.len()).step_by(step.max(1)) {
        std::fs::write(setup.config_path(), &text[..cut]).unwrap();
        post_reload(&proxy);
        let response = client.get("/");
        assert!(
            matches!(response.status, 200 | 404 | 503),
            "{cut}: {response:?}"
        );
        if response.closes() {
            client = proxy.client();
        }
    }
    assert_eq!(proxy.reload(&setup), Reload::Done);
    proxy.get("/").is(200);
}

/// What can only be set at start refuses the reload instead of being ignored.
#[test]
fn restart_only_keys_are_refused() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]).workers(2);
    let proxy = setup.start();
    let more = fixed(setup.clone().workers(3), "new", "new");
    assert_eq!(proxy.reload(&more), Reload::Refused);
    proxy.wait_output("workers");
    assert_eq!(proxy.get("/new").text(), "echo /new\n");
}

/// What was begun under the old configuration ends under it.
#[test]
fn an_exchange_keeps_its_configuration() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let old = Origin::answering(move |_| Answer::ok("old").held(&inside));
    let new = Origin::named("new");
    let setup = Setup::over(&[old.addr()]);
    let proxy = setup.start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    old.wait(1);
    let next = setup
        .clone()
        .without_clusters()
        .cluster("app", &[endpoint(new.addr())], "");
    assert_eq!(proxy.reload(&next), Reload::Done);
    assert_eq!(proxy.get("/").text(), "new");
    gate.open();
    assert_eq!(client.response().text(), "old");
    assert_eq!(client.get("/").text(), "new");
    old.wait_closed(1);
}

/// Pools and counters survive: a reload costs no connection.
#[test]
fn pools_and_counters_survive() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]).workers(1);
    let proxy = setup.start();
    let mut client = proxy.client();
    for round in 0..10_u32 {
        client.get("/").is(200);
        let next = fixed(setup.clone(), &format!("r{round}"), "x");
        assert_eq!(proxy.reload(&next), Reload::Done);
    }
    client.get("/").is(200);
    assert_eq!(origin.connections(), 1);
    let count = proxy.metric(
        "tidegate_requests_total",
        &[("listener", "web"), ("route", "all")],
    );
    assert_eq!(count, 11.0);
}

/// An origin for load: an upgrade is accepted, all else gets its nonce back.
fn echoing(request: &Received) -> Answer {
    if request.head.has("upgrade") {
        return websocket::accept();
    }
    Answer::ok(format!(
        "{} {}",
        request.target,
        request.one("x-nonce").unwrap_or_default()
    ))
}
