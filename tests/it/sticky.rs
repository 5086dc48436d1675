//! Clients that stay: by a cookie of ours, by a field of the application; and where they go when they cannot.

use crate::support::{Answer, Client, Gate, Origin, Proxy, Reload, Response, Setup, endpoint};
use crate::support::{backup, eventually};
use std::net::SocketAddr;

const COOKIE: &str = "balancer = \"round_robin\"\nsticky = { cookie = { name = \"tg\" } }";
const HEADER: &str = "balancer = \"round_robin\"\nsticky = { header = { name = \"x-room\" } }";

fn get(proxy: &Proxy, fields: &str) -> Response {
    let mut client = proxy.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.response()
}

/// The pass in the answer's cookie, if it has one.
fn pass(response: &Response) -> Option<String> {
    let ours: Vec<_> = response
        .head
        .all("set-cookie")
        .filter_map(|value| value.strip_prefix("tg="))
        .collect();
    assert!(ours.len() <= 1, "{ours:?}");
    let (pass, attributes) = ours.first()?.split_once(';').unwrap();
    assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax");
    Some(pass.to_owned())
}

fn with(proxy: &Proxy, pass: &str) -> Response {
    get(proxy, &format!("Cookie: a=b; tg={pass}; c=d\r\n"))
}

fn addrs(origins: &[Origin]) -> Vec<SocketAddr> {
    origins.iter().map(Origin::addr).collect()
}

fn three() -> Vec<Origin> {
    ["0", "1", "2"].map(Origin::named).into()
}

fn put(proxy: &Proxy, origin: &Origin, state: &str) {
    say(proxy, origin, &format!("{{\"state\":\"{state}\"}}"));
}

fn say(proxy: &Proxy, origin: &Origin, body: &str) {
    let path = format!("/api/v1/clusters/app/endpoints/{}", origin.addr());
    let mut client = Client::connect(proxy.admin);
    client.send(format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
        proxy.admin,
        body.len()
    ));
    client.response().is(200);
}

/// A client gets a cookie once and stays; instances with one secret agree, others give their own; it survives a reload.
#[test]
fn a_cookie_binds_a_client_to_its_endpoint() {
    let origins = three();
    let keyed = |key: &str| {
        let setup = Setup::over_with(&addrs(&origins), COOKIE);
        std::fs::write(setup.dir.file("key"), key).unwrap();
        setup.runtime("secret_file", "\"key\"")
    };
    let setup = keyed("the secret of all instances");
    let (proxy, same) = (setup.start(), keyed("the secret of all instances").start());
    let ephemeral = Setup::over_with(&addrs(&origins), COOKIE);
    let (other, random) = (
        keyed("the secret of somebody else").start(),
        ephemeral.start(),
    );
    for _ in 0..6 {
        let first = get(&proxy, "");
        let (name, cookie) = (first.text(), pass(&first).expect("a cookie"));
        assert_eq!(cookie.len(), 32);
        for _ in 0..4 {
            for proxy in [&proxy, &same] {
                let again = with(proxy, &cookie);
                assert_eq!((again.text(), pass(&again)), (name.clone(), None));
            }
        }
        for stranger in [&other, &random] {
            let answer = with(stranger, &cookie);
            assert_ne!(pass(&answer).expect("its own"), cookie);
        }
        // Of one process without a secret it holds as long as the process does.
        let mine = pass(&get(&random, "")).unwrap();
        assert_eq!(pass(&with(&random, &mine)), None);
    }
    assert!(
        random.output().contains("random key"),
        "{}",
        random.output()
    );
    assert!(!proxy.output().contains("random key"));

    let kept = get(&proxy, "");
    let cookie = pass(&kept).unwrap();
    assert_eq!(
        proxy.reload(&setup.clone().tail("# reloaded")),
        Reload::Done
    );
    assert_eq!(with(&proxy, &cookie).text(), kept.text());
    // So does that of a random key, because the process stays.
    let mine = pass(&get(&random, "")).unwrap();
    assert_eq!(
        random.reload(&ephemeral.clone().tail("# reloaded")),
        Reload::Done
    );
    assert_eq!(pass(&with(&random, &mine)), None);
}

