//! A stream as the `h2` crate wants it, with an ear for what comes in and goes out.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::Stream;

/// Bytes of a connection so far.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) heard: Cell<u64>,
    pub(super) said: Cell<u64>,
    /// What had been said when something was heard last.
    pub(super) answered: Cell<u64>,
}

/// The stream of one connection.
#[derive(Debug)]
pub(super) struct Io {
    pub(super) stream: Stream,
    pub(super) traffic: Rc<Traffic>,
}

impl Io {
    fn count(&self, written: io::Result<usize>) -> io::Result<usize> {
        let said = &self.traffic.said;
        written.inspect(|&len| said.set(said.get() + len as u64))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = ready!(self.stream.poll_read(cx, buf.initialize_unfilled()))?;
        buf.advance(len);
        let heard = &self.traffic.heard;
        heard.set(heard.get() + len as u64);
        self.traffic.answered.set(self.traffic.said.get());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream
            .poll_write(cx, bytes)
            .map(|written| self.count(written))
    }

    /// The head of a frame and its payload, as a rule: two slices at most are given to the kernel.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        let (first, second) = (filled.next(), filled.next());
        let written = match (first, second) {
            (Some(first), Some(second)) => self.stream.poll_write_two(cx, first, second),
            (Some(first), None) => self.stream.poll_write(cx, first),
            (None, _) => return Poll::Ready(Ok(0)),
        };
        written.map(|written| self.count(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }
}
