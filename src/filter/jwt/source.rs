//! Keys at a URL: fetched on a thread of their own before anybody waits for them, and again as they may change. What was good last
//! stays until something else is.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once, PoisonError, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::Builder;
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;

use super::keys::{KeySet, Origin};
use super::wish::{Fetch, Wishes};
use crate::base::EndpointAddr;
use crate::base::clock::{self, Instant};
use crate::config::raw::filter as raw;
use crate::config::raw::tls::ClusterTls;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
use crate::tls::ClientTls;
use crate::upstream::{self, ConnectSpec, Protocol};

const REFRESH: Duration = Duration::from_mins(10);
/// Between two tries after one that failed.
const AGAIN: Duration = Duration::from_secs(10);
/// For one fetch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For a connection to one address: behind a dead one there may be another.
const CONNECT: Duration = Duration::from_secs(1);
const MAX_BODY: usize = 1 << 20;
const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

/// What makes two sources one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::filter) struct Identity {
    url: String,
    authorities: Option<PathBuf>,
}

/// What a configuration says of a source; the source outlives it.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    tls: Option<Arc<ClientTls>>,
    refresh: Duration,
}

/// Keys at a URL.
#[derive(Debug)]
pub struct Source {
    /// Where they are.
    pub url: String,
    host: String,
    port: u16,
    authority: HeaderValue,
    path: String,
    terms: RwLock<Terms>,
    begun: Once,
    wake: Arc<Notify>,
    keys: RwLock<Option<Arc<KeySet>>>,
    /// The id of these keys: a token that is remembered needs no more than that.
    set: AtomicU64,
    /// The stamp of the last good fetch.
    good: AtomicU64,
    wishes: Wishes,
    fetched: [AtomicU64; 2],
}

