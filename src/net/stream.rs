//! A byte stream, TCP or unix, bare or under TLS, that both directions of one connection may use at once.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::CommonState;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::bundle::Tell;
use super::io::Io;
use super::secure::{HandshakeError, Secure, Session};
use super::socket::{self, Quiet};
use super::{Liveness, Pipe};

/// A connected stream. Methods take `&self`; each borrows the socket for one system call. Under TLS the same methods
/// carry plaintext; without it they cost one branch more than the socket's own.
#[derive(Debug)]
pub struct Stream {
    io: RefCell<Io>,
    tls: OnceCell<Box<RefCell<Secure>>>,
    probed: Cell<Probed>,
}

/// Who says whether the kernel probes a silent peer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Probed {
    /// Whoever uses the connection.
    #[default]
    AsUsual,
    /// A configuration has.
    AsTold,
}

/// Silence after which the kernel probes a peer where nobody says anything else.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::new(stream.into())
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::new(stream.into())
    }
}

impl Stream {
    fn new(io: Io) -> Self {
        Self {
            io: RefCell::new(io),
            tls: OnceCell::new(),
            probed: Cell::default(),
        }
    }

    /// Puts TLS over the socket; [`Stream::poll_handshake`] is next. `early` are bytes of the peer that were read
    /// already. A stream that has TLS keeps what it has.
    pub fn secure(&self, session: Session, early: &[u8]) {
        let secure = Box::new(RefCell::new(Secure::new(session, early)));
        if self.tls.set(secure).is_err() {
            tracing::error!("a stream is put under TLS twice");
        }
    }

