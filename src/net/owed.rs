//! What a peer has not acknowledged of what it was sent (tcp(7), `SIOCOUTQ`; the same number as tty(4), `TIOCOUTQ`).

#![expect(unsafe_code, reason = "no crate wraps this request of ioctl(2)")]

use std::io;
use std::os::fd::AsFd;

use nix::libc;
use rustix::ioctl::{Getter, Opcode, ioctl};

#[expect(
    clippy::cast_possible_truncation,
    reason = "requests of ioctl(2) have 32 bits, whatever type a libc gives them"
)]
const UNACKNOWLEDGED: Opcode = libc::TIOCOUTQ as Opcode;

/// Bytes that the kernel still holds for the peer: on their way, or not sent yet. Of a unix socket it is the memory that they take
/// until they are read.
pub fn owed<S: AsFd>(socket: &S) -> io::Result<usize> {
    // SAFETY: the request writes one int and reads nothing.
    let request = unsafe { Getter::<UNACKNOWLEDGED, libc::c_int>::new() };
    // SAFETY: the descriptor is open for as long as it is borrowed, and a socket knows this request.
    let owed = unsafe { ioctl(socket, request) }?;
    Ok(usize::try_from(owed).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_nobody_has_read_is_owed() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(owed(&ours).unwrap(), 0);
        ours.write_all(&[1; 1000]).unwrap();
        assert!(owed(&ours).unwrap() >= 1000);
        theirs.read_exact(&mut [0; 1000]).unwrap();
        assert_eq!(owed(&ours).unwrap(), 0);
    }
}
