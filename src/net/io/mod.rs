//! A socket that carries a byte stream, as the kernel gives it.

mod ahead;

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use ahead::Ahead;

use super::Pipe;
use super::bundle::{self, Tell, Ticket};
use super::owed::owed;
use super::socket::{self, Quiet};

/// One connected socket, and what it sends with others.
#[derive(Debug)]
pub(super) struct Io {
    /// In front of the socket: what is not sent yet is forgotten before that is closed.
    sending: Option<Ticket>,
    /// When whoever writes now is told what became of that.
    pub(super) tell: Tell,
    /// Whether the kernel took less than it was offered last. Until it takes all, whoever writes asks it alone: to be full is what the
    /// clocks of a slow peer go by, and in the bundle it would look like a turn that is not over.
    full: bool,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Bytes that the kernel takes at once unless it has much already. What is longer may be taken in part, after which the runtime
/// knows that no more fits.
const SHORT: usize = 16 * 1024;

impl From<TcpStream> for Io {
    fn from(stream: TcpStream) -> Self {
        Self::new(Socket::Tcp(stream))
    }
}

impl From<UnixStream> for Io {
    fn from(stream: UnixStream) -> Self {
        Self::new(Socket::Unix(stream))
    }
}

impl Io {
    fn new(socket: Socket) -> Self {
        Self {
            sending: None,
            tell: Tell::Always,
            full: false,
            socket,
        }
    }

    /// `None` for a unix socket.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match &self.socket {
            Socket::Tcp(io) => Some(io),
            Socket::Unix(_) => None,
        }
    }

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
            let got = match &self.socket {
                Socket::Tcp(io) => {
                    ready!(io.poll_read_ready(cx))?;
                    io.try_io(Interest::READABLE, receive)
                }
                Socket::Unix(io) => {
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
        match &self.socket {
            Socket::Tcp(io) => socket::read(io, buf),
            Socket::Unix(io) => socket::read(io, buf),
        }
    }

    #[inline]
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.poll_ahead(cx)) {
            Ahead::Sent(sent) => return Poll::Ready(sent),
            Ahead::Nothing if self.full => {}
            Ahead::Nothing => {
                self.sending = bundle::add(cx, self.as_fd(), bytes, self.tell);
                if self.sending.is_some() && self.tell == Tell::Given {
                    return Poll::Ready(Ok(bytes.len()));
                }
                // It may be with the kernel already.
                if let Ahead::Sent(sent) = ready!(self.poll_ahead(cx)) {
                    return Poll::Ready(sent);
                }
            }
            // The runtime has to hear of that.
            Ahead::Full => {}
        }
        let wrote = self.poll_write_alone(cx, bytes);
        self.full = !matches!(wrote, Poll::Ready(Ok(wrote)) if wrote == bytes.len());
        wrote
    }

    #[inline]
    fn poll_write_alone(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // The kernel takes what is short as a rule. Asked like that it costs none of the runtime's budget for this task, which the
        // reads before it keep to.
        if bytes.len() <= SHORT {
            match self.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                wrote => return Poll::Ready(wrote),
            }
        }
        match &mut self.socket {
            Socket::Tcp(io) => Pin::new(io).poll_write(cx, bytes),
            Socket::Unix(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    #[inline]
    pub(super) fn poll_write_two(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Ahead::Sent(sent) = ready!(self.poll_ahead(cx)) {
            return Poll::Ready(sent);
        }
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        let wrote = match &mut self.socket {
            Socket::Tcp(io) => Pin::new(io).poll_write_vectored(cx, &slices),
            Socket::Unix(io) => Pin::new(io).poll_write_vectored(cx, &slices),
        };
        let whole = first.len() + second.len();
        self.full = !matches!(wrote, Poll::Ready(Ok(wrote)) if wrote == whole);
        wrote
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Socket::Unix(io) => Pin::new(io).poll_shutdown(cx),
        }
    }

    pub(super) fn poll_peek(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Nothing, nearly always: it is waited for the end of a connection.
        match &self.socket {
            Socket::Tcp(io) => ready!(io.poll_read_ready(cx))?,
            Socket::Unix(io) => ready!(io.poll_read_ready(cx))?,
        }
        self.poll_look(cx, &mut [0; 1])
    }

    pub(super) fn poll_look(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &self.socket {
            Socket::Tcp(io) => io.poll_peek(cx, &mut ReadBuf::new(buf)),
            Socket::Unix(io) => loop {
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
            let moved = match &self.socket {
                Socket::Tcp(io) => {
                    ready!(io.poll_read_ready(cx))?;
                    io.try_io(Interest::READABLE, || pipe.fill(io))
                }
                Socket::Unix(io) => {
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
            let moved = match &self.socket {
                Socket::Tcp(io) => {
                    ready!(io.poll_write_ready(cx))?;
                    io.try_io(Interest::WRITABLE, || pipe.pour(io))
                }
                Socket::Unix(io) => {
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
        let heard = match &self.socket {
            Socket::Tcp(io) => io.try_io(Interest::READABLE, || Ok(())),
            Socket::Unix(io) => io.try_io(Interest::READABLE, || Ok(())),
        };
        heard.is_ok()
    }

    /// Whether there is nothing to read, asked of the kernel.
    pub(super) fn quiet(&self) -> Quiet {
        match &self.socket {
            Socket::Tcp(io) => socket::peek_quiet(io),
            Socket::Unix(io) => socket::peek_quiet(io),
        }
    }

    /// What the peer has not acknowledged of what it was sent.
    pub(super) fn owed(&self) -> io::Result<usize> {
        match &self.socket {
            Socket::Tcp(io) => owed(io),
            Socket::Unix(io) => owed(io),
        }
    }

    /// Reads what the kernel has, whatever the runtime has heard.
    pub(super) fn read_now(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf)
    }

    /// Writes what the kernel takes at once.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.socket {
            Socket::Tcp(io) => io.try_io(Interest::WRITABLE, || socket::write(io, bytes)),
            Socket::Unix(io) => io.try_io(Interest::WRITABLE, || socket::write(io, bytes)),
        }
    }
}

impl Drop for Io {
    /// What was given away is sent as far as the kernel takes it: its owner counts on that.
    fn drop(&mut self) {
        if self.sending.is_some() {
            self.settle();
        }
    }
}

impl AsFd for Io {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(io) => io.as_fd(),
            Socket::Unix(io) => io.as_fd(),
        }
    }
}