/// What is no pass of ours binds to nothing: forged, cut, longer, empty, of another cluster.
#[test]
fn a_cookie_that_is_not_ours_is_none() {
    let origins = three();
    let list: Vec<_> = addrs(&origins).into_iter().map(endpoint).collect();
    let proxy = Setup::new()
        .cluster("app", &list, COOKIE)
        .cluster("foreign", &list, COOKIE)
        .route("foreign", "cluster = \"foreign\"\npath = \"/foreign\"")
        .route("all", "cluster = \"app\"")
        .start();
    let good = pass(&get(&proxy, "")).unwrap();
    let foreign = pass(&proxy.get("/foreign")).unwrap();
    assert_eq!(pass(&with(&proxy, &good)), None);
    let change = |at: usize| {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let mut forged: Vec<String> = (0..32).map(change).collect();
    forged.extend([
        foreign,
        good[..31].to_owned(),
        format!("{good}A"),
        good.to_lowercase(),
        String::new(),
        "127.0.0.1".to_owned(),
        "\u{e9}".repeat(16),
        "A".repeat(4000),
    ]);
    for cookie in forged {
        let answer = with(&proxy, &cookie);
        answer.is(200);
        assert!(pass(&answer).is_some(), "{cookie}");
    }
}

/// An endpoint that is gone binds nobody: another serves, and its cookie goes out with the one answer.
#[test]
fn a_client_whose_endpoint_is_gone_gets_another() {
    let mut origins = three();
    let proxy = Setup::over_with(&addrs(&origins), COOKIE)
        .workers(1)
        .start();
    let cookies: Vec<(String, String)> = (0..3)
        .map(|_| {
            let answer = get(&proxy, "");
            (answer.text(), pass(&answer).unwrap())
        })
        .collect();
    let of = |name: &str| &cookies.iter().find(|(owner, _)| owner == name).unwrap().1;
    let (mine, next) = (of("0"), [of("1"), of("2")]);
    origins.remove(0).stop();
    // Refused, and tried again elsewhere: the cookie is that of the one who served.
    let answer = with(&proxy, mine);
    let fresh = pass(&answer).expect("a new cookie");
    assert!(next.contains(&&fresh));
    assert_eq!(with(&proxy, &fresh).text(), answer.text());
    // Disabled by an operator; and back again.
    let mine = of("1");
    put(&proxy, &origins[0], "disabled");
    let answer = with(&proxy, mine);
    assert_eq!(
        (answer.text(), pass(&answer)),
        ("2".into(), Some(of("2").clone()))
    );
    put(&proxy, &origins[0], "ready");
    assert_eq!(with(&proxy, mine).text(), "1");
}

/// One that drains keeps those that it has, and takes no new ones.
#[test]
fn a_draining_endpoint_keeps_its_clients() {
    let origins: Vec<_> = ["0", "1"].map(Origin::named).into();
    let proxy = Setup::over_with(&addrs(&origins), COOKIE).start();
    let mut cookies = std::collections::BTreeMap::new();
    while cookies.len() < 2 {
        let answer = get(&proxy, "");
        cookies.insert(answer.text(), pass(&answer).unwrap());
    }
    put(&proxy, &origins[0], "drain");
    for _ in 0..6 {
        let mine = with(&proxy, &cookies["0"]);
        assert_eq!((mine.text(), pass(&mine)), ("0".into(), None));
        assert_eq!(get(&proxy, "").text(), "1");
    }
    // By its deadline, or by an operator.
    say(
        &proxy,
        &origins[0],
        r#"{"state": "drain", "deadline": "200ms"}"#,
    );
    proxy.wait_output("drained: disabled");
    eventually("it is disabled", || {
        let answer = with(&proxy, &cookies["0"]);
        (answer.text() == "1").then_some(())
    });
    let moved = with(&proxy, &cookies["0"]);
    assert_eq!(
        (moved.text(), pass(&moved)),
        ("1".into(), Some(cookies["1"].clone()))
    );
}

/// An endpoint that is full sends its client elsewhere for this once; the binding stays.
#[test]
fn a_full_endpoint_lends_its_client() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let held = Origin::answering(move |request| match request.target.as_str() {
        "/held" => Answer::ok("held").held(&inside),
        _ => Answer::ok("0"),
    });
    let other = Origin::named("1");
    let keys = format!("{COOKIE}\nbulkhead = {{ connections_per_endpoint = 1 }}");
    let proxy = Setup::over_with(&[held.addr(), other.addr()], &keys).start();
    let cookie = eventually("a cookie of the first", || {
        let answer = get(&proxy, "");
        (answer.text() == "0").then(|| pass(&answer).unwrap())
    });
    // A client has its answer before the endpoint's only place is free again.
    let busy = [("cluster", "app"), ("endpoint", &*held.addr().to_string())];
    let busy = || proxy.metric("tidegate_upstream_endpoint_connections_active", &busy);
    eventually("it is free", || (busy() == 0.0).then_some(()));
    let before = held.count();
    let mut client = proxy.client();
    client.send(format!(
        "GET /held HTTP/1.1\r\nHost: a\r\nCookie: tg={cookie}\r\n\r\n"
    ));
    held.wait(before + 1);
    let guest = with(&proxy, &cookie);
    assert_eq!((guest.text(), pass(&guest)), ("1".into(), None));
    gate.open();
    client.response().is(200);
    eventually("it is back", || {
        (with(&proxy, &cookie).text() == "0").then_some(())
    });
}

