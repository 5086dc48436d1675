//! An origin that speaks HTTP/2 alone, by the `h2` crate, and records what reached it.

use super::{Gate, eventually};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::task::{LocalSet, spawn_local};

/// What reached it.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    pub method: String,
    pub scheme: String,
    pub authority: String,
    pub path: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Of a CONNECT.
    pub protocol: Option<String>,
}

impl Arrived {
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(n, _)| n == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub fn one(&self, name: &str) -> Option<&str> {
        match self.all(name)[..] {
            [] => None,
            [one] => Some(one),
            _ => panic!("{name} stands there more than once: {self:?}"),
        }
    }
}

/// One step of an answer.
#[derive(Clone)]
pub enum Act {
    Interim(u16, Vec<(String, String)>),
    Head(u16, Vec<(String, String)>),
    Data(Vec<u8>),
    Trailers(Vec<(String, String)>),
    Reset(Reason),
    Wait(Gate),
    /// Sends back each piece of the body as it comes, then these trailers.
    Echo(Vec<(String, String)>),
    /// Ends the stream by the head itself; without it by an empty frame, where no other step does.
    Bare,
}

pub fn fields(of: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    of.iter().map(owned).collect()
}

/// 200 and a body.
pub fn ok(body: impl Into<Vec<u8>>) -> Vec<Act> {
    vec![Act::Head(200, Vec::new()), Act::Data(body.into())]
}

type Respond = dyn Fn(&Arrived) -> Vec<Act> + Send + Sync;

#[derive(Default)]
struct Seen {
    arrived: Mutex<Vec<Arrived>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    resets: AtomicUsize,
    sent: AtomicUsize,
    most: AtomicUsize,
    now: AtomicUsize,
}

/// How it behaves beside its answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// `SETTINGS_MAX_CONCURRENT_STREAMS`.
    pub streams: Option<u32>,
    /// `SETTINGS_ENABLE_CONNECT_PROTOCOL`.
    pub websockets: bool,
    /// After so many requests a connection is closed gracefully.
    pub requests: Option<usize>,
}

pub struct Streams {
    addr: SocketAddr,
    seen: Arc<Seen>,
}

impl Streams {
    pub fn answering(respond: impl Fn(&Arrived) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::with(Manner::default(), respond)
    }

