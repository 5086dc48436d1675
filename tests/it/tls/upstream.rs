//! TLS to endpoints: what is demanded of them, what they are shown, and who shares a connection.

use crate::support::answer::Step;
use crate::support::client::pattern;
use crate::support::tls::{Authority, Kind};
use crate::support::tls_origin::{Farewell, Front, server, strict_server};
use crate::support::{Answer, Origin, Proxy, Setup, endpoint, origin};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A cluster `app` of these endpoints, with a route to it.
fn over(setup: Setup, endpoints: &[String], tls: &str) -> Setup {
    setup
        .cluster("app", endpoints, &format!("tls = {{ {tls} }}"))
        .route("all", "cluster = \"app\"")
        .access("fields", "[\"path\", \"status\", \"reason\", \"detail\"]")
}

fn ca(setup: &Setup, authority: &Authority) -> String {
    let path = setup.dir.file("ca.pem");
    std::fs::write(&path, authority.pem()).unwrap();
    format!("ca = \"{}\"", path.display())
}

/// A proxy over one front with a certificate for these names.
fn bed(names: &[&str], tls: &str) -> (Origin, Front, Proxy) {
    let (origin, authority) = (Origin::start(), Authority::new("Inner Authority"));
    let front = Front::over(origin.addr(), server(&authority.issue(names)));
    let setup = Setup::new();
    let ca = ca(&setup, &authority);
    let setup = over(setup, &[endpoint(front.addr())], &format!("{ca}{tls}"));
    let proxy = setup.start();
    (origin, front, proxy)
}

#[test]
fn an_endpoint_is_verified_by_its_address_or_the_name_that_is_configured() {
    let (origin, front, proxy) = bed(&["127.0.0.1"], "");
    proxy.get("/a").is(200);
    assert_eq!(front.shakes()[0].server_name, None, "an address is no SNI");
    assert_eq!(origin.requests()[0].target, "/a");

    let (_origin, front, proxy) = bed(&["inner.example"], ", server_name = \"inner.example\"");
    proxy.get("/b").is(200);
    let shake = &front.shakes()[0];
    assert_eq!(shake.server_name.as_deref(), Some("inner.example"));
}

/// E-170: what cannot be verified is not spoken to, and the log says why.
#[test]
fn an_endpoint_that_cannot_be_verified_is_a_502_that_says_why() {
    let expired = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    };
    let (ours, theirs) = (Authority::new("Ours"), Authority::new("Theirs"));
    for (issued, detail) in [
        (theirs.issue(&["127.0.0.1"]), "unknown_issuer"),
        (ours.issue(&["other.example"]), "name_mismatch"),
        (
            ours.issue_with(&["127.0.0.1"], Kind::Ecdsa, expired),
            "expired",
        ),
    ] {
        let origin = Origin::start();
        let front = Front::over(origin.addr(), server(&issued));
        let setup = Setup::new();
        let ca = ca(&setup, &ours);
        let setup = over(setup, &[endpoint(front.addr())], &ca);
        let proxy = setup.start();
        proxy.get("/").is(502);
        let line = &proxy.wait_log(1)[0];
        assert_eq!(
            (&line["reason"], &line["detail"]),
            (&"upstream_tls".into(), &detail.into())
        );
        assert!(origin.requests().is_empty(), "nothing was sent");
        let labels = [("cluster", "app"), ("reason", "upstream_tls")];
        assert!(proxy.metric("tidegate_upstream_connect_failures_total", &labels) >= 1.0);
    }
    // Who signed it is not one that the system knows.
    let origin = Origin::start();
    let front = Front::over(origin.addr(), server(&ours.issue(&["127.0.0.1"])));
    let proxy = over(Setup::new(), &[endpoint(front.addr())], "").start();
    proxy.get("/").is(502);
    assert_eq!(proxy.wait_log(1)[0]["detail"], "unknown_issuer");
}

#[test]
fn who_does_not_look_is_told_so_and_gets_through() {
    let origin = Origin::start();
    let front = Front::over(
        origin.addr(),
        server(&Authority::new("Any").issue(&["x.example"])),
    );
    let tls = "danger_accept_any_certificate = true";
    let proxy = over(Setup::new(), &[endpoint(front.addr())], tls).start();
    proxy.get("/").is(200);
    proxy.wait_output("certificates of these endpoints are not checked");
}

