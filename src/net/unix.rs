//! Unix sockets that are listened on: a file that nobody may open too early, and that goes with its socket.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::socket;
use crate::base::addr::MAX_UNIX_PATH;

/// Who may connect: mode, owner and group of the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// Id of the owner; `None`: as it was made, by who runs the process.
    pub owner: Option<u32>,
    /// Id of the group; `None`: as it was made, with the group of who runs the process (or of the directory, inode(7), `S_ISGID`).
    pub group: Option<u32>,
}

impl Access {
    /// The owner alone, who runs the process.
    pub const OWN: Self = Self {
        mode: 0o600,
        owner: None,
        group: None,
    };

    fn of(metadata: &Metadata) -> Self {
        Self {
            mode: metadata.mode() & 0o777,
            owner: Some(metadata.uid()),
            group: Some(metadata.gid()),
        }
    }

    /// Whether a file that is like `self` needs no change to be as `wanted`.
    fn is(&self, wanted: &Self) -> bool {
        self.mode == wanted.mode
            && (wanted.owner.is_none() || wanted.owner == self.owner)
            && (wanted.group.is_none() || wanted.group == self.group)
    }
}

/// The file of a bound socket, whatever it is called: its number is given to no other file while the socket is open. And whose it
/// was when it was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Made {
    device: u64,
    inode: u64,
    owner: u32,
    group: u32,
}

impl Made {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            owner: metadata.uid(),
            group: metadata.gid(),
        }
    }

    fn is(&self, metadata: &Metadata) -> bool {
        (self.device, self.inode) == (metadata.dev(), metadata.ino())
    }

    /// Whether it is what is called so.
    pub fn is_at(self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|metadata| self.is(&metadata))
    }

    /// What is not said stays, or becomes again, as it was made.
    fn access(&self, wanted: &Access) -> Access {
        Access {
            mode: wanted.mode,
            owner: wanted.owner.or(Some(self.owner)),
            group: wanted.group.or(Some(self.group)),
        }
    }
}

/// The file of a socket, held without opening it: what is looked at and what is changed are one file, whatever comes to its path
/// meanwhile.
#[derive(Debug)]
struct Pin(File);

impl Pin {
    /// What a symbolic link leads to is somebody else's.
    fn new(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        if !file.metadata()?.file_type().is_socket() {
            return Err(no_socket());
        }
        Ok(Self(file))
    }

    /// Gives it this owner, group and mode: for no moment may more people open it than before or than in the end.
    fn grant(&self, wanted: &Access) -> io::Result<()> {
        let before = Access::of(&self.0.metadata()?);
        if before.is(wanted) {
            return Ok(());
        }
        // Mode and owner of what is held by O_PATH alone are changed over its name in /proc (open(2)).
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        let allow = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode));
        let allow = |mode| allow(mode).map_err(no_proc);
        allow(before.mode & wanted.mode)?;
        if wanted.owner.is_some() || wanted.group.is_some() {
            chown(&path, wanted.owner, wanted.group)?;
        }
        allow(wanted.mode)
    }
}

/// What files of living sockets were given; taken back where it does not take effect.
#[derive(Debug, Default)]
pub struct Grants(Vec<(Pin, Access)>);

impl Grants {
    /// Gives the file at `path` this owner, group and mode, if it is still the one that is meant.
    pub fn add(&mut self, path: &Path, meant: Made, wanted: &Access) -> io::Result<()> {
        let pin = Pin::new(path)?;
        let metadata = pin.0.metadata()?;
        if !meant.is(&metadata) {
            let message = "the file is another one's by now";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        self.0.push((pin, Access::of(&metadata)));
        let wanted = meant.access(wanted);
        self.0.last().map_or(Ok(()), |(pin, _)| pin.grant(&wanted))
    }

    /// It stays so.
    pub fn settle(mut self) {
        self.0.clear();
    }
}

impl Drop for Grants {
    fn drop(&mut self) {
        for (pin, before) in self.0.drain(..).rev() {
            if let Err(error) = pin.grant(&before) {
                tracing::warn!(%error, "cannot take back who may open a unix socket");
            }
        }
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

/// Whether a socket can be made beside this path: its first name is longer than the last one may be.
pub fn fits(path: &Path) -> bool {
    let made = private(path, 0).map(|private| private.join(NEW));
    made.is_some_and(|made| made.as_os_str().len() <= MAX_UNIX_PATH)
}

/// The directory that a socket is made in: on the same file system as its place.
fn private(path: &Path, number: u32) -> Option<PathBuf> {
    let parent = path.parent()?;
    Some(parent.join(format!(".tg{number:08x}")))
}

/// The new socket in its directory.
const NEW: &str = "s";
/// What stood in its place.
const OLD: &str = "o";

/// A socket that is bound, and not yet in its place: nobody can connect. Dropping it leaves no trace.
#[derive(Debug)]
pub struct Unplaced {
    socket: socket2::Socket,
    path: PathBuf,
    made: Made,
    private: Private,
}

/// The directory that a socket is made in, which nobody else may enter.
#[derive(Debug)]
struct Private(PathBuf);

impl Private {
    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.file(NEW));
        let _ = fs::remove_dir(&self.0);
    }
}

impl Unplaced {
    /// Binds. Fails when somebody listens at `path`, or when it is something else than a socket.
    pub fn bind(path: &Path, access: Access) -> io::Result<Self> {
        prove_stale(path)?;
        let socket = socket::unix_stream()?;
        let private = private(path, fastrand::u32(..)).ok_or(io::ErrorKind::InvalidInput)?;
        fs::DirBuilder::new().mode(0o700).create(&private)?;
        let private = Private(private);
        let inside = private.file(NEW);
        socket.bind(&socket2::SockAddr::unix(&inside)?)?;
        let pin = Pin::new(&inside)?;
        let made = Made::of(&pin.0.metadata()?);
        pin.grant(&access)?;
        Ok(Self {
            socket,
            path: path.to_path_buf(),
            made,
            private,
        })
    }

