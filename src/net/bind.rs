//! Listening sockets: one per worker and address, made before a configuration is committed.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::socket;

/// The sockets of one address, one per worker, bound but not yet listening.
#[derive(Debug)]
pub struct Group {
    /// The address, with the real port where 0 was asked for.
    pub addr: SocketAddr,
    sockets: Vec<socket2::Socket>,
}

impl Group {
    /// Binds `workers` sockets to `addr`. Fails when somebody listens there.
    pub fn bind(addr: SocketAddr, workers: usize) -> io::Result<Self> {
        if addr.port() != 0 {
            socket::prove_free(addr)?;
        }
        Self::bind_beside(addr, workers)
    }

    /// Binds where this process listens already, on an address that includes `addr` or is included by it: that
    /// nobody else does has been proved.
    pub fn bind_beside(addr: SocketAddr, workers: usize) -> io::Result<Self> {
        let mut real = addr;
        let mut sockets = Vec::with_capacity(workers);
        for _ in 0..workers {
            let socket = socket::bind_shared(real)?;
            if let Some(bound) = socket.local_addr()?.as_socket() {
                real = bound;
            }
            sockets.push(socket);
        }
        Ok(Self {
            addr: real,
            sockets,
        })
    }

    /// Starts to listen: the last step, after which the kernel takes connections for us.
    pub fn listen(self) -> io::Result<Vec<TcpListener>> {
        self.sockets
            .into_iter()
            .map(|socket| {
                socket.listen(socket::BACKLOG)?;
                Ok(TcpListener::from(socket))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_refused_and_a_group_shares_one_port() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let group = Group::bind(any, 3).unwrap();
        let addr = group.addr;
        assert_ne!(addr.port(), 0);
        let sockets = group.listen().unwrap();
        assert_eq!(sockets.len(), 3);
        assert!(
            Group::bind(addr, 1).is_err(),
            "a stranger must not share the port"
        );
        drop(sockets);
        assert!(Group::bind(addr, 1).is_ok());
    }

    #[test]
    fn what_is_accepted_sends_small_messages_at_once() {
        let group = Group::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let addr = group.addr;
        let sockets = group.listen().unwrap();
        let _client = std::net::TcpStream::connect(addr).unwrap();
        sockets[0].set_nonblocking(false).unwrap();
        let (stream, _) = sockets[0].accept().unwrap();
        assert!(stream.nodelay().unwrap());
    }
}
