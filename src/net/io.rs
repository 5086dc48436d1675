//! A socket that carries a byte stream, as the kernel gives it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::Pipe;
use super::owed::owed;
use super::socket::{self, Quiet};

/// One connected socket.
#[derive(Debug)]
pub(super) enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Bytes that the kernel takes at once unless it has much already. What is longer may be taken in part, after which the runtime
/// knows that no more fits.
const SHORT: usize = 16 * 1024;

impl Io {
    #[inline]
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut drained = None;
            let receive = || {
                let got = self.receive(buf)?;
                if got == 0 || got == buf.len() {
                    return Ok(got);
                }
                // There is no more for now: said like that to the runtime, it saves the call that would find out.
                drained = Some(got);
                Err(io::ErrorKind::WouldBlock.into())
            };
            let got = match &*self {
                Self::Tcp(io) => {
                    ready!(io.poll_read_ready(cx))?;
                    io.try_io(Interest::READABLE, receive)
                }
                Self::Unix(io) => {
                    ready!(io.poll_read_ready(cx))?;
                    io.try_io(Interest::READABLE, receive)
                }
            };
            match (drained, got) {
                (Some(got), _) => return Poll::Ready(Ok(got)),
                (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                (None, got) => return Poll::Ready(got),
            }
        }
    }

    fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(io) => socket::read(io, buf),
            Self::Unix(io) => socket::read(io, buf),
        }
    }

    #[inline]
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // The kernel takes what is short as a rule. Asked like that it costs none of the runtime's budget for this task, which the
        // reads before it keep to.
        if bytes.len() <= SHORT {
            match self.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                wrote => return Poll::Ready(wrote),
            }
        }
        match self {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Unix(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    #[inline]
    pub(super) fn poll_write_two(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        match self {
            Self::Tcp(io) => Pin::new(io).poll_write_vectored(cx, &slices),
            Self::Unix(io) => Pin::new(io).poll_write_vectored(cx, &slices),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Self::Unix(io) => Pin::new(io).poll_shutdown(cx),
        }
    }

    pub(super) fn poll_peek(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Nothing, nearly always: it is waited for the end of a connection.
        match self {
            Self::Tcp(io) => ready!(io.poll_read_ready(cx))?,
            Self::Unix(io) => ready!(io.poll_read_ready(cx))?,
        }
        self.poll_look(cx, &mut [0; 1])
    }

    pub(super) fn poll_look(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(io) => io.poll_peek(cx, &mut ReadBuf::new(buf)),
            Self::Unix(io) => loop {
                ready!(io.poll_read_ready(cx))?;
                let look = || socket::peek(io, buf);
                match io.try_io(Interest::READABLE, look) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    seen => return Poll::Ready(seen),
                }
            },
        }
    }

    pub(super) fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<io::Result<usize>> {
        loop {
            let moved = match self {
                Self::Tcp(io) => {
                    ready!(io.poll_read_ready(cx))?;
                    io.try_io(Interest::READABLE, || pipe.fill(io))
                }
                Self::Unix(io) => {
                    ready!(io.poll_read_ready(cx))?;
                    io.try_io(Interest::READABLE, || pipe.fill(io))
                }
            };
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                moved => return Poll::Ready(moved),
            }
        }
    }

    pub(super) fn poll_pour(
        &self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<io::Result<usize>> {
        loop {
            let moved = match self {
                Self::Tcp(io) => {
                    ready!(io.poll_write_ready(cx))?;
                    io.try_io(Interest::WRITABLE, || pipe.pour(io))
                }
                Self::Unix(io) => {
                    ready!(io.poll_write_ready(cx))?;
                    io.try_io(Interest::WRITABLE, || pipe.pour(io))
                }
            };
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                moved => return Poll::Ready(moved),
            }
        }
    }

    /// Whether the runtime has heard that there is something to read: no system call.
    pub(super) fn heard(&self) -> bool {
        // What is to be tried is tried only where the runtime has heard of something, and none of its budget for this task is
        // spent: without it every socket would look quiet.
        let heard = match self {
            Self::Tcp(io) => io.try_io(Interest::READABLE, || Ok(())),
            Self::Unix(io) => io.try_io(Interest::READABLE, || Ok(())),
        };
        heard.is_ok()
    }

    /// Whether there is nothing to read, asked of the kernel.
    pub(super) fn quiet(&self) -> Quiet {
        match self {
            Self::Tcp(io) => socket::peek_quiet(io),
            Self::Unix(io) => socket::peek_quiet(io),
        }
    }

    /// What the peer has not acknowledged of what it was sent.
    pub(super) fn owed(&self) -> io::Result<usize> {
        match self {
            Self::Tcp(io) => owed(io),
            Self::Unix(io) => owed(io),
        }
    }

    /// Reads what the kernel has, whatever the runtime has heard.
    pub(super) fn read_now(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf)
    }

    /// Writes what the kernel takes at once.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(io) => io.try_io(Interest::WRITABLE, || socket::write(io, bytes)),
            Self::Unix(io) => io.try_io(Interest::WRITABLE, || socket::write(io, bytes)),
        }
    }
}
