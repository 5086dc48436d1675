//! Where connections and flows to endpoints come from.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;

use tokio::net::{TcpSocket, TcpStream};

use super::socket;
use crate::config::raw::socket::ClusterSocket;
use crate::config::{Code, Diagnostic, Diagnostics};

/// Longest name of an interface: `IFNAMSIZ` has 16 bytes with the closing NUL (netdevice(7)).
const MAX_INTERFACE: usize = 15;

/// The word for the client's own address.
const CLIENT: &str = "client";

/// An address and an interface.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Source {
    from: From,
    interface: Option<Arc<str>>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum From {
    /// What the kernel finds best.
    Any,
    /// These of ours, in turn.
    Ours(Arc<[IpAddr]>),
    /// The address of the client that it is for, which is not ours.
    Client,
}

impl Source {
    /// Compiles the keys `source` and `interface`; `None` where nothing is said.
    pub fn compile(raw: &ClusterSocket, diagnostics: &mut Diagnostics) -> Option<Self> {
        let mut addresses = Vec::new();
        let written = || raw.source.iter().flat_map(|list| list.value.0.iter());
        let is_client = written().eq([CLIENT]);
        for text in written().filter(|_| !is_client) {
            match text.parse::<IpAddr>() {
                Ok(addr) if is_of_one_host(addr) => addresses.push(addr),
                _ => {
                    let message = format!(
                        "`{}` is not an address of this machine",
                        text.escape_debug()
                    );
                    let span = raw.source.as_ref().map(|list| list.span);
                    diagnostics.push(
                        Diagnostic::error(Code::BadAddress, span.unwrap_or_default(), message)
                            .label("expected an IP address, without a port, or `client` alone"),
                    );
                }
            }
        }
        if let Some(empty) = raw.source.as_ref().filter(|list| list.value.0.is_empty()) {
            let message = "`source` is empty";
            diagnostics.push(
                Diagnostic::error(Code::Empty, empty.span, message).label("from where, then?"),
            );
        }
        let fits = |name: &str| {
            let bytes = name.bytes();
            let odd = bytes
                .clone()
                .any(|it| it.is_ascii_whitespace() || it == b'/' || it == 0);
            (1..=MAX_INTERFACE).contains(&name.len()) && !odd
        };
        if let Some(name) = raw.interface.as_ref().filter(|name| !fits(name)) {
            let message = format!("`{}` is not the name of an interface", name.escape_debug());
            diagnostics.push(Diagnostic::error(Code::BadName, name.span, message));
        }
        let interface = raw
            .interface
            .as_ref()
            .map(|name| name.value.as_str().into());
        let from = match addresses.is_empty() {
            true if is_client => From::Client,
            true => From::Any,
            false => From::Ours(addresses.into()),
        };
        (from != From::Any || interface.is_some()).then_some(Self { from, interface })
    }

    /// Whether what comes from here comes from the client's address: a connection is its client's alone, then.
    pub fn is_clients(&self) -> bool {
        self.from == From::Client
    }

    /// Whether an endpoint there can be reached from it.
    pub fn reaches(&self, to: SocketAddr) -> bool {
        match &self.from {
            From::Any | From::Client => true,
            From::Ours(addresses) => addresses.iter().any(|it| it.is_ipv4() == to.is_ipv4()),
        }
    }

    /// Lets a socket that is to be connected with `to`, for this client (`None`: for ourselves), come from here. The port is
    /// found when it is connected, so that one may go to many endpoints at a time (`IP_BIND_ADDRESS_NO_PORT`, ip(7)).
    pub fn bind<S: AsFd>(
        &self,
        socket: &S,
        to: SocketAddr,
        client: Option<SocketAddr>,
    ) -> Result<(), NoSource> {
        if let Some(interface) = &self.interface {
            socket::leave_by(socket, interface).map_err(NoSource)?;
        }
        let none = || NoSource(io::ErrorKind::AddrNotAvailable.into());
        let from = match (&self.from, client) {
            (From::Any, _) | (From::Client, None) => return Ok(()),
            (From::Client, Some(client)) => {
                // A header of the PROXY protocol can have one of IPv4 mapped into IPv6.
                let client = SocketAddr::new(client.ip().to_canonical(), 0);
                if client.is_ipv4() != to.is_ipv4() || !is_of_one_host(client.ip()) {
                    return Err(none());
                }
                socket::speak_for_others(socket, to).map_err(NoSource)?;
                client
            }
            (From::Ours(addresses), _) => {
                let same = || addresses.iter().filter(|it| it.is_ipv4() == to.is_ipv4());
                let turn = next_turn().checked_rem(same().count()).unwrap_or(0);
                SocketAddr::new(*same().nth(turn).ok_or_else(none)?, 0)
            }
        };
        socket::leave_from(socket, from).map_err(NoSource)
    }

    /// A connection from here.
    pub async fn connect(
        &self,
        to: SocketAddr,
        client: Option<SocketAddr>,
    ) -> Result<io::Result<TcpStream>, NoSource> {
        let socket = match to {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => return Ok(Err(error)),
        };
        self.bind(&socket, to, client)?;
        match socket.connect(to).await {
            // The kernel finds no way from there to the endpoint, as from a loopback address to a network: of the endpoint that says
            // nothing.
            Err(error) if self.is_clients() && error.kind() == io::ErrorKind::InvalidInput => {
                Err(NoSource(error))
            }
            connected => Ok(connected),
        }
    }
}

/// Whether this process may connect from addresses that are not its own. Whoever asks needs `CAP_NET_ADMIN` or `CAP_NET_RAW`
/// (ip(7), `IP_TRANSPARENT`).
pub fn prove_for_others() -> io::Result<()> {
    let any = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
    socket::speak_for_others(&socket::datagrams(any)?, any)
}

/// What is not there to come from: it is our own fault, not the endpoint's.
#[derive(Debug)]
pub struct NoSource(pub io::Error);

/// Whether one host can have this address. Bound to another, a socket comes from where the kernel finds best: a header of the PROXY
/// protocol that names such a client would have us speak for ourselves.
fn is_of_one_host(addr: IpAddr) -> bool {
    let is_broadcast = matches!(addr, IpAddr::V4(addr) if addr.is_broadcast());
    !(is_broadcast || addr.is_unspecified() || addr.is_multicast())
}

/// Whose turn it is, on this thread.
fn next_turn() -> usize {
    thread_local! {
        static TURN: Cell<usize> = const { Cell::new(0) };
    }
    TURN.with(|turn| turn.replace(turn.get().wrapping_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_speaks_for_a_client_that_is_no_host() {
        let source = Source {
            from: From::Client,
            interface: None,
        };
        for (to, clients) in [
            (
                "127.0.0.1:9",
                &["0.0.0.0:7", "224.0.0.1:7", "255.255.255.255:7", "[::1]:7"][..],
            ),
            (
                "[::1]:9",
                &[
                    "[::]:7",
                    "[ff02::1]:7",
                    "127.0.0.1:7",
                    "[::ffff:127.0.0.1]:7",
                ],
            ),
        ] {
            let to = to.parse().unwrap();
            for client in clients {
                let socket = socket::datagrams(to).unwrap();
                let bound = source.bind(&socket, to, Some(client.parse().unwrap()));
                let NoSource(error) = bound.expect_err(client);
                assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable, "{client}");
            }
        }
    }
}
