//! Connecting.

use std::future::poll_fn;
use std::io;

use tokio::net::{TcpStream, UnixStream};

use super::ConnectSpec;
use crate::base::{Detail, EndpointAddr, Error, Reason};
use crate::net::accept::is_exhaustion;
use crate::net::{Stream, socket};

/// Connects to what `spec` says, and sends this header of the PROXY protocol first (empty: none). The deadline is the
/// caller's: dropping the future gives up.
pub async fn connect(spec: &ConnectSpec, preface: &[u8]) -> Result<Stream, Error> {
    let stream = open(spec).await?;
    let mut rest = preface;
    while !rest.is_empty() {
        let wrote = poll_fn(|cx| stream.poll_write(cx, rest)).await;
        match wrote {
            Ok(wrote @ 1..) => rest = rest.get(wrote..).unwrap_or_default(),
            Ok(0) => return Err(Error::new(Reason::ConnectRefused, Detail::Reset)),
            Err(error) => return Err(translate(error)),
        }
    }
    Ok(stream)
}

async fn open(spec: &ConnectSpec) -> Result<Stream, Error> {
    match &spec.addr {
        EndpointAddr::Inet(addr) => {
            let stream = TcpStream::connect(addr).await.map_err(translate)?;
            if let Err(error) = socket::tune(&stream) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            Ok(stream.into())
        }
        EndpointAddr::Unix(path) => Ok(UnixStream::connect(path).await.map_err(translate)?.into()),
    }
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
