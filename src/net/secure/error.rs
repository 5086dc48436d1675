//! Why a handshake failed.

use std::fmt;
use std::io::{self, ErrorKind};

/// Why a handshake failed.
#[derive(Debug)]
pub enum HandshakeError {
    /// What the peer sent, or what it did not accept.
    Tls(rustls::Error),
    /// The peer closed the connection.
    Eof,
    /// The connection broke.
    Io(io::Error),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Eof => f.write_str("the peer closed the connection"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HandshakeError {}

/// Whether the peer said what it does not accept. Over TLS 1.3 that may come behind the handshake: a server looks at a client's
/// certificate when the client is done.
pub fn is_alert(error: &io::Error) -> bool {
    let told = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(told, Some(rustls::Error::AlertReceived(_)))
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof {
            return Self::Eof;
        }
        match error.downcast::<rustls::Error>() {
            Ok(error) => Self::Tls(error),
            Err(error) => Self::Io(error),
        }
    }
}
