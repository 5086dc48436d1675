use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;

use super::*;
use crate::base::{ClusterName, ListenAddr, ListenerName};
use crate::cluster::{self, Live, Site};
use crate::config::{self, Code, Diagnostic, Diagnostics, Span};
use crate::endpoint::{Admin, ConnectionSlot};
use crate::listener::admin::Token;
use crate::metrics::{Hub, ReloadResult};

const TOKEN: &str = "0123456789abcdef";

/// An interface over a small configuration, and the order that it passes on.
struct Rig {
    context: Context,
    addr: ListenAddr,
}

fn running() -> Running {
    let text = "[clusters.app]\nendpoints = ['127.0.0.1:9001', '127.0.0.1:9002']\n";
    let loaded = config::parse(Path::new("t.toml"), text).unwrap();
    let mut diagnostics = loaded.diagnostics;
    let (name, raw) = loaded.raw.clusters.iter().next().unwrap();
    let name = ClusterName::parse(name).unwrap();
    let defaults = &loaded.raw.defaults.cluster;
    let site = Site::new(None);
    let cluster =
        cluster::compile(&name, raw, defaults, &site, &Live::new(), &mut diagnostics).unwrap();
    Running {
        epoch: 7,
        hash: "c0ffee".to_owned(),
        listeners: vec![Listening {
            name: ListenerName::parse("web").unwrap(),
            addrs: vec![ListenAddr::parse("127.0.0.1:8080").unwrap()],
            serves: crate::listener::Serves::Http,
            tls: None,
        }],
        clusters: vec![Arc::new(cluster)],
        limiters: Vec::new(),
        routes: Arc::new(crate::route::RouteTable::new(Vec::new())),
        last_load: Loaded {
            result: ReloadResult::Ok,
            at: Duration::from_secs(1_700_000_000),
            message: None,
        },
        token: None,
    }
}

fn applied() -> Reloaded {
    Reloaded::Applied {
        epoch: 8,
        changes: vec!["cluster `app`: endpoint 127.0.0.1:9003 added".to_owned()],
        warnings: Diagnostics::default(),
    }
}

/// Runs `test` beside an interface on `bind`.
fn with_admin<F: Future<Output = ()> + 'static>(
    bind: &ListenAddr,
    token: Option<&str>,
    reloaded: fn() -> Reloaded,
    test: impl FnOnce(Rig) -> F,
) {
    with_limits(Limits::DEFAULT, bind, token, reloaded, test);
}

fn with_limits<F: Future<Output = ()> + 'static>(
    limits: Limits,
    bind: &ListenAddr,
    token: Option<&str>,
    reloaded: fn() -> Reloaded,
    test: impl FnOnce(Rig) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let hub = Hub::new(2);
    let token = token.map(Token::new);
    let (_sender, receiver) = watch::channel(Arc::new(Running { token, ..running() }));
    let live = Arc::new(crate::snapshot::Live::default());
    let ledger = crate::limit::Ledger::new(1 << 30);
    register(
        &hub,
        receiver.clone(),
        Arc::clone(&live),
        Arc::clone(&ledger),
    );
    let context = Context {
        hub,
        live,
        running: receiver,
        reload: Reload::new(move || async move { reloaded() }),
        swap: Swap::new(|| async {}),
        readiness: Arc::new(Readiness::new()),
        ledger,
    };
    let bound = Bound::bind(bind).unwrap();
    let rig = Rig {
        context: context.clone(),
        addr: bound.addr(),
    };
    let test = test(rig);
    runtime.block_on(local.run_until(async move {
        let patience = Duration::from_secs(30);
        tokio::select! {
            served = serve_within(limits, bound, context) => panic!("{served:?}"),
            done = tokio::time::timeout(patience, test) => done.unwrap(),
        }
    }));
}

