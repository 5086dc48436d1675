//! Many datagrams by one system call (recvmmsg(2), sendmmsg(2)).
//!
//! The crates that wrap these calls do not reset what the kernel writes into their headers, so that what it tells beside the bytes is
//! lost from the second call on.

#![expect(
    unsafe_code,
    reason = "no crate wraps these calls so that they can be used twice"
)]

use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::ptr;

use nix::libc;
use nix::sys::socket::{SockaddrIn, SockaddrIn6};

use super::datagrams::{Ends, Own};
use super::runs::RUN;

/// Datagrams of one call.
pub const SLOTS: usize = 32;
/// The longest datagram, rounded up. Of its memory only pages that were written to are there.
const SLOT: usize = 64 << 10;

/// Where the kernel writes what it tells beside the bytes, and we to it: an address of ours takes 40 at most, a count or a length 24.
/// Aligned as a `cmsghdr`.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Told([u8; 96]);

impl Told {
    const EMPTY: Self = Self([0; 96]);

    /// What stands in its first `length` bytes.
    fn read(&self, length: usize) -> Word {
        let mut word = Word::default();
        // SAFETY: zeros are a value of a header, whose pointers are null.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_control = self.0.as_ptr().cast_mut().cast();
        header.msg_controllen = length.min(self.0.len());
        // SAFETY: `header` has no more than these bytes, which are aligned as a `cmsghdr`, are initialized and outlive it. They are
        // messages that the kernel wrote, or the zeros of before, which are none: the macros of cmsg(3) stay within the length, each
        // message has as many bytes as its type says, and is read unaligned. Nothing is written.
        unsafe {
            let mut next = libc::CMSG_FIRSTHDR(&raw const header);
            while let Some(message) = next.as_ref() {
                let content = libc::CMSG_DATA(next);
                match (message.cmsg_level, message.cmsg_type) {
                    (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                        let told = content.cast::<libc::in_pktinfo>().read_unaligned();
                        // Of a broadcast it is the address of the interface, which can be answered from.
                        let bytes = told.ipi_spec_dst.s_addr.to_ne_bytes();
                        word.own = Some(Own::V4(Ipv4Addr::from(bytes)));
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                        let told = content.cast::<libc::in6_pktinfo>().read_unaligned();
                        let addr = Ipv6Addr::from(told.ipi6_addr.s6_addr);
                        let scoped = addr.is_unicast_link_local();
                        let interface = if scoped { told.ipi6_ifindex } else { 0 };
                        word.own = Some(Own::V6(addr, interface));
                    }
                    (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                        word.overflowed = Some(content.cast::<u32>().read_unaligned());
                    }
                    (libc::SOL_UDP, libc::UDP_GRO) => {
                        let told = content.cast::<libc::c_int>().read_unaligned();
                        word.segment = usize::try_from(told).unwrap_or(0);
                    }
                    _ => {}
                }
                next = libc::CMSG_NXTHDR(&raw const header, next);
            }
        }
        word
    }

    /// Writes, behind `at` bytes, that a piece is datagrams of this length each, the last one perhaps shorter (udp(7),
    /// `UDP_SEGMENT`); how many bytes there are then.
    fn write_segment(&mut self, at: usize, length: u16) -> usize {
        // SAFETY: zeros are a value of a header, whose pointers are null.
        let mut header: libc::msghdr = unsafe { zeroed() };
        let room = self.0.get_mut(at..).unwrap_or_default();
        header.msg_control = room.as_mut_ptr().cast();
        header.msg_controllen = room.len();
        // SAFETY: `header` has these bytes, borrowed for writing: `at` is the end of a message, to which they are aligned as a
        // `cmsghdr`, and what is behind it (56 at least) is more than this one takes (24). Where it were not, the pointer is null.
        unsafe {
            let message = libc::CMSG_FIRSTHDR(&raw const header);
            if message.is_null() {
                return at;
            }
            let content = libc::CMSG_DATA(message);
            content.cast::<u16>().write_unaligned(length);
            (*message).cmsg_level = libc::SOL_UDP;
            (*message).cmsg_type = libc::UDP_SEGMENT;
            (*message).cmsg_len = libc::CMSG_LEN(size(&length)) as usize;
            at + libc::CMSG_SPACE(size(&length)) as usize
        }
    }

