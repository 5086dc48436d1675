//! What clients are shown when something failed.

use crate::support::answer::{Answer, Step};
use crate::support::{Origin, Proxy, Received, Response, Setup, endpoint};

const SITE: &str = r#"
[[error_pages.site.pages]]
status = [404, "500-599"]
html = "<h1>${status} ${phrase}</h1><p>${reason} ${request_id}</p>"
json = '{"status":${status},"reason":"${reason}"}'
"#;

fn setup(pages: &str) -> Setup {
    Setup::new().listener("error_pages = \"site\"").tail(pages)
}

fn ask(proxy: &Proxy, fields: &str) -> Response {
    let mut client = proxy.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.response()
}

fn shown(proxy: &Proxy, origin: &str) -> f64 {
    let labels = [("pages", "site"), ("origin", origin)];
    proxy.metric("tidegate_error_pages_total", &labels)
}

#[test]
fn a_client_gets_the_form_that_it_likes_best() {
    let proxy = setup(SITE).start();
    let browser = ask(&proxy, "Accept: text/html,*/*;q=0.8\r\n");
    browser.is(404);
    assert_eq!(
        browser.one("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(browser.one("vary"), Some("accept"));
    let line = proxy.wait_log(1);
    let id = line[0]["request_id"].as_str().expect("a name");
    let page = format!("<h1>404 Not Found</h1><p>no_route {id}</p>");
    assert_eq!(browser.text(), page);
    assert_eq!(line[0]["reason"], "no_route");
    for fields in ["", "Accept: application/json\r\n", "Accept: image/png\r\n"] {
        let program = ask(&proxy, fields);
        program.is(404);
        assert_eq!(program.one("content-type"), Some("application/json"));
        assert_eq!(program.text(), "{\"status\":404,\"reason\":\"no_route\"}");
    }
    assert_eq!(shown(&proxy, "own"), 4.0);
}

#[test]
fn only_the_body_is_another() {
    let gone = Origin::start().stop();
    let proxy = setup(SITE)
        .cluster("app", &[endpoint(gone)], "retry = { attempts = 0 }")
        .cluster(
            "none",
            &[format!("{{ address = \"{gone}\", state = \"disabled\" }}")],
            "",
        )
        .route("none", "path = \"/none\"\ncluster = \"none\"")
        .route("all", "path_prefix = \"/app\"\ncluster = \"app\"")
        .start();
    let mut client = proxy.client();
    let none = client.get("/none");
    none.is(503);
    assert!(none.head.has("retry-after"));
    assert!(none.text().contains("no_endpoint"));
    client.get("/app").is(502);
    // A body is not for HEAD, its length is.
    client.send("HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.response_to("HEAD");
    head.is(503);
    assert_eq!(head.one("content-length"), none.one("content-length"));
    assert!(head.body.is_empty());
    // A call of gRPC hears its status.
    client.send("POST /none HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n");
    let call = client.response();
    call.is(200);
    assert_eq!(call.one("grpc-status"), Some("14"));
    assert!(call.body.is_empty());
    // Another status has no page, and so the short text.
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let bad = client.response();
    bad.is(400);
    assert_eq!(bad.text(), "400 Bad Request\nreason: bad_request (host)\n");
}

#[test]
fn a_route_wins_over_its_listener_and_what_is_configured_stays() {
    let pages = "[[error_pages.own.pages]]\nstatus = [403, 503]\ntext = \"closed\"\n";
    let app = Origin::answering(|_| Answer::status(503));
    let proxy = setup(&format!("{SITE}{pages}"))
        .cluster("app", &[endpoint(app.addr())], "")
        .route(
            "own",
            "path = \"/own\"\ncluster = \"app\"\nerror_pages = \"own\"\n\
             filters = [{ ip_access = { deny = [\"127.0.0.0/8\"] } }, { response_headers = { set = { x-a = \"1\" } } }]",
        )
        .route("fixed", "path = \"/fixed\"\nrespond = { status = 503, body = \"as written\" }")
        .route("app", "path = \"/app\"\ncluster = \"app\"")
        .start();
    let own = proxy.get("/own");
    own.is(403);
    assert_eq!(own.text(), "closed");
    assert_eq!(own.one("x-a"), Some("1"));
    assert!(!own.head.has("vary"), "there is one form");
    assert_eq!(proxy.get("/fixed").text(), "as written");
    // An endpoint's own answer is passed on: nobody has said otherwise.
    let passed = proxy.get("/app");
    passed.is(503);
    assert_eq!(passed.text(), "");
}

#[test]
fn an_endpoints_answer_is_replaced_where_that_was_asked_for() {
    let app = Origin::answering(|asked| match &*asked.target {
        "/good" => Answer::ok("good"),
        "/missing" => Answer {
            body: b"mine".to_vec(),
            ..Answer::status(404)
        },
        "/call" => Answer::status(503).field("Content-Type", "application/grpc"),
        _ => Answer {
            body: vec![b'x'; 300_000],
            ..Answer::status(503)
                .field("Retry-After", "7")
                .field("X-Powered-By", "y")
        },
    });
    let site = format!("[error_pages.site]\nendpoints = [\"500-599\"]\n{SITE}");
    let proxy = setup(&site)
        .cluster("app", &[endpoint(app.addr())], "")
        .route("all", "cluster = \"app\"")
        .start();
    let mut client = proxy.client();
    client.send("POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let bad = client.response();
    bad.is(503);
    assert_eq!(bad.text(), "{\"status\":503,\"reason\":\"endpoint\"}");
    assert_eq!(bad.one("retry-after"), Some("7"));
    assert!(!bad.head.has("x-powered-by"));
    let line = proxy.wait_log(1);
    assert_eq!(
        (&line[0]["reason"], &line[0]["detail"]),
        (&"completed".into(), &"replaced".into())
    );
    assert_eq!(line[0]["status"], 503);
    // The client's connection goes on, whatever became of the endpoint's.
    assert_eq!(client.get("/missing").text(), "mine");
    client.get("/good").is(200);
    // Who says that it makes a call hears as one that it failed, and sees no more; what an endpoint says to a call is passed on.
    for (path, status, told) in [("/bad", 200, Some("14")), ("/call", 503, None)] {
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n"));
        let call = client.response();
        call.is(status);
        assert_eq!(call.one("grpc-status"), told);
        assert_eq!(call.text(), "");
        assert!(!call.head.has("x-powered-by"));
    }
}

#[test]
fn a_cluster_may_have_the_pages() {
    let gone = Origin::start().stop();
    let pages = Origin::answering(|asked| match &*asked.target {
        "/e/502" => Answer::ok("<p>from afar")
            .field("Content-Type", "text/html")
            .field("Content-Language", "en")
            .field("Set-Cookie", "a=1"),
        "/e/504" => Answer::silence().then(Step::Hang),
        _ => Answer::status(404),
    });
    let site = "[[error_pages.site.pages]]\nstatus = [\"400-599\"]\ncluster = \"pages\"\npath = \"/e/${status}\"\n\
                text = \"from here\"\n[[error_pages.site.pages]]\nstatus = [418]\ntext = \"never\"\n";
    let proxy = setup(site)
        .cluster("pages", &[endpoint(pages.addr())], "")
        .cluster("app", &[endpoint(gone)], "retry = { attempts = 0 }")
        .route("app", "path = \"/app\"\ncluster = \"app\"")
        .start();
    let mut client = proxy.client();
    client.send("POST /app?q=1 HTTP/1.1\r\nHost: shop\r\nAccept: text/html\r\nCookie: s=1\r\nContent-Length: 2\r\n\r\nhi");
    let far = client.response();
    far.is(502);
    assert_eq!(far.text(), "<p>from afar");
    assert_eq!(far.one("content-type"), Some("text/html"));
    assert_eq!(far.one("content-language"), Some("en"));
    assert!(!far.head.has("set-cookie"));
    let asked: Received = pages.wait(1);
    assert_eq!((&*asked.method, &*asked.target), ("GET", "/e/502"));
    for (name, value) in [
        ("accept", Some("text/html")),
        ("host", Some("shop")),
        ("x-forwarded-uri", Some("/app?q=1")),
        ("x-forwarded-method", Some("POST")),
        ("cookie", None),
    ] {
        assert_eq!(asked.one(name), value, "{name}");
    }
    // One that it does not have, for a request that found no route.
    let near = proxy.get("/");
    near.is(404);
    assert_eq!(near.text(), "from here");
    assert_eq!(pages.wait(2).target, "/e/404");
    // Nobody is asked because of a request that was not taken.
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(client.response().text(), "from here");
    assert_eq!(pages.count(), 2);
    assert_eq!(
        proxy.wait_log(3).len(),
        3,
        "the question has no line of its own"
    );
    assert_eq!(
        (shown(&proxy, "cluster"), shown(&proxy, "missing")),
        (1.0, 1.0)
    );
}

/// Nobody was shown a page, and the log says so: of what failed, of a filter's refusal and of an answer that is replaced.
#[test]
fn a_client_that_leaves_while_its_page_is_fetched_has_left() {
    let gone = Origin::start().stop();
    let failing = Origin::answering(|_| Answer::status(500));
    let pages = Origin::answering(|_| Answer::silence().then(Step::Hang));
    let site = "[error_pages.site]\nendpoints = [\"500\"]\n[[error_pages.site.pages]]\nstatus = [\"400-599\"]\n\
                cluster = \"pages\"\ntimeout = \"1h\"\ntext = \"from here\"\n";
    let proxy = setup(site)
        .cluster("pages", &[endpoint(pages.addr())], "")
        .cluster("gone", &[endpoint(gone)], "retry = { attempts = 0 }")
        .cluster("app", &[endpoint(failing.addr())], "retry = { attempts = 0 }")
        .route("gone", "path = \"/gone\"\ncluster = \"gone\"")
        .route("replaced", "path = \"/replaced\"\ncluster = \"app\"")
        .route(
            "denied",
            "path = \"/denied\"\ncluster = \"app\"\nfilters = [{ ip_access = { deny = [\"127.0.0.1\"] } }]",
        )
        .start();
    for (at, path) in (1..).zip(["/gone", "/replaced", "/denied", "/none"]) {
        let mut client = proxy.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        pages.wait(at);
        client.reset();
        let line = proxy.wait_line(path, |line| line["path"] == path);
        assert_eq!(
            (&line["status"], &line["reason"], &line["detail"]),
            (&499.into(), &"client_abort".into(), &"reset".into()),
            "{path}"
        );
        assert_eq!(line["bytes_out"], 0, "{path}");
    }
}

/// A page is a part of the answer, and so of the time that the request has; a cluster that hangs does not add its own.
#[test]
fn a_page_is_waited_for_as_long_as_the_request_has_time() {
    let hangs = Origin::answering(|_| Answer::silence().then(Step::Hang));
    let site = "[[error_pages.site.pages]]\nstatus = [\"400-599\"]\ncluster = \"app\"\ntimeout = \"60s\"\ntext = \"from here\"\n";
    let proxy = setup(site)
        .cluster("app", &[endpoint(hangs.addr())], "retry = { attempts = 0 }")
        .route("all", "cluster = \"app\"\ntimeouts = { request = \"1s\" }")
        .start();
    let begun = std::time::Instant::now();
    let answer = proxy.get("/");
    answer.is(504);
    assert_eq!(answer.text(), "from here");
    assert_eq!(hangs.count(), 2, "the page was asked for all the same");
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn an_empty_answer_that_is_replaced_leaves_its_connection() {
    let app = Origin::answering(|_| Answer::status(503));
    let site = format!("[error_pages.site]\nendpoints = [\"500-599\"]\n{SITE}");
    let proxy = setup(&site)
        .workers(1)
        .cluster("app", &[endpoint(app.addr())], "")
        .route("all", "cluster = \"app\"")
        .start();
    let mut client = proxy.client();
    for _ in 0..5 {
        let answer = client.get("/");
        answer.is(503);
        assert_eq!(answer.text(), "{\"status\":503,\"reason\":\"endpoint\"}");
    }
    assert_eq!((app.count(), app.connections()), (5, 1));
}

/// The cluster of the pages is the one that fails: there is one more attempt, and no other.
#[test]
fn pages_never_lead_to_pages() {
    let app = Origin::answering(|_| Answer::status(500));
    let site = "[error_pages.site]\nendpoints = [\"500-599\"]\n\
                [[error_pages.site.pages]]\nstatus = [\"500-599\"]\ncluster = \"app\"\n";
    let proxy = setup(site)
        .cluster("app", &[endpoint(app.addr())], "")
        .route("all", "cluster = \"app\"")
        .start();
    let answer = proxy.get("/");
    answer.is(500);
    assert_eq!(answer.text(), "500 Internal Server Error\n");
    assert_eq!(app.count(), 2);
}

#[test]
fn pages_follow_their_files() {
    let setup = setup("[[error_pages.site.pages]]\nstatus = [404]\nhtml_file = \"404.html\"\n");
    let file = setup.dir.file("404.html");
    std::fs::write(&file, "one").expect("a page");
    let proxy = setup.start();
    assert_eq!(proxy.get("/").text(), "one");
    std::fs::write(&file, "two ${status}").expect("a page");
    crate::support::eventually("the new page", || {
        (proxy.get("/").text() == "two 404").then_some(())
    });
}
