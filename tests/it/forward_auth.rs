//! A service that says of each request whether it may go on.

use crate::support::answer::{Answer, Step};
use crate::support::{Gate, Origin, Proxy, Received, Setup, endpoint, eventually};

fn over(app: &Origin, auth: &Origin, keys: &str) -> Proxy {
    Setup::over(&[app.addr()])
        .without_routes()
        .cluster("auth", &[endpoint(auth.addr())], "retry = { attempts = 0 }")
        .route(
            "all",
            &format!(
                "cluster = \"app\"\nfilters = [{{ forward_auth = {{ cluster = \"auth\"{keys} }} }}]"
            ),
        )
        .start()
}

fn decided(proxy: &Proxy, decision: &str) -> f64 {
    let labels = [
        ("route", "all"),
        ("filter", "forward_auth"),
        ("decision", decision),
    ];
    proxy.metric("tidegate_auth_decisions_total", &labels)
}

#[test]
fn a_service_lets_in_and_says_who_it_is() {
    let app = Origin::start();
    let auth = Origin::answering(|_| {
        Answer::ok("you may")
            .field("X-User", "ann")
            .field("X-Groups", "staff")
            .field("X-Groups", "night")
            .field("X-Internal", "7")
    });
    let keys = ", path = \"/verify\", copy_headers = [\"x-user\", \"x-groups\", \"x-role\"]";
    let proxy = over(&app, &auth, keys);
    let mut client = proxy.client();
    client.send(
        "POST /a%2Fb?c=d HTTP/1.1\r\nHost: shop.example.com\r\nAuthorization: Bearer t\r\nCookie: s=1\r\n\
         X-Secret: s\r\nX-User: root\r\nx_user: root\r\nX-Role: root\r\nConnection: x-groups\r\nX-Groups: root\r\n\
         X-Forwarded-Uri: /other\r\nX-Forwarded-Method: GET\r\nContent-Length: 5\r\n\r\nhello",
    );
    client.response().is(200);

    let asked: Received = auth.wait(1);
    assert_eq!((&*asked.method, &*asked.target), ("GET", "/verify"));
    for (name, value) in [
        ("host", Some("shop.example.com")),
        ("x-forwarded-method", Some("POST")),
        ("x-forwarded-uri", Some("/a%2Fb?c=d")),
        ("x-forwarded-host", Some("shop.example.com")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("authorization", Some("Bearer t")),
        ("cookie", Some("s=1")),
        ("x-secret", None),
        ("x-user", None),
        ("content-length", None),
    ] {
        assert_eq!(asked.one(name), value, "{name}");
    }
    let served = app.wait(1);
    assert_eq!(served.one("x-user"), Some("ann"));
    let groups: Vec<_> = served.head.all("x-groups").collect();
    assert_eq!(groups, ["staff", "night"]);
    assert!(!served.head.has("x-role"), "what the service did not say");
    assert!(!served.head.has("x_user") && !served.head.has("x-internal"));
    assert_eq!(served.body, b"hello");
    let line = proxy.wait_log(1);
    assert_eq!(line.len(), 1, "the question has no line of its own");
    assert_eq!(line[0]["cluster"], "app");
    assert_eq!(decided(&proxy, "allow"), 1.0);
    assert_eq!(
        proxy.metric(
            "tidegate_upstream_requests_total",
            &[("cluster", "auth"), ("code", "200")]
        ),
        1.0
    );
    // Its connections are kept like any other's.
    eventually("a question over a connection that was kept", || {
        let before = (auth.count(), auth.connections());
        client.get("/").is(200);
        ((auth.count(), auth.connections()) == (before.0 + 1, before.1)).then_some(())
    });
}

#[test]
fn a_refusal_is_the_services_own() {
    let app = Origin::start();
    let auth = Origin::answering(|asked| match asked.one("cookie") {
        Some("s=1") => Answer::status(403),
        Some("s=2") => Answer {
            body: b"{\"error\":\"who?\"}".to_vec(),
            ..Answer::status(401)
                .field("WWW-Authenticate", "Bearer")
                .field("Content-Type", "application/json")
        },
        _ => Answer::status(302)
            .field("Location", "https://login.example.com/?from=%2F")
            .field("Set-Cookie", "a=1")
            .field("Set-Cookie", "b=2")
            .field("X-Internal", "7"),
    });
    let proxy = over(&app, &auth, "");
    let ask = |fields: &str| {
        let mut client = proxy.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        client.response()
    };
    let sent_away = ask("");
    sent_away.is(302);
    assert_eq!(
        sent_away.one("location"),
        Some("https://login.example.com/?from=%2F")
    );
    assert_eq!(sent_away.head.all("set-cookie").count(), 2);
    assert!(!sent_away.head.has("x-internal"));
    ask("Cookie: s=1\r\n").is(403);
    let refused = ask("Cookie: s=2\r\n");
    refused.is(401);
    assert_eq!(refused.one("www-authenticate"), Some("Bearer"));
    assert_eq!(refused.text(), "{\"error\":\"who?\"}");
    for (status, reason) in [(302, "denied"), (403, "denied"), (401, "unauthorized")] {
        let line = proxy.wait_line("its line", |line| line["status"] == status);
        assert_eq!(line["reason"], reason);
    }
    assert_eq!((app.count(), decided(&proxy, "refuse")), (0, 3.0));
}

/// No word is no permission, whatever kept it away.
#[test]
fn who_cannot_be_asked_lets_nobody_in() {
    let app = Origin::start();
    let answers: &[fn() -> Answer] = &[
        || Answer::status(500),
        || Answer::status(304),
        || Answer::silence().then(Step::Close),
        || Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").then(Step::Close),
        || Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n").then(Step::Close),
        || Answer::raw("200 come in\r\n\r\n").then(Step::Close),
        || Answer::silence().then(Step::Hang),
        || Answer::ok([b'x'; 2000]),
    ];
    for (at, answer) in answers.iter().enumerate() {
        let auth = Origin::answering(move |_| answer());
        let proxy = over(&app, &auth, ", timeout = \"300ms\", max_body = \"1KiB\"");
        let refused = proxy.get("/");
        assert_eq!(refused.status, 503, "answer {at}");
        assert_eq!(
            refused.text(),
            "503 Service Unavailable\nreason: auth_unavailable\n"
        );
        assert!(refused.head.has("retry-after"));
        let line = proxy.wait_log(1);
        assert_eq!(line[0]["reason"], "auth_unavailable");
        assert_eq!(decided(&proxy, "fail"), 1.0);
    }
    let gone = Origin::start();
    let proxy = over(&app, &gone, "");
    gone.stop();
    proxy.get("/").is(503);
    assert_eq!(app.count(), 0);
}

/// Who waits for a service that is silent may leave, and then nobody waits for it.
#[test]
fn a_client_that_leaves_takes_its_question_along() {
    let app = Origin::start();
    let auth = Origin::answering(|_| Answer::silence().then(Step::Hang));
    let proxy = over(&app, &auth, ", timeout = \"1h\"");
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    auth.wait(1);
    client.reset();
    auth.wait_closed(1);
    let line = proxy.wait_log(1);
    assert_eq!(
        (&line[0]["reason"], &line[0]["phase"]),
        (&"client_abort".into(), &"filter".into())
    );
    eventually("nothing is under way", || {
        (proxy.busy(auth.addr()) == 0.0).then_some(())
    });
}

/// What a filter before took from the client, or wrote, is what the service hears: nobody is asked about a name that the client
/// made up (E-120).
#[test]
fn the_service_hears_what_the_filters_before_have_left() {
    let app = Origin::start();
    let auth = Origin::start();
    let filters = "filters = [{ request_headers = { set = { x-user = \"ann\" }, remove = [\"cookie\"] } }, \
                   { forward_auth = { cluster = \"auth\", send_headers = [\"x-user\", \"cookie\", \"x-kept\"] } }]";
    let proxy = Setup::over(&[app.addr()])
        .without_routes()
        .cluster("auth", &[endpoint(auth.addr())], "")
        .route("all", &format!("cluster = \"app\"\n{filters}"))
        .start();
    let mut client = proxy.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nX-User: root\r\nx_user: root\r\nCookie: s=1\r\nX-Kept: 7\r\n\r\n",
    );
    client.response().is(200);
    let asked: Received = auth.wait(1);
    for (name, value) in [
        ("x-user", Some("ann")),
        ("x_user", None),
        ("cookie", None),
        ("x-kept", Some("7")),
    ] {
        assert_eq!(asked.one(name), value, "{name}");
    }
}