#[test]
fn a_pinned_name_counts_in_the_place_of_the_server_name() {
    let authority = Authority::new("Mesh");
    let spiffe = |params: &mut rcgen::CertificateParams| {
        let uri = "spiffe://mesh.example/orders".try_into().unwrap();
        params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
    };
    let origin = Origin::start();
    let issued = authority.issue_with(&[], Kind::Ecdsa, spiffe);
    let front = Front::over(origin.addr(), server(&issued));
    for (pin, status) in [
        ("spiffe://mesh.example/orders", 200),
        ("spiffe://mesh.example/other", 502),
    ] {
        let setup = Setup::new();
        let ca = ca(&setup, &authority);
        let tls = format!("{ca}, subject_alt_names = [\"{pin}\"]");
        let proxy = over(setup, &[endpoint(front.addr())], &tls).start();
        proxy.get("/").is(status);
    }
}

#[test]
fn an_endpoint_that_asks_for_our_certificate_is_shown_it() {
    let (authority, clients) = (Authority::new("Servers"), Authority::new("Clients"));
    let origin = Origin::start();
    let config = strict_server(&authority.issue(&["127.0.0.1"]), &clients);
    let front = Front::over(origin.addr(), config);
    let setup = Setup::new();
    let until = |params: &mut rcgen::CertificateParams| {
        params.not_after = rcgen::date_time_ymd(2090, 1, 1);
    };
    let issued = clients.issue_with(&["proxy.example"], Kind::Ecdsa, until);
    issued.write(&setup.dir, "own");
    let file = setup.dir.file("own.pem").display().to_string();
    let key = setup.dir.file("own.key");
    let own = format!(", certificate = \"{file}\", key = \"{}\"", key.display());
    let ca = ca(&setup, &authority);
    let proxy = over(setup, &[endpoint(front.addr())], &format!("{ca}{own}")).start();
    proxy.get("/").is(200);
    assert!(front.shakes()[0].shown.is_some());
    // When it ends is what nobody else tells of.
    let until = "tidegate_tls_upstream_certificate_not_after_timestamp_seconds";
    let labels = [("cluster", "app"), ("certificate", &*file)];
    assert_eq!(proxy.metric(until, &labels), 3_786_912_000.0);
    let text = proxy.admin_get("/api/v1/certificates").is(200).text();
    let shown: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(shown[0]["names"][0], "proxy.example");
    let by = serde_json::json!([{ "cluster": "app", "file": file }]);
    assert_eq!(shown[0]["shown_by"], by);
}

#[test]
fn a_certificate_of_ours_that_is_over_is_warned_of() {
    let setup = Setup::new();
    let over_by_now = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    };
    let issued = Authority::new("Clients").issue_with(&["x.example"], Kind::Ecdsa, over_by_now);
    issued.write(&setup.dir, "own");
    let (file, key) = (setup.dir.file("own.pem"), setup.dir.file("own.key"));
    let (file, key) = (file.display(), key.display());
    let tls = format!("certificate = \"{file}\", key = \"{key}\"");
    let origin = Origin::start();
    let proxy = over(setup, &[endpoint(origin.addr())], &tls).start();
    proxy.wait_output("own.pem` has expired");
}

/// TLS 1.3 has the client's certificate looked at when the handshake is over for the client: what is wrong with it comes in the place of
/// an answer, and the log says so all the same.
#[test]
fn an_endpoint_that_refuses_our_certificate_is_told_from_one_that_broke() {
    let (authority, clients) = (Authority::new("Servers"), Authority::new("Clients"));
    let origin = Origin::start();
    let config = strict_server(&authority.issue(&["127.0.0.1"]), &clients);
    let front = Front::over(origin.addr(), config);
    let setup = Setup::new();
    let ca = ca(&setup, &authority);
    let proxy = over(setup, &[endpoint(front.addr())], &ca).start();
    for (at, method) in (1..).zip(["GET", "POST"]) {
        proxy.client().method(method, "/", b"").is(502);
        let line = &proxy.wait_log(at)[at - 1];
        assert_eq!(
            (&line["reason"], &line["detail"]),
            (&"upstream_reset".into(), &"alert".into()),
            "{line}"
        );
    }
    assert!(origin.requests().is_empty());
}