    /// Listens, and moves the socket to its place: there is no moment in which another user could connect. What a dead process
    /// left there is removed; who listens there by now, stays.
    pub fn place(self) -> io::Result<(UnixListener, SocketFile)> {
        let inside = self.private.file(NEW);
        self.socket.listen(socket::BACKLOG)?;
        match move_to(&inside, &self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.evict()?;
                move_to(&inside, &self.path).map_err(in_use)?;
            }
            moved => moved?,
        }
        let Self {
            socket, path, made, ..
        } = self;
        Ok((socket.into(), SocketFile { path, made }))
    }

    /// Takes away what a dead process left. Between a look at it and its removal a living one may have come to its place: only what
    /// has been taken to where nobody comes is sure to be what is looked at.
    fn evict(&self) -> io::Result<()> {
        prove_stale(&self.path)?;
        let old = self.private.file(OLD);
        match fs::rename(&self.path, &old) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => moved?,
        }
        match prove_stale(&old) {
            Ok(()) => fs::remove_file(&old),
            Err(error) => {
                move_to(&old, &self.path)?;
                Err(error)
            }
        }
    }
}

/// Moves a file to where none is.
fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system, or a kernel, that does not have the flag (rename(2)).
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_to(from, to),
        moved => Ok(moved?),
    }
}

/// The same in two steps: link(2), too, fails where something is. For as long as it has both names the first is one that nobody
/// comes to.
fn link_to(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    let _ = fs::remove_file(from);
    Ok(())
}

fn in_use(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => io::ErrorKind::AddrInUse.into(),
        _ => error,
    }
}

/// Of what is held open only its name in /proc can be missing.
fn no_proc(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            let message =
                "the mode of a unix socket is set over /proc/self/fd, and /proc is not mounted";
            io::Error::new(io::ErrorKind::Unsupported, message)
        }
        _ => error,
    }
}

fn no_socket() -> io::Error {
    let message = "the path exists and is not a socket";
    io::Error::new(io::ErrorKind::AlreadyExists, message)
}

/// The file of a socket that is listened on, removed at the end while it is still ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    made: Made,
}

