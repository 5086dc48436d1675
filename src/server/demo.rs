//! `tidegate demo`: three small origins in this process, and the configuration of a proxy in front
//! of them.
//!
//! The origins run on a thread of their own, so that the proxy's workers are as they always are.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::task;

/// What the demo runs, with everything on the ports of first choice.
pub const CONFIG: &str = include_str!("../../config/demo.toml");

/// What to try, with everything on the ports of first choice.
pub const WHAT_TO_TRY: &str = include_str!("what_to_try.txt");

const NAMES: [&str; 3] = ["one", "two", "three"];
const FIRST_PORT: u16 = 9001;

/// Where the demo's proxy listens, on 127.0.0.1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ports {
    /// The proxy.
    pub proxy: u16,
    /// Its admin interface.
    pub admin: u16,
}

impl Ports {
    /// The ports of first choice: those of [`CONFIG`].
    pub const FIRST: Self = Self {
        proxy: 8080,
        admin: 9901,
    };
}

/// Where the origins listen.
#[derive(Debug)]
pub struct Origins {
    addrs: Vec<SocketAddr>,
}

/// Starts the three origins. They end with the process.
pub fn start_origins() -> io::Result<Origins> {
    let mut listeners = Vec::new();
    for port in (FIRST_PORT..).take(NAMES.len()) {
        let listener = bind(port)?;
        listener.set_nonblocking(true)?;
        listeners.push(listener);
    }
    let addrs = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<io::Result<_>>()?;
    thread::Builder::new()
        .name("origins".to_owned())
        .spawn(move || {
            if let Err(error) = run(listeners) {
                tracing::error!(%error, "the demo's origins ended");
            }
        })?;
    Ok(Origins { addrs })
}

impl Origins {
    /// The demo's configuration, for these ports and those that the origins really have.
    pub fn config(&self, ports: Ports) -> String {
        self.on_real_ports(ports, CONFIG)
    }

    /// What to try, for these ports and those that the origins really have.
    pub fn what_to_try(&self, ports: Ports) -> String {
        self.on_real_ports(ports, WHAT_TO_TRY)
    }

    /// One line for each origin that did not get the port it asks for first.
    pub fn moved(&self) -> Vec<String> {
        (FIRST_PORT..)
            .zip(&self.addrs)
            .filter(|(wanted, addr)| *wanted != addr.port())
            .map(|(wanted, addr)| {
                format!("port {wanted} is taken: that origin listens on {addr} instead")
            })
            .collect()
    }

    fn on_real_ports(&self, ports: Ports, text: &str) -> String {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let moves: Vec<(SocketAddr, SocketAddr)> = (FIRST_PORT..)
            .map(local)
            .zip(self.addrs.iter().copied())
            .chain([
                (local(Ports::FIRST.proxy), local(ports.proxy)),
                (local(Ports::FIRST.admin), local(ports.admin)),
            ])
            .collect();
        // Two steps, so that a port which happens to be another's first choice is not replaced again.
        let marked = moves
            .iter()
            .enumerate()
            .fold(text.to_owned(), |text, (index, (first, _))| {
                text.replace(&first.to_string(), &format!("\0{index}\0"))
            });
        moves
            .iter()
            .enumerate()
            .fold(marked, |text, (index, (_, real))| {
                text.replace(&format!("\0{index}\0"), &real.to_string())
            })
    }
}

/// Binds the port, or any free one when it is taken.
fn bind(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        }
        bound => bound,
    }
}

/// What an origin does with work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Up,
    Down,
}

struct Origin {
    name: &'static str,
    mood: Cell<Mood>,
}

fn run(listeners: Vec<TcpListener>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async move {
        for (name, listener) in NAMES.into_iter().zip(listeners) {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let mood = Cell::new(Mood::Up);
            task::spawn(
                "demo origin",
                accept(Rc::new(Origin { name, mood }), listener),
            );
        }
        std::future::pending::<io::Result<()>>().await
    })
}

async fn accept(origin: Rc<Origin>, listener: tokio::net::TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let origin = Rc::clone(&origin);
        task::spawn("demo origin connection", async move {
            let service = service_fn(|request| {
                let origin = Rc::clone(&origin);
                async move { Ok::<_, Infallible>(origin.answer(request).await) }
            });
            // How a client ends its connection is of no interest here.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Origin {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let name = self.name;
        match (&head.method, head.uri.path()) {
            (&Method::POST, "/_demo/down") => {
                self.mood.set(Mood::Down);
                self.reply(StatusCode::OK, format!("origin {name} is down\n"))
            }
            (&Method::POST, "/_demo/up") => {
                self.mood.set(Mood::Up);
                self.reply(StatusCode::OK, format!("origin {name} is up\n"))
            }
            _ if self.mood.get() == Mood::Down => self.reply(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("origin {name} is down\n"),
            ),
            (_, "/healthz") => self.reply(StatusCode::OK, "ok\n".to_owned()),
            (_, "/echo") => {
                let length = body.collect().await.map_or(0, |body| body.to_bytes().len());
                let mut text = format!("{} {} at origin {name}\n", head.method, head.uri);
                for (field, value) in &head.headers {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    let _ = writeln!(text, "{field}: {value}");
                }
                let _ = writeln!(text, "body: {length} bytes");
                self.reply(StatusCode::OK, text)
            }
            _ => self.reply(StatusCode::OK, format!("hello from origin {name}\n")),
        }
    }

    fn reply(&self, status: StatusCode, text: String) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(
            hyper::header::CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        fields.insert(
            "x-origin",
            hyper::header::HeaderValue::from_static(self.name),
        );
        response
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    fn ask(addr: SocketAddr, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(addr).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn an_origin_taken_down_fails_probes_and_work_until_it_is_up_again() {
        let origins = start_origins().unwrap();
        let addr = origins.addrs[1];
        assert!(ask(addr, "GET", "/").ends_with("hello from origin two\n"));
        assert!(ask(addr, "GET", "/healthz").starts_with("HTTP/1.1 200"));
        ask(addr, "POST", "/_demo/down");
        assert!(ask(addr, "GET", "/healthz").starts_with("HTTP/1.1 503"));
        assert!(ask(addr, "GET", "/").starts_with("HTTP/1.1 503"));
        assert!(ask(origins.addrs[0], "GET", "/").starts_with("HTTP/1.1 200"));
        ask(addr, "POST", "/_demo/up");
        assert!(ask(addr, "GET", "/").starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn a_taken_port_is_replaced_everywhere_and_told() {
        let origins = Origins {
            addrs: vec![
                "127.0.0.1:9002".parse().unwrap(),
                "127.0.0.1:9003".parse().unwrap(),
                "127.0.0.1:45000".parse().unwrap(),
            ],
        };
        let ports = Ports {
            proxy: 9001,
            admin: 18081,
        };
        let config = origins.config(ports);
        let endpoints = config.split("endpoints").nth(1).unwrap();
        let found: Vec<usize> = ["127.0.0.1:9002", "127.0.0.1:9003", "127.0.0.1:45000"]
            .map(|addr| endpoints.find(addr).unwrap())
            .into();
        assert!(found.is_sorted() && !endpoints.contains("9001"));
        assert!(config.contains("bind = [\"127.0.0.1:9001\"]"));
        assert!(config.contains("bind = \"127.0.0.1:18081\""));
        let tries = origins.what_to_try(ports);
        assert!(
            tries.contains("127.0.0.1:9002/_demo/down") && tries.contains("127.0.0.1:9001/echo")
        );
        assert!(!tries.contains("8080") && !tries.contains("9901"));
        assert_eq!(origins.moved().len(), 3);
    }
}