fn loopback() -> ListenAddr {
    ListenAddr::Inet("127.0.0.1:0".parse().unwrap())
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.unwrap_or_default(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

impl Rig {
    fn tcp(&self) -> SocketAddr {
        match &self.addr {
            ListenAddr::Inet(addr) => *addr,
            ListenAddr::Unix(path) => panic!("{}", path.display()),
        }
    }

    /// Asks with these extra lines; each ends in CRLF.
    async fn ask(&self, line: &str, fields: &str) -> Answer {
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        exchange(TcpStream::connect(self.tcp()).await.unwrap(), &request).await
    }
}

#[test]
fn metrics_and_status_show_what_runs() {
    with_admin(&loopback(), None, applied, |rig| async move {
        let metrics = rig.ask("GET /metrics", "").await;
        assert_eq!(metrics.status, 200);
        assert!(
            metrics
                .head
                .contains("content-type: text/plain; version=0.0.4")
        );
        assert!(metrics.head.contains("x-content-type-options: nosniff"));
        for line in [
            "tidegate_upstream_endpoints{cluster=\"app\",state=\"healthy\"} 2\n",
            "tidegate_upstream_endpoints{cluster=\"app\",state=\"disabled\"} 0\n",
            "tidegate_upstream_endpoint_weight{cluster=\"app\",endpoint=\"127.0.0.1:9002\"} 1\n",
            "tidegate_runtime_workers 2\n",
        ] {
            assert!(metrics.body.contains(line), "{line}");
        }

        let endpoint = {
            let running = rig.context.running.borrow();
            Arc::clone(running.clusters[0].set.iter().next().unwrap())
        };
        endpoint.state.set_admin(Admin::Disabled);
        let slot = ConnectionSlot::take(&endpoint.state, 0);
        rig.context.hub.cluster(0, "app").idle.set(2);
        let open = rig.ask("GET /metrics", "").await.body;
        let line = "tidegate_upstream_connections_active{cluster=\"app\",protocol=\"h1\"} 3\n";
        assert!(open.contains(line), "{open}");
        drop(slot);
        let status = rig.ask("GET /api/v1/status", "").await;
        assert!(status.head.contains("content-type: application/json"));
        let mut status = status.json();
        status["uptime_seconds"] = 0.into();
        let endpoint = |address: &str, state: &str, why: &str| {
            serde_json::json!({
                "address": address, "name": null, "weight": 1, "configured_weight": 1, "tier": 0,
                "state": state, "why": why, "available": state == "healthy",
                "in_flight": 0, "connections": 0, "ejections": 0, "ejected_for_seconds": null,
                "override": null, "zone": null, "response_seconds": null, "last_probe": null,
            })
        };
        let expected = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": 0,
            "maintenance": [],
                "not_ready": ["starting"],
            "overload": { "level": "normal", "memory_bytes": 0, "memory_limit_bytes": 1_u64 << 30 },
            "configuration": {
                "epoch": 7, "hash": "c0ffee",
                "last_load": { "result": "ok", "at": 1_700_000_000.0, "message": null },
            },
            "listeners": [{ "name": "web", "addresses": ["127.0.0.1:8080"] }],
            "clusters": [{
                "name": "app", "balancer": "least_request",
                "endpoints": [
                    endpoint("127.0.0.1:9001", "disabled", "the file says so"),
                    endpoint("127.0.0.1:9002", "healthy", "nothing speaks against it"),
                ],
            }],
        });
        assert_eq!(status, expected);
    });
}

#[test]
fn readiness_says_why_not() {
    with_admin(&loopback(), None, applied, |rig| async move {
        let readiness = Arc::clone(&rig.context.readiness);
        assert_eq!(rig.ask("GET /live", "").await.status, 200);
        let starting = rig.ask("GET /ready", "").await;
        assert_eq!(
            (starting.status, &*starting.body),
            (503, "not ready: starting\n")
        );
        readiness.unblock(Readiness::STARTING);
        assert_eq!(rig.ask("GET /ready", "").await.status, 200);
        readiness.block(Readiness::DRAINING);
        readiness.block(Readiness::DRAINING);
        let draining = rig.ask("GET /ready", "").await;
        assert_eq!(
            (draining.status, &*draining.body),
            (503, "not ready: draining\n")
        );
        assert_eq!(rig.ask("GET /live", "").await.status, 200);
    });
}

#[test]
fn a_reload_tells_what_changed() {
    with_admin(&loopback(), None, applied, |rig| async move {
        let answer = rig.ask("POST /api/v1/reload", "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = serde_json::json!({
            "result": "ok", "epoch": 8,
            "changes": ["cluster `app`: endpoint 127.0.0.1:9003 added"],
            "diagnostics": [], "text": "",
        });
        assert_eq!(answer.json(), expected);
    });
}

#[test]
fn a_refused_reload_tells_why_and_that_the_old_one_stays() {
    fn invalid() -> Reloaded {
        let mut diagnostics = Diagnostics::default();
        let message = "route `api` sends to unknown cluster `ap1`";
        diagnostics.push(Diagnostic::error(
            Code::UnknownCluster,
            Span::default(),
            message,
        ));
        Reloaded::Invalid(diagnostics)
    }
    with_admin(&loopback(), None, invalid, |rig| async move {
        let answer = rig.ask("POST /api/v1/reload", "").await;
        assert_eq!(answer.status, 422);
        let json = answer.json();
        assert_eq!(
            (&json["result"], &json["epoch"]),
            (&"invalid".into(), &7.into())
        );
        assert_eq!(json["diagnostics"][0]["code"], "C0201");
        assert!(
            json["text"]
                .as_str()
                .unwrap()
                .contains("unknown cluster `ap1`")
        );
    });
    let failed = || Reloaded::Failed("cannot bind 127.0.0.1:80".to_owned());
    with_admin(&loopback(), None, failed, |rig| async move {
        let answer = rig.ask("POST /api/v1/reload", "").await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.json()["message"], "cannot bind 127.0.0.1:80");
    });
}

