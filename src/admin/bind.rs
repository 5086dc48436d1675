//! The interface's own socket.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;

use crate::base::ListenAddr;
use crate::net::bind::{Group, Opened, Transport};
use crate::net::unix::{Access, SocketFile, Unplaced};

/// A listening socket, bound and not yet served. Dropping it removes a unix socket's file.
#[derive(Debug)]
pub struct Bound(pub(super) Socket);

#[derive(Debug)]
pub(super) enum Socket {
    Inet(std::net::TcpListener, SocketAddr),
    Unix(UnixListener, SocketFile),
}

impl Bound {
    /// Binds and listens. This is what can fail, so it comes before anything takes effect.
    pub fn bind(bind: &ListenAddr) -> io::Result<Self> {
        Ok(Self(match bind {
            ListenAddr::Inet(addr) => {
                let group = Group::bind(*addr, Transport::Tcp, 1)?;
                let addr = group.addr;
                let Some(Opened::Tcp(listener)) = group.listen()?.into_iter().next() else {
                    return Err(io::ErrorKind::AddrNotAvailable.into());
                };
                listener.set_nonblocking(true)?;
                Socket::Inet(listener, addr)
            }
            ListenAddr::Unix(path) => {
                let (listener, file) = Unplaced::bind(path, Access::OWN)?.place()?;
                Socket::Unix(listener, file)
            }
        }))
    }

    /// Where it listens, with the real port where 0 was asked for.
    pub fn addr(&self) -> ListenAddr {
        match &self.0 {
            Socket::Inet(_, addr) => ListenAddr::Inet(*addr),
            Socket::Unix(_, file) => ListenAddr::Unix(file.path().to_path_buf()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_its_owners_alone_and_knows_where_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("tg-admin-{}-own", std::process::id()));
        let addr = ListenAddr::Unix(path.clone());
        let bound = Bound::bind(&addr).unwrap();
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(bound.addr(), addr);
        drop(bound);
        assert!(!path.exists());
    }
}
