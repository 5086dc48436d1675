//! Routes and filters: which one is taken, and what it changes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::support::{Answer, Origin, Setup, endpoint};

fn named(names: &[&'static str]) -> (Vec<Origin>, Setup) {
    let origins: Vec<_> = names.iter().map(|name| Origin::named(name)).collect();
    let setup = names
        .iter()
        .zip(&origins)
        .fold(Setup::new(), |setup, (name, origin)| {
            setup.cluster(name, &[endpoint(origin.addr())], "")
        });
    (origins, setup)
}

fn ask(addr: std::net::SocketAddr, method: &str, host: &str, path: &str) -> (u16, String) {
    let mut client = crate::support::Client::connect(addr);
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"
    ));
    let response = client.response_to(method);
    (response.status, response.text())
}

#[test]
fn the_most_exact_route_wins() {
    let (_origins, setup) = named(&[
        "any", "host", "wild", "deep", "prefix", "longer", "exact", "post",
    ]);
    let host = "hosts = [\"a.example\"]";
    let proxy = setup
        .route("any", "cluster = \"any\"")
        .route("wild", "hosts = [\"*.example\"]\ncluster = \"wild\"")
        .route("deep", "hosts = [\"*.b.example\"]\ncluster = \"deep\"")
        .route(
            "prefix",
            &format!("{host}\npath_prefix = \"/p\"\ncluster = \"prefix\""),
        )
        .route(
            "longer",
            &format!("{host}\npath_prefix = \"/p/q\"\ncluster = \"longer\""),
        )
        .route(
            "exact",
            &format!("{host}\npath = \"/p/q/r\"\ncluster = \"exact\""),
        )
        .route("host", &format!("{host}\ncluster = \"host\""))
        .route(
            "post",
            &format!("{host}\npath_prefix = \"/p\"\nmethods = [\"POST\"]\ncluster = \"post\""),
        )
        .start();
    for (method, host, path, want) in [
        ("GET", "other", "/", "any"),
        ("GET", "a.example", "/", "host"),
        ("GET", "A.EXAMPLE:81", "/", "host"),
        ("GET", "a.example.", "/", "host"),
        ("GET", "x.example", "/", "wild"),
        ("GET", "y.x.example", "/", "wild"),
        ("GET", "example", "/", "any"),
        ("GET", "x.b.example", "/", "deep"),
        ("GET", "b.example", "/", "wild"),
        ("GET", "a.example", "/p", "prefix"),
        ("GET", "a.example", "/p/", "prefix"),
        ("GET", "a.example", "/px", "host"),
        ("GET", "a.example", "/p/q", "longer"),
        ("GET", "a.example", "/p/qx", "prefix"),
        ("GET", "a.example", "/p/q/r", "exact"),
        ("GET", "a.example", "/p/q/r/", "longer"),
        ("GET", "a.example", "/x/../p/q/%72", "exact"),
        ("POST", "a.example", "/p", "post"),
        ("POST", "a.example", "/p/q", "longer"),
        ("POST", "a.example", "/", "host"),
    ] {
        assert_eq!(
            ask(proxy.web, method, host, path),
            (200, want.into()),
            "{method} {host}{path}"
        );
    }
}

#[test]
fn a_route_can_ask_for_fields_query_cookies_and_clients() {
    let (_origins, setup) = named(&[
        "any", "field", "like", "query", "cookie", "near", "far", "regex",
    ]);
    let proxy = setup
        .route("any", "cluster = \"any\"")
        .route(
            "field",
            "headers = { x-version = \"2\" }\ncluster = \"field\"",
        )
        .route(
            "like",
            "headers_regex = { User-Agent = \"curl/[0-9.]+\" }\ncluster = \"like\"",
        )
        .route(
            "query",
            "query = { \"a b\" = \"1&2\" }\ncluster = \"query\"",
        )
        .route("cookie", "cookies = { side = \"b\" }\ncluster = \"cookie\"")
        .route(
            "near",
            "path = \"/here\"\nclients = [\"127.0.0.1\"]\ncluster = \"near\"",
        )
        .route(
            "far",
            "path = \"/there\"\nclients = [\"10.0.0.0/8\"]\ncluster = \"far\"",
        )
        .route(
            "regex",
            "path_regex = \"/item/[0-9]+\"\ncluster = \"regex\"",
        )
        .start();
    for (target, field, want) in [
        ("/", "X: 1", "any"),
        ("/", "X-Version: 2", "field"),
        ("/", "X-Version: 22", "any"),
        ("/", "User-Agent: curl/8.1", "like"),
        ("/", "User-Agent: curl/8.1 x", "any"),
        ("/?c=d&a+b=1%262", "X: 1", "query"),
        ("/?a+b=1&2", "X: 1", "any"),
        ("/", "Cookie: x=y; side=b", "cookie"),
        ("/", "Cookie: x=side=b", "any"),
        ("/here", "X: 1", "near"),
        ("/there", "X: 1", "any"),
        ("/item/12", "X: 1", "regex"),
        ("/item/%31", "X: 1", "regex"),
        ("/item/x", "X: 1", "any"),
    ] {
        let mut client = crate::support::Client::connect(proxy.web);
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"
        ));
        let response = client.response_to("GET");
        let got = (response.status, response.text());
        assert_eq!(got, (200, want.to_owned()), "{target} {field}");
    }
}

