//! Connections: accepted up to a cap, one request each, every wait bounded.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use crate::net::unix::SocketFile;
use crate::task;

use super::bind::{Bound, Socket};
use super::guard::Guard;

/// How much the interface gives to its clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time; more wait in the kernel's queue.
    pub(super) connections: usize,
    /// For a complete head.
    pub(super) head: Duration,
    /// For an answer.
    pub(super) request: Duration,
    /// For a whole connection: head, answer, and the client's reading of it.
    pub(super) connection: Duration,
}

impl Limits {
    /// Those of the running process.
    pub(super) const DEFAULT: Self = Self {
        connections: 64,
        head: Duration::from_secs(5),
        request: Duration::from_secs(30),
        connection: Duration::from_secs(45),
    };
}

/// Pause after a failed accept: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` behind `guard`, for as long as the future lives.
pub(super) async fn serve(
    bound: Bound,
    guard: Rules,
    router: Router,
    limits: Limits,
) -> io::Result<Infallible> {
    let listener = Listener::new(bound)?;
    let slots = Arc::new(Semaphore::new(limits.connections));
    let service = Rc::new(Service {
        guard,
        router,
        limits,
    });
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        match listener.accept(slot, &service).await {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(%error, "admin interface cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

enum Listener {
    Inet(TcpListener),
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "held for its drop")] SocketFile,
    ),
}

impl Listener {
    fn new(bound: Bound) -> io::Result<Self> {
        Ok(match bound.0 {
            Socket::Inet(listener, _) => Self::Inet(TcpListener::from_std(listener)?),
            Socket::Unix(listener, file) => Self::Unix(UnixListener::from_std(listener)?, file),
        })
    }

    async fn accept(&self, slot: OwnedSemaphorePermit, service: &Rc<Service>) -> io::Result<()> {
        match self {
            Self::Inet(listener) => {
                let (stream, _) = listener.accept().await?;
                let local = stream.local_addr().ok();
                task::spawn("admin", connection(stream, local, slot, Rc::clone(service)));
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                task::spawn("admin", connection(stream, None, slot, Rc::clone(service)));
            }
        }
        Ok(())
    }
}

/// The guard of the configuration in effect.
pub(super) type Rules = Box<dyn Fn() -> Guard>;

struct Service {
    guard: Rules,
    router: Router,
    limits: Limits,
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    local: Option<SocketAddr>,
    slot: OwnedSemaphorePermit,
    service: Rc<Service>,
) {
    let limits = service.limits;
    let answer = service_fn(move |request| {
        let service = Rc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request, local).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), answer);
    // A client that breaks off, or is too slow, has nobody left to tell.
    if let Ok(Err(error)) = tokio::time::timeout(limits.connection, served).await {
        tracing::debug!(%error, "admin connection");
    }
    drop(slot);
}

impl Service {
    async fn answer(
        &self,
        request: Request<Incoming>,
        local: Option<SocketAddr>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let mut response = if let Err(refusal) = (self.guard)().admit(&parts, local) {
            (refusal.status(), refusal.text()).into_response()
        } else {
            let request = Request::from_parts(parts, Body::new(body));
            let answer = self.router.clone().oneshot(request);
            match tokio::time::timeout(self.limits.request, answer).await {
                Ok(Ok(response)) => response,
                Err(_) => (StatusCode::GATEWAY_TIMEOUT, "no answer in time\n").into_response(),
            }
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
