//! Taking connections, without ever spinning or giving up.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::unix::SocketFile;
use super::{Stream, files, socket};
use crate::base::Peer;

/// One listening socket of one worker.
#[derive(Debug)]
pub struct Acceptor {
    listener: Listener,
    pause: Duration,
    /// The first descriptor that is not for clients.
    reserved: RawFd,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    /// One of all workers; the last that lets go of the file removes it.
    Unix(UnixListener, Arc<SocketFile>),
}

/// How long half-made connections have to come in before a socket is closed: a round trip over a long way.
const GRACE: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How an attempt to accept failed.
#[derive(Debug)]
pub enum Failure {
    /// This connection only: it was gone before we took it.
    Connection(io::Error),
    /// The connection was taken and closed: its descriptor is one of those that are not for clients.
    Crowded,
    /// The process is out of descriptors or memory; wait this long (E-134).
    Exhausted(io::Error, Duration),
}

impl Acceptor {
    /// Takes over a listening socket on the current runtime.
    pub fn tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        Ok(Self::new(Listener::Tcp(TcpListener::from_std(listener)?)))
    }

    /// Takes over a listening unix socket, which other workers have, too.
    pub fn unix(
        listener: std::os::unix::net::UnixListener,
        file: Arc<SocketFile>,
    ) -> io::Result<Self> {
        let listener = UnixListener::from_std(listener)?;
        Ok(Self::new(Listener::Unix(listener, file)))
    }

    fn new(listener: Listener) -> Self {
        Self {
            listener,
            pause: FIRST_PAUSE,
            reserved: files::first_reserved(),
        }
    }

    /// Waits for the next connection. Cancel safe: nothing is taken when dropped.
    pub async fn next(&mut self) -> Result<(Stream, Peer), Failure> {
        let taken = match &self.listener {
            Listener::Tcp(listener) => listener
                .accept()
                .await
                .map(|(stream, peer)| (stream.as_raw_fd(), stream.into(), peer.into())),
            Listener::Unix(listener, _) => listener
                .accept()
                .await
                .map(|(stream, _)| (stream.as_raw_fd(), stream.into(), Peer::Unix)),
        };
        self.judge(taken)
    }

    /// Closes the socket so that nobody who got through is lost: no new connection begins, those that are half
    /// made come in, everything that waits in the queue is handed to `take` (a closed `SO_REUSEPORT` socket resets
    /// what waits in its queue, E-245). Takes a quarter of a second. Asks the kernel, not the runtime, which may not have
    /// heard of the last ones.
    pub async fn close(self, mut take: impl FnMut(Stream, Peer)) {
        match self.listener {
            Listener::Tcp(listener) => {
                if let Err(error) = socket::deafen(&listener) {
                    tracing::debug!(%error, "cannot attach a filter; a connection that begins now may be reset");
                }
                let Ok(listener) = listener.into_std() else {
                    return;
                };
                empty(|| {
                    let (stream, peer) = listener.accept()?;
                    stream.set_nonblocking(true)?;
                    take(TcpStream::from_std(stream)?.into(), peer.into());
                    Ok(())
                })
                .await;
            }
            Listener::Unix(listener, file) => {
                file.remove();
                let Ok(listener) = listener.into_std() else {
                    return;
                };
                empty(|| {
                    let (stream, _) = listener.accept()?;
                    stream.set_nonblocking(true)?;
                    take(UnixStream::from_std(stream)?.into(), Peer::Unix);
                    Ok(())
                })
                .await;
            }
        }
    }

    fn judge(
        &mut self,
        taken: io::Result<(RawFd, Stream, Peer)>,
    ) -> Result<(Stream, Peer), Failure> {
        match taken {
            Ok((descriptor, ..)) if descriptor >= self.reserved => Err(Failure::Crowded),
            Ok((_, stream, peer)) => {
                self.pause = FIRST_PAUSE;
                Ok((stream, peer))
            }
            Err(error) if is_exhaustion(&error) => {
                let pause = self.pause;
                self.pause = (pause * 2).min(LONGEST_PAUSE);
                Err(Failure::Exhausted(error, pause))
            }
            Err(error) => Err(Failure::Connection(error)),
        }
    }
}

/// Takes what waits, and what comes in while half-made connections still may.
async fn empty(mut take_one: impl FnMut() -> io::Result<()>) {
    while take_one().is_ok() {}
    tokio::time::sleep(GRACE).await;
    while take_one().is_ok() {}
}

/// Out of descriptors (EMFILE 24, ENFILE 23) or kernel memory (ENOBUFS 105, ENOMEM 12).
pub fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}
