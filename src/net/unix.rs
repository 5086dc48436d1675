//! Unix sockets that are listened on: a file that nobody may open too early, and that goes with its socket.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User};

use super::socket;

/// Who may connect: mode, owner and group of the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// Id of the owner; `None`: who runs the process.
    pub owner: Option<u32>,
    /// Id of the group; `None`: that of who runs the process.
    pub group: Option<u32>,
}

impl Access {
    /// The owner alone, who runs the process.
    pub const OWN: Self = Self {
        mode: 0o600,
        owner: None,
        group: None,
    };

    /// Gives a file this owner, group and mode, in this order: for no moment may more people open it than in the end.
    pub fn grant(&self, path: &Path) -> io::Result<()> {
        if self.owner.is_some() || self.group.is_some() {
            chown(path, self.owner, self.group)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode))
    }
}

/// The id of a user, by name; `None`: there is no such user.
pub fn user(name: &str) -> Option<u32> {
    let found = User::from_name(name).ok().flatten();
    found.map(|user| user.uid.as_raw())
}

/// The id of a group, by name; `None`: there is no such group.
pub fn group(name: &str) -> Option<u32> {
    let found = Group::from_name(name).ok().flatten();
    found.map(|group| group.gid.as_raw())
}

/// A socket that is bound, and not yet in its place: nobody can connect. Dropping it leaves no trace.
#[derive(Debug)]
pub struct Unplaced {
    socket: socket2::Socket,
    path: PathBuf,
    access: Access,
    /// A directory that nobody else may enter.
    private: PathBuf,
}

impl Unplaced {
    /// Binds. Fails when somebody listens at `path`, or when it is something else than a socket; what a dead process left
    /// behind there is removed.
    pub fn bind(path: &Path, access: Access) -> io::Result<Self> {
        remove_stale(path)?;
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let private = parent.join(format!(".tg{:08x}", fastrand::u32(..)));
        fs::DirBuilder::new().mode(0o700).create(&private)?;
        let unplaced = Self {
            socket: socket::unix_stream()?,
            path: path.to_path_buf(),
            access,
            private,
        };
        let inside = unplaced.inside();
        unplaced.socket.bind(&socket2::SockAddr::unix(&inside)?)?;
        unplaced.access.grant(&inside)?;
        Ok(unplaced)
    }

    /// Listens, and moves the socket to its place: there is no moment in which another user could connect.
    pub fn place(self) -> io::Result<(UnixListener, SocketFile)> {
        let inside = self.inside();
        self.socket.listen(socket::BACKLOG)?;
        let metadata = fs::symlink_metadata(&inside)?;
        fs::rename(&inside, &self.path)?;
        let file = SocketFile {
            path: self.path.clone(),
            inode: (metadata.dev(), metadata.ino()),
        };
        Ok((self.socket.try_clone()?.into(), file))
    }

    fn inside(&self) -> PathBuf {
        self.private.join("s")
    }
}

impl Drop for Unplaced {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.inside());
        let _ = fs::remove_dir(&self.private);
    }
}

/// The file of a socket that is listened on, removed at the end while it is still ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, so that nobody connects any more. A second time does nothing.
    pub fn remove(&self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.inode);
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn temp(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("tg-unix-{}-{name}", std::process::id()))
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_socket_is_whose_it_should_be_and_goes_with_us() {
        let path = temp("own");
        let unplaced = Unplaced::bind(&path, Access::OWN).unwrap();
        assert!(!path.exists(), "not before it listens");
        let private = unplaced.private.clone();
        assert_eq!(mode(&private), 0o700);
        let (listener, file) = unplaced.place().unwrap();
        assert!(!private.exists());
        assert_eq!(mode(&path), 0o600);
        UnixStream::connect(&path).unwrap();
        let second = Unplaced::bind(&path, Access::OWN).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        let wide = Access {
            mode: 0o666,
            group: group("root"),
            ..Access::OWN
        };
        wide.grant(&path).unwrap();
        assert_eq!(mode(&path), 0o666);
        drop(listener);
        // Somebody else's by now.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        drop(file);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_is_dropped_before_it_listens_leaves_no_trace() {
        let path = temp("undone");
        let unplaced = Unplaced::bind(&path, Access::OWN).unwrap();
        let private = unplaced.private.clone();
        drop(unplaced);
        assert!(!path.exists() && !private.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let path = temp("stale");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "nobody listens, yet the file is there");
        let unplaced = Unplaced::bind(&path, Access::OWN).unwrap();
        drop(unplaced.place().unwrap());
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        let refused = Unplaced::bind(&path, Access::OWN).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn users_and_groups_are_known_by_name() {
        assert_eq!((user("root"), group("root")), (Some(0), Some(0)));
        assert_eq!((user("nobody-here"), group("nobody-here")), (None, None));
    }
}
