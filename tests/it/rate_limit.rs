//! Rate limits: what a client over its limit is told, and what an endpoint never hears of.

use crate::support::tls::Authority;
use crate::support::{Answer, Origin, Proxy, Reload, Setup, endpoint, eventually, ports};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A proxy with one limiter `l` on its one route.
fn limited(origin: &Origin, keys: &str) -> Setup {
    Setup::over(&[origin.addr()])
        .without_routes()
        .route(
            "all",
            "cluster = \"app\"\nfilters = [{ rate_limit = { limiter = \"l\" } }]",
        )
        .tail(&format!("[limiters.l]\n{keys}"))
}

fn ask(proxy: &Proxy, path: &str, fields: &str) -> crate::support::Response {
    let mut client = proxy.client();
    client.send(format!(
        "GET {path} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"
    ));
    client.response()
}

/// Ends a connection so that the other side cannot miss it.
fn reset(client: crate::support::Client) {
    let _ = socket2::SockRef::from(&client.wire.stream).set_linger(Some(Duration::ZERO));
    drop(client);
}

fn number(value: Option<&str>) -> u64 {
    value
        .and_then(|value| value.parse().ok())
        .expect("a number")
}

#[test]
fn over_the_limit_is_429_with_what_a_client_needs_to_come_back() {
    let origin = Origin::start();
    let keys = "algorithm = \"fixed_window\"\nkey = \"client_ip\"\nrate = 3\nper = \"1h\"";
    let proxy = limited(&origin, keys).start();
    let mut client = proxy.client();
    for left in [2, 1, 0] {
        let response = client.get("/");
        assert_eq!(response.status, 200);
        assert_eq!(response.one("ratelimit-policy"), Some("\"l\";q=3;w=3600"));
        let quota = response.one("ratelimit").unwrap();
        assert!(quota.starts_with(&format!("\"l\";r={left};t=")), "{quota}");
        assert!(!response.head.has("retry-after"));
    }
    let refused = client.get("/");
    assert_eq!(refused.status, 429);
    let wait = number(refused.one("retry-after"));
    assert!((1..=3600).contains(&wait), "{wait}");
    assert!(
        refused
            .one("ratelimit")
            .unwrap()
            .starts_with("\"l\";r=0;t=")
    );
    assert_eq!(
        refused.text(),
        "429 Too Many Requests\nreason: rate_limited (rate)\n"
    );
    assert_eq!(
        client.method("POST", "/", b"body").status,
        429,
        "the connection goes on"
    );
    assert_eq!(origin.count(), 3, "nothing of it reached the endpoint");
    let line = proxy.wait_line("a refused exchange", |line| line["status"] == 429);
    assert_eq!(line["reason"], "rate_limited");
    assert_eq!(
        (&line["detail"], &line["phase"]),
        (&"rate".into(), &"filter".into())
    );
    let decisions = "tidegate_ratelimit_decisions_total";
    let of = |decision| proxy.metric(decisions, &[("limiter", "l"), ("decision", decision)]);
    assert_eq!((of("allow"), of("deny")), (3.0, 2.0));
    assert_eq!(
        proxy.metric("tidegate_ratelimit_keys", &[("limiter", "l")]),
        1.0
    );
}

