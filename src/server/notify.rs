//! What a service manager is told (`sd_notify(3)`). Without one, nothing.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use sd_notify::NotifyState;

/// The process serves; a reload is over.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; [`ready`] says that it ended.
pub(super) fn reloading() {
    // A manager that is told of a reload without the time takes it for a failure.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// The process drains.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// All workers turn.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    let told = match abstract_name() {
        Some(name) => tell_abstract(&name, states),
        None => sd_notify::notify(states),
    };
    if let Err(error) = told {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

/// The name of a socket that is no file (`@name`), which the library takes for a path.
fn abstract_name() -> Option<Vec<u8>> {
    let socket = env::var_os("NOTIFY_SOCKET")?;
    socket.as_bytes().strip_prefix(b"@").map(<[u8]>::to_vec)
}

fn tell_abstract(name: &[u8], states: &[NotifyState<'_>]) -> io::Result<()> {
    let lines: Vec<_> = states.iter().map(ToString::to_string).collect();
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    socket.send(lines.join("\n").as_bytes()).map(|_| ())
}
