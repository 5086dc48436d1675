//! The interface, asked over its socket.

mod access;
mod endpoints;
mod reload;
mod status;

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
