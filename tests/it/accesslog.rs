//! The access log: every exchange is one line, whatever became of it.

use crate::support::answer::Step;
use crate::support::client::pattern;
use crate::support::load::{Shape, Style};
use crate::support::proxy::lines;
use crate::support::{Answer, Client, Origin, Proxy, Setup, endpoint, eventually, ports, scale};
use serde_json::Value;

/// Text that is not there unless a line is written for it.
fn last(proxy: &Proxy, count: usize) -> Value {
    let log = proxy.wait_log(count);
    assert_eq!(log.len(), count, "more than one line: {:?}", log.last());
    log[count - 1].clone()
}

fn endings() -> Origin {
    Origin::answering(|request| match request.target.as_str() {
        "/cut" => Answer::ok(pattern(50_000)).cut(500, Step::Close),
        "/rude" => Answer::silence().then(Step::Close),
        "/garbage" => Answer::raw("garbage\r\n\r\n").then(Step::Close),
        "/hang" => Answer::silence().then(Step::Hang),
        "/404" => Answer {
            status: 404,
            ..Answer::ok("none")
        },
        _ => Answer::ok("fine"),
    })
}

/// One by one: what the client did, and what the line says.
#[test]
fn every_ending_is_one_line() {
    let origin = endings();
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .route("all", "path_prefix = \"/app\"\ncluster = \"app\"")
        .route(
            "root",
            "hosts = [\"test.example\"]\ncluster = \"app\"\ntimeouts = { response = \"500ms\" }",
        )
        .cluster("dead", &[endpoint(ports::free())], "")
        .route("dead", "hosts = [\"test.example\"]\npath = \"/dead\"\ncluster = \"dead\"")
        .route(
            "fixed",
            "hosts = [\"test.example\"]\npath = \"/fixed\"\nrespond = { status = 200, body = \"x\" }",
        )
        .listener("timeouts = { header = \"1s\" }")
        .start();
    let host = "Host: test.example\r\n";
    let post = |path: &str| format!("POST {path} HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n");
    let table = [
        (
            format!("GET /x HTTP/1.1\r\n{host}\r\n"),
            200,
            "completed",
            "last",
            "local",
            "root",
        ),
        (post("/404"), 404, "completed", "last", "local", "root"),
        (
            post("/rude"),
            502,
            "upstream_reset",
            "headers",
            "upstream",
            "root",
        ),
        (
            post("/garbage"),
            502,
            "upstream_protocol",
            "headers",
            "upstream",
            "root",
        ),
        (
            post("/hang"),
            504,
            "response_timeout",
            "headers",
            "upstream",
            "root",
        ),
        (
            post("/cut"),
            200,
            "upstream_truncated",
            "data",
            "upstream",
            "root",
        ),
        (
            post("/dead"),
            502,
            "connect_refused",
            "connect",
            "upstream",
            "dead",
        ),
        (post("/fixed"), 200, "local_reply", "", "local", "fixed"),
        (
            "GET /x HTTP/1.1\r\nHost: other\r\n\r\n".into(),
            404,
            "no_route",
            "",
            "local",
            "-",
        ),
        (
            "GET /x HTTP/1.1\r\n\r\n".into(),
            400,
            "bad_request",
            "request",
            "downstream",
            "-",
        ),
        (
            "GET /x HT".into(),
            408,
            "header_timeout",
            "request",
            "downstream",
            "-",
        ),
    ];
    for (at, (request, status, reason, phase, side, route)) in table.into_iter().enumerate() {
        let mut client = proxy.client();
        client.send(&request);
        let _ = client.try_response_to("GET");
        let line = last(&proxy, at + 1);
        assert_eq!(line["reason"], reason, "{request:?}: {line}");
        assert_eq!(line["status"], status, "{request:?}: {line}");
        assert_eq!(line["side"], side, "{request:?}: {line}");
        if !phase.is_empty() {
            assert_eq!(line["phase"], phase, "{request:?}: {line}");
        }
        let named = line["route"].as_str().unwrap_or("-");
        assert!(
            named == route || (route == "-" && named.is_empty()),
            "{request:?}: {line}"
        );
    }
    // Two clients that go away: before the answer, and in the middle of it.
    for path in ["/hang", "/cut"] {
        let count = proxy.log().len();
        let mut client = proxy.client();
        client.send(format!("GET {path} HTTP/1.1\r\n{host}\r\n"));
        drop(client);
        last(&proxy, count + 1);
    }
}