impl Source {
    /// Reads `keys_url` and what stands beside it.
    pub(super) fn compile(
        raw: &raw::Jwt,
        url: &Spanned<String>,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Identity, Self, Terms)> {
        let refresh = raw.keys_refresh.map_or(REFRESH, |refresh| refresh.get());
        if let Some(raw) = raw.keys_refresh.filter(|refresh| refresh.is_zero()) {
            let message = "`keys_refresh` must be longer than 0s";
            diagnostics.push(Diagnostic::error(Code::BadValue, raw.span, message));
            return None;
        }
        let Some(parts) = parts(url) else {
            let message = format!("`{}` is not a URL of keys", url.escape_debug());
            let diagnostic = Diagnostic::error(Code::BadValue, url.span, message);
            diagnostics.push(diagnostic.hint("write `https://host/path`"));
            return None;
        };
        if let (Some(ca), Scheme::Http) = (&raw.keys_ca, parts.scheme) {
            let message = "`keys_ca` stands beside a URL without TLS";
            diagnostics.push(Diagnostic::error(Code::Conflict, ca.span, message));
            return None;
        }
        let tls = match parts.scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let wanted = ClusterTls {
                    ca: raw.keys_ca.clone(),
                    ..ClusterTls::default()
                };
                let wanted = Spanned::new(wanted, url.span);
                Some(Arc::new(ClientTls::compile(&wanted, diagnostics)?))
            }
        };
        let identity = Identity {
            url: url.value.clone(),
            authorities: raw.keys_ca.as_ref().map(|path| path.to_path_buf()),
        };
        let terms = Terms { tls, refresh };
        let source = Self {
            url: url.value.clone(),
            host: parts.host,
            port: parts.port,
            authority: parts.authority,
            path: parts.path,
            terms: RwLock::new(terms.clone()),
            begun: Once::new(),
            wake: Arc::default(),
            keys: RwLock::default(),
            set: AtomicU64::new(0),
            good: AtomicU64::new(0),
            wishes: Wishes::default(),
            fetched: Default::default(),
        };
        Some((identity, source, terms))
    }

    /// The keys that are known; `None`: none so far.
    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.clone()
    }

    /// Their id; 0: there are none so far.
    pub(super) fn set(&self) -> u64 {
        self.set.load(Ordering::Acquire)
    }

    /// Takes on what the configuration in effect says; the keys that are known stay.
    pub(super) fn tune(&self, terms: &Terms) {
        let mut now = self.terms.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *now, terms.clone());
        if before.refresh != terms.refresh && self.begun.is_completed() {
            self.wake.notify_one();
        }
    }

    fn terms(&self) -> Terms {
        let terms = self.terms.read().unwrap_or_else(PoisonError::into_inner);
        terms.clone()
    }

    /// A token names a key that is not known: it may be new. What is to be waited for before that is said of it, if anything is.
    pub(super) fn miss(&self, now: Instant) -> Option<Fetch> {
        self.wishes.wish(now, &self.wake)
    }

    /// How many fetches brought keys, and how many did not.
    pub fn fetches(&self) -> [(&'static str, u64); 2] {
        let [ok, error] = &self.fetched;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("ok", count(ok)), ("error", count(error))]
    }

    /// How long ago keys came; `None`: never.
    pub fn age(&self) -> Option<Duration> {
        match self.good.load(Ordering::Relaxed) {
            0 => None,
            good => {
                let now = clock::stamp(clock::now());
                Some(Duration::from_nanos(now.saturating_sub(good)))
            }
        }
    }

    /// Begins to fetch. A configuration that is only looked at fetches nothing.
    pub(super) fn start(self: &Arc<Self>) {
        self.begun.call_once(|| {
            let (source, wake) = (Arc::downgrade(self), Arc::clone(&self.wake));
            let runtime = || {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build_local(tokio::runtime::LocalOptions::default())
            };
            let thread = std::thread::Builder::new().name("keys".to_owned());
            let started = thread.spawn(move || match runtime() {
                Ok(runtime) => runtime.block_on(keep(&source, &wake)),
                Err(error) => tracing::error!(%error, "cannot build the runtime that fetches keys"),
            });
            if let Err(error) = started {
                tracing::error!(%error, "cannot start the thread that fetches keys");
            }
        });
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let tls = self.terms().tls;
        let told = |error: io::Error| format!("`{}`: {error}", self.host);
        let found = tokio::net::lookup_host((&*self.host, self.port));
        let mut failed = format!("`{}` has no address", self.host);
        for addr in found.await.map_err(told)? {
            let spec = ConnectSpec {
                addr: EndpointAddr::Inet(addr),
                protocol: Protocol::Http1,
                preface: None,
                tls: match &tls {
                    None => None,
                    Some(tls) => Some(tls.towards(Some(&self.host)).ok_or("no name to verify")?),
                },
                socket: upstream::SocketSpec::default(),
            };
            let connected = tokio::time::timeout(CONNECT, upstream::connect(&spec, &[]));
            match connected.await {
                Ok(Ok(stream)) => return self.ask(stream).await,
                Err(_) => failed = format!("{addr}: no connection in time"),
                Ok(Err(error)) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    failed = format!("{addr}: {}", cause.unwrap_or_else(|| error.to_string()));
                }
            }
        }
        Err(failed)
    }

    async fn ask(&self, stream: crate::net::Stream) -> Result<KeySet, String> {
        let told = |error: hyper::Error| error.to_string();
        let (mut sender, connection) = Builder::new()
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(told)?;
        let mut request = hyper::Request::new(Empty::new());
        *request.uri_mut() = self.path.parse().map_err(|_| "not a path".to_owned())?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.authority.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let answer = async {
            let response = sender.send_request(request).await.map_err(told)?;
            if response.status() != hyper::StatusCode::OK {
                return Err(format!("status {}", response.status().as_u16()));
            }
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            let body = body.map_err(|error| error.to_string())?;
            KeySet::parse(&body.to_bytes(), Origin::Network)
        };
        let mut connection = std::pin::pin!(connection);
        let mut over = false;
        let mut answer = std::pin::pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                _ = &mut connection, if !over => over = true,
            }
        }
    }

    /// From now on these are the keys. Those that are known already stay, and with them the tokens that they found sound.
    fn take(&self, keys: KeySet) {
        let mut now = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if now.as_ref().is_some_and(|now| now.says_the_same(&keys)) {
            return;
        }
        let id = keys.id();
        *now = Some(Arc::new(keys));
        self.set.store(id, Ordering::Release);
    }

    fn took(&self, fetched: Result<KeySet, String>) -> Duration {
        let [ok, error] = &self.fetched;
        let last = ok.load(Ordering::Relaxed) + error.load(Ordering::Relaxed);
        match fetched {
            Ok(keys) => {
                if self
                    .good
                    .swap(clock::stamp(clock::now()), Ordering::Relaxed)
                    == 0
                {
                    tracing::info!(url = self.url, "keys of tokens were fetched");
                }
                self.take(keys);
                ok.fetch_add(1, Ordering::Relaxed);
                self.terms().refresh
            }
            Err(why) => {
                tracing::warn!(
                    url = self.url,
                    why,
                    tries = last + 1,
                    "keys of tokens cannot be fetched"
                );
                error.fetch_add(1, Ordering::Relaxed);
                AGAIN.min(self.terms().refresh)
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// Fetches until nobody wants the keys any more.
async fn keep(source: &Weak<Source>, wake: &Notify) {
    while let Some(alive) = source.upgrade() {
        let number = alive.wishes.begin();
        let fetched = tokio::time::timeout(TIMEOUT, alive.fetch()).await;
        let fetched = fetched.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let pause = alive.took(fetched);
        alive.wishes.over(number);
        drop(alive);
        let _ = tokio::time::timeout(pause, wake.notified()).await;
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scheme {
    Http,
    Https,
}

struct Parts {
    scheme: Scheme,
    host: String,
    port: u16,
    authority: HeaderValue,
    path: String,
}

fn parts(url: &str) -> Option<Parts> {
    let uri: http::Uri = url.parse().ok()?;
    let (scheme, port) = match uri.scheme_str()? {
        "https" => (Scheme::Https, 443),
        "http" => (Scheme::Http, 80),
        _ => return None,
    };
    let authority = uri.authority()?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    let host = authority.host();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    Some(Parts {
        scheme,
        host: bare.unwrap_or(host).to_owned(),
        port: authority.port_u16().unwrap_or(port),
        authority: HeaderValue::from_str(authority.as_str()).ok()?,
        path: uri.path_and_query()?.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_known_stay() {
        let raw = raw::Jwt::default();
        let url = Spanned::nowhere("http://keys.test/set".to_owned());
        let (_, source, _) = Source::compile(&raw, &url, &mut Diagnostics::default()).unwrap();
        let set = |id: &str| {
            let x = "11qYAyxzK1TJ3uyJrdNCkP3PTYGXRB_XBQQBVBVGlVM";
            let text =
                format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{id}","x":"{x}"}}]}}"#);
            KeySet::parse(text.as_bytes(), Origin::Network)
        };
        assert_eq!(source.set(), 0);
        source.took(set("a"));
        let first = source.set();
        source.took(set("a"));
        source.took(Err("not there".to_owned()));
        assert_eq!(
            (source.set(), source.fetches()),
            (first, [("ok", 2), ("error", 1)])
        );
        assert_eq!(source.keys().map(|keys| keys.id()), Some(first));
        source.took(set("b"));
        assert!(source.set() > first, "they are others");
    }
}
