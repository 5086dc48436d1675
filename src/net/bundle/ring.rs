//! The kernel's side: sends of many sockets by one system call, or one by one.

#![expect(
    unsafe_code,
    reason = "the kernel reads what a submission points to; no crate bounds its life"
)]

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use io_uring::{IoUring, opcode, types};
use nix::libc;

use crate::net::socket;

/// Sends of one call. More save nothing that could be measured, and those who wait for it wait longer.
pub(super) const MOST: u32 = 64;

/// A ring that carries sends alone, none of which waits.
pub(super) struct Ring {
    ring: IoUring,
    /// What became of those of the last call: by their numbers, what a system call would have returned.
    pub(super) done: Vec<(usize, i32)>,
}

impl Ring {
    /// Opens one, for this thread.
    pub(super) fn open() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_submit_all()
            .build(MOST)?;
        Ok(Self {
            ring,
            done: Vec::new(),
        })
    }

    /// Sends, each with its number, at most [`MOST`] of them. The sockets must be open. When it fails, the kernel has not looked at
    /// those that are not done, and nothing may be done with the ring but to drop it.
    pub(super) fn send<'b>(
        &mut self,
        sends: impl Iterator<Item = (usize, RawFd, &'b [u8])>,
    ) -> io::Result<()> {
        let mut count = 0;
        let mut queue = self.ring.submission();
        for (number, fd, bytes) in sends {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let send = opcode::Send::new(types::Fd(fd), bytes.as_ptr(), length)
                .flags(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
                .build()
                .user_data(number as u64);
            // SAFETY: the bytes are borrowed until this function returns. It waits until all of them are done, which they are when the
            // kernel has looked at them once: with MSG_DONTWAIT nothing is left for later (io_uring_enter(2), `IORING_OP_SEND`).
            let queued = unsafe { queue.push(&send) };
            if queued.is_err() {
                break;
            }
            count += 1;
        }
        drop(queue);
        let submitted = loop {
            match self.ring.submit_and_wait(count) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                submitted => break submitted,
            }
        };
        let done = self.ring.completion().map(|done| {
            let number = usize::try_from(done.user_data());
            (number.unwrap_or(usize::MAX), done.result())
        });
        self.done.clear();
        self.done.extend(done);
        match submitted? {
            _ if self.done.len() == count => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

/// The same of one, by a call of its own. The socket must be open.
pub(super) fn alone(fd: RawFd, bytes: &[u8]) -> i32 {
    // SAFETY: it is open, says the caller, and is not kept.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    match socket::write(&socket, bytes) {
        Ok(taken) => i32::try_from(taken).unwrap_or(i32::MAX),
        Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
    }
}
