//! The prober against real sockets: an origin whose answers a test switches, and a channel of reports.

mod checks;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket, UnixListener};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::*;
use crate::base::{ClusterName, EndpointAddr};
use crate::metrics::Hub;
use crate::metrics::names::{self, Metric};
use crate::task;
use crate::upstream::{ConnectSpec, Protocol};

/// What the origin does with a request.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Text(&'static str),
    /// A head, then that many chunks of one byte, then `ok`.
    Drip(usize),
    Hang,
    Close,
}

const OK: Answer = Answer::Text("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n");
const BROKEN: Answer = Answer::Text("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n");

struct Origin {
    addr: EndpointAddr,
    answer: Rc<Cell<Answer>>,
    heads: Rc<RefCell<Vec<String>>>,
    open: Rc<Cell<u32>>,
    most_open: Rc<Cell<u32>>,
}

impl Origin {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Self {
            addr: EndpointAddr::Inet(listener.local_addr().unwrap()),
            answer: Rc::new(Cell::new(answer)),
            heads: Rc::default(),
            open: Rc::default(),
            most_open: Rc::default(),
        };
        let (answer, heads) = (Rc::clone(&origin.answer), Rc::clone(&origin.heads));
        let (open, most) = (Rc::clone(&origin.open), Rc::clone(&origin.most_open));
        task::spawn("origin", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                open.set(open.get() + 1);
                most.set(most.get().max(open.get()));
                let (answer, heads, open) = (answer.get(), Rc::clone(&heads), Rc::clone(&open));
                task::spawn("origin connection", async move {
                    serve(stream, answer, &heads).await;
                    open.set(open.get() - 1);
                });
            }
        });
        origin
    }
}

async fn serve(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    answer: Answer,
    heads: &RefCell<Vec<String>>,
) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    heads.borrow_mut().push(String::from_utf8(head).unwrap());
    match answer {
        Answer::Text(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Answer::Drip(count) => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let body = "1\r\nx\r\n".repeat(count) + "2\r\nok\r\n0\r\n\r\n";
            let _ = stream.write_all((head.to_owned() + &body).as_bytes()).await;
        }
        // Until the prober goes away.
        Answer::Hang => while matches!(stream.read(&mut byte).await, Ok(1..)) {},
        Answer::Close => {}
    }
}

/// A report without its borrows.
#[derive(Debug)]
struct Seen {
    failure: Option<String>,
    transition: Option<Transition>,
}

fn prober() -> (Prober, mpsc::Receiver<Seen>) {
    let (sender, receiver) = mpsc::channel(1024);
    let prober = Prober::new(Hub::new(1)).observed(move |report| {
        let seen = Seen {
            failure: report.failure.map(ToString::to_string),
            transition: report.transition,
        };
        sender.try_send(seen).unwrap();
    });
    (prober, receiver)
}

fn spec(check: Check) -> HealthSpec {
    HealthSpec {
        preface: None,
        check,
        elsewhere: Elsewhere::default(),
        tls: ProbeTls::Off,
        connections: Connections::Fresh,
        policy: HealthPolicy {
            interval: Duration::from_millis(5),
            failing_interval: Duration::from_millis(5),
            // Far over what an answer on loopback takes on a busy machine.
            timeout: Duration::from_secs(10),
            max_response_time: Duration::ZERO,
            rise: 2,
            fall: 3,
            jitter: 0.1,
            initial: Status::Healthy,
        },
    }
}

fn http() -> HttpCheck {
    HttpCheck {
        method: hyper::Method::GET,
        path: PathAndQuery::from_static("/healthz?full=1"),
        host: None,
        headers: Vec::new(),
        statuses: vec![200..=299],
        body_contains: None,
        body_regex: None,
    }
}

fn target(addr: &EndpointAddr, spec: HealthSpec) -> Target {
    Target {
        cluster: ClusterName::parse("api").unwrap(),
        addr: addr.clone(),
        at: ConnectSpec {
            addr: addr.clone(),
            protocol: Protocol::Http1,
            preface: None,
            tls: None,
            socket: crate::upstream::SocketSpec::default(),
        },
        cell: Arc::new(HealthCell::new(spec.policy.initial)),
        spec: Arc::new(spec),
    }
}

fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = LocalSet::new();
    let limit = Duration::from_mins(1);
    local.block_on(&runtime, async {
        tokio::time::timeout(limit, test()).await.unwrap();
    });
}

/// The first report that brings a change, and how many probes came before it.
async fn transition(reports: &mut mpsc::Receiver<Seen>) -> (u32, Seen) {
    for before in 0.. {
        let seen = reports.recv().await.unwrap();
        if seen.transition.is_some() {
            return (before, seen);
        }
    }
    unreachable!()
}