#[test]
fn plans_are_told_apart_by_a_field() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .route(
            "api",
            "path_prefix = \"/api/v1\"\ncluster = \"app\"\nfilters = [{ rate_limit = { limiter = \"plans\" } }]",
        )
        .route("rest", "cluster = \"app\"")
        .tail(
            "[limiters.plans]\nalgorithm = \"sliding_window\"\nkey = \"header:x-api-key\"\nrate = 50\nper = \"1m\"\n\
             tiers = [\n  { header = \"x-plan\", value = \"free\", rate = 100 },\n\
             \x20 { header = \"x-plan\", value = \"paid\", rate = 1000 },\n]",
        )
        .start();
    let passed = |fields: &str, requests: usize| {
        let mut client = proxy.client();
        let mut passed = 0;
        for _ in 0..requests {
            client.send(format!("GET /api/v1/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
            passed += usize::from(client.response().status == 200);
        }
        passed
    };
    // A minute may begin in between: what is left of the one before still counts.
    let about = |found: usize, limit: usize| (limit..=limit + limit / 10).contains(&found);
    let free = passed("x-api-key: f\r\nx-plan: free\r\n", 150);
    let default = passed("x-api-key: d\r\n", 80);
    let paid = passed("x-api-key: p\r\nx-plan: paid\r\n", 1200);
    assert!(
        about(free, 100) && about(default, 50) && about(paid, 1000),
        "{free} {default} {paid}"
    );
    assert_eq!(
        ask(&proxy, "/other", "x-api-key: d\r\n").status,
        200,
        "another route"
    );
}

#[test]
fn a_leaky_bucket_sends_requests_on_one_after_the_other() {
    let origin = Origin::start();
    let keys = "algorithm = \"leaky_bucket\"\nkey = \"global\"\nrate = 20\nper = \"1s\"\nburst = 5\nheaders = \"off\"";
    let proxy = limited(&origin, keys).start();
    let begin = Instant::now();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| ask(&proxy, "/", "").status))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let passed = answers.iter().filter(|status| **status == 200).count();
    // Those that were slow to come find room again.
    assert!((5..=8).contains(&passed), "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 200 | 429)));
    assert!(
        begin.elapsed().as_millis() >= 200,
        "the fifth waits for four intervals of 50 ms"
    );
    assert!(
        proxy.metric(
            "tidegate_ratelimit_decisions_total",
            &[("decision", "delay")]
        ) >= 4.0
    );
}

#[test]
fn a_client_that_leaves_while_it_waits_is_gone() {
    let origin = Origin::start();
    let keys = "key = \"global\"\nrate = 1\nper = \"1m\"\non_limit = { delay = { max = \"5m\" } }";
    let mut proxy = limited(&origin, keys).start();
    assert_eq!(ask(&proxy, "/", "").status, 200);
    let mut waiting = proxy.client();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let delayed = [("decision", "delay")];
    proxy.wait_metric("tidegate_ratelimit_decisions_total", &delayed, |count| {
        count == 1.0
    });
    reset(waiting);
    let line = proxy.wait_line("the client left", |line| line["reason"] == "client_abort");
    assert_eq!(line["phase"], "filter");

    // One that stays holds up a drain no longer than it may take.
    let mut waiting = proxy.client();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy.wait_metric("tidegate_ratelimit_decisions_total", &delayed, |count| {
        count == 2.0
    });
    proxy.signal("TERM");
    proxy.signal("TERM");
    proxy.ends_well();
    assert_eq!(origin.count(), 1);
}

#[test]
fn shadow_mode_changes_nothing_that_a_client_sees() {
    let origin = Origin::start();
    let keys = "key = \"client_ip\"\nrate = 1\nper = \"1h\"\non_limit = \"shadow\"";
    let proxy = limited(&origin, keys).start();
    for _ in 0..5 {
        let response = ask(&proxy, "/", "");
        assert_eq!(response.status, 200);
        assert!(!response.head.has("ratelimit") && !response.head.has("retry-after"));
    }
    let shadow = [("limiter", "l"), ("decision", "shadow_deny")];
    assert_eq!(
        proxy.metric("tidegate_ratelimit_decisions_total", &shadow),
        4.0
    );
}