#[test]
fn a_line_tells_the_whole_exchange() {
    let origin = Origin::answering(|request| Answer::ok(request.body.clone()));
    let setup = Setup::over(&[origin.addr()]);
    let proxy = setup.start();
    let mut client = proxy.client();
    client.send(
        "POST /a/../b?q=1&r=%20 HTTP/1.1\r\nHost: Test.Example\r\nContent-Length: 5\r\n\
         User-Agent: agent \"x\"\\\r\nReferer: http://r/\r\n\r\nhello",
    );
    client.response().is(200);
    let line = last(&proxy, 1);
    for (key, value) in [
        ("listener", "web"),
        ("method", "POST"),
        ("host", "test.example"),
        ("path", "/b"),
        ("query", "q=1&r=%20"),
        ("protocol", "HTTP/1.1"),
        ("reason", "completed"),
        ("phase", "last"),
        ("route", "all"),
        ("cluster", "app"),
        ("client", "127.0.0.1"),
    ] {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    assert_eq!(line["endpoint"], origin.addr().to_string());
    assert!(
        line["peer"].as_str().unwrap().starts_with("127.0.0.1"),
        "{line}"
    );
    assert_eq!(
        (&line["status"], &line["attempts"]),
        (&200.into(), &1.into())
    );
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&5.into(), &5.into())
    );
    let id = line["request_id"].as_str().unwrap();
    assert!(
        id.len() == 36 && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-'),
        "{id}"
    );
    let time = line["time"].as_str().unwrap();
    assert!(
        time.starts_with("20") && time.contains('T') && time.ends_with('Z'),
        "{time}"
    );
    for part in ["connect_ms", "first_byte_ms", "duration_ms"] {
        assert!(line[part].is_number(), "{part} in {line}");
    }
    assert!(
        line["duration_ms"].as_f64() >= line["first_byte_ms"].as_f64(),
        "{line}"
    );
    assert!(line.get("user_agent").is_none(), "only if asked: {line}");
}

#[test]
fn fields_are_chosen_and_redacted() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .access(
            "fields",
            "[\"time\", \"path\", \"query\", \"status\", \"user_agent\", \"referer\"]",
        )
        .access("redact", "[\"query\"]")
        .start();
    let mut client = proxy.client();
    client.send(
        "GET /p?secret=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: \x7e \"q\" \\ \u{e9}\r\nReferer: r\r\n\r\n",
    );
    client.response().is(200);
    let line = last(&proxy, 1);
    let mut keys: Vec<_> = line.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(
        keys,
        ["path", "query", "referer", "status", "time", "user_agent"]
    );
    assert!(!line.to_string().contains("secret"), "{line}");
    assert_eq!(line["referer"], "r");
    assert!(
        line["user_agent"].as_str().unwrap().contains("\"q\" \\"),
        "{line}"
    );
}

#[test]
fn text_is_one_line_of_words() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]).access("format", "\"text\"");
    let proxy = setup.start();
    proxy
        .client()
        .post("/x y".replace(' ', "%20").as_str(), b"abc")
        .is(200);
    // A log line cannot be forged from a target.
    proxy.get("/%0a%0dforged%1b").is(200);
    let text = eventually("two lines", || {
        let text = std::fs::read_to_string(setup.log_path()).ok()?;
        (text.lines().count() >= 2).then_some(text)
    });
    assert_eq!(text.lines().count(), 2, "{text}");
    let first = text.lines().find(|line| line.contains("POST")).unwrap();
    for word in ["POST", "/x%20y", "200", "completed", "app", "127.0.0.1"] {
        assert!(first.contains(word), "{word} in {first}");
    }
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
}

/// Whoever reads of a refusal asks which request it was.
#[test]
fn a_head_that_is_refused_or_cut_says_what_it_asked_for() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .listener("timeouts = { header = \"500ms\" }")
        .start();
    let refused = [
        (
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "content_length",
        ),
        ("Bad Name: 1\r\n", "field_name"),
        ("A: \u{1}\r\n", "field_value"),
        ("Transfer-Encoding: gzip\r\n", "te_unsupported"),
    ];
    let asked = |line: &Value| {
        let text = |field: &str| line[field].as_str().map(str::to_owned);
        ["method", "path", "query", "host"].map(text)
    };
    let wanted = ["PUT", "/a%20b", "c=1", "Shop.example:8080"].map(|text| Some(text.to_owned()));
    let begin = "PUT /a%20b?c=1 HTTP/1.1\r\nHost: Shop.example:8080\r\n";
    for (count, (field, detail)) in (1..).zip(refused) {
        let mut client = proxy.client();
        client.send(format!("{begin}{field}\r\n"));
        let status = client.response().status;
        assert!(status >= 400, "{status}");
        let line = last(&proxy, count);
        assert_eq!(
            (line["detail"].as_str(), asked(&line)),
            (Some(detail), wanted.clone())
        );
    }
    // One that never comes whole, and one whose target is not to be told further.
    let mut client = proxy.client();
    client.send(begin);
    client.response().is(408);
    assert_eq!(asked(&last(&proxy, 5)), wanted);
    let mut client = proxy.client();
    client.send("GET /\u{1b}[2Jforged HTTP/1.1\r\n\r\n");
    client.response().is(400);
    let found = ["GET", "/"].map(|text| Some(text.to_owned()));
    assert_eq!(asked(&last(&proxy, 6))[..2], found);
}

