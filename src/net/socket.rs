//! Every socket option, one function each.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

/// Room for datagrams of a listener that wait for their worker.
const RECEIVE_BUFFER: usize = 4 << 20;

/// What the kernel holds for a client beyond what is on its way, where nothing else is asked for: as much as a buffer of ours, so that
/// whoever reads never waits for us, and far below what the kernel would give one that does not (tcp(7), `tcp_wmem`).
pub const UNSENT: u32 = 64 << 10;

/// Length of the accept queue. The kernel caps it at `net.core.somaxconn` (listen(2)).
pub const BACKLOG: i32 = 4096;

/// A TCP socket bound to `addr` with `SO_REUSEADDR` and `SO_REUSEPORT`, not yet listening. What it accepts
/// sends small messages at once and holds [`UNSENT`]: the kernel copies the options, so no connection pays a call for them.
pub fn bind_shared(addr: SocketAddr) -> io::Result<Socket> {
    let socket = bound(addr)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Proves that nobody else listens on `addr`: with `SO_REUSEPORT` a second process of the same user would
/// share the port without an error, and take half of the connections.
pub fn prove_free(addr: SocketAddr) -> io::Result<()> {
    let socket = bound(addr)?;
    socket.bind(&addr.into())?;
    // Two sockets with SO_REUSEADDR may be bound together; only one may listen.
    socket.listen(1)
}

/// A UDP socket bound to `addr` with `SO_REUSEPORT`. It gets what the kernel hashes to it from then on; where that is any address,
/// with the word to which of ours it came.
pub fn bind_datagrams(addr: SocketAddr) -> io::Result<Socket> {
    let socket = datagrams(addr)?;
    socket.set_reuse_port(true)?;
    // What it has no room for is told with what comes behind (socket(7), `SO_RXQ_OVFL`). The kernel gives as much room as
    // `net.core.rmem_max` allows.
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    if addr.ip().is_unspecified() {
        match addr {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Proves that nobody else takes datagrams at `addr`. Without `SO_REUSEADDR`, with which two may (socket(7)).
pub fn prove_no_datagrams(addr: SocketAddr) -> io::Result<()> {
    datagrams(addr)?.bind(&addr.into())
}

/// A UDP socket for the family of `addr`.
pub fn datagrams(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(addr),
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Takes datagrams that lie behind each other in the kernel as one piece (`UDP_GRO`), which a [`Batch`](super::batch::Batch) takes
/// apart; a kernel before 5.0 knows no pieces. Not for a socket whose lost datagrams are to be counted: the kernel counts a piece that it
/// has no room for as one.
pub fn take_pieces<S: std::os::fd::AsFd>(socket: &S) {
    if let Err(error) = setsockopt(socket, sockopt::UdpGroSegment, &true) {
        tracing::debug!(%error, "cannot set UDP_GRO");
    }
}

/// A unix stream socket, not yet bound.
pub fn unix_stream() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)
}

/// Sends a datagram of two pieces, as [`send`].
pub fn send_two<S: std::os::fd::AsFd>(socket: &S, first: &[u8], rest: &[u8]) -> io::Result<usize> {
    SockRef::from(socket).send_vectored(&[IoSlice::new(first), IoSlice::new(rest)])
}

/// Sends a datagram over a connected socket. Asks the kernel at once: the runtime does not know yet that a new socket can be
/// written to.
pub fn send<S: std::os::fd::AsFd>(socket: &S, datagram: &[u8]) -> io::Result<usize> {
    SockRef::from(socket).send(datagram)
}

fn bound(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(addr),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // `[::]` must not take the IPv4 port too: what is bound is what is written.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Options of a connection to an endpoint: small messages go out at once.
pub fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)
}

/// Keep-alive probes after this much silence, three of them. The kernel counts whole seconds.
pub fn keep_alive(stream: &TcpStream, after: Duration) -> io::Result<()> {
    let whole = Duration::from_secs(after.as_secs() + u64::from(after.subsec_nanos() > 0));
    let probes = TcpKeepalive::new()
        .with_time(whole.max(Duration::from_secs(1)))
        .with_interval((whole / 3).max(Duration::from_secs(1)))
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

/// How much the kernel takes beyond what is on its way (tcp(7), `TCP_NOTSENT_LOWAT`).
pub fn hold_unsent(stream: &TcpStream, most: u32) -> io::Result<()> {
    SockRef::from(stream).set_tcp_notsent_lowat(most)
}

/// How long what was sent may stay unacknowledged (tcp(7), `TCP_USER_TIMEOUT`).
pub fn user_timeout(stream: &TcpStream, time: Duration) -> io::Result<()> {
    SockRef::from(stream).set_tcp_user_timeout(Some(time))
}

/// What is sent leaves by this interface, whatever the routes say (socket(7), `SO_BINDTODEVICE`).
pub fn leave_by<S: std::os::fd::AsFd>(socket: &S, interface: &str) -> io::Result<()> {
    SockRef::from(socket).bind_device(Some(interface.as_bytes()))
}

/// A socket that is not connected yet comes from this address, which has no port; one is found then.
pub fn leave_from<S: std::os::fd::AsFd>(socket: &S, from: SocketAddr) -> io::Result<()> {
    setsockopt(socket, sockopt::IpBindAddressNoPort, &true)?;
    SockRef::from(socket).bind(&from.into())
}

/// A socket to `to` may come from an address that is not ours (ip(7), `IP_TRANSPARENT`).
pub fn speak_for_others<S: std::os::fd::AsFd>(socket: &S, to: SocketAddr) -> io::Result<()> {
    match to {
        SocketAddr::V4(_) => SockRef::from(socket).set_ip_transparent_v4(true),
        SocketAddr::V6(_) => SockRef::from(socket).set_ip_transparent_v6(true),
    }
}

/// What one look at a quiet connection shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quiet {
    /// Open, and nothing to read.
    Yes,
    /// Closed, failed, or with bytes that nobody asked for.
    No,
}

/// Looks into a socket's receive queue without taking anything (`MSG_PEEK`).
pub fn peek_quiet<S: std::os::fd::AsFd>(stream: &S) -> Quiet {
    let mut byte = [std::mem::MaybeUninit::uninit(); 1];
    match SockRef::from(stream).peek(&mut byte) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Quiet::Yes,
        _ => Quiet::No,
    }
}

/// Reads what the kernel has. The system call alone: libc's is a point at which a thread can be cancelled, for which it
/// writes twice to memory that other threads may, in every call.
#[inline]
pub fn read<S: std::os::fd::AsFd>(stream: &S, buf: &mut [u8]) -> io::Result<usize> {
    let (got, _) = rustix::net::recv(stream, buf, rustix::net::RecvFlags::empty())?;
    Ok(got)
}

/// Writes what the kernel takes, as [`read`] reads. A peer that is gone is an error and no signal.
#[inline]
pub fn write<S: std::os::fd::AsFd>(stream: &S, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(
        stream,
        bytes,
        rustix::net::SendFlags::NOSIGNAL,
    )?)
}

/// Reads without taking anything.
pub fn peek<S: std::os::fd::AsFd>(stream: &S, buf: &mut [u8]) -> io::Result<usize> {
    let (seen, _) = rustix::net::recv(stream, buf, rustix::net::RecvFlags::PEEK)?;
    Ok(seen)
}

/// Makes a listening socket deaf to new connections while those that are half made still come in: a SYN is
/// dropped, and its repetition finds the port closed or another socket of the group. (A classic BPF program over
/// the TCP header: drop where the SYN bit of byte 13 is set; bpf(2), socket(7) `SO_ATTACH_FILTER`.)
pub fn deafen<S: std::os::fd::AsFd>(listener: &S) -> io::Result<()> {
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Makes `close` send a reset instead of a FIN: a truncated response must not look like a complete one.
pub fn reset_on_close<S: std::os::fd::AsFd>(stream: &S) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// The kernel's cap on accept queues, `net.core.somaxconn`, if it can be read.
pub fn somaxconn() -> Option<i32> {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()?
        .trim()
        .parse()
        .ok()
}
