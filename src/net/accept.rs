//! Taking connections, without ever spinning or giving up.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// One listening socket of one worker.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    pause: Duration,
}

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How an attempt to accept failed.
#[derive(Debug)]
pub enum Failure {
    /// This connection only: it was gone before we took it.
    Connection(io::Error),
    /// The process is out of descriptors or memory; wait this long (E-134).
    Exhausted(io::Error, Duration),
}

impl Acceptor {
    /// Takes over a listening socket on the current runtime.
    pub fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            pause: FIRST_PAUSE,
        })
    }

    /// Waits for the next connection. Cancel safe: nothing is taken when dropped.
    pub async fn next(&mut self) -> Result<(TcpStream, SocketAddr), Failure> {
        let taken = self.listener.accept().await;
        self.judge(taken)
    }

    /// Takes every connection that already waits in the queue, then closes the socket (a closed
    /// `SO_REUSEPORT` socket resets what waits in its queue, E-245). Asks the kernel, not the runtime, which may
    /// not have heard of the last ones.
    pub fn empty(self) -> Vec<(TcpStream, SocketAddr)> {
        let mut taken = Vec::new();
        let Ok(listener) = self.listener.into_std() else {
            return taken;
        };
        while let Ok((stream, peer)) = listener.accept() {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                taken.push((stream, peer));
            }
        }
        taken
    }

    fn judge(
        &mut self,
        taken: io::Result<(TcpStream, SocketAddr)>,
    ) -> Result<(TcpStream, SocketAddr), Failure> {
        match taken {
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
