//! Pipes for bulk: bytes go from one socket to another without coming up to us (splice(2)).

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// What a pipe holds. Four times the kernel's default: a quarter of the calls for the same bytes.
const SIZE: usize = 256 * 1024;

/// Most pipes of one worker that are in use. Each takes two descriptors and, while it holds bytes, kernel memory that the
/// ledger does not see.
const MOST: usize = 128;

/// Pipes that are kept for the next use.
const KEPT: usize = 16;

/// One worker's pipes.
#[derive(Debug, Default)]
pub struct Pipes {
    spare: RefCell<Vec<Ends>>,
    used: Cell<usize>,
    /// A pipe of the wanted size was refused (`/proc/sys/fs/pipe-user-pages-soft`): bytes are copied from then on.
    refused: Cell<bool>,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

/// Why there is no new pipe.
#[derive(Debug)]
enum NoPipe {
    /// No descriptors, or no memory: there may be some again.
    NotNow(io::Error),
    /// Not of the wanted size: that is a limit of the machine, which stays.
    TooLarge(io::Error),
}

impl Ends {
    fn new() -> Result<Self, NoPipe> {
        let flags = PipeFlags::NONBLOCK | PipeFlags::CLOEXEC;
        let (read, write) = pipe_with(flags).map_err(|error| NoPipe::NotNow(error.into()))?;
        fcntl_setpipe_size(&write, SIZE).map_err(|error| NoPipe::TooLarge(error.into()))?;
        Ok(Self { read, write })
    }
}

impl Pipes {
    /// An empty pipe; `None` where bytes have to be copied.
    pub fn take(self: &Rc<Self>) -> Option<Pipe> {
        self.take_or(Ends::new)
    }

    fn take_or(self: &Rc<Self>, make: fn() -> Result<Ends, NoPipe>) -> Option<Pipe> {
        if self.used.get() >= MOST {
            return None;
        }
        let spare = self.spare.borrow_mut().pop();
        let ends = match spare {
            Some(ends) => ends,
            None if self.refused.get() => return None,
            None => match make() {
                Ok(ends) => ends,
                Err(NoPipe::NotNow(error)) => {
                    tracing::debug!(%error, "no pipe for bulk at this time: bytes are copied");
                    return None;
                }
                Err(NoPipe::TooLarge(error)) => {
                    tracing::info!(%error, "no pipe for bulk: bytes are copied");
                    self.refused.set(true);
                    return None;
                }
            },
        };
        self.used.set(self.used.get() + 1);
        Some(Pipe {
            ends: Some(ends),
            holds: 0,
            home: Rc::clone(self),
        })
    }
}

/// A pipe in use. One that is not empty when it is dropped is closed: whoever took it next would get its bytes.
#[derive(Debug)]
pub struct Pipe {
    ends: Option<Ends>,
    /// At most its size.
    holds: u32,
    home: Rc<Pipes>,
}

impl Pipe {
    /// Bytes in it.
    pub fn holds(&self) -> usize {
        self.holds as usize
    }

    /// Takes from a socket what fits. Only into an empty pipe: then a refusal can but mean that the socket has nothing, and
    /// not that the pipe is full. 0: the end of the stream.
    pub fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
        let Some(ends) = self.ends.as_ref().filter(|_| self.holds == 0) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let moved = splice(from, None, &ends.write, None, SIZE, flags)?;
        self.holds = u32::try_from(moved).unwrap_or(u32::MAX);
        Ok(moved)
    }

    /// Gives to a socket what it takes.
    pub fn pour(&mut self, to: impl AsFd) -> io::Result<usize> {
        let Some(ends) = &self.ends else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let moved = splice(&ends.read, None, to, None, self.holds(), flags)?;
        self.holds = self
            .holds
            .saturating_sub(u32::try_from(moved).unwrap_or(u32::MAX));
        Ok(moved)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.home.used.set(self.home.used.get() - 1);
        if let Some(ends) = self.ends.take().filter(|_| self.holds == 0) {
            let mut spare = self.home.spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(ends);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_pass_and_only_empty_pipes_are_used_again() {
        let pipes = Rc::new(Pipes::default());
        let (mut client, from) = UnixStream::pair().unwrap();
        let (to, mut server) = UnixStream::pair().unwrap();
        let mut pipe = pipes.take().unwrap();
        client.write_all(b"hello").unwrap();
        assert_eq!(pipe.fill(&from).unwrap(), 5);
        assert_eq!(
            pipe.fill(&from).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        assert_eq!((pipe.pour(&to).unwrap(), pipe.holds()), (5, 0));
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
        assert_eq!(
            pipe.fill(&from).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        drop(pipe);
        assert_eq!(pipes.spare.borrow().len(), 1);
        let mut pipe = pipes.take().unwrap();
        client.write_all(b"stuck").unwrap();
        pipe.fill(&from).unwrap();
        drop(pipe);
        assert_eq!((pipes.spare.borrow().len(), pipes.used.get()), (0, 0));
        drop(client);
        assert_eq!(pipes.take().unwrap().fill(&from).unwrap(), 0, "the end");
    }

    #[test]
    fn descriptors_come_back_and_a_size_that_is_refused_does_not() {
        let pipes = Rc::new(Pipes::default());
        let crowded = || Err(NoPipe::NotNow(io::Error::from_raw_os_error(24)));
        assert!(pipes.take_or(crowded).is_none());
        let pipe = pipes.take();
        assert!(pipe.is_some());
        let refused = || Err(NoPipe::TooLarge(io::Error::from_raw_os_error(1)));
        assert!(pipes.take_or(refused).is_none() && pipes.take().is_none());
        drop(pipe);
        assert!(pipes.take().is_some(), "what is there is used");
    }

    #[test]
    fn no_more_than_so_many() {
        let pipes = Rc::new(Pipes::default());
        let taken: Vec<_> = (0..MOST).filter_map(|_| pipes.take()).collect();
        assert!(pipes.take().is_none());
        drop(taken);
        assert!(pipes.take().is_some());
    }
}