impl SocketFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which it is.
    pub fn made(&self) -> Made {
        self.made
    }

    /// Removes it, so that nobody connects any more. A second time does nothing.
    pub fn remove(&self) {
        if self.made.is_at(&self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Refuses when somebody listens at the path, or when it is something else than a socket; nothing may be there. Waits for
/// nobody: one whose queue is full (EAGAIN, connect(2)) listens, too.
fn prove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => return Err(no_socket()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let Err(error) = socket::unix_stream()?.connect(&socket2::SockAddr::unix(path)?) else {
        return Err(io::ErrorKind::AddrInUse.into());
    };
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Ok(()),
        io::ErrorKind::WouldBlock => Err(io::ErrorKind::AddrInUse.into()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

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
        let private = unplaced.private.0.clone();
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
        let granted = || {
            let mut grants = Grants::default();
            grants.add(&path, file.made(), &wide).unwrap();
            assert_eq!(mode(&path), 0o666);
            grants
        };
        drop(granted());
        assert_eq!(mode(&path), 0o600, "taken back");
        granted().settle();
        assert_eq!(mode(&path), 0o666);
        drop(listener);
        // Somebody else's by now.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        drop(file);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
    }

    /// As if it were made anew: what is no longer said is not what was said before.
    #[test]
    fn who_is_no_longer_named_has_it_no_longer() {
        let path = temp("former");
        let (_listener, file) = Unplaced::bind(&path, Access::OWN).unwrap().place().unwrap();
        let whose = || {
            let metadata = fs::symlink_metadata(&path).unwrap();
            (metadata.uid(), metadata.gid())
        };
        let ours = whose();
        // Only root may give a file away; others see that it stays theirs.
        let theirs = match ours {
            (0, group) => (1, group + 1),
            _ => ours,
        };
        let given = Access {
            owner: Some(theirs.0),
            group: Some(theirs.1),
            ..Access::OWN
        };
        for (access, expected) in [(given, theirs), (Access::OWN, ours)] {
            let mut grants = Grants::default();
            grants.add(&path, file.made(), &access).unwrap();
            assert_eq!(whose(), expected);
            grants.settle();
        }
    }

    /// Where the kernel cannot move without replacing.
    #[test]
    fn a_link_takes_no_place_that_is_taken_either() {
        let (from, to) = (temp("link-from"), temp("link-to"));
        let _listener = UnixListener::bind(&from).unwrap();
        fs::write(&to, "precious").unwrap();
        let refused = link_to(&from, &to).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&to).unwrap(), "precious");
        fs::remove_file(&to).unwrap();
        link_to(&from, &to).unwrap();
        assert!(!from.exists());
        UnixStream::connect(&to).unwrap();
        fs::remove_file(&to).unwrap();
    }

    #[test]
    fn what_is_dropped_before_it_listens_leaves_no_trace() {
        let path = temp("undone");
        let unplaced = Unplaced::bind(&path, Access::OWN).unwrap();
        let private = unplaced.private.0.clone();
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

    /// Neither a file that stands in the place of ours, nor what a link in its place leads to.
    #[test]
    fn what_is_not_ours_is_given_to_nobody() {
        let (path, other) = (temp("kept"), temp("other"));
        let (_listener, file) = Unplaced::bind(&path, Access::OWN).unwrap().place().unwrap();
        let foreign = UnixListener::bind(&other).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o640)).unwrap();
        let wide = Access {
            mode: 0o666,
            ..Access::OWN
        };
        let refused = |kind: io::ErrorKind| {
            let mut grants = Grants::default();
            let error = grants.add(&path, file.made(), &wide).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(!file.made().is_at(&path));
        };
        assert!(file.made().is_at(&path));
        fs::remove_file(&path).unwrap();
        refused(io::ErrorKind::NotFound);
        std::os::unix::fs::symlink(&other, &path).unwrap();
        refused(io::ErrorKind::AlreadyExists);
        fs::remove_file(&path).unwrap();
        fs::rename(&other, &path).unwrap();
        refused(io::ErrorKind::AlreadyExists);
        assert_eq!(mode(&path), 0o640);
        drop((file, foreign));
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
    }

    /// Nobody takes connections there, and yet it is no place for another: a connect that waits would wait for ever.
    #[test]
    fn one_that_hangs_is_in_use_and_not_waited_for() {
        let path = temp("hangs");
        let hanging = socket::unix_stream().unwrap();
        let addr = socket2::SockAddr::unix(&path).unwrap();
        hanging.bind(&addr).unwrap();
        hanging.listen(0).unwrap();
        let mut waiting = Vec::new();
        let full = loop {
            let client = socket::unix_stream().unwrap();
            match client.connect(&addr) {
                Ok(()) => waiting.push(client),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let refused = Unplaced::bind(&path, Access::OWN).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        fs::remove_file(&path).unwrap();
    }

    /// Two that start together, with what a dead one left between them: the one that comes first stays.
    #[test]
    fn one_of_two_that_start_together_gets_the_place() {
        for stale in [false, true] {
            let path = temp("together");
            if stale {
                drop(UnixListener::bind(&path).unwrap());
            }
            let [first, second] = [(); 2].map(|()| Unplaced::bind(&path, Access::OWN).unwrap());
            let private = second.private.0.clone();
            let (_listener, file) = first.place().unwrap();
            let refused = second.place().unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
            assert!(!private.exists());
            assert!(file.made().is_at(&path));
            UnixStream::connect(&path).unwrap();
        }
    }

    #[test]
    fn a_path_must_leave_room_for_the_directory_beside_it() {
        let parent = |length: usize| format!("/{}", "d".repeat(length - 1));
        // "/.tg", eight digits, "/s".
        let most = MAX_UNIX_PATH - 14;
        assert!(fits(Path::new(&format!("{}/x", parent(most)))));
        assert!(!fits(Path::new(&format!("{}/x", parent(most + 1)))));
        let long = format!("/{}", "n".repeat(MAX_UNIX_PATH - 1));
        assert!(fits(Path::new(&long)), "its own name may be longer");
        assert!(!fits(Path::new("/")));
    }

    #[test]
    fn users_and_groups_are_known_by_name() {
        assert_eq!((user("root"), group("root")), (Some(0), Some(0)));
        assert_eq!((user("nobody-here"), group("nobody-here")), (None, None));
    }
}
