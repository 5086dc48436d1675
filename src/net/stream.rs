//! A byte stream, TCP or unix, that both directions of one connection may use at once.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::socket::{self, Quiet};

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connected stream. Methods take `&self`; each borrows the socket for one system call.
#[derive(Debug)]
pub struct Stream {
    io: RefCell<Io>,
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self {
            io: RefCell::new(Io::Tcp(stream)),
        }
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self {
            io: RefCell::new(Io::Unix(stream)),
        }
    }
}

impl Stream {
    /// Reads once. `Ok(0)` is the end of the stream. A read that did not fill `buf` clears the readiness, so
    /// the next call waits without a system call.
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        match &mut *self.io.borrow_mut() {
            Io::Tcp(io) => ready!(Pin::new(io).poll_read(cx, &mut buf))?,
            Io::Unix(io) => ready!(Pin::new(io).poll_read(cx, &mut buf))?,
        }
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Writes once; how many bytes the kernel took.
    #[inline]
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self.io.borrow_mut() {
            Io::Tcp(io) => Pin::new(io).poll_write(cx, bytes),
            Io::Unix(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    /// Writes two slices in one system call; how many bytes of both the kernel took.
    pub fn poll_write_two(
        &self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        match &mut *self.io.borrow_mut() {
            Io::Tcp(io) => Pin::new(io).poll_write_vectored(cx, &slices),
            Io::Unix(io) => Pin::new(io).poll_write_vectored(cx, &slices),
        }
    }

    /// Sends a FIN: nothing more will be written.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.io.borrow_mut() {
            Io::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Io::Unix(io) => Pin::new(io).poll_shutdown(cx),
        }
    }

    /// Waits until there is something to read, the end of the stream or an error, and takes nothing.
    /// Without readiness it costs no system call.
    pub fn poll_peek(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &*self.io.borrow() {
            Io::Tcp(io) => {
                let mut byte = [0; 1];
                io.poll_peek(cx, &mut ReadBuf::new(&mut byte))
            }
            Io::Unix(io) => {
                ready!(io.poll_read_ready(cx))?;
                Poll::Ready(Ok(1))
            }
        }
    }

    /// Reads without taking anything (`MSG_PEEK`). `Ok(0)` is the end of the stream.
    pub fn poll_look(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match &*self.io.borrow() {
            Io::Tcp(io) => io.poll_peek(cx, &mut ReadBuf::new(buf)),
            Io::Unix(io) => loop {
                ready!(io.poll_read_ready(cx))?;
                let look = || socket::peek(io, buf);
                match io.try_io(tokio::io::Interest::READABLE, look) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    seen => return Poll::Ready(seen),
                }
            },
        }
    }

    /// Whether an idle connection is still open and silent, as far as the runtime has heard: no system call
    /// unless something has happened on it.
    pub fn quiet(&self) -> Quiet {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        // Outside of the runtime's budget for this task: with it spent, every socket would look quiet.
        let io = self.io.borrow();
        let look = std::pin::pin!(tokio::task::unconstrained(std::future::poll_fn(
            |cx| match &*io {
                Io::Tcp(io) => io.poll_read_ready(cx),
                Io::Unix(io) => io.poll_read_ready(cx),
            }
        )));
        let ready = look.poll(&mut cx).is_ready();
        drop(io);
        if ready { self.quiet_now() } else { Quiet::Yes }
    }

    /// Whether an idle connection is open and silent, asked of the kernel.
    pub fn quiet_now(&self) -> Quiet {
        match &*self.io.borrow() {
            Io::Tcp(io) => socket::peek_quiet(io),
            Io::Unix(io) => socket::peek_quiet(io),
        }
    }

    /// Makes the coming close a reset, so that an unfinished message cannot be taken for a whole one.
    pub fn abort(&self) {
        let set = match &*self.io.borrow() {
            Io::Tcp(io) => socket::reset_on_close(io),
            Io::Unix(_) => Ok(()),
        };
        if let Err(error) = set {
            tracing::debug!(%error, "cannot set SO_LINGER");
        }
    }

    /// Turns on keep-alive probes.
    pub fn keep_alive(&self) {
        if let Io::Tcp(io) = &*self.io.borrow()
            && let Err(error) = socket::keep_alive(io)
        {
            tracing::debug!(%error, "cannot set SO_KEEPALIVE");
        }
    }

    /// Our own address on this connection; `None` for a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &*self.io.borrow() {
            Io::Tcp(io) => io.local_addr().ok(),
            Io::Unix(_) => None,
        }
    }
}
