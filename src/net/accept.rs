//! Taking connections, without ever spinning or giving up.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::{files, socket};

/// One listening socket of one worker.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    pause: Duration,
    /// The first descriptor that is not for clients.
    reserved: RawFd,
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
    pub fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            pause: FIRST_PAUSE,
            reserved: files::first_reserved(),
        })
    }

    /// Waits for the next connection. Cancel safe: nothing is taken when dropped.
    pub async fn next(&mut self) -> Result<(TcpStream, SocketAddr), Failure> {
        let taken = self.listener.accept().await;
        self.judge(taken)
    }

    /// Closes the socket so that nobody who got through is lost: no new connection begins, those that are half
    /// made come in, everything that waits in the queue is handed to `take` (a closed `SO_REUSEPORT` socket resets
    /// what waits in its queue, E-245). Takes a quarter of a second. Asks the kernel, not the runtime, which may not have
    /// heard of the last ones.
    pub async fn close(self, mut take: impl FnMut(TcpStream, SocketAddr)) {
        if let Err(error) = socket::deafen(&self.listener) {
            tracing::debug!(%error, "cannot attach a filter; a connection that begins now may be reset");
        }
        let Ok(listener) = self.listener.into_std() else {
            return;
        };
        for last in [false, true] {
            while let Ok((stream, peer)) = listener.accept() {
                if stream.set_nonblocking(true).is_ok()
                    && let Ok(stream) = TcpStream::from_std(stream)
                {
                    take(stream, peer);
                }
            }
            if !last {
                tokio::time::sleep(GRACE).await;
            }
        }
    }

    fn judge(
        &mut self,
        taken: io::Result<(TcpStream, SocketAddr)>,
    ) -> Result<(TcpStream, SocketAddr), Failure> {
        match taken {
            Ok((stream, _)) if stream.as_raw_fd() >= self.reserved => Err(Failure::Crowded),
            Ok(taken) => {
                self.pause = FIRST_PAUSE;
                Ok(taken)
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

/// Out of descriptors (EMFILE 24, ENFILE 23) or kernel memory (ENOBUFS 105, ENOMEM 12).
pub fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}