#[test]
fn a_split_keeps_a_client_on_its_side() {
    let (origins, setup) = named(&["a", "b"]);
    let split = "split = [{ cluster = \"a\", weight = 3 }, { cluster = \"b\", weight = 1 }]";
    let proxy = setup
        .route("drawn", &format!("path_prefix = \"/drawn\"\n{split}"))
        .route("kept", &format!("{split}\nsplit_key = \"cookie:cart\""))
        .workers(2)
        .start();
    let mut client = crate::support::Client::connect(proxy.web);
    let mut ask = |target: &str, cart: u32| {
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nCookie: cart={cart}\r\n\r\n"
        ));
        let response = client.response_to("GET");
        assert_eq!(response.status, 200);
        response.text()
    };
    let first: Vec<_> = (0..400).map(|cart| ask("/", cart)).collect();
    let again: Vec<_> = (0..400).map(|cart| ask("/", cart)).collect();
    assert_eq!(first, again);
    // Five standard deviations of 400 draws.
    let share = |sides: &[String]| sides.iter().filter(|side| *side == "b").count();
    assert!((57..=143).contains(&share(&first)), "{}", share(&first));
    let drawn: Vec<_> = (0..400).map(|_| ask("/drawn", 1)).collect();
    assert!((57..=143).contains(&share(&drawn)), "{}", share(&drawn));
    drop(origins);
}

#[test]
fn without_a_route_it_is_404() {
    let (_origins, setup) = named(&["app"]);
    let proxy = setup
        .route("app", "hosts = [\"a.example\"]\npath_prefix = \"/app\"\nmethods = [\"GET\"]\ncluster = \"app\"")
        .start();
    for (method, host, path) in [
        ("GET", "b.example", "/app"),
        ("GET", "a.example", "/"),
        ("POST", "a.example", "/app"),
    ] {
        assert_eq!(
            ask(proxy.web, method, host, path).0,
            404,
            "{method} {host}{path}"
        );
    }
    assert_eq!(ask(proxy.web, "GET", "a.example", "/app/x").0, 200);
    let log = proxy.wait_log(4);
    let missed = log.iter().filter(|line| line["reason"] == "no_route");
    assert_eq!(missed.count(), 3, "{log:?}");
}

#[test]
fn fields_are_set_added_and_removed() {
    let origin = Origin::answering(|_| {
        Answer::ok("x")
            .field("Server", "secret")
            .field("X-Out", "theirs")
            .field("X-Kept", "1")
    });
    let filters = "filters = [\n\
        { request_headers = { set = { \"x-tenant\" = \"acme\" }, add = { \"x-many\" = \"2\" }, remove = [\"x-internal\"] } },\n\
        { response_headers = { set = { \"x-out\" = \"ours\" }, add = { \"x-more\" = \"3\" }, remove = [\"server\"] } },\n]";
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .route("all", &format!("cluster = \"app\"\n{filters}"))
        .start();
    let mut client = proxy.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: evil\r\nx-tenant: evil\r\nX-Many: 1\r\nX-Internal: 1\r\n\
         X-INTERNAL: 2\r\nX-Kept: yes\r\n\r\n",
    );
    let response = client.response();
    assert_eq!(response.one("x-out"), Some("ours"));
    assert_eq!(
        (response.one("x-more"), response.one("x-kept")),
        (Some("3"), Some("1"))
    );
    assert!(!response.head.has("server"));
    let seen = origin.wait(1);
    assert_eq!(seen.one("x-tenant"), Some("acme"));
    assert_eq!(seen.head.all("x-many").collect::<Vec<_>>(), ["1", "2"]);
    assert!(!seen.head.has("x-internal"));
    assert_eq!(seen.one("x-kept"), Some("yes"));
}

/// On the request in the order of the file, on the response in the reverse of it.
#[test]
fn filters_run_in_order_and_back() {
    let origin = Origin::start();
    let filters = "filters = [\n\
        { request_headers = { set = { \"x-last\" = \"first\" } } },\n\
        { response_headers = { set = { \"x-last\" = \"outer\" } } },\n\
        { response_headers = { set = { \"x-last\" = \"inner\" } } },\n\
        { request_headers = { set = { \"x-last\" = \"second\" } } },\n]";
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .route("all", &format!("cluster = \"app\"\n{filters}"))
        .start();
    let response = proxy.get("/");
    assert_eq!(
        response.one("x-last"),
        Some("outer"),
        "the first of the file speaks last"
    );
    assert_eq!(origin.wait(1).one("x-last"), Some("second"));
}

