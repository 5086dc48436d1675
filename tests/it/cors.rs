//! Which other sites' scripts may ask.

use std::process::Command;

use crate::support::answer::Step;
use crate::support::{Answer, Origin, Proxy, Response, Setup, endpoint};

fn over(origin: &Origin, cors: &str) -> Proxy {
    Setup::over(&[origin.addr()])
        .without_routes()
        .route(
            "all",
            &format!("cluster = \"app\"\nfilters = [{{ cors = {{ {cors} }} }}]"),
        )
        .start()
}

fn ask(proxy: &Proxy, method: &str, fields: &str) -> Response {
    let mut client = proxy.client();
    client.send(format!("{method} /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.response_to(method)
}

const APP: &str = "Origin: https://app.example.com\r\n";

#[test]
fn preflights_are_answered_here() {
    let origin = Origin::start();
    let proxy = over(
        &origin,
        "allow_origins = [\"https://app.example.com\", \"https://*.dev.example.com\"], allow_methods = [\"GET\", \"PUT\"], \
         allow_headers = [\"x-plan\"], max_age = \"10m\", credentials = \"allow\"",
    );
    let preflight = |from: &str| {
        ask(
            &proxy,
            "OPTIONS",
            &format!("Origin: {from}\r\nAccess-Control-Request-Method: PUT\r\n"),
        )
    };
    for from in ["https://app.example.com", "https://a.b.dev.example.com"] {
        let answer = preflight(from);
        assert_eq!(answer.status, 204);
        for (name, value) in [
            ("access-control-allow-origin", from),
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-allow-headers", "x-plan"),
            ("access-control-allow-credentials", "true"),
            ("access-control-max-age", "600"),
            ("vary", "Origin"),
        ] {
            assert_eq!(answer.one(name), Some(value), "{from}");
        }
    }
    for from in [
        "https://evil.example",
        "http://app.example.com",
        "https://app.example.com.evil.example",
        "https://.dev.example.com",
        "https://dev.example.com",
        "https://evil/.dev.example.com",
        "null",
    ] {
        let answer = preflight(from);
        assert_eq!(answer.status, 204);
        let told = answer.head.fields.iter();
        let told = told.filter(|(name, _)| name.to_lowercase().starts_with("access-control"));
        assert_eq!(told.count(), 0, "{from}");
        assert_eq!(answer.one("vary"), Some("Origin"));
    }
    assert_eq!(origin.count(), 0);
    // No preflight: the endpoint answers.
    assert_eq!(ask(&proxy, "OPTIONS", APP).status, 200);
    assert_eq!(origin.count(), 1);
    let line = proxy.wait_line("a preflight", |line| line["status"] == 204);
    assert_eq!(line["reason"], "local_reply");
}

#[test]
fn answers_say_who_may_read_them() {
    let origin = Origin::answering(|_| {
        Answer::ok("x")
            .field("Access-Control-Allow-Origin", "https://evil.example")
            .field("Vary", "Accept")
    });
    let proxy = over(
        &origin,
        "allow_origins = [\"https://app.example.com\"], expose_headers = [\"x-total\", \"etag\"]",
    );
    let allowed = ask(&proxy, "GET", APP);
    assert_eq!(
        allowed.one("access-control-allow-origin"),
        Some("https://app.example.com")
    );
    assert_eq!(
        allowed.one("access-control-expose-headers"),
        Some("x-total, etag")
    );
    assert_eq!(allowed.one("vary"), Some("Accept, Origin"));
    for fields in ["", "Origin: https://evil.example\r\n"] {
        let other = ask(&proxy, "GET", fields);
        assert_eq!(other.status, 200, "it is the browser that refuses");
        assert!(!other.head.has("access-control-allow-origin"));
        assert_eq!(other.one("vary"), Some("Accept, Origin"));
    }
    let proxy = over(&origin, "allow_origins = [\"*\"]");
    let any = ask(&proxy, "GET", APP);
    assert_eq!(any.one("access-control-allow-origin"), Some("*"));
    assert_eq!(any.one("vary"), Some("Accept"));
}

/// A browser shows a script nothing of an answer that does not name its site: it could not tell a 502 from a site that is not there.
#[test]
fn failures_of_ours_can_be_read_by_who_may_read_the_rest() {
    let stalls = Origin::answering(|_| Answer::silence().then(Step::Hang));
    let gone = Origin::start().stop();
    let filters = "filters = [{ cors = { allow_origins = [\"https://app.example.com\"] } }, { rate_limit = { limiter = \"all\" } }, \
                   { response_headers = { set = { x-served-by = \"edge\" } } }]";
    let proxy = Setup::new()
        .cluster("gone", &[endpoint(gone)], "retry = { attempts = 0 }")
        .cluster("stalls", &[endpoint(stalls.addr())], "")
        .route("gone", &format!("path = \"/gone\"\ncluster = \"gone\"\nlimits = {{ body = \"1KiB\" }}\n{filters}"))
        .route("stalls", &format!("path = \"/stalls\"\ncluster = \"stalls\"\ntimeouts = {{ response = \"100ms\" }}\n{filters}"))
        .tail("[limiters.all]\nkey = \"global\"\nrate = 1000")
        .start();
    let body = "a".repeat(2000);
    for (path, sends, status, limited) in [
        ("/gone", "", 502, true),
        ("/stalls", "", 504, true),
        // It did not come to the filters: what one of them would have kept of it is not there.
        ("/gone", body.as_str(), 413, false),
    ] {
        let mut client = proxy.client();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\n{APP}Content-Length: {}\r\n\r\n{sends}",
            sends.len()
        ));
        let one = client.response();
        one.is(status);
        let told = |name| one.one(name).map(str::to_owned);
        assert_eq!(
            told("access-control-allow-origin").as_deref(),
            Some("https://app.example.com")
        );
        assert_eq!(told("x-served-by").as_deref(), Some("edge"));
        assert_eq!(one.head.has("ratelimit"), limited, "{path}");
        let two = Command::new("curl")
            .args([
                "-s",
                "-D",
                "-",
                "-o",
                "/dev/null",
                "--http2-prior-knowledge",
            ])
            .args([
                "-H",
                APP.trim_end(),
                "-d",
                sends,
                &format!("http://{}{path}", proxy.web),
            ])
            .output()
            .expect("curl is installed (scripts/tools.sh)");
        let two = String::from_utf8_lossy(&two.stdout).into_owned();
        assert!(two.starts_with(&format!("HTTP/2 {status}")), "{two}");
        assert!(
            two.contains("access-control-allow-origin: https://app.example.com"),
            "{two}"
        );
        assert!(two.contains("x-served-by: edge"), "{two}");
        assert_eq!(two.contains("ratelimit:"), limited, "{two}");
    }
    // Without a route there is nobody who could allow it.
    let mut client = proxy.client();
    client.send(format!("GET /none HTTP/1.1\r\nHost: a\r\n{APP}\r\n"));
    let none = client.response();
    none.is(404);
    assert!(!none.head.has("access-control-allow-origin"));
}