/// `sample` is about what went well: everything else is always there.
#[test]
fn sampling_keeps_what_went_wrong() {
    let origin = endings();
    let proxy = Setup::over(&[origin.addr()])
        .access("sample", "0.0")
        .start();
    for _ in 0..50 {
        proxy.get("/").is(200);
    }
    for at in 1..=5 {
        proxy.client().post("/rude", b"").is(502);
        last(&proxy, at);
    }
    assert!(
        proxy
            .log()
            .iter()
            .all(|line| line["reason"] == "upstream_reset")
    );
}

#[test]
fn standard_output_and_off() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .access("output", "\"stdout\"")
        .start();
    proxy.get("/to-stdout").is(200);
    eventually("the line", || {
        let output = proxy.output();
        let line = output
            .lines()
            .find(|line| line.contains("/to-stdout"))?
            .to_owned();
        serde_json::from_str::<Value>(&line).ok()
    });
    let proxy = Setup::over(&[origin.addr()])
        .access("output", "\"off\"")
        .start();
    proxy.get("/to-nowhere").is(200);
    let mut proxy = proxy;
    proxy.terminate();
    assert!(!proxy.output().contains("/to-nowhere"));
    assert_eq!(proxy.log().len(), 0);
}

/// F-44: the file is moved away and reopened, over and over, under load: nothing is lost or torn.
#[test]
fn rotation_loses_nothing() {
    let origin = Origin::plan()
        .counts_only()
        .respond(|request| Answer::ok(request.one("x-nonce").unwrap_or_default()))
        .start();
    let setup = Setup::over(&[origin.addr()]);
    let mut proxy = setup.start();
    let load = Shape::gets(4, Style::KeepAlive).start(proxy.web);
    let mut moved = Vec::new();
    for round in 0..scale(10, 100) {
        load.more(50);
        let to = setup.dir.file(&format!("access.{round}.log"));
        std::fs::rename(setup.log_path(), &to).unwrap();
        moved.push(to);
        proxy.signal("USR1");
        eventually("a new file", || setup.log_path().exists().then_some(()));
    }
    let tally = load.stop();
    tally.all_good();
    proxy.terminate();
    moved.push(setup.log_path());
    let mut count = 0;
    for path in moved {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "a torn line");
        count += lines(&text).len();
    }
    assert_eq!(count, tally.good);
}

/// F-18: a log that cannot be written costs lines, which are counted, and no request.
#[test]
fn a_full_disk_costs_no_request() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .access("output", "{ file = { path = \"/dev/full\" } }")
        .start();
    let mut client = proxy.client();
    // Lines as long as they get, until the queue of 8 MiB is full.
    let (path, query) = ("p".repeat(2000), "q".repeat(2000));
    for _ in 0..3000 {
        client.get(&format!("/{path}?{query}")).is(200);
    }
    proxy.wait_metric("tidegate_accesslog_dropped_total", &[], |dropped| {
        dropped > 0.0
    });
    assert!(proxy.resident() < 64 * 1024, "{} KiB", proxy.resident());
    client.get("/").is(200);
}

/// A request id from a stranger is not ours; from a trusted peer it is kept.
#[test]
fn request_ids_are_made_or_believed() {
    let origin = Origin::start();
    let ask = |setup: &Setup| {
        let proxy = setup.start();
        let mut client = Client::connect(proxy.web);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: abc-123\r\n\r\n");
        client.response().is(200);
        last(&proxy, 1)["request_id"].as_str().unwrap().to_owned()
    };
    let setup = Setup::over(&[origin.addr()]);
    let made = ask(&setup);
    assert_ne!(made, "abc-123");
    let setup = Setup::over(&[origin.addr()]).listener("trusted_proxies = [\"127.0.0.1/32\"]");
    assert_eq!(ask(&setup), "abc-123");
}