/// RFC 9110, 6.6.1: who answers itself and has a clock says when.
#[test]
fn answers_of_its_own_are_dated() {
    let origin = Origin::start();
    let bare = "path = \"/bare\"\nrespond = { status = 200 }\n\
        filters = [{ response_headers = { remove = [\"date\"] } }]";
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .route("app", "path = \"/app\"\ncluster = \"app\"")
        .route("here", "path = \"/here\"\nrespond = { status = 200 }")
        .route("away", "path = \"/away\"\nredirect = { path = \"/here\" }")
        .route("bare", bare)
        .start();
    for (target, status) in [
        ("/here", 200),
        ("/away", 308),
        ("/none", 404),
        ("/%00", 400),
    ] {
        let answer = proxy.get(target);
        answer.is(status);
        let date = httpdate::parse_http_date(answer.one("date").expect("a date")).unwrap();
        let age = std::time::SystemTime::now().duration_since(date).unwrap();
        assert!(age.as_secs() < 60, "{target}: {age:?}");
    }
    assert_eq!(
        proxy.get("/bare").one("date"),
        None,
        "a filter took it away"
    );
    assert_eq!(
        proxy.get("/app").one("date"),
        None,
        "the origin has no clock"
    );
}

#[test]
fn redirects_are_built_from_what_was_checked() {
    let proxy = Setup::new()
        .route("moved", "hosts = [\"www.example\"]\nredirect = { status = 308, host = \"shop.example\", scheme = \"https\" }")
        .route("found", "hosts = [\"found.example\"]\nredirect = { status = 302, path = \"/here\" }")
        .start();
    let ask = |host: &str, target: &str| {
        let mut client = proxy.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let response = client.response();
        (
            response.status,
            response.one("location").unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(
        ask("www.example", "/a/../b?q=%20"),
        (308, "https://shop.example/b?q=%20".into())
    );
    // E-040: what was encoded stays encoded, and a path is never taken for a host.
    let (_, location) = ask("www.example", "/%0d%0aSet-Cookie:%20x=y");
    assert_eq!(location, "https://shop.example/%0D%0ASet-Cookie:%20x=y");
    let (_, location) = ask("www.example", "//evil.example/x");
    assert!(location.starts_with("https://shop.example/"), "{location}");
    let (status, location) = ask("found.example", "/old?q=1");
    assert_eq!(status, 302);
    assert!(
        location.contains("/here") && location.contains("found.example"),
        "{location}"
    );
    let log = proxy.wait_log(4);
    assert!(
        log.iter().all(|line| line["reason"] == "local_reply"),
        "{log:?}"
    );
}

/// A path alone would be the same URL again where only the scheme changes: a client would go round and round.
#[test]
fn who_names_no_host_is_redirected_to_the_address_that_it_came_to() {
    let setup = Setup::new()
        .listener("trusted_proxies = [\"127.0.0.1\"]")
        .route("tls", "path = \"/tls\"\nredirect = { scheme = \"https\" }")
        .route("port", "path = \"/port\"\nredirect = { port = 99 }")
        .route("path", "path = \"/path\"\nredirect = { path = \"/b\" }")
        .route("host", "path = \"/host\"\nredirect = { host = \"b\" }");
    let socket = setup.dir.file("web.sock");
    let also = format!(
        "[[listeners]]\nname = \"file\"\nbind = [\"unix:{}\"]\nprotocol = \"http\"\n",
        socket.display()
    );
    let proxy = setup.tail(&also).start();
    let web = proxy.web;
    let with = |path: &str, fields: &str| {
        let mut client = proxy.client();
        client.send(format!("GET {path}?q HTTP/1.0\r\n{fields}\r\n"));
        let response = client.response();
        response.is(308);
        response.one("location").unwrap().to_owned()
    };
    let whole = |path: &str| with(path, "");
    assert_eq!(whole("/tls"), format!("https://{}/tls?q", web.ip()));
    assert_eq!(whole("/port"), format!("http://{}:99/port?q", web.ip()));
    assert_eq!(whole("/path"), format!("http://{web}/b?q"));
    assert_eq!(whole("/host"), "http://b/host?q");
    // What speaks https is the proxy in front, at whatever port.
    assert_eq!(
        with("/path", "X-Forwarded-Proto: https\r\n"),
        format!("https://{}/b?q", web.ip())
    );
    for (path, status) in [("/host", "308"), ("/tls", "400")] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).unwrap();
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{told}");
    }
    let line = proxy.wait_line("a refusal", |line| line["status"] == 400);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"bad_request".into(), &"host".into())
    );
}

#[test]
fn fixed_responses_are_as_configured() {
    let proxy = Setup::new()
        .route(
            "maintenance",
            "path = \"/maintenance\"\nrespond = { status = 503, headers = { \"retry-after\" = \"120\" }, \
             body = \"back in two minutes\\n\" }",
        )
        .start();
    let mut client = proxy.client();
    for _ in 0..3 {
        let response = client.get("/maintenance");
        assert_eq!(
            (response.status, response.one("retry-after")),
            (503, Some("120"))
        );
        assert_eq!(response.text(), "back in two minutes\n");
        let head = client.method("HEAD", "/maintenance", b"");
        assert_eq!((head.status, head.one("content-length")), (503, Some("20")));
    }
}
