//! The admin listener: metrics, readiness, status, reload; and who may ask.

use crate::support::{Client, Origin, Proxy, Setup, endpoint, eventually, ports};
use std::io::Write;
use std::process::{Child, Command, Stdio};

/// A proxy that has seen a bit of everything.
fn busy(origin: &Origin) -> Proxy {
    let proxy = Setup::over(&[origin.addr(), ports::free()])
        .cluster("empty", &[endpoint(ports::free())], "")
        .route("empty", "path_prefix = \"/empty\"\ncluster = \"empty\"")
        .route(
            "fixed",
            "path = \"/fixed\"\nrespond = { status = 418, body = \"x\" }",
        )
        .start();
    let mut client = proxy.client();
    for method in ["GET", "POST", "DELETE", "STRANGE", "STRANGER"] {
        client.method(method, "/", b"abc").is(200);
    }
    client.get("/fixed").is(418);
    client.get("/empty").is(502);
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.response().is(400);
    // The last one is counted when its connection is through.
    let ended = "tidegate_request_terminations_total";
    proxy.wait_metric(ended, &[("reason", "bad_request")], |count| count == 1.0);
    proxy
}

#[test]
fn metrics_tell_what_happened() {
    let origin = Origin::start();
    let proxy = busy(&origin);
    let response = proxy.admin_get("/metrics");
    assert!(
        response
            .one("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain"))
    );
    let metrics = proxy.metrics();
    let requests = |labels: &[(&str, &str)]| metrics.sum("tidegate_requests_total", labels);
    assert_eq!(
        requests(&[("route", "all"), ("code", "200")]),
        5.0,
        "{}",
        metrics.text
    );
    assert_eq!(
        requests(&[("method", "_OTHER")]),
        2.0,
        "a client cannot make series"
    );
    assert_eq!(requests(&[("route", "fixed"), ("code", "418")]), 1.0);
    assert_eq!(requests(&[("route", "empty"), ("code", "502")]), 1.0);
    assert_eq!(requests(&[("route", "-"), ("code", "400")]), 1.0);
    let ended =
        |reason: &str| metrics.sum("tidegate_request_terminations_total", &[("reason", reason)]);
    assert_eq!((ended("completed"), ended("connect_refused")), (5.0, 1.0));
    assert_eq!((ended("bad_request"), ended("local_reply")), (1.0, 1.0));
    let bytes = metrics.sum("tidegate_request_body_bytes_total", &[("route", "all")]);
    assert_eq!(bytes, 15.0);
    let bytes = metrics.sum("tidegate_response_body_bytes_total", &[("route", "all")]);
    assert_eq!(bytes, 35.0, "five times `echo /` and a line end");
    for name in [
        "tidegate_build_info",
        "tidegate_start_time_seconds",
        "tidegate_uptime_seconds",
        "tidegate_config_reloads_total",
        "tidegate_config_last_reload_success_timestamp_seconds",
        "tidegate_config_last_reload_successful",
        "tidegate_config_hash_info",
        "tidegate_connections_total",
        "tidegate_connections_active",
        "tidegate_requests_active",
        "tidegate_request_duration_seconds_bucket",
        "tidegate_request_phase_duration_seconds_bucket",
        "tidegate_upstream_requests_total",
        "tidegate_upstream_request_duration_seconds_bucket",
        "tidegate_upstream_requests_active",
        "tidegate_upstream_connections_total",
        "tidegate_upstream_connections_active",
        "tidegate_upstream_connections_idle",
        "tidegate_upstream_connect_failures_total",
        "tidegate_upstream_connect_duration_seconds_bucket",
        "tidegate_upstream_endpoints",
        "tidegate_accesslog_dropped_total",
        "tidegate_runtime_workers",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_resident_memory_bytes",
    ] {
        assert!(
            metrics.has(name, &[]),
            "{name} is not there:\n{}",
            metrics.text
        );
    }
    let duration = "tidegate_request_duration_seconds_bucket";
    let all = metrics.sum(duration, &[("route", "all"), ("le", "+Inf")]);
    assert_eq!(all, 5.0);
}