/// A session that the service renews reaches its client; what the endpoint says in the service's fields does not.
#[test]
fn the_client_hears_what_the_service_has_for_it() {
    let app = Origin::answering(|_| {
        Answer::ok("in")
            .field("Set-Cookie", "cart=1")
            .field("X-Session", "forged")
            .field("X-Own", "app")
    });
    let auth = Origin::answering(|asked| match asked.one("cookie") {
        Some("out=1") => Answer::status(401).field("X-Session", "none"),
        _ => Answer::ok("")
            .field("Set-Cookie", "sid=2")
            .field("Set-Cookie", "csrf=3")
            .field("X-Own", "auth"),
    });
    let proxy = over(
        &app,
        &auth,
        ", client_headers = [\"set-cookie\", \"X-Session\"]",
    );
    let let_in = proxy.get("/");
    let_in.is(200);
    let cookies: Vec<_> = let_in.head.all("set-cookie").collect();
    assert_eq!(cookies, ["cart=1", "sid=2", "csrf=3"]);
    assert!(!let_in.head.has("x-session"), "the service did not say it");
    assert_eq!(let_in.one("x-own"), Some("app"));
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nCookie: out=1\r\n\r\n");
    let refused = client.response();
    refused.is(401);
    assert!(
        !refused.head.has("x-session"),
        "it is not in `pass_headers`"
    );
}

/// The first bytes of a body that come while the service is asked say nothing of the client: that it leaves later is heard.
#[test]
fn a_client_that_leaves_behind_a_pause_is_missed() {
    let (asked, never) = (Gate::shut(), Gate::shut());
    let (held, silent) = (asked.clone(), never.clone());
    let auth = Origin::answering(move |_| Answer::ok("").held(&held));
    let app = Origin::answering(move |_| Answer::ok("").held(&silent));
    let proxy = over(&app, &auth, "");
    let mut client = proxy.client();
    client.send("POST /left HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    auth.wait(1);
    client.send("body");
    // Another that came later is asked about: the bytes before it were heard of.
    proxy
        .client()
        .send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    auth.wait(2);
    asked.open();
    app.wait(1);
    client.reset();
    let line = proxy.wait_line("its end", |line| line["path"] == "/left");
    assert_eq!(line["reason"], "client_abort", "{line}");
}