    pub fn with(
        manner: Manner,
        respond: impl Fn(&Arrived) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (shared, respond) = (Arc::clone(&seen), Arc::new(respond) as Arc<Respond>);
        thread::spawn(move || serve(listener, manner, &shared, &respond));
        Self { addr, seen }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn requests(&self) -> Vec<Arrived> {
        let arrived = self.seen.arrived.lock();
        arrived.unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[track_caller]
    pub fn wait(&self, count: usize) -> Arrived {
        eventually("requests at the origin", || {
            let requests = self.requests();
            (requests.len() >= count).then(|| requests[count - 1].clone())
        })
    }

    /// Connections so far, and those that are open.
    pub fn connections(&self) -> (usize, usize) {
        let read = |n: &AtomicUsize| n.load(Ordering::SeqCst);
        (read(&self.seen.connections), read(&self.seen.open))
    }

    /// Streams that were reset by the other side.
    pub fn resets(&self) -> usize {
        self.seen.resets.load(Ordering::SeqCst)
    }

    /// Bytes of bodies that the other side's windows let through.
    pub fn sent(&self) -> usize {
        self.seen.sent.load(Ordering::SeqCst)
    }

    /// Most streams of one time.
    pub fn most(&self) -> usize {
        self.seen.most.load(Ordering::SeqCst)
    }
}

fn serve(
    listener: std::net::TcpListener,
    manner: Manner,
    seen: &Arc<Seen>,
    respond: &Arc<Respond>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let local = LocalSet::new();
    let (seen, respond) = (Arc::clone(seen), Arc::clone(respond));
    local.block_on(&runtime, async move {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            let (seen, respond) = (Arc::clone(&seen), Arc::clone(&respond));
            seen.connections.fetch_add(1, Ordering::SeqCst);
            seen.open.fetch_add(1, Ordering::SeqCst);
            spawn_local(async move {
                connection(stream, manner, &seen, &respond).await;
                seen.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
}

async fn connection(
    stream: tokio::net::TcpStream,
    manner: Manner,
    seen: &Arc<Seen>,
    respond: &Arc<Respond>,
) {
    let mut builder = h2::server::Builder::new();
    if let Some(streams) = manner.streams {
        builder.max_concurrent_streams(streams);
    }
    if manner.websockets {
        builder.enable_connect_protocol();
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let mut served = 0;
    while let Some(Ok((request, send))) = connection.accept().await {
        served += 1;
        if manner.requests == Some(served) {
            connection.graceful_shutdown();
        }
        let (seen, respond) = (Arc::clone(seen), Arc::clone(respond));
        let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(now, Ordering::SeqCst);
        spawn_local(async move {
            if answer(request, send, &seen, &respond).await.is_err() {
                seen.resets.fetch_add(1, Ordering::SeqCst);
            }
            seen.now.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), value)
    };
    headers.iter().map(pair).collect()
}

fn map(pairs: &[(String, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn head(status: u16, fields: &[(String, String)]) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status.try_into().unwrap();
    *response.headers_mut() = map(fields);
    response
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    seen: &Arc<Seen>,
    plan: &Arc<Respond>,
) -> Result<(), h2::Error> {
    let (parts, mut body) = request.into_parts();
    let mut arrived = Arrived {
        method: parts.method.to_string(),
        scheme: parts.uri.scheme_str().unwrap_or_default().to_owned(),
        authority: parts
            .uri
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default(),
        path: parts
            .uri
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default(),
        fields: pairs(&parts.headers),
        protocol: parts
            .extensions
            .get::<h2::ext::Protocol>()
            .map(|protocol| protocol.as_str().to_owned()),
        ..Arrived::default()
    };
    let mut acts = plan(&arrived);
    let early = acts.iter().any(|act| matches!(act, Act::Echo(_)));
    if !early {
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            arrived.body.extend_from_slice(&piece);
        }
        arrived.trailers = body
            .trailers()
            .await?
            .as_ref()
            .map(pairs)
            .unwrap_or_default();
        acts = plan(&arrived);
    }
    let push = |arrived: &Arrived| {
        let mut all = seen.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(arrived.clone());
    };
    push(&arrived);
    let mut send: Option<SendStream<Bytes>> = None;
    let bare = acts.iter().any(|act| matches!(act, Act::Bare));
    let mut open = true;
    for act in acts {
        match act {
            Act::Bare => {}
            Act::Interim(status, fields) => respond.send_informational(head(status, &fields))?,
            Act::Head(status, fields) => {
                send = Some(respond.send_response(head(status, &fields), bare)?);
                open = !bare;
            }
            Act::Data(data) => give(send.as_mut().unwrap(), data.into(), seen).await?,
            Act::Trailers(fields) => {
                send.as_mut().unwrap().send_trailers(map(&fields))?;
                open = false;
            }
            Act::Reset(reason) => {
                respond.send_reset(reason);
                return Ok(());
            }
            Act::Wait(gate) => {
                let passed = tokio::task::spawn_blocking(move || gate.pass());
                if let Some(send) = &mut send {
                    tokio::select! {
                        _ = passed => {}
                        reason = std::future::poll_fn(|cx| send.poll_reset(cx)) => {
                            return Err(reason?.into());
                        }
                    }
                } else {
                    tokio::select! {
                        _ = passed => {}
                        reason = std::future::poll_fn(|cx| respond.poll_reset(cx)) => {
                            return Err(reason?.into());
                        }
                    }
                }
            }
            Act::Echo(trailers) => {
                let send = send.as_mut().unwrap();
                while let Some(piece) = body.data().await {
                    let piece = piece?;
                    body.flow_control().release_capacity(piece.len())?;
                    give(send, piece, seen).await?;
                }
                arrived.trailers = body
                    .trailers()
                    .await?
                    .as_ref()
                    .map(pairs)
                    .unwrap_or_default();
                push(&arrived);
                if !trailers.is_empty() {
                    send.send_trailers(map(&trailers))?;
                    open = false;
                }
            }
        }
    }
    if open && let Some(send) = &mut send {
        send.send_data(Bytes::new(), true)?;
    }
    Ok(())
}

async fn give(
    send: &mut SendStream<Bytes>,
    mut data: Bytes,
    seen: &Arc<Seen>,
) -> Result<(), h2::Error> {
    while !data.is_empty() {
        send.reserve_capacity(data.len());
        while send.capacity() == 0 {
            match std::future::poll_fn(|cx| send.poll_capacity(cx)).await {
                Some(capacity) => drop(capacity?),
                None => return Err(Reason::CANCEL.into()),
            }
        }
        let run = send.capacity().min(data.len());
        seen.sent.fetch_add(run, Ordering::SeqCst);
        send.send_data(data.split_to(run), false)?;
    }
    Ok(())
}