    /// Writes that a datagram leaves from this address of ours; how many bytes that takes.
    fn write(&mut self, own: Own) -> usize {
        // SAFETY: zeros are a value of a header, whose pointers are null.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_control = self.0.as_mut_ptr().cast();
        header.msg_controllen = self.0.len();
        // SAFETY: `header` has these bytes, borrowed for writing, aligned as a `cmsghdr`, and more than either message takes: there is a
        // first message, and room for what is written behind it.
        unsafe {
            let message = libc::CMSG_FIRSTHDR(&raw const header);
            let content = libc::CMSG_DATA(message);
            let (level, kind, length) = match own {
                Own::V4(addr) => {
                    let mut told: libc::in_pktinfo = zeroed();
                    // The route says which interface.
                    told.ipi_spec_dst.s_addr = u32::from_ne_bytes(addr.octets());
                    content.cast::<libc::in_pktinfo>().write_unaligned(told);
                    (libc::IPPROTO_IP, libc::IP_PKTINFO, size(&told))
                }
                Own::V6(addr, interface) => {
                    let mut told: libc::in6_pktinfo = zeroed();
                    told.ipi6_addr.s6_addr = addr.octets();
                    told.ipi6_ifindex = interface;
                    content.cast::<libc::in6_pktinfo>().write_unaligned(told);
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, size(&told))
                }
            };
            (*message).cmsg_level = level;
            (*message).cmsg_type = kind;
            (*message).cmsg_len = libc::CMSG_LEN(length) as usize;
            libc::CMSG_SPACE(length) as usize
        }
    }
}

/// What the kernel tells beside the bytes.
#[derive(Clone, Copy, Default)]
struct Word {
    /// To which address of ours it came.
    own: Option<Own>,
    /// How many others did not.
    overflowed: Option<u32>,
    /// It is datagrams of this length each, the last one perhaps shorter (udp(7), `UDP_GRO`); 0: it is one.
    segment: usize,
}

/// Room for datagrams that come, and what is told of them.
pub struct Batch {
    bytes: Box<[u8]>,
    headers: Box<[libc::mmsghdr]>,
    parts: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_storage]>,
    told: Box<[Told]>,
    met: usize,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("met", &self.met)
            .finish_non_exhaustive()
    }
}

/// One that came.
#[derive(Clone, Copy, Debug)]
pub struct Met<'b> {
    /// Its bytes.
    pub bytes: &'b [u8],
    /// Between whom it went.
    pub ends: Option<Ends>,
    /// How many the socket had no room for until it came, in all.
    pub overflowed: Option<u32>,
}

impl Default for Batch {
    fn default() -> Self {
        // SAFETY: all of these are plain numbers and pointers of the kernel's interface, for which zeros are a value.
        let (header, part, name) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Self {
            bytes: vec![0; SLOTS * SLOT].into_boxed_slice(),
            headers: vec![header; SLOTS].into_boxed_slice(),
            parts: vec![part; SLOTS].into_boxed_slice(),
            names: vec![name; SLOTS].into_boxed_slice(),
            told: vec![Told::EMPTY; SLOTS].into_boxed_slice(),
            met: 0,
        }
    }
}

impl Batch {
    /// Takes what is there, up to its room. Fails when nothing is, `WouldBlock`.
    pub fn receive<S: AsRawFd>(&mut self, socket: &S) -> io::Result<()> {
        self.met = 0;
        let slots = self.bytes.chunks_exact_mut(SLOT).zip(&mut self.told);
        let heads = self
            .headers
            .iter_mut()
            .zip(&mut self.parts)
            .zip(&mut self.names);
        for ((bytes, told), ((header, part), name)) in slots.zip(heads) {
            part.iov_base = bytes.as_mut_ptr().cast();
            part.iov_len = SLOT;
            let header = &mut header.msg_hdr;
            header.msg_name = ptr::from_mut(name).cast();
            header.msg_namelen = size(name);
            header.msg_iov = part;
            header.msg_iovlen = 1;
            header.msg_control = told.0.as_mut_ptr().cast();
            header.msg_controllen = told.0.len();
            header.msg_flags = 0;
        }
        // SAFETY: each header points at memory of `self`, with its length, which nothing else uses until the call returns.
        let met = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                number(SLOTS),
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.met = usize::try_from(met).map_err(|_| io::Error::last_os_error())?;
        Ok(())
    }

