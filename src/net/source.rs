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

/// Addresses and an interface of ours.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Source {
    addresses: Arc<[IpAddr]>,
    interface: Option<Arc<str>>,
}

impl Source {
    /// Compiles the keys `source` and `interface`; `None` where nothing is said.
    pub fn compile(raw: &ClusterSocket, diagnostics: &mut Diagnostics) -> Option<Self> {
        let mut addresses = Vec::new();
        for text in raw.source.iter().flat_map(|list| list.value.0.iter()) {
            match text.parse::<IpAddr>() {
                Ok(addr) if !addr.is_unspecified() && !addr.is_multicast() => addresses.push(addr),
                _ => {
                    let message = format!(
                        "`{}` is not an address of this machine",
                        text.escape_debug()
                    );
                    let span = raw.source.as_ref().map(|list| list.span);
                    diagnostics.push(
                        Diagnostic::error(Code::BadAddress, span.unwrap_or_default(), message)
                            .label("expected an IP address, without a port"),
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
        (!addresses.is_empty() || interface.is_some()).then(|| Self {
            addresses: addresses.into(),
            interface,
        })
    }

    /// Whether an endpoint there can be reached from it.
    pub fn reaches(&self, to: SocketAddr) -> bool {
        self.addresses.is_empty() || self.addresses.iter().any(|it| it.is_ipv4() == to.is_ipv4())
    }

    /// Lets a socket that is to be connected with `to` come from here. The port is found when it is connected, so that one may go
    /// to many endpoints at a time (`IP_BIND_ADDRESS_NO_PORT`, ip(7)).
    pub fn bind<S: AsFd>(&self, socket: &S, to: SocketAddr) -> Result<(), NoSource> {
        if let Some(interface) = &self.interface {
            socket::leave_by(socket, interface).map_err(NoSource)?;
        }
        if self.addresses.is_empty() {
            return Ok(());
        }
        let same = || {
            self.addresses
                .iter()
                .filter(|it| it.is_ipv4() == to.is_ipv4())
        };
        let turn = next_turn().checked_rem(same().count()).unwrap_or(0);
        let none = || NoSource(io::ErrorKind::AddrNotAvailable.into());
        let from = same().nth(turn).ok_or_else(none)?;
        socket::leave_from(socket, *from).map_err(NoSource)
    }

    /// A connection from here.
    pub async fn connect(&self, to: SocketAddr) -> Result<io::Result<TcpStream>, NoSource> {
        let socket = match to {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => return Ok(Err(error)),
        };
        self.bind(&socket, to)?;
        Ok(socket.connect(to).await)
    }
}

/// What is not there to come from: it is our own fault, not the endpoint's.
#[derive(Debug)]
pub struct NoSource(pub io::Error);

/// Whose turn it is, on this thread.
fn next_turn() -> usize {
    thread_local! {
        static TURN: Cell<usize> = const { Cell::new(0) };
    }
    TURN.with(|turn| turn.replace(turn.get().wrapping_add(1)))
}