    /// Ready when data may flow. Without TLS it always may.
    pub fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        match self.tls.get() {
            None => Poll::Ready(Ok(())),
            Some(tls) => tls
                .borrow_mut()
                .poll_handshake(cx, &mut self.io.borrow_mut()),
        }
    }

    /// What was agreed upon with the peer in the handshake; `None` without TLS, and when data was asked for or offered since: what is
    /// wanted of it later is to be kept.
    pub fn agreed<T>(&self, look: impl FnOnce(&CommonState) -> T) -> Option<T> {
        self.tls.get()?.borrow().common().map(look)
    }

    /// Memory that TLS holds for it.
    #[inline]
    pub fn weight(&self) -> usize {
        self.tls.get().map_or(0, |tls| tls.borrow().weight())
    }

    /// Reads once. `Ok(0)` is the end of the stream; under TLS one that the peer declared, and an end without that is
    /// an error, `UnexpectedEof`. A read that did not fill `buf` clears the readiness, so
    /// the next call waits without a system call.
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let io = &mut *self.io.borrow_mut();
        match self.tls.get() {
            None => io.poll_read(cx, buf),
            Some(tls) => {
                // What TLS has to say meanwhile nobody waits for.
                io.tell = Tell::Trouble;
                let read = tls.borrow_mut().poll_read(cx, io, buf);
                io.tell = Tell::Always;
                read
            }
        }
    }

    /// Writes once; how many bytes the kernel took. When it is pending, the same bytes must be offered again (others may
    /// follow them): under TLS they may be encrypted already.
    #[inline]
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let io = &mut *self.io.borrow_mut();
        match self.tls.get() {
            None => io.poll_write(cx, bytes),
            Some(tls) => tls.borrow_mut().poll_write(cx, io, bytes, &[]),
        }
    }

    /// Writes as [`Stream::poll_write`], and says when the task is to be told what became of it where it is sent with others'. What is
    /// [`Tell::Given`] is with the kernel or will be when the turn is over: [`Stream::poll_left`] goes on with what is not, and what is written next
    /// waits for that.
    #[inline]
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        tell: Tell,
    ) -> Poll<io::Result<usize>> {
        self.io.borrow_mut().tell = tell;
        let wrote = self.poll_write(cx, bytes);
        self.io.borrow_mut().tell = Tell::Always;
        wrote
    }

    /// Ready unless the kernel was full, and something of what was given away is still here. An error: it never left.
    #[inline]
    pub fn poll_left(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.borrow_mut().poll_left(cx)
    }

    /// Ready when the kernel has all of what was given away, or never will: an error.
    pub fn poll_given(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.borrow_mut().poll_given(cx)
    }

    /// Bytes that were given away and that the kernel has not taken.
    pub fn left(&self) -> usize {
        self.io.borrow().left()
    }

    /// Whether anything that was given away is still here.
    pub fn holds_given(&self) -> bool {
        self.io.borrow().holds_given()
    }

    /// Whether what was written last was handed over with others', and nobody has asked yet what became of it: no peer holds it up.
    #[inline]
    pub fn is_bundled(&self) -> bool {
        self.io.borrow().is_bundled()
    }

    /// Whether the kernel has taken a part of what was offered though its write is pending, or failed since: under TLS that is no
    /// number of bytes, but the peer may have read some of them.
    pub fn is_partly_written(&self) -> bool {
        self.tls
            .get()
            .is_some_and(|tls| tls.borrow().is_partly_written())
    }

    /// Writes two slices in one system call; how many bytes of both the kernel took.
    pub fn poll_write_two(
        &self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let io = &mut *self.io.borrow_mut();
        match self.tls.get() {
            None => io.poll_write_two(cx, first, second),
            Some(tls) => tls.borrow_mut().poll_write(cx, io, first, second),
        }
    }

    /// Whether its bytes are what the sockets carry, so that a pipe can move them.
    pub fn is_plain(&self) -> bool {
        self.tls.get().is_none()
    }

    /// Moves what there is into an empty pipe. `Ok(0)` is the end of the stream. Plain streams only.
    pub fn poll_fill(&self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        self.io.borrow().poll_fill(cx, pipe)
    }

    /// Moves what a pipe holds on to the other end. Plain streams only.
    pub fn poll_pour(&self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        self.io.borrow().poll_pour(cx, pipe)
    }

    /// Nothing more will be written: sends a FIN, under TLS a `close_notify` before it.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = &mut *self.io.borrow_mut();
        match self.tls.get() {
            None => io.poll_shutdown(cx),
            Some(tls) => tls.borrow_mut().poll_shutdown(cx, io),
        }
    }

    /// Waits until there is something to read, the end of the stream or an error, and takes nothing.
    /// Without readiness it costs no system call.
    pub fn poll_peek(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = &mut *self.io.borrow_mut();
        match self.tls.get() {
            None => io.poll_peek(cx),
            Some(tls) => tls.borrow_mut().poll_peek(cx, io),
        }
    }

    /// Reads without taking anything (`MSG_PEEK`), before there is TLS: what is looked at is what the socket carries. `Ok(0)` is the
    /// end of the stream.
    pub fn poll_look(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.io.borrow().poll_look(cx, buf)
    }

    /// Whether an idle connection is still open and silent, as far as the runtime has heard: no system call
    /// unless something has happened on it.
    pub fn quiet(&self) -> Quiet {
        let heard = self.io.borrow().heard();
        let held = self.tls.get().is_some_and(|tls| tls.borrow().talks());
        if heard || held {
            self.quiet_now()
        } else {
            Quiet::Yes
        }
    }

    /// Whether an idle connection is open and silent, asked of the kernel. Under TLS what belongs to TLS itself (tickets,
    /// key updates) is taken in, and does not count.
    pub fn quiet_now(&self) -> Quiet {
        let io = &*self.io.borrow();
        match self.tls.get() {
            None => io.quiet(),
            Some(tls) => tls.borrow_mut().quiet(io),
        }
    }

    /// Bytes that were written and that the kernel still holds for the peer; none where it cannot tell. One system call.
    pub fn owed(&self) -> usize {
        self.io.borrow().owed().unwrap_or(0)
    }

    /// What was sent is not whole: the end of a TLS connection is not declared, so that it cannot be taken for one.
    pub fn break_off(&self) {
        if let Some(tls) = self.tls.get() {
            tls.borrow_mut().break_off();
        }
    }

    /// Makes the coming close a reset, so that an unfinished message cannot be taken for a whole one.
    pub fn abort(&self) {
        self.break_off();
        self.io.borrow_mut().forget();
        if let Some(io) = self.io.borrow().tcp()
            && let Err(error) = socket::reset_on_close(io)
        {
            tracing::debug!(%error, "cannot set SO_LINGER");
        }
    }

    /// Asks the kernel for what a configuration says. What it says of keep-alive probes is the last word.
    pub fn watch_over(&self, liveness: &Liveness) {
        let io = self.io.borrow();
        let Some(io) = io.tcp() else {
            return;
        };
        if let Some(after) = liveness.keepalive {
            self.probed.set(Probed::AsTold);
            if !after.is_zero()
                && let Err(error) = socket::keep_alive(io, after)
            {
                tracing::debug!(%error, "cannot set SO_KEEPALIVE");
            }
        }
        if !liveness.user_timeout.is_zero()
            && let Err(error) = socket::user_timeout(io, liveness.user_timeout)
        {
            tracing::debug!(%error, "cannot set TCP_USER_TIMEOUT");
        }
    }

    /// How much the kernel holds for a client that reads slowly, where that is not what its listener gave it.
    pub fn hold_unsent(&self, most: u32) {
        if most != socket::UNSENT
            && let Some(io) = self.io.borrow().tcp()
            && let Err(error) = socket::hold_unsent(io, most)
        {
            tracing::debug!(%error, "cannot set TCP_NOTSENT_LOWAT");
        }
    }

    /// Turns on keep-alive probes, as it may be silent for long, unless a configuration has had its say.
    pub fn keep_alive(&self) {
        if self.probed.get() == Probed::AsUsual
            && let Some(io) = self.io.borrow().tcp()
            && let Err(error) = socket::keep_alive(io, KEEP_ALIVE)
        {
            tracing::debug!(%error, "cannot set SO_KEEPALIVE");
        }
    }

    /// Our own address on this connection; `None` for a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.io.borrow().tcp()?.local_addr().ok()
    }
}