    /// Whether there may be more.
    pub fn is_full(&self) -> bool {
        self.met == SLOTS
    }

    /// What came with the last call, each datagram by itself.
    pub fn iter(&self) -> impl Iterator<Item = Met<'_>> {
        let slots = self.bytes.chunks_exact(SLOT).zip(&self.headers);
        let beside = self.names.iter().zip(&self.told);
        let all = slots.zip(beside).take(self.met);
        all.flat_map(|((bytes, header), (name, told))| {
            let word = told.read(header.msg_hdr.msg_controllen);
            let peer = peer(name).filter(|_| header.msg_hdr.msg_namelen > 0);
            let bytes = bytes.get(..header.msg_len as usize).unwrap_or(bytes);
            let ends = peer.map(|peer| Ends::new(peer, word.own));
            segments(bytes, word.segment).map(move |bytes| Met {
                bytes,
                ends,
                overflowed: word.overflowed,
            })
        })
    }
}

/// The datagrams of a piece. An empty one is one, too.
fn segments(piece: &[u8], length: usize) -> impl Iterator<Item = &[u8]> {
    let (first, rest) = match length {
        0 => (piece, &[][..]),
        _ => piece.split_at_checked(length).unwrap_or((piece, &[])),
    };
    std::iter::once(first).chain(rest.chunks(length.max(1)))
}

/// Length of a structure of the kernel's interface.
fn size<T>(_: &T) -> libc::socklen_t {
    number(size_of::<T>())
}

/// A length of ours, which is never near what the type holds.
fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(0)
}

fn peer(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let name = ptr::from_ref(name);
    // SAFETY: `name` is a reference; it is large enough and aligned for an address of any family, and the family says which one
    // the kernel wrote, now or before; all of its bytes are numbers.
    unsafe {
        match libc::c_int::from((*name).ss_family) {
            libc::AF_INET => {
                let addr = SockaddrIn::from(*name.cast::<libc::sockaddr_in>());
                Some(SocketAddrV4::from(addr).into())
            }
            libc::AF_INET6 => {
                let addr = SockaddrIn6::from(*name.cast::<libc::sockaddr_in6>());
                Some(SocketAddrV6::from(addr).into())
            }
            _ => None,
        }
    }
}

/// One to be sent, or several to one peer that lie behind each other.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'b> {
    /// Its bytes.
    pub bytes: &'b [u8],
    /// Of several, the length of each but the last, which is no longer; 0: it is one.
    pub segment: u16,
    /// To whom, and from where.
    pub ends: Ends,
}

