//! Connecting.

use std::io;

use tokio::net::{TcpStream, UnixStream};

use super::ConnectSpec;
use crate::base::{Detail, EndpointAddr, Error, Reason};
use crate::net::accept::is_exhaustion;
use crate::net::{Stream, socket};

/// Connects to what `spec` says. The deadline is the caller's: dropping the future gives up.
pub async fn connect(spec: &ConnectSpec) -> Result<Stream, Error> {
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