impl Drop for Stream {
    /// The peer of a TLS connection is told that nothing more follows; a plain one sees the FIN.
    fn drop(&mut self) {
        if let Some(tls) = self.tls.get_mut() {
            tls.get_mut().part(self.io.get_mut());
        }
    }
}

/// For what is not the data path: probes speak through libraries.
impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Self::poll_read(&self, cx, buf.initialize_unfilled()))?;
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&self, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(&self, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::os::fd::AsFd;

    impl Stream {
        /// Writes until the kernel takes no more, behind the runtime's back; how many bytes it took.
        pub(in crate::net) fn fill_kernel(&self) -> usize {
            let io = self.io.borrow();
            let mut sum = 0;
            while let Ok(taken) = socket::write(&io.as_fd(), &[0; 16 << 10]) {
                sum += taken;
            }
            sum
        }
    }

    #[tokio::test]
    async fn the_kernel_is_asked_for_what_is_said() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seconds = Duration::from_secs;
        for (keepalive, asked, usual) in [
            (None, None, Some((30, 10))),
            (Some(seconds(0)), None, None),
            (
                Some(Duration::from_millis(6500)),
                Some((7, 2)),
                Some((7, 2)),
            ),
            (Some(seconds(2)), Some((2, 1)), Some((2, 1))),
        ] {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
            let stream = Stream::from(stream.unwrap());
            let probes = || {
                let io = stream.io.borrow();
                let io = SockRef::from(io.tcp().unwrap());
                let times = (
                    io.tcp_keepalive_time().unwrap(),
                    io.tcp_keepalive_interval().unwrap(),
                );
                let on = io.keepalive().unwrap();
                let told = io.tcp_user_timeout().unwrap();
                (on.then_some((times.0.as_secs(), times.1.as_secs())), told)
            };
            stream.watch_over(&Liveness {
                keepalive,
                user_timeout: seconds(20),
            });
            assert_eq!(probes(), (asked, Some(seconds(20))));
            stream.keep_alive();
            assert_eq!(probes().0, usual, "{keepalive:?}");
        }
    }
}