/// E-171: the same address under two names is two endpoints' worth of connections.
#[test]
fn connections_are_shared_by_those_alone_who_ask_for_the_same() {
    let origin = Origin::start();
    let authority = Authority::new("Inner");
    let issued = authority.issue(&["a.example", "b.example"]);
    let front = Front::over(origin.addr(), server(&issued));
    let setup = Setup::new().workers(1);
    let ca = ca(&setup, &authority);
    let cluster = |name: &str| format!("tls = {{ {ca}, server_name = \"{name}.example\" }}");
    let setup = setup
        .cluster("a", &[endpoint(front.addr())], &cluster("a"))
        .cluster("b", &[endpoint(front.addr())], &cluster("b"))
        .route("a", "path = \"/a\"\ncluster = \"a\"")
        .route("b", "path = \"/b\"\ncluster = \"b\"");
    let proxy = setup.start();
    for path in ["/a", "/b", "/a", "/b", "/a"] {
        proxy.get(path).is(200);
    }
    let names: Vec<_> = front
        .shakes()
        .into_iter()
        .filter_map(|shake| shake.server_name)
        .collect();
    assert_eq!(names, ["a.example", "b.example"], "one connection each");
}

#[test]
fn bodies_go_through_and_the_next_connection_resumes_the_session() {
    let authority = Authority::new("Inner");
    let plan = origin::Plan::default()
        .respond(|request| Answer::ok(request.body.clone()))
        .requests(1);
    let origin = plan.start();
    let front = Front::over(origin.addr(), server(&authority.issue(&["127.0.0.1"])));
    let setup = Setup::new().workers(1);
    let ca = ca(&setup, &authority);
    let proxy = over(setup, &[endpoint(front.addr())], &ca).start();
    for size in [0, 16_384, 1_000_000] {
        let body = pattern(size);
        let response = proxy.client().post("/", &body);
        assert!(response.is(200).body == body, "{size}");
    }
    let resumed: Vec<bool> = front.shakes().iter().map(|shake| shake.resumed).collect();
    assert_eq!(resumed, [false, true, true]);
}

/// RFC 8446, 6.1: the end of an answer that only the connection's end marks must be declared.
#[test]
fn an_answer_without_length_is_whole_only_if_its_end_was_declared() {
    let authority = Authority::new("Inner");
    for (farewell, reason) in [
        (Farewell::Said, "completed"),
        (Farewell::Unsaid, "upstream_truncated"),
    ] {
        let plan = origin::Plan::default().respond(|_| {
            Answer::raw(b"HTTP/1.1 200 OK\r\n\r\nall of it".to_vec()).then(Step::Close)
        });
        let origin = plan.start();
        let config = server(&authority.issue(&["127.0.0.1"]));
        let front = Front::ending(origin.addr(), config, farewell);
        let setup = Setup::new();
        let ca = ca(&setup, &authority);
        let proxy = over(setup, &[endpoint(front.addr())], &ca).start();
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: test.example\r\n\r\n");
        let answer = client.try_response_to("GET");
        assert_eq!(answer.is_ok(), farewell == Farewell::Said, "{answer:?}");
        assert_eq!(proxy.wait_log(1)[0]["reason"], reason);
    }
}

/// E-162: what an endpoint says before the handshake is not an answer.
#[test]
fn plain_bytes_before_the_handshake_are_no_answer() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr: SocketAddr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::Write;
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let tls = "danger_accept_any_certificate = true";
    let proxy = over(Setup::new(), &[endpoint(addr)], tls).start();
    proxy.get("/").is(502);
    assert_eq!(proxy.wait_log(1)[0]["reason"], "upstream_tls");
}

#[test]
fn probes_speak_as_the_traffic_does_or_as_they_are_told() {
    let authority = Authority::new("Inner");
    let origin = Origin::start();
    let front = Front::over(origin.addr(), server(&authority.issue(&["127.0.0.1"])));
    for (tls, port, healthy) in [("true", 0, true), ("false", 0, false), ("false", 1, true)] {
        let setup = Setup::new();
        let ca = ca(&setup, &authority);
        let port = match port {
            0 => String::new(),
            _ => format!(", port = {}", origin.addr().port()),
        };
        let keys = format!(
            "tls = {{ {ca} }}\nhealth = {{ check = \"http\", interval = \"50ms\", fall = 1, tls = {tls}{port} }}"
        );
        let setup = setup
            .cluster("app", &[endpoint(front.addr())], &keys)
            .route("all", "cluster = \"app\"");
        let proxy = setup.start();
        let result = if healthy { "pass" } else { "fail" };
        let labels = [("cluster", "app"), ("result", result)];
        proxy.wait_metric("tidegate_health_checks_total", &labels, |n| n >= 2.0);
    }
}
