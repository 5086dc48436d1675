//! Connecting.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use rustls::CommonState;
use tokio::net::{TcpStream, UdpSocket, UnixStream};

use super::{ConnectSpec, Protocol};
use crate::base::{Detail, EndpointAddr, Error, Reason};
use crate::net::accept::is_exhaustion;
use crate::net::preface::Version;
use crate::net::{HandshakeError, NoSource, Stream, files, socket};
use crate::tls::{self, TlsSpec};

/// Connects to what `spec` says for ourselves, and sends this header of the PROXY protocol first (empty: none), before TLS. The
/// deadline is the caller's: dropping the future gives up.
pub async fn connect(spec: &ConnectSpec, preface: &[u8]) -> Result<Stream, Error> {
    made(spec, None, preface).await
}

/// The same for this client, from whose address it comes where `spec` says so.
pub async fn connect_for(
    spec: &ConnectSpec,
    client: SocketAddr,
    preface: &[u8],
) -> Result<Stream, Error> {
    made(spec, Some(client), preface).await
}

async fn made(
    spec: &ConnectSpec,
    client: Option<SocketAddr>,
    preface: &[u8],
) -> Result<Stream, Error> {
    let stream = open(spec, client).await?;
    let mut rest = preface;
    while !rest.is_empty() {
        let wrote = poll_fn(|cx| stream.poll_write(cx, rest)).await;
        match wrote {
            Ok(wrote @ 1..) => rest = rest.get(wrote..).unwrap_or_default(),
            Ok(0) => return Err(Error::new(Reason::ConnectRefused, Detail::Reset)),
            Err(error) => return Err(translate(error)),
        }
    }
    if let Some(tls) = &spec.tls {
        secure(spec, tls, &stream).await?;
    }
    Ok(stream)
}

/// Makes the handshake.
async fn secure(spec: &ConnectSpec, tls: &TlsSpec, stream: &Stream) -> Result<(), Error> {
    let session = tls
        .session()
        .map_err(|error| Error::caused(Reason::Internal, Detail::None, error))?;
    stream.secure(session, &[]);
    poll_fn(|cx| stream.poll_handshake(cx))
        .await
        .map_err(|error| failed(spec, error))?;
    if matches!(spec.protocol, Protocol::Http2(_)) && spoken(stream) != Spoken::Http2 {
        return Err(Error::new(Reason::UpstreamTls, Detail::Alpn));
    }
    Ok(())
}

/// What was agreed upon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spoken {
    /// HTTP/2.
    Http2,
    /// Nothing, or something else.
    Other,
}

/// What was agreed upon by ALPN.
pub fn spoken(stream: &Stream) -> Spoken {
    let h2 = |common: &CommonState| common.alpn_protocol() == Some(b"h2");
    match stream.agreed(h2) {
        Some(true) => Spoken::Http2,
        Some(false) | None => Spoken::Other,
    }
}

/// What a failed handshake means; the log has rustls's own words.
fn failed(spec: &ConnectSpec, error: HandshakeError) -> Error {
    let detail = tls::detail(&error);
    tracing::debug!(%error, endpoint = %spec.addr, "TLS handshake with an endpoint failed");
    Error::caused(Reason::UpstreamTls, detail, error)
}

async fn open(spec: &ConnectSpec, client: Option<SocketAddr>) -> Result<Stream, Error> {
    match &spec.addr {
        EndpointAddr::Inet(addr) => {
            let stream = match &spec.socket.source {
                None => TcpStream::connect(addr).await,
                Some(source) => source.connect(*addr, client).await.map_err(sourceless)?,
            };
            let stream = stream.map_err(translate)?;
            if let Err(error) = socket::tune(&stream) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            let stream = Stream::from(stream);
            if !spec.socket.liveness.is_silent() {
                stream.watch_over(&spec.socket.liveness);
            }
            Ok(stream)
        }
        EndpointAddr::Unix(path) => Ok(UnixStream::connect(path).await.map_err(translate)?.into()),
    }
}

/// A socket for datagrams of this client (`None`: of ourselves) to and from the endpoint alone. Its descriptor is none of those
/// that are not for traffic.
pub fn datagrams(spec: &ConnectSpec, client: Option<SocketAddr>) -> Result<UdpSocket, Error> {
    let (EndpointAddr::Inet(addr), None, None | Some(Version::V2)) =
        (&spec.addr, &spec.tls, spec.preface)
    else {
        // Byte streams alone have files, TLS and version 1. No configuration leads here, and one that did would send what is to
        // be encrypted as it is.
        return Err(Error::new(Reason::NoEndpoint, Detail::Incompatible));
    };
    let socket = socket::datagrams(*addr).map_err(translate)?;
    if socket.as_raw_fd() >= files::first_reserved() {
        return Err(Error::new(Reason::Overloaded, Detail::NoFiles));
    }
    if let Some(source) = &spec.socket.source {
        let bound = source.bind(&socket, *addr, client);
        bound.map_err(sourceless)?;
    }
    if let Err(error) = socket.connect(&(*addr).into()) {
        return Err(match error.kind() {
            io::ErrorKind::InvalidInput if spec.socket.is_clients() => sourceless(NoSource(error)),
            // Of datagrams the kernel says so when it has no port (`inet_autobind` of Linux), and not EADDRNOTAVAIL.
            io::ErrorKind::WouldBlock => Error::caused(Reason::Overloaded, Detail::NoPorts, error),
            _ => translate(error),
        });
    }
    UdpSocket::from_std(socket.into()).map_err(translate)
}

/// An address or an interface that is not ours.
fn sourceless(NoSource(error): NoSource) -> Error {
    tracing::debug!(%error, "cannot connect from where the configuration says");
    Error::caused(Reason::Overloaded, Detail::NoSource, error)
}

/// No port (EADDRNOTAVAIL 99) and no descriptor are our own shortage, not the endpoint's failure (E-150).
fn translate(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        return Error::caused(Reason::Overloaded, Detail::NoPorts, error);
    }
    if is_exhaustion(&error) {
        return Error::caused(Reason::Overloaded, Detail::NoFiles, error);
    }
    match error.kind() {
        io::ErrorKind::TimedOut => Error::caused(Reason::ConnectTimeout, Detail::None, error),
        io::ErrorKind::ConnectionReset => {
            Error::caused(Reason::ConnectRefused, Detail::Reset, error)
        }
        _ => Error::caused(Reason::ConnectRefused, Detail::None, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::SocketSpec;

    #[tokio::test]
    async fn datagrams_go_only_where_nothing_is_asked_for_that_they_cannot_have() {
        let spec = |addr: &str, preface| ConnectSpec {
            addr: EndpointAddr::parse(addr).unwrap(),
            protocol: Protocol::Http1,
            preface,
            tls: None,
            socket: SocketSpec::default(),
        };
        for (addr, preface, fits) in [
            ("127.0.0.1:9", None, true),
            ("127.0.0.1:9", Some(Version::V2), true),
            ("127.0.0.1:9", Some(Version::V1), false),
            ("unix:/run/x", None, false),
        ] {
            let refused = datagrams(&spec(addr, preface), None).err();
            let expected = Error::new(Reason::NoEndpoint, Detail::Incompatible);
            let expected = (!fits).then(|| (expected.reason(), expected.detail()));
            assert_eq!(refused.map(|it| (it.reason(), it.detail())), expected);
        }
    }
}