#[test]
fn strangers_are_turned_away_before_anything_is_done() {
    let never = || panic!("a refused order was carried out");
    with_admin(&loopback(), Some(TOKEN), never, |rig| async move {
        for (line, fields, expected) in [
            ("GET /metrics", "Host: evil.example\r\n", 421),
            ("GET http://evil.example/metrics", "", 421),
            ("GET /api/v1/status", "Origin: http://evil.example\r\n", 403),
            ("POST /api/v1/reload", "Origin: null\r\n", 403),
            ("POST /api/v1/reload", "", 401),
            (
                "POST /api/v1/reload",
                "Authorization: Bearer wrong\r\n",
                401,
            ),
            ("GET /api/v1/reload", "", 405),
            ("GET /nothing", "", 404),
        ] {
            let answer = rig.ask(line, fields).await;
            assert_eq!(answer.status, expected, "{line} {fields}");
            assert!(
                answer.head.contains("x-content-type-options: nosniff"),
                "{line}"
            );
        }
    });
    with_admin(&loopback(), Some(TOKEN), applied, |rig| async move {
        let field = format!("Authorization: Bearer {TOKEN}\r\n");
        assert_eq!(rig.ask("POST /api/v1/reload", &field).await.status, 200);
    });
}

#[test]
fn a_unix_socket_needs_no_token() {
    let path = std::env::temp_dir().join(format!("tg-admin-{}-serve", std::process::id()));
    let bind = ListenAddr::Unix(path.clone());
    with_admin(&bind, Some(TOKEN), applied, |_| async move {
        let stream = UnixStream::connect(&path).await.unwrap();
        let request = "POST /api/v1/reload HTTP/1.1\r\nHost: anything\r\n\r\n";
        assert_eq!(exchange(stream, request).await.status, 200);
    });
}

#[test]
fn silent_clients_do_not_keep_others_out() {
    let limits = Limits {
        connections: 2,
        head: Duration::from_millis(300),
        ..Limits::DEFAULT
    };
    with_limits(limits, &loopback(), None, applied, |rig| async move {
        let mut silent = Vec::new();
        for _ in 0..2 {
            silent.push(TcpStream::connect(rig.tcp()).await.unwrap());
        }
        assert_eq!(rig.ask("GET /live", "").await.status, 200);
        drop(silent);
    });
}

#[test]
fn what_is_said_of_an_endpoint_is_judged_before_it_counts() {
    with_admin(&loopback(), None, applied, |rig| async move {
        let path = "/api/v1/clusters/app/endpoints/127.0.0.1:9001";
        let put = async |path: &str, body: &str| {
            let fields = format!("Content-Length: {}\r\n", body.len());
            let request = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}");
            let stream = TcpStream::connect(rig.tcp()).await.unwrap();
            exchange(stream, &request).await
        };
        for (path, body, status, says) in [
            (path, "", 422, "EOF"),
            (path, "{}", 422, "say a `state`"),
            (path, r#"{"state": "off"}"#, 422, "unknown variant"),
            (path, r#"{"weight": 0}"#, 422, "drain"),
            (path, r#"{"weight": 1001}"#, 422, "1-1000"),
            (path, r#"{"weight": 5, "ttl": "0s"}"#, 422, "longer than 0s"),
            (path, r#"{"weight": 5, "ttl": "5"}"#, 422, "not a duration"),
            (
                path,
                r#"{"state": "disabled", "deadline": "5s"}"#,
                422,
                "stands with",
            ),
            (
                path,
                r#"{"state": "drain", "deadline": "0s"}"#,
                422,
                "longer than 0s",
            ),
            (path, r#"{"weihgt": 5}"#, 422, "unknown field"),
            (
                "/api/v1/clusters/x/endpoints/127.0.0.1:9001",
                "{}",
                404,
                "no cluster `x`",
            ),
            (
                "/api/v1/clusters/app/endpoints/127.0.0.1:9",
                "{}",
                404,
                "no endpoint",
            ),
            (
                "/api/v1/clusters/app/endpoints/here",
                "{}",
                400,
                "expected `IP:port`",
            ),
        ] {
            let answer = put(path, body).await;
            assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
            let error = answer.json()["error"].as_str().unwrap().to_owned();
            assert!(error.contains(says), "{path} {body}: {error}");
        }
        assert_eq!(put(path, &" ".repeat(5000)).await.status, 413);

        let answer = put(path, r#"{"weight": 5, "state": "drain", "ttl": "1h"}"#).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let said = &answer.json()["override"];
        assert_eq!(
            (&said["weight"], &said["state"]),
            (&5.into(), &"drain".into())
        );
        assert!(said["remaining_seconds"].as_f64().unwrap() > 3599.0);
        let metrics = rig.ask("GET /metrics", "").await.body;
        let line = "tidegate_upstream_endpoint_overrides{cluster=\"app\"} 1\n";
        assert!(metrics.contains(line), "{metrics}");
        for _ in 0..2 {
            let answer = rig.ask(&format!("DELETE {path}"), "").await;
            assert_eq!(
                (answer.status, &answer.json()["override"]),
                (200, &serde_json::Value::Null)
            );
        }
        let all = rig.ask("GET /api/v1/clusters", "").await.json();
        let one = rig.ask("GET /api/v1/clusters/app", "").await.json();
        assert_eq!(all["clusters"][0], one);
        let endpoint = rig.ask(&format!("GET {path}"), "").await.json();
        assert_eq!(one["endpoints"][0], endpoint);
    });
}