/// The issue: `promtool check metrics` is clean.
#[test]
fn promtool_finds_nothing() {
    let origin = Origin::start();
    let proxy = busy(&origin);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool (Debian's package `prometheus`)");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(proxy.metrics().text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The issue: a real Prometheus scrapes it.
#[test]
fn prometheus_scrapes() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()]);
    let proxy = setup.start();
    proxy.get("/").is(200);
    let listen = ports::free();
    let config = setup.dir.file("prometheus.yml");
    let text = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: tidegate\n  static_configs:\n  \
         - targets: ['{}']\n",
        proxy.admin
    );
    std::fs::write(&config, text).unwrap();
    let _prometheus = Running(
        Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                setup.dir.file("tsdb").display()
            ))
            .arg(format!("--web.listen-address={listen}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus (Debian's package)"),
    );
    crate::support::within(
        crate::support::DEADLINE * 4,
        "a sample in Prometheus",
        || {
            let query = "/api/v1/query?query=tidegate_requests_total";
            let response = Client::try_connect(listen)
                .ok()?
                .try_get_host(query, listen)?;
            let answer: serde_json::Value = serde_json::from_slice(&response.body).ok()?;
            let sample = &answer["data"]["result"][0]["value"][1];
            (sample == "1").then_some(())
        },
    );
}

#[test]
fn readiness_and_liveness_are_told() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()]).start();
    proxy.admin_get("/live").is(200);
    proxy.admin_get("/ready").is(200);
    proxy.admin_get("/nothing").is(404);
    let mut client = Client::connect(proxy.admin);
    client.send(format!(
        "GET /api/v1/reload HTTP/1.1\r\nHost: {}\r\n\r\n",
        proxy.admin
    ));
    client.response().is(405);
}

#[test]
fn status_shows_clusters_and_endpoints() {
    let gate = crate::support::Gate::shut();
    let inside = gate.clone();
    let origin = Origin::answering(move |_| crate::support::Answer::ok("x").held(&inside));
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait(1);
    let status = proxy.status();
    let text = status.to_string();
    assert!(
        text.contains("\"app\"") && text.contains(&origin.addr().to_string()),
        "{text}"
    );
    assert!(text.contains("\"in_flight\":1"), "{text}");
    gate.open();
    client.response().is(200);
    eventually("nothing in flight", || {
        proxy
            .status()
            .to_string()
            .contains("\"in_flight\":0")
            .then_some(())
    });
}

/// A page in a browser, or a name that was made to point here, must not be able to use it.
#[test]
fn strangers_are_refused() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()]).start();
    let admin = proxy.admin;
    let ask = |method: &str, path: &str, lines: &str| {
        let mut client = Client::connect(admin);
        client.send(format!(
            "{method} {path} HTTP/1.1\r\n{lines}Content-Length: 0\r\n\r\n"
        ));
        client.response_to(method).status
    };
    for host in [
        "evil.example",
        "evil.example:9901",
        "127.0.0.1.evil.example",
        "192.0.2.1",
    ] {
        for (method, path) in [
            ("GET", "/api/v1/status"),
            ("POST", "/api/v1/reload"),
            ("GET", "/metrics"),
        ] {
            let status = ask(method, path, &format!("Host: {host}\r\n"));
            assert!(
                matches!(status, 400 | 403 | 421),
                "{method} {path} for {host}: {status}"
            );
        }
    }
    for from in [
        "http://evil.example",
        "null",
        "https://127.0.0.1.evil.example",
    ] {
        let status = ask(
            "POST",
            "/api/v1/reload",
            &format!("Host: {admin}\r\nOrigin: {from}\r\n"),
        );
        assert!(matches!(status, 400 | 403), "from {from}: {status}");
    }
    let port = admin.port();
    for host in [admin.to_string(), format!("localhost:{port}")] {
        assert_eq!(
            ask("GET", "/api/v1/status", &format!("Host: {host}\r\n")),
            200,
            "{host}"
        );
    }
    let status = ask(
        "POST",
        "/api/v1/reload",
        &format!("Host: {admin}\r\nOrigin: http://{admin}\r\n"),
    );
    assert_eq!(status / 100, 2);
}