#[test]
fn several_limiters_and_costs_add_up_and_each_tells_its_quota() {
    let origin = Origin::answering(|_| Answer::ok("x").field("RateLimit", "\"origin\";r=1"));
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .route(
            "all",
            "cluster = \"app\"\nfilters = [\n  { rate_limit = { limiter = \"outer\" } },\n\
             \x20 { rate_limit = { limiter = \"inner\", cost = 4 } },\n\
             \x20 { rate_limit = { limiter = \"old\" } },\n]",
        )
        .tail(
            "[limiters.outer]\nkey = \"client_ip\"\nrate = 100\nper = \"1h\"\n\
             [limiters.inner]\nkey = [\"client_ip\", \"path\"]\nrate = 10\nper = \"1h\"\n\
             [limiters.old]\nkey = \"route\"\nrate = 50\nper = \"1h\"\nheaders = \"x_ratelimit\"",
        )
        .start();
    let response = ask(&proxy, "/a", "");
    let quotas: Vec<_> = response.head.all("ratelimit").collect();
    assert_eq!(quotas[0], "\"origin\";r=1");
    assert!(
        quotas
            .iter()
            .any(|quota| quota.starts_with("\"outer\";r=99;t=")),
        "{quotas:?}"
    );
    assert!(
        quotas
            .iter()
            .any(|quota| quota.starts_with("\"inner\";r=6;t=")),
        "{quotas:?}"
    );
    assert_eq!(response.one("x-ratelimit-limit"), Some("50"));
    assert_eq!(response.one("x-ratelimit-remaining"), Some("49"));
    assert!(number(response.one("x-ratelimit-reset")) >= 1);
    assert_eq!(ask(&proxy, "/a", "").status, 200);
    let refused = ask(&proxy, "/a", "");
    assert_eq!(refused.status, 429);
    assert!(
        !refused.head.has("x-ratelimit-limit"),
        "the third was not asked"
    );
    assert_eq!(ask(&proxy, "/b", "").status, 200, "another path");
}

#[test]
fn counters_outlive_a_reload() {
    let origin = Origin::start();
    let keys = |rate: u32| {
        format!("algorithm = \"sliding_log\"\nkey = \"client_ip\"\nrate = {rate}\nper = \"1h\"")
    };
    let setup = limited(&origin, &keys(3));
    let proxy = setup.start();
    let statuses =
        |count: usize| -> Vec<u16> { (0..count).map(|_| ask(&proxy, "/", "").status).collect() };
    assert_eq!(statuses(4), [200, 200, 200, 429]);
    let more = limited(&origin, &keys(5)).at(&setup);
    assert_eq!(proxy.reload(&more), Reload::Done);
    assert_eq!(
        statuses(3),
        [200, 200, 429],
        "three of the five were spent before"
    );
    let allow = [("limiter", "l"), ("decision", "allow")];
    assert_eq!(
        proxy.metric("tidegate_ratelimit_decisions_total", &allow),
        5.0
    );
    let broken = limited(&origin, "key = \"nobody\"\nrate = 5").at(&setup);
    assert_eq!(proxy.reload(&broken), Reload::Refused);
    assert_eq!(statuses(1), [429]);
}

#[test]
fn a_request_that_waits_goes_on_with_its_body() {
    let origin = Origin::start();
    let keys = "key = \"global\"\nrate = 5\nper = \"1s\"\nburst = 1\non_limit = { delay = { max = \"10s\" } }";
    let proxy = limited(&origin, keys).start();
    let body = vec![b'x'; 100_000];
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.post("/", &body).status, 200);
    }
    assert_eq!(origin.count(), 3);
}

