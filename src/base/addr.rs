//! Where an endpoint is, where is listened, and who is at the other end: an IP address and a port, or a unix socket.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// One address in a cluster.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum EndpointAddr {
    /// IP address and port, 1-65535.
    Inet(SocketAddr),
    /// Absolute path of a unix stream socket, written `unix:/path`.
    Unix(PathBuf),
}

/// Longest path of a unix socket: `sun_path` has 108 bytes with the closing NUL (unix(7)).
pub const MAX_UNIX_PATH: usize = 107;

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddrError {
    /// Neither `IP:port` nor `unix:/path`.
    Shape,
    /// Port 0 cannot be connected to.
    PortZero,
    /// The path after `unix:` is not absolute.
    RelativePath,
    /// The path is longer than the kernel takes.
    PathTooLong,
    /// No file can have this path.
    NoFile,
}

impl fmt::Display for AddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "expected `IP:port`, `[IPv6]:port` or `unix:/path`",
            Self::PortZero => "port 0 cannot be connected to",
            Self::RelativePath => "the path after `unix:` must be absolute",
            Self::PathTooLong => "the path of a unix socket has at most 107 bytes",
            Self::NoFile => "no file can have this path",
        })
    }
}

impl std::error::Error for AddrError {}

impl EndpointAddr {
    /// Parses `IP:port`, `[IPv6]:port` or `unix:/path`.
    pub fn parse(text: &str) -> Result<Self, AddrError> {
        match ListenAddr::parse(text)? {
            ListenAddr::Inet(addr) if addr.port() == 0 => Err(AddrError::PortZero),
            ListenAddr::Inet(addr) => Ok(Self::Inet(addr)),
            ListenAddr::Unix(path) => Ok(Self::Unix(path)),
        }
    }
}

impl fmt::Display for EndpointAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => addr.fmt(f),
            Self::Unix(path) => write_unix(path, f),
        }
    }
}

fn write_unix(path: &Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "unix:{}", path.display())
}

/// Where is listened.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ListenAddr {
    /// An IP address. Port 0: the kernel chooses.
    Inet(SocketAddr),
    /// A unix stream socket, by the absolute path of its file.
    Unix(PathBuf),
}

impl ListenAddr {
    /// Parses `IP:port`, `[IPv6]:port` or `unix:/path`.
    pub fn parse(text: &str) -> Result<Self, AddrError> {
        let Some(path) = text.strip_prefix("unix:") else {
            let addr = text.parse().map_err(|_| AddrError::Shape)?;
            return Ok(Self::Inet(addr));
        };
        if !path.starts_with('/') {
            return Err(AddrError::RelativePath);
        }
        if path.len() > MAX_UNIX_PATH {
            return Err(AddrError::PathTooLong);
        }
        if Path::new(path).file_name().is_none() || path.contains('\0') {
            return Err(AddrError::NoFile);
        }
        Ok(Self::Unix(PathBuf::from(path)))
    }

    /// Its port; none of a unix socket.
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(addr) => Some(addr.port()),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => addr.fmt(f),
            Self::Unix(path) => write_unix(path, f),
        }
    }
}

/// Who is at the other end of a client's connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peer {
    /// An IP address and a port.
    Inet(SocketAddr),
    /// A process of this machine, over a unix socket.
    Unix,
}

impl Peer {
    /// Whom trust and limits are about. Who comes over a unix socket is on this machine, as who comes from loopback.
    pub const fn addr(self) -> SocketAddr {
        match self {
            Self::Inet(addr) => addr,
            Self::Unix => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(addr: SocketAddr) -> Self {
        Self::Inet(addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_prints() {
        for text in ["127.0.0.1:9001", "[::1]:9001", "unix:/run/app.sock"] {
            assert_eq!(EndpointAddr::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_with_a_cause() {
        assert_eq!(EndpointAddr::parse("localhost"), Err(AddrError::Shape));
        assert_eq!(EndpointAddr::parse("127.0.0.1:0"), Err(AddrError::PortZero));
        assert_eq!(
            EndpointAddr::parse("127.0.0.1:99999"),
            Err(AddrError::Shape)
        );
        assert_eq!(
            EndpointAddr::parse("unix:run/app"),
            Err(AddrError::RelativePath)
        );
        let long = format!("unix:/{}", "x".repeat(120));
        assert_eq!(EndpointAddr::parse(&long), Err(AddrError::PathTooLong));
    }
}
