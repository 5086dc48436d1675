//! Datagrams from many peers over one socket: who sent each and to which address of ours, and answers from there.
//!
//! A socket that is bound to one address answers from it. One that is bound to any would answer from the address that the kernel
//! finds best, which need not be the one that was asked, and a client that is strict takes no answer from another (ip(7),
//! `IP_PKTINFO`; RFC 3542, 6.1).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, ready};

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage,
    recvmsg, sendmsg,
};
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;

/// A socket of a listener.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    bound: Bound,
}

/// What a socket is bound to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Bound {
    /// One address.
    One(SocketAddr),
    /// All of its family, at this port.
    Any(SocketAddr),
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
enum Own {
    V4(Ipv4Addr),
    /// With the interface where the address alone does not say it (RFC 4007).
    V6(Ipv6Addr, u32),
}

impl Own {
    fn of(message: &ControlMessageOwned) -> Option<Self> {
        match message {
            // Of a broadcast it is the address of the interface, which can be answered from.
            ControlMessageOwned::Ipv4PacketInfo(told) => {
                let bytes = told.ipi_spec_dst.s_addr.to_ne_bytes();
                Some(Self::V4(Ipv4Addr::from(bytes)))
            }
            ControlMessageOwned::Ipv6PacketInfo(told) => {
                let addr = Ipv6Addr::from(told.ipi6_addr.s6_addr);
                let scoped = addr.is_unicast_link_local();
                Some(Self::V6(addr, if scoped { told.ipi6_ifindex } else { 0 }))
            }
            _ => None,
        }
    }
}

/// Where the kernel writes what it tells beside the bytes: one of the two is 40 bytes long at most. Aligned as a `cmsghdr`.
#[repr(align(8))]
struct Told([u8; 64]);

impl Datagrams {
    /// Over this socket of [`socket::bind_datagrams`](super::socket::bind_datagrams).
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let addr = socket.local_addr()?;
        let bound = if addr.ip().is_unspecified() {
            Bound::Any(addr)
        } else {
            Bound::One(addr)
        };
        Ok(Self { socket, bound })
    }

    /// The address of ours that a flow goes to.
    pub fn local(&self, ends: &Ends) -> SocketAddr {
        let (Bound::One(addr) | Bound::Any(addr)) = self.bound;
        let ip = match ends.own {
            None => addr.ip(),
            Some(Own::V4(own)) => own.into(),
            Some(Own::V6(own, _)) => own.into(),
        };
        SocketAddr::new(ip, addr.port())
    }

    /// The next datagram: its length, and between whom it went.
    pub fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, Ends)>> {
        if let Bound::One(_) = self.bound {
            let mut buf = ReadBuf::new(buf);
            let peer = ready!(self.socket.poll_recv_from(cx, &mut buf))?;
            let ends = Ends { peer, own: None };
            return Poll::Ready(Ok((buf.filled().len(), ends)));
        }
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            let received = self
                .socket
                .try_io(Interest::READABLE, || receive(&self.socket, buf));
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return Poll::Ready(received),
            }
        }
    }

    /// Sends one back, from where the other came to.
    pub fn answer(&self, datagram: &[u8], ends: Ends) -> io::Result<()> {
        match ends.own {
            None => self.socket.try_send_to(datagram, ends.peer).map(drop),
            Some(own) => self.socket.try_io(Interest::WRITABLE, || {
                send(&self.socket, datagram, ends.peer, own)
            }),
        }
    }
}

fn receive(socket: &UdpSocket, buf: &mut [u8]) -> io::Result<(usize, Ends)> {
    let mut told = Told([0; 64]);
    let mut parts = [IoSliceMut::new(buf)];
    let flags = MsgFlags::empty();
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut told.0), flags)?;
    let peer = message.address.as_ref().and_then(peer);
    let own = message.cmsgs()?.find_map(|message| Own::of(&message));
    let peer = peer.ok_or(io::ErrorKind::InvalidData)?;
    Ok((message.bytes, Ends { peer, own }))
}

fn peer(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = addr.as_sockaddr_in().map(|&addr| SocketAddr::from(addr));
    v4.or_else(|| addr.as_sockaddr_in6().map(|&addr| SocketAddr::from(addr)))
}

fn send(socket: &UdpSocket, datagram: &[u8], peer: SocketAddr, own: Own) -> io::Result<()> {
    let (fd, parts) = (socket.as_raw_fd(), [IoSlice::new(datagram)]);
    let flags = MsgFlags::empty();
    match (own, peer) {
        (Own::V4(addr), SocketAddr::V4(peer)) => {
            let told = in_pktinfo {
                // The route says which interface.
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr {
                    s_addr: u32::from_ne_bytes(addr.octets()),
                },
                ipi_addr: in_addr { s_addr: 0 },
            };
            let told = [ControlMessage::Ipv4PacketInfo(&told)];
            sendmsg(fd, &parts, &told, flags, Some(&SockaddrIn::from(peer)))?;
        }
        (Own::V6(addr, interface), SocketAddr::V6(peer)) => {
            let told = in6_pktinfo {
                ipi6_addr: in6_addr {
                    s6_addr: addr.octets(),
                },
                ipi6_ifindex: interface,
            };
            let told = [ControlMessage::Ipv6PacketInfo(&told)];
            sendmsg(fd, &parts, &told, flags, Some(&SockaddrIn6::from(peer)))?;
        }
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::socket::bind_datagrams;
    use super::*;
    use std::future::poll_fn;

    fn bound(addr: &str) -> UdpSocket {
        let socket = bind_datagrams(addr.parse().unwrap()).unwrap();
        UdpSocket::from_std(socket.into()).unwrap()
    }

    /// One client sends to two addresses of a socket that is bound to any, and to one that is bound to it: each
    /// answers from where it was asked.
    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        runtime.block_on(async {
            for (bind, asked, from) in [
                ("0.0.0.0:0", "127.0.0.7", "127.0.0.1:0"),
                ("0.0.0.0:0", "127.0.0.8", "127.0.0.9:0"),
                ("127.0.0.7:0", "127.0.0.7", "127.0.0.1:0"),
                ("[::]:0", "::1", "[::1]:0"),
            ] {
                let socket = bound(bind);
                let port = socket.local_addr().unwrap().port();
                let socket = Datagrams::new(socket).unwrap();
                let asked = SocketAddr::new(asked.parse().unwrap(), port);
                let client = bound(from);
                client.send_to(b"ping", asked).await.unwrap();
                let mut buf = [0; 16];
                let met = poll_fn(|cx| socket.poll_receive(cx, &mut buf)).await;
                let (len, ends) = met.unwrap();
                assert_eq!(&buf[..len], b"ping");
                assert_eq!(ends.peer, client.local_addr().unwrap());
                assert_eq!(socket.local(&ends), asked);
                assert_eq!(
                    ends.own.is_some(),
                    bind.contains("0.0.0.0") || bind.contains("::")
                );
                poll_fn(|cx| socket.socket.poll_send_ready(cx))
                    .await
                    .unwrap();
                socket.answer(b"pong", ends).unwrap();
                let (len, answered) = client.recv_from(&mut buf).await.unwrap();
                assert_eq!((&buf[..len], answered), (&b"pong"[..], asked), "{bind}");
            }
        });
    }
}
