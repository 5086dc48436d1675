//! Datagrams from many peers over one socket: who sent each and to which address of ours, and answers from there.
//!
//! A socket that is bound to one address answers from it. One that is bound to any would answer from the address that the kernel
//! finds best, which need not be the one that was asked, and a client that is strict takes no answer from another (ip(7),
//! `IP_PKTINFO`; RFC 3542, 6.1).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::batch::{Batch, Piece, send};

/// A socket of a listener.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    /// What it is bound to.
    bound: SocketAddr,
}

/// Both ends of a flow.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ends {
    /// Who sends.
    pub peer: SocketAddr,
    /// The address of ours that it sends to; `None`: the one that the socket is bound to.
    own: Option<Own>,
}

/// An address of ours.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Own {
    V4(Ipv4Addr),
    /// With the interface where the address alone does not say it (RFC 4007).
    V6(Ipv6Addr, u32),
}

impl Ends {
    pub(super) const fn new(peer: SocketAddr, own: Option<Own>) -> Self {
        Self { peer, own }
    }

    pub(super) const fn own(&self) -> Option<Own> {
        self.own
    }
}

impl Datagrams {
    /// Over this socket of [`socket::bind_datagrams`](super::socket::bind_datagrams).
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let bound = socket.local_addr()?;
        Ok(Self { socket, bound })
    }

    /// The address of ours that a flow goes to.
    pub fn local(&self, ends: &Ends) -> SocketAddr {
        let ip = match ends.own {
            None => self.bound.ip(),
            Some(Own::V4(own)) => own.into(),
            Some(Own::V6(own, _)) => own.into(),
        };
        SocketAddr::new(ip, self.bound.port())
    }

    /// Takes datagrams that came.
    pub fn poll_fill(&self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<io::Result<()>> {
        poll_fill(&self.socket, cx, batch)
    }

    /// Sends these back, each from where the other came to; how many the kernel took. An error is about the first. Does not ask the
    /// runtime, which may not know yet that a new socket can be written to.
    pub fn answer(&self, pieces: &[Piece<'_>]) -> io::Result<usize> {
        send(&self.socket, pieces)
    }
}

/// Takes datagrams that came over this socket. A call that did not fill the batch has taken all, so that the next waits without a
/// system call: what comes from then on is told by the kernel anew.
pub fn poll_fill(
    socket: &UdpSocket,
    cx: &mut Context<'_>,
    batch: &mut Batch,
) -> Poll<io::Result<()>> {
    loop {
        ready!(socket.poll_recv_ready(cx))?;
        match socket.try_io(Interest::READABLE, || batch.receive(socket)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
            Ok(()) => {
                if !batch.is_full() {
                    let drained = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _ = socket.try_io(Interest::READABLE, drained);
                }
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::SLOTS;
    use super::super::socket::bind_datagrams;
    use super::*;
    use std::future::poll_fn;

    fn bound(addr: &str) -> UdpSocket {
        let socket = bind_datagrams(addr.parse().unwrap()).unwrap();
        UdpSocket::from_std(socket.into()).unwrap()
    }

    /// One client sends to two addresses of a socket that is bound to any, and to one that is bound to it: each
    /// answers from where it was asked, also from the second call on.
    #[tokio::test]
    async fn an_answer_leaves_from_the_address_that_was_asked() {
        let mut batch = Batch::default();
        for (bind, asked, from) in [
            ("0.0.0.0:0", "127.0.0.7", "127.0.0.1:0"),
            ("0.0.0.0:0", "127.0.0.8", "127.0.0.9:0"),
            ("127.0.0.7:0", "127.0.0.7", "127.0.0.1:0"),
            ("[::]:0", "::1", "[::1]:0"),
            ("[::1]:0", "::1", "[::1]:0"),
        ] {
            let socket = bound(bind);
            let port = socket.local_addr().unwrap().port();
            let socket = Datagrams::new(socket).unwrap();
            let asked = SocketAddr::new(asked.parse().unwrap(), port);
            let client = bound(from);
            for _ in 0..2 {
                client.send_to(b"ping", asked).await.unwrap();
                poll_fn(|cx| socket.poll_fill(cx, &mut batch))
                    .await
                    .unwrap();
                let met: Vec<_> = batch.iter().collect();
                assert_eq!(met.len(), 1);
                assert_eq!(met[0].bytes, b"ping");
                let ends = met[0].ends.unwrap();
                assert_eq!(ends.peer, client.local_addr().unwrap());
                assert_eq!(socket.local(&ends), asked);
                assert_eq!(
                    ends.own.is_some(),
                    bind.contains("0.0.0.0") || bind.contains("[::]")
                );
                let piece = Piece {
                    segment: 0,
                    bytes: b"pong",
                    ends,
                };
                assert_eq!(socket.answer(&[piece, piece]).unwrap(), 2);
                let mut buf = [0; 16];
                for _ in 0..2 {
                    let (len, answered) = client.recv_from(&mut buf).await.unwrap();
                    assert_eq!((&buf[..len], answered), (&b"pong"[..], asked), "{bind}");
                }
            }
        }
    }

    /// More than a call takes, of all lengths, in their order; and what the socket had no room for is counted.
    #[tokio::test]
    async fn many_come_in_order_and_those_without_room_are_counted() {
        let socket = bound("127.0.0.1:0");
        let to = socket.local_addr().unwrap();
        let socket = Datagrams::new(socket).unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let count = 2 * SLOTS + 3;
        for length in 0..count {
            client.send_to(&vec![7; length], to).unwrap();
        }
        let mut batch = Batch::default();
        let mut seen = Vec::new();
        while seen.len() < count {
            poll_fn(|cx| socket.poll_fill(cx, &mut batch))
                .await
                .unwrap();
            seen.extend(batch.iter().map(|met| met.bytes.len()));
        }
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
        let sent = 20_000;
        for _ in 0..sent {
            client.send_to(&[7; 1200], to).unwrap();
        }
        let mut took = 0;
        let mut waker = Context::from_waker(std::task::Waker::noop());
        tokio::task::yield_now().await;
        while let Poll::Ready(filled) = tokio::task::unconstrained(poll_fn(|_| {
            Poll::Ready(socket.poll_fill(&mut waker, &mut batch))
        }))
        .await
        {
            filled.unwrap();
            took += batch.iter().count();
        }
        client.send_to(b"last", to).unwrap();
        poll_fn(|cx| socket.poll_fill(cx, &mut batch))
            .await
            .unwrap();
        let last = batch.iter().last().unwrap();
        let lost = last.overflowed.map_or(0, |lost| lost as usize);
        assert_eq!(took + lost, sent);
    }
}