/// A real Redis for one test, on a port of its own.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        Self::start_at(ports::free().port())
    }

    fn start_at(port: u16) -> Self {
        Self::listening(port, &["--port", &port.to_string()])
    }

    fn listening(port: u16, words: &[&str]) -> Self {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed (scripts/tools.sh)");
        eventually("redis listens", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { child, port }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn store(&self, keys: &str) -> String {
        format!(
            "[stores.redis]\nurl = \"redis://127.0.0.1:{}/0\"\n{keys}\n",
            self.port
        )
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

const SHARED: &str =
    "key = \"client_ip\"\nrate = 200\nper = \"1h\"\nburst = 200\nstore = \"redis\"\n";

fn shared(origin: &Origin, redis: &Redis, keys: &str) -> Setup {
    limited(origin, &format!("{SHARED}{}", redis.store(keys)))
}

fn up(proxy: &Proxy) {
    proxy.wait_metric("tidegate_ratelimit_store_up", &[], |up| up == 1.0);
}

#[test]
fn two_processes_on_one_store_enforce_one_limit() {
    let origin = Origin::start();
    let redis = Redis::start();
    // A generous timeout: what is counted here is requests, on a machine that may be busy.
    let timeout = "timeout = \"5s\"";
    let proxies = [(); 2].map(|()| shared(&origin, &redis, timeout).start());
    proxies.iter().for_each(up);
    let passed: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let proxy = &proxies[client % 2];
                scope.spawn(move || {
                    let mut client = proxy.client();
                    (0..100).filter(|_| client.get("/").status == 200).count()
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    assert!((198..=202).contains(&passed), "{passed}");
    let asked: f64 = proxies
        .iter()
        .map(|proxy| {
            proxy.metric(
                "tidegate_ratelimit_store_requests_total",
                &[("result", "ok")],
            )
        })
        .sum();
    assert!(
        asked < 300.0,
        "who is far over the limit costs no round trip: {asked}"
    );
}

#[test]
fn without_its_store_a_limit_is_that_of_the_process() {
    let origin = Origin::start();
    let mut redis = Redis::start();
    let proxy = shared(&origin, &redis, "").start();
    up(&proxy);
    assert_eq!(ask(&proxy, "/", "").status, 200);
    // Stopped: those who ask first wait for the timeout, then nobody does.
    crate::support::process::signal(redis.child.id(), "STOP");
    let mut client = proxy.client();
    for _ in 0..50 {
        assert_eq!(client.get("/").status, 200);
    }
    proxy.wait_metric("tidegate_ratelimit_store_up", &[], |up| up == 0.0);
    let skipped = [("result", "skipped")];
    let before = proxy.metric("tidegate_ratelimit_store_requests_total", &skipped);
    for _ in 0..200 {
        client.get("/");
    }
    assert_eq!(client.get("/").status, 429, "its own bucket holds");
    let after = proxy.metric("tidegate_ratelimit_store_requests_total", &skipped);
    assert_eq!(after - before, 201.0, "nobody waits for the store");
    crate::support::process::signal(redis.child.id(), "CONT");
    up(&proxy);
    assert_eq!(ask(&proxy, "/", "").status, 200, "the shared count again");

    redis.kill();
    assert_eq!(
        ask(&proxy, "/", "").status,
        429,
        "the first to find out waits for nothing"
    );
    proxy.wait_metric("tidegate_ratelimit_store_up", &[], |up| up == 0.0);
    let again = Redis::start_at(redis.port);
    up(&proxy);
    assert_eq!(
        ask(&proxy, "/", "").status,
        200,
        "an empty store begins anew"
    );
    drop(again);
}

#[test]
fn without_its_store_a_limit_is_open_or_shut_as_configured() {
    let origin = Origin::start();
    let dead = Redis {
        port: ports::free().port(),
        child: Command::new("true").spawn().unwrap(),
    };
    let open = shared(&origin, &dead, "on_error = \"allow\"").start();
    let mut client = open.client();
    for _ in 0..250 {
        assert_eq!(client.get("/").status, 200);
    }
    let shut = shared(&origin, &dead, "on_error = \"deny\"").start();
    let refused = ask(&shut, "/", "");
    assert_eq!(
        (refused.status, refused.one("retry-after")),
        (503, Some("1"))
    );
    let line = shut.wait_line("a refused exchange", |line| line["status"] == 503);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"rate_limited".into(), &"store".into())
    );
}

#[test]
fn requests_under_way_are_bounded_by_key() {
    let gate = crate::support::Gate::shut();
    let held = gate.clone();
    let origin = Origin::answering(move |received| {
        let answer = Answer::ok("x");
        if received.target.contains("/held") {
            answer.held(&held)
        } else {
            answer
        }
    });
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .route(
            "all",
            "cluster = \"app\"\nfilters = [{ concurrency_limit = { key = \"header:x-user\", max = 2 } }]",
        )
        .start();
    let mut clients: Vec<_> = (0..2).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send("GET /held HTTP/1.1\r\nHost: a\r\nX-User: a\r\n\r\n");
    }
    origin.wait(2);
    let refused = ask(&proxy, "/", "X-User: a\r\n");
    assert_eq!(
        (refused.status, refused.one("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(ask(&proxy, "/", "X-User: b\r\n").status, 200, "another key");
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    eventually("its places are free again", || {
        (ask(&proxy, "/", "X-User: a\r\n").status == 200).then_some(())
    });
    let line = proxy.wait_line("a refused exchange", |line| line["status"] == 429);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"rate_limited".into(), &"concurrency".into())
    );
}

/// An order to the admin interface: status and JSON.
fn order(proxy: &Proxy, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
    let mut client = crate::support::Client::connect(proxy.admin);
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        proxy.admin,
        body.len()
    ));
    let response = client.response_to(method);
    let json = serde_json::from_slice(&response.body).unwrap_or_default();
    (response.status, json)
}

const PATH: &str = "/api/v1/limiters/l";

#[test]
fn a_limit_is_looked_at_and_changed_while_it_runs() {
    let origin = Origin::start();
    let keys = "algorithm = \"fixed_window\"\nkey = \"header:x-user\"\nrate = 3\nper = \"1h\"";
    let setup = limited(&origin, keys);
    let proxy = setup.start();
    let passed = |user: &str, requests: usize| {
        let asked = (0..requests).map(|_| ask(&proxy, "/", &format!("x-user: {user}\r\n")).status);
        asked.filter(|status| *status == 200).count()
    };
    assert_eq!((passed("alexandra", 9), passed("b", 4)), (3, 3));
    let (status, shown) = order(&proxy, "GET", PATH, "");
    assert_eq!(
        (status, &shown["rate"], &shown["algorithm"]),
        (200, &3.into(), &"fixed_window".into())
    );
    assert_eq!(
        (&shown["decisions"]["allow"], &shown["decisions"]["deny"]),
        (&6.into(), &7.into())
    );
    assert_eq!(
        (&shown["top"][0]["key"], &shown["top"][0]["count"]),
        (&"alexan…".into(), &6.into())
    );
    assert_eq!(shown["top"][1]["key"], "b");

    let (status, shown) = order(&proxy, "PUT", PATH, "{\"rate\": 5, \"ttl\": \"1h\"}");
    assert_eq!(
        (status, &shown["rate"], &shown["override"]["rate"]),
        (200, &5.into(), &5.into())
    );
    assert_eq!((passed("alexandra", 9), passed("c", 9)), (2, 5));
    assert_eq!(
        proxy.reload(&limited(&origin, &format!("{keys}\n# other")).at(&setup)),
        Reload::Done
    );
    assert_eq!(
        passed("d", 9),
        5,
        "a reload that does not touch it keeps it"
    );
    for (body, why) in [
        ("{\"rate\": 0}", "not a rate"),
        ("{\"burst\": 9}", "means nothing"),
        ("{\"rate\": 9, \"ttl\": \"0s\"}", "ttl"),
        ("{\"rat\": 9}", "unknown field"),
        ("{}", "say a"),
    ] {
        let (status, refused) = order(&proxy, "PUT", PATH, body);
        assert_eq!(status, 422, "{body}");
        assert!(
            refused["error"].as_str().unwrap().contains(why),
            "{refused}"
        );
    }
    assert_eq!(
        order(&proxy, "PUT", "/api/v1/limiters/x", "{\"rate\": 9}").0,
        404
    );
    let (status, shown) = order(&proxy, "DELETE", PATH, "");
    assert_eq!(
        (status, &shown["rate"], shown.get("override")),
        (200, &3.into(), None)
    );
    assert_eq!(passed("e", 9), 3);
    let (status, all) = order(&proxy, "GET", "/api/v1/limiters", "");
    assert_eq!((status, all.as_array().map(Vec::len)), (200, Some(1)));
}

/// What a filter before has set or removed is what a key and a tier go by, not what the client sent in that field.
#[test]
fn keys_and_tiers_go_by_what_the_filters_before_have_left() {
    let origin = Origin::start();
    let auth = Origin::answering(|_| Answer::ok("you may").field("X-User", "u1"));
    let limited = "{ rate_limit = { limiter = \"l\" } }";
    let filters = |before: &str| format!("cluster = \"app\"\nfilters = [{before}, {limited}]");
    let proxy = Setup::over(&[origin.addr()])
        .cluster("auth", &[endpoint(auth.addr())], "")
        .without_routes()
        .route("asked", &format!("path = \"/asked\"\n{}", filters("{ forward_auth = { cluster = \"auth\", copy_headers = [\"x-user\", \"x-plan\"] } }")))
        .route("set", &format!("path = \"/set\"\n{}", filters("{ request_headers = { set = { x-user = \"u2\", x-plan = \"free\" } } }")))
        .route("gone", &format!("path = \"/gone\"\n{}", filters("{ request_headers = { remove = [\"x-user\", \"x-plan\"] } }")))
        .route("plain", &format!("path = \"/plain\"\ncluster = \"app\"\nfilters = [{limited}]"))
        .tail("[limiters.l]\nkey = \"header:x-user\"\nrate = 2\nper = \"1h\"\ntiers = [{ header = \"x-plan\", value = \"paid\", rate = 100 }]")
        .start();
    let ask = |path: &str| {
        let mut client = proxy.client();
        let statuses = (0..4).map(|user| {
            client.send(format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nX-User: {path}{user}\r\nX-Plan: paid\r\n\r\n"
            ));
            client.response().status
        });
        statuses.collect::<Vec<_>>()
    };
    assert_eq!(ask("/plain"), [200; 4]);
    for path in ["/asked", "/set", "/gone"] {
        assert_eq!(ask(path), [200, 200, 429, 429], "{path}");
    }
}