/// The same value goes to the same endpoint, whoever asks which instance; without one the balancer decides.
#[test]
fn a_header_keeps_its_value_together() {
    let origins = three();
    let setup = Setup::over_with(&addrs(&origins), HEADER);
    let (proxy, same) = (
        setup.start(),
        Setup::over_with(&addrs(&origins), HEADER).start(),
    );
    let mut seen = std::collections::BTreeSet::new();
    for room in 0..40 {
        let fields = format!("X-Room: room-{room}\r\n");
        let name = get(&proxy, &fields).text();
        for proxy in [&proxy, &same, &proxy] {
            let again = get(proxy, &fields);
            assert_eq!(again.text(), name);
            assert!(again.one("set-cookie").is_none());
        }
        seen.insert(name);
    }
    assert_eq!(seen.len(), 3);
    let without: std::collections::BTreeSet<_> = (0..12).map(|_| get(&proxy, "").text()).collect();
    assert_eq!(without.len(), 3);
}

/// The order of the next try: where a value's endpoint fails, it goes where it would go without that endpoint.
#[test]
fn the_next_try_follows_the_key() {
    let mut origins = three();
    let proxy = Setup::over_with(&addrs(&origins), HEADER).start();
    let without = Setup::over_with(&addrs(&origins[1..]), HEADER).start();
    let rooms: Vec<_> = (0..40).map(|room| format!("X-Room: {room}\r\n")).collect();
    let wanted: Vec<_> = rooms
        .iter()
        .map(|room| get(&without, room).text())
        .collect();
    origins.remove(0).stop();
    for (room, wanted) in rooms.iter().zip(wanted) {
        let answer = get(&proxy, room);
        answer.is(200);
        assert_eq!(answer.text(), wanted, "{room}");
    }
}

/// Another endpoint of the same tier is tried before the next tier, and the backup last of all.
#[test]
fn the_next_try_stays_in_its_tier() {
    let (bad, worse) = (Origin::start().stop(), Origin::start().stop());
    let (good, spare) = (Origin::named("good"), Origin::named("spare"));
    let list = [endpoint(bad), endpoint(good.addr()), backup(spare.addr())];
    let keys = "balancer = \"round_robin\"\noutlier = { max_ejected = 0 }\nretry = { budget = { ratio = 1.0, min_per_second = 100 } }";
    let proxy = Setup::new()
        .cluster("app", &list, keys)
        .route("all", "cluster = \"app\"")
        .start();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "good");
    }
    assert_eq!(spare.count(), 0);
    let list = [endpoint(bad), endpoint(worse), backup(spare.addr())];
    let proxy = Setup::new()
        .cluster("app", &list, keys)
        .route("all", "cluster = \"app\"")
        .start();
    for _ in 0..10 {
        assert_eq!(proxy.get("/").text(), "spare");
    }
    let lines = proxy.wait_log(10);
    assert!(lines.iter().all(|line| line["attempts"] == 3), "{lines:?}");
}