/// Sends datagrams over a connected socket by one call: such as [`super::runs::run`] finds.
pub fn send_run<S: AsRawFd>(socket: &S, run: &[&[u8]], segment: u16) -> io::Result<()> {
    let empty = libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    };
    let mut parts = [empty; RUN];
    let mut count = 0;
    for (part, bytes) in parts.iter_mut().zip(run) {
        part.iov_base = bytes.as_ptr().cast_mut().cast();
        part.iov_len = bytes.len();
        count += 1;
    }
    let mut told = Told::EMPTY;
    // SAFETY: zeros are a value of a header, whose pointers are null.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = parts.as_mut_ptr();
    header.msg_iovlen = count;
    header.msg_controllen = told.write_segment(0, segment);
    header.msg_control = told.0.as_mut_ptr().cast();
    // SAFETY: the header points at `count` parts, each of which has the bytes of a slice that the kernel reads alone, and at memory
    // of this frame with its length; nothing else uses them until the call returns.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
    // All or nothing.
    match sent {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends the first [`SLOTS`] of these; how many the kernel took. An error is about the first.
pub fn send<S: AsRawFd>(socket: &S, pieces: &[Piece<'_>]) -> io::Result<usize> {
    // SAFETY: as in `Batch::default`.
    let mut headers: [libc::mmsghdr; SLOTS] = unsafe { zeroed() };
    // SAFETY: the same.
    let mut parts: [libc::iovec; SLOTS] = unsafe { zeroed() };
    let mut names = [const { Name::None }; SLOTS];
    let mut told = [Told::EMPTY; SLOTS];
    let heads = headers.iter_mut().zip(&mut parts);
    let beside = names.iter_mut().zip(&mut told);
    let mut count = 0;
    for (piece, ((header, part), (name, told))) in pieces.iter().zip(heads.zip(beside)) {
        part.iov_base = piece.bytes.as_ptr().cast_mut().cast();
        part.iov_len = piece.bytes.len();
        *name = Name::of(piece.ends.peer);
        let header = &mut header.msg_hdr;
        (header.msg_name, header.msg_namelen) = name.raw();
        header.msg_iov = part;
        header.msg_iovlen = 1;
        let mut length = piece.ends.own().map_or(0, |own| told.write(own));
        if piece.segment > 0 {
            length = told.write_segment(length, piece.segment);
        }
        if length > 0 {
            header.msg_controllen = length;
            header.msg_control = told.0.as_mut_ptr().cast();
        }
        count += 1;
    }
    // SAFETY: each of the first `count` headers points at the bytes of its piece, which the kernel reads alone, and at memory of this
    // frame, which nothing else uses until the call returns, all with their lengths. `count` is at most `SLOTS`, the length of all
    // that is zipped.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            number(count),
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// An address as the kernel takes it.
enum Name {
    None,
    V4(SockaddrIn),
    V6(SockaddrIn6),
}

impl Name {
    fn of(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(addr) => Self::V4(addr.into()),
            SocketAddr::V6(addr) => Self::V6(addr.into()),
        }
    }

    fn raw(&self) -> (*mut libc::c_void, libc::socklen_t) {
        match self {
            Self::None => (ptr::null_mut(), 0),
            Self::V4(addr) => (ptr::from_ref(addr).cast_mut().cast(), size(addr)),
            Self::V6(addr) => (ptr::from_ref(addr).cast_mut().cast(), size(addr)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::socket::take_pieces;
    use std::net::UdpSocket;

    /// What was sent by one call comes as what it was, whether or not the kernel gives it out as one piece.
    #[test]
    fn a_piece_is_taken_apart_where_it_was_joined() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        take_pieces(&socket);
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        from.connect(socket.local_addr().unwrap()).unwrap();
        let lengths: [&[usize]; 6] = [
            &[100, 100, 100],
            &[1, 1],
            &[1200; 50],
            &[700, 700, 3],
            &[0],
            &[9],
        ];
        let mut sent = Vec::new();
        for lengths in lengths {
            let datagrams: Vec<Vec<u8>> = lengths
                .iter()
                .map(|length| vec![u8::try_from(sent.len()).unwrap(); *length])
                .collect();
            let parts: Vec<&[u8]> = datagrams.iter().map(Vec::as_slice).collect();
            match parts[..] {
                [only] => drop(from.send(only).unwrap()),
                _ => send_run(&from, &parts, u16::try_from(lengths[0]).unwrap()).unwrap(),
            }
            sent.extend(datagrams);
        }
        let mut batch = Batch::default();
        batch.receive(&socket).unwrap();
        let came: Vec<Vec<u8>> = batch.iter().map(|it| it.bytes.to_vec()).collect();
        let lengths = |all: &[Vec<u8>]| all.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(&came), lengths(&sent));
        assert_eq!(came, sent);
        assert_eq!(
            batch.met, 6,
            "as one piece each, as all kernels that we run on do"
        );
    }
}