/// A Redis that speaks TLS alone, shows its certificate and wants ours.
#[test]
fn a_store_under_tls_is_verified_and_shown_our_certificate() {
    let (stores, clients) = (Authority::new("Stores"), Authority::new("Clients"));
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]).without_routes().route(
        "all",
        "cluster = \"app\"\nfilters = [{ rate_limit = { limiter = \"l\" } }]",
    );
    let dir = std::sync::Arc::clone(&setup.dir);
    stores.issue(&["127.0.0.1"]).write(&dir, "store");
    clients.issue(&["proxy.example"]).write(&dir, "own");
    for (name, authority) in [("stores", &stores), ("clients", &clients)] {
        std::fs::write(dir.file(&format!("{name}.ca")), authority.pem()).unwrap();
    }
    let path = |name: &str| dir.file(name).display().to_string();
    let port = ports::free().port();
    let _redis = Redis::listening(
        port,
        &[
            "--port",
            "0",
            "--tls-port",
            &port.to_string(),
            "--tls-auth-clients",
            "yes",
            "--tls-cert-file",
            &path("store.pem"),
            "--tls-key-file",
            &path("store.key"),
            "--tls-ca-cert-file",
            &path("clients.ca"),
        ],
    );
    let with = |tls: &str| {
        format!(
            "[limiters.l]\nkey = \"global\"\nrate = 2\nper = \"1h\"\nstore = \"redis\"\n\n\
             [stores.redis]\nurl = \"rediss://127.0.0.1:{port}\"\non_error = \"deny\"\ntimeout = \"10s\"\n{tls}"
        )
    };
    let ca = format!("ca = \"{}\"", path("stores.ca"));
    let own = format!(
        "certificate = \"{}\", key = \"{}\"",
        path("own.pem"),
        path("own.key")
    );
    let proxy = setup
        .tail(&with(&format!("tls = {{ {ca}, {own} }}")))
        .start();
    let up = |proxy: &Proxy, is: f64| {
        let labels = [("store", "redis")];
        proxy.wait_metric("tidegate_ratelimit_store_up", &labels, |up| up == is);
    };
    up(&proxy, 1.0);
    let statuses: Vec<_> = (0..3).map(|_| proxy.get("/").status).collect();
    assert_eq!(statuses, [200, 200, 429]);

    // Whom the system does not know, and who is not shown a certificate.
    for tls in [
        format!("tls = {{ {own} }}"),
        format!("tls = {{ {ca} }}"),
        String::new(),
    ] {
        let proxy = Setup::over(&[origin.addr()])
            .without_routes()
            .route(
                "all",
                "cluster = \"app\"\nfilters = [{ rate_limit = { limiter = \"l\" } }]",
            )
            .tail(&with(&tls))
            .start();
        std::thread::sleep(Duration::from_millis(1500));
        up(&proxy, 0.0);
        proxy.get("/").is(503);
    }
}