/// The verdict of one probe.
async fn verdict(answer: Answer, check: HttpCheck) -> Option<String> {
    let origin = Origin::start(answer).await;
    let (mut prober, mut reports) = prober();
    prober.apply(vec![target(&origin.addr, spec(Check::Http(check)))]);
    reports.recv().await.unwrap().failure
}

#[test]
fn falls_after_fall_and_comes_back_after_rise() {
    run(|| async {
        let origin = Origin::start(OK).await;
        let (mut prober, mut reports) = prober();
        let target = target(&origin.addr, spec(Check::Http(http())));
        let cell = Arc::clone(&target.cell);
        prober.apply(vec![target]);
        assert!(reports.recv().await.unwrap().failure.is_none());

        origin.answer.set(BROKEN);
        let (_, fell) = transition(&mut reports).await;
        assert_eq!(
            fell.transition,
            Some(Transition {
                to: Status::Unhealthy,
                after: 3
            })
        );
        assert_eq!(fell.failure.as_deref(), Some("status 500"));
        assert!(!cell.is_healthy());

        origin.answer.set(OK);
        let (_, rose) = transition(&mut reports).await;
        assert_eq!(
            rose.transition,
            Some(Transition {
                to: Status::Healthy,
                after: 2
            })
        );
        assert!(cell.is_healthy());
    });
}

#[test]
fn an_assumption_ends_with_the_first_probe() {
    run(|| async {
        let origin = Origin::start(OK).await;
        let (mut prober, mut reports) = prober();
        let mut spec = spec(Check::Http(http()));
        spec.policy.initial = Status::Unhealthy;
        let target = target(&origin.addr, spec);
        assert!(!target.cell.is_healthy());
        prober.apply(vec![target]);
        let (before, rose) = transition(&mut reports).await;
        assert_eq!((before, rose.transition.unwrap().to), (0, Status::Healthy));
    });
}

#[test]
fn a_new_policy_takes_hold_without_a_new_start() {
    run(|| async {
        let origin = Origin::start(OK).await;
        let (mut prober, mut reports) = prober();
        let mut slow = spec(Check::Http(http()));
        slow.policy.interval = Duration::from_hours(1);
        let target = target(&origin.addr, slow.clone());
        prober.apply(vec![target.clone()]);
        reports.recv().await.unwrap();

        // Nothing is due for an hour, until the interval is changed.
        let mut quick = slow;
        quick.policy.interval = Duration::from_millis(5);
        prober.apply(vec![Target {
            spec: Arc::new(quick),
            ..target
        }]);
        for _ in 0..3 {
            assert!(reports.recv().await.unwrap().transition.is_none());
        }
        assert_eq!(prober.len(), 1);
    });
}

#[test]
fn who_is_gone_is_left_alone() {
    run(|| async {
        let (kept, gone) = (Origin::start(OK).await, Origin::start(Answer::Hang).await);
        let (mut prober, mut reports) = prober();
        let stays = target(&kept.addr, spec(Check::Http(http())));
        let goes = target(&gone.addr, spec(Check::Http(http())));
        prober.apply(vec![stays.clone(), goes, stays.clone()]);
        assert_eq!(prober.len(), 2, "one target stood there twice");
        while gone.open.get() == 0 {
            reports.recv().await.unwrap();
        }

        prober.apply(vec![stays]);
        assert_eq!(prober.len(), 1);
        while gone.open.get() > 0 {
            reports.recv().await.unwrap();
        }
        drop(prober);
        while reports.recv().await.is_some() {}
    });
}

#[test]
fn probes_are_counted() {
    run(|| async {
        let origin = Origin::start(BROKEN).await;
        let hub = Hub::new(1);
        let (sender, mut reports) = mpsc::channel(1024);
        let mut prober = Prober::new(Arc::clone(&hub)).observed(move |report| {
            sender.try_send(report.transition.is_some()).unwrap();
        });
        prober.apply(vec![target(&origin.addr, spec(Check::Http(http())))]);
        assert_eq!(reports.recv().await, Some(true), "the first one decides");
        prober.apply(Vec::new());
        let text = String::from_utf8(hub.render()).unwrap();
        let line = |metric: &Metric, labels: &str| format!("{}{{{labels}}} 1\n", metric.name);
        let checks = line(&names::HEALTH_CHECKS, r#"cluster="api",result="fail""#);
        assert!(text.contains(&checks), "{text}");
        let labels = r#"cluster="api",to="unhealthy",cause="active""#;
        let transitions = line(&names::HEALTH_TRANSITIONS, labels);
        assert!(text.contains(&transitions), "{text}");
    });
}
