//! The interface's own socket.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::listener::admin::AdminBind;
use crate::net::bind::{Group, Opened, Transport};

/// A listening socket, bound and not yet served. Dropping it removes a unix socket's file.
#[derive(Debug)]
pub struct Bound(pub(super) Socket);

#[derive(Debug)]
pub(super) enum Socket {
    Inet(std::net::TcpListener, SocketAddr),
    Unix(UnixListener, SocketFile),
}

/// The file of a unix socket, removed at the end while it is still ours.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Bound {
    /// Binds and listens. This is what can fail, so it comes before anything takes effect.
    pub fn bind(bind: &AdminBind) -> io::Result<Self> {
        Ok(Self(match bind {
            AdminBind::Inet(addr) => {
                let group = Group::bind(*addr, Transport::Tcp, 1)?;
                let addr = group.addr;
                let Some(Opened::Tcp(listener)) = group.listen()?.into_iter().next() else {
                    return Err(io::ErrorKind::AddrNotAvailable.into());
                };
                listener.set_nonblocking(true)?;
                Socket::Inet(listener, addr)
            }
            AdminBind::Unix(path) => {
                let (listener, file) = bind_unix(path)?;
                listener.set_nonblocking(true)?;
                Socket::Unix(listener, file)
            }
        }))
    }

    /// Where it listens, with the real port where 0 was asked for.
    pub fn addr(&self) -> AdminBind {
        match &self.0 {
            Socket::Inet(_, addr) => AdminBind::Inet(*addr),
            Socket::Unix(_, file) => AdminBind::Unix(file.path.clone()),
        }
    }
}

/// Binds in a directory that nobody else may enter, narrows the permissions, and moves the socket to its
/// place: there is no moment in which another user could connect.
fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let private = parent.join(format!(".tg{:08x}", fastrand::u32(..)));
    fs::DirBuilder::new().mode(0o700).create(&private)?;
    let bound = bind_private(&private.join("s"), path);
    let _ = fs::remove_file(private.join("s"));
    let _ = fs::remove_dir(&private);
    bound
}

fn bind_private(inside: &Path, path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let listener = UnixListener::bind(inside)?;
    fs::set_permissions(inside, fs::Permissions::from_mode(0o600))?;
    let metadata = fs::symlink_metadata(inside)?;
    fs::rename(inside, path)?;
    let file = SocketFile {
        path: path.to_path_buf(),
        inode: (metadata.dev(), metadata.ino()),
    };
    Ok((listener, file))
}

/// Removes a socket that a dead process left behind; refuses when somebody answers on it, or when the path
/// is something else.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        let message = "the path exists and is not a socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.inode);
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temp(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("tg-admin-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_unix_socket_is_its_owners_alone_and_goes_with_us() {
        let path = temp("own");
        let bound = Bound::bind(&AdminBind::Unix(path.clone())).unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        let second = Bound::bind(&AdminBind::Unix(path.clone())).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bound.addr(), AdminBind::Unix(path.clone()));
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let path = temp("stale");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "nobody listens, yet the file is there");
        drop(Bound::bind(&AdminBind::Unix(path.clone())).unwrap());
        fs::write(&path, "precious").unwrap();
        let refused = Bound::bind(&AdminBind::Unix(path.clone())).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
    }
}
