//! Listening sockets: one per worker and address, made before a configuration is committed.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use super::socket;
use super::unix::{Made, SocketFile, Unplaced};
use crate::base::ListenAddr;

/// What is listened for, and what a session is carried by.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Flows of datagrams.
    Udp,
}

impl Transport {
    /// Log value and metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A socket of one worker.
#[derive(Debug)]
pub enum Opened {
    /// One that listens.
    Tcp(TcpListener),
    /// One that datagrams come to.
    Udp(UdpSocket),
    /// One that listens, the same for all workers.
    Unix(UnixListener, Arc<SocketFile>),
}

impl Opened {
    /// The file of a unix socket.
    pub fn file(&self) -> Option<Made> {
        match self {
            Self::Unix(_, file) => Some(file.made()),
            Self::Tcp(_) | Self::Udp(_) => None,
        }
    }
}

/// Sockets that are bound and do not listen yet.
#[derive(Debug)]
pub enum Ready {
    /// Of an IP address.
    Inet(Group),
    /// Of a file, for so many workers.
    Unix(Unplaced, usize),
}

impl Ready {
    /// Starts to listen; where, and the socket of each worker.
    pub fn listen(self) -> io::Result<(ListenAddr, Vec<Opened>)> {
        match self {
            Self::Inet(group) => Ok((ListenAddr::Inet(group.addr), group.listen()?)),
            Self::Unix(unplaced, workers) => {
                let (listener, file) = unplaced.place()?;
                let file = Arc::new(file);
                // No SO_REUSEPORT here: all of them wait at one queue.
                let opened = (0..workers).map(|_| {
                    let listener = listener.try_clone()?;
                    Ok(Opened::Unix(listener, Arc::clone(&file)))
                });
                let opened: io::Result<Vec<_>> = opened.collect();
                Ok((ListenAddr::Unix(file.path().to_path_buf()), opened?))
            }
        }
    }
}

/// The sockets of one address, one per worker, bound but not yet listening.
#[derive(Debug)]
pub struct Group {
    /// The address, with the real port where 0 was asked for.
    pub addr: SocketAddr,
    transport: Transport,
    sockets: Vec<socket2::Socket>,
}

impl Group {
    /// Binds `workers` sockets to `addr`. Fails when somebody listens there.
    pub fn bind(addr: SocketAddr, transport: Transport, workers: usize) -> io::Result<Self> {
        if addr.port() != 0 {
            match transport {
                Transport::Tcp => socket::prove_free(addr)?,
                Transport::Udp => socket::prove_no_datagrams(addr)?,
            }
        }
        Self::bind_beside(addr, transport, workers)
    }

    /// Binds where this process listens already, on an address that includes `addr` or is included by it: that
    /// nobody else does has been proved.
    pub fn bind_beside(addr: SocketAddr, transport: Transport, workers: usize) -> io::Result<Self> {
        let mut real = addr;
        let mut sockets = Vec::with_capacity(workers);
        for _ in 0..workers {
            let socket = match transport {
                Transport::Tcp => socket::bind_shared(real)?,
                Transport::Udp => socket::bind_datagrams(real)?,
            };
            if let Some(bound) = socket.local_addr()?.as_socket() {
                real = bound;
            }
            sockets.push(socket);
        }
        Ok(Self {
            addr: real,
            transport,
            sockets,
        })
    }

    /// Starts to listen: the last step, after which the kernel takes connections for us.
    pub fn listen(self) -> io::Result<Vec<Opened>> {
        let transport = self.transport;
        self.sockets
            .into_iter()
            .map(|socket| match transport {
                Transport::Tcp => {
                    socket.listen(socket::BACKLOG)?;
                    Ok(Opened::Tcp(TcpListener::from(socket)))
                }
                // Bound is all that it can be.
                Transport::Udp => Ok(Opened::Udp(UdpSocket::from(socket))),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_refused_and_a_group_shares_one_port() {
        for transport in [Transport::Tcp, Transport::Udp] {
            shares_with_nobody(transport);
        }
    }

    fn shares_with_nobody(transport: Transport) {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let group = Group::bind(any, transport, 3).unwrap();
        let addr = group.addr;
        assert_ne!(addr.port(), 0);
        let sockets = group.listen().unwrap();
        assert_eq!(sockets.len(), 3);
        assert!(
            Group::bind(addr, transport, 1).is_err(),
            "a stranger must not share the port"
        );
        drop(sockets);
        assert!(Group::bind(addr, transport, 1).is_ok());
    }

    #[test]
    fn what_is_accepted_sends_small_messages_at_once() {
        let group = Group::bind("127.0.0.1:0".parse().unwrap(), Transport::Tcp, 1).unwrap();
        let addr = group.addr;
        let sockets = group.listen().unwrap();
        let _client = std::net::TcpStream::connect(addr).unwrap();
        let Opened::Tcp(socket) = &sockets[0] else {
            panic!("no listening socket");
        };
        socket.set_nonblocking(false).unwrap();
        let (stream, _) = socket.accept().unwrap();
        assert!(stream.nodelay().unwrap());
    }
}
