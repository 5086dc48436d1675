//! Sends of one turn of a worker that leave by one system call (`io_uring(7)`).
//!
//! In a crowd each turn has something to send to many sockets. To enter the kernel for each of them is a tenth of what a request costs:
//! here they wait until everybody who is ready has been heard, and are handed over together. Whoever sends is told
//! as by a socket that is full: pending, then woken, and the same bytes offered again are answered with what the kernel took.
//!
//! **Invariants.** What waits is a copy, so nobody's buffer is looked at later. Each send is one that does not wait: when the call
//! returns the kernel has looked at all of them. Nothing is sent of what its owner has dropped, but for what was given away, which is.

mod ring;
mod ticket;

use std::cell::{Cell, RefCell};
use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use ring::{MOST, Ring};
pub(super) use ticket::{Fate, Ticket};

/// Fewer cost more by the ring than one by one.
const FEW: usize = 3;
/// After a turn of few, one send does not wait for others, and after each further one in a row twice as many, up to this: among many
/// clients there may be few that say anything.
const ALONE: u8 = 63;
/// Bytes that are copied rather than sent at once: of more the copy costs what the call would.
const SHORT: usize = 8 << 10;

/// Whether this thread gathers sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    /// It has no ring.
    Alone,
    /// It may: there are too few to send to.
    Few,
    /// It does.
    Many,
}

/// Rings of all threads.
static RINGS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static MODE: Cell<Mode> = const { Cell::new(Mode::Alone) };
    static BUNDLE: RefCell<Bundle> = RefCell::default();
}

/// What waits for the end of a turn.
#[derive(Default)]
struct Bundle {
    ring: Option<Ring>,
    bytes: Vec<u8>,
    sends: Slab<Send>,
    /// Those that wait, in their order.
    waiting: Vec<usize>,
    /// Owners that are to be told.
    told: Vec<Waker>,
    /// Owners that are not.
    spared: Vec<Waker>,
    /// The task that sends.
    sender: Option<Waker>,
    /// So many sends do not wait, and how many it was the last time.
    alone: u8,
    thin: u8,
}

enum Send {
    Waits {
        fd: RawFd,
        place: Range<usize>,
        owner: Waker,
        /// Whether the owner is told if all is well.
        tells: bool,
        given: bool,
    },
    /// Its owner has lost interest before it was sent.
    Dropped,
    /// What the kernel said, as a system call does.
    Done(i32),
    /// The kernel has all of what was given away.
    Gone,
    /// What it did not take of that.
    Left(Vec<u8>),
    /// It will take none of that.
    Failed(i32),
}

/// When the owner of a send is woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tell {
    /// When the kernel has looked at it.
    Always,
    /// Then, unless it took all: the owner has nothing to do but to wait for the peer, which wakes it. That all was taken shows when the
    /// same bytes are offered again.
    Trouble,
    /// The same of bytes that it has given away: it does not offer them again, and what the kernel does not take is kept here.
    Given,
}

/// The task that sends what is gathered, at the end of each turn.
#[derive(Debug)]
#[must_use = "what is gathered waits for it"]
pub struct Sends(PhantomData<*const ()>);

/// Opens this thread's ring.
///
/// # Errors
///
/// The kernel's: it has none of these rings (before Linux 6.0), or they are forbidden (`kernel.io_uring_disabled`, a seccomp filter).
pub fn open() -> io::Result<Sends> {
    let ring = Ring::open()?;
    BUNDLE.with_borrow_mut(|bundle| bundle.ring = Some(ring));
    MODE.set(Mode::Few);
    RINGS.fetch_add(1, Ordering::Relaxed);
    Ok(Sends(PhantomData))
}

impl Future for Sends {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        BUNDLE.with_borrow_mut(|bundle| match &bundle.sender {
            Some(sender) if sender.will_wake(cx.waker()) => {}
            _ => bundle.sender = Some(cx.waker().clone()),
        });
        leave();
        Poll::Pending
    }
}

impl Drop for Sends {
    /// Without it nobody would send what waits.
    fn drop(&mut self) {
        stop();
    }
}

/// Sends what waits; from now on everybody sends for themselves: there may be no next turn.
pub fn stop() {
    close();
    leave();
}

fn close() {
    if MODE.replace(Mode::Alone) != Mode::Alone {
        RINGS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many threads have a ring.
pub fn rings() -> usize {
    RINGS.load(Ordering::Relaxed)
}

/// Says whether there are many to send to: with few the wait for each other costs more than it saves.
#[inline]
pub fn gather(many: bool) {
    MODE.set(match (MODE.get(), many) {
        (Mode::Alone, _) => Mode::Alone,
        (_, true) => Mode::Many,
        (_, false) => Mode::Few,
    });
}

/// Whether what is sent now waits for the end of the turn.
#[inline]
pub fn gathers() -> bool {
    MODE.get() == Mode::Many
}

/// Takes bytes for a socket, which must stay open as long as the ticket is held. `None`: they are to be sent at once.
#[inline]
pub(super) fn add(
    cx: &Context<'_>,
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    tell: Tell,
) -> Option<Ticket> {
    if !gathers() || bytes.is_empty() || bytes.len() > SHORT {
        return None;
    }
    let fd = socket.as_raw_fd();
    let (ticket, full) = BUNDLE.with_borrow_mut(|bundle| bundle.add(cx, fd, bytes, tell))?;
    if full {
        leave();
    }
    Some(ticket)
}

/// Sends what waits, and tells those that it is from.
fn leave() {
    let (mut told, mut spared) = BUNDLE.with_borrow_mut(|bundle| {
        if !bundle.waiting.is_empty() {
            bundle.leave();
        }
        (
            std::mem::take(&mut bundle.told),
            std::mem::take(&mut bundle.spared),
        )
    });
    // Without the bundle in hand: a waker is foreign code, and so is its drop.
    told.drain(..).for_each(Waker::wake);
    spared.clear();
    BUNDLE.with_borrow_mut(|bundle| (bundle.told, bundle.spared) = (told, spared));
}

impl Bundle {
    fn add(
        &mut self,
        cx: &Context<'_>,
        fd: RawFd,
        bytes: &[u8],
        tell: Tell,
    ) -> Option<(Ticket, bool)> {
        if self.alone > 0 {
            self.alone -= 1;
            return None;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let key = self.sends.insert(Send::Waits {
            fd,
            place: start..self.bytes.len(),
            owner: cx.waker().clone(),
            tells: tell == Tell::Always,
            given: tell == Tell::Given,
        });
        self.waiting.push(key);
        if self.waiting.len() == 1
            && let Some(sender) = &self.sender
        {
            sender.wake_by_ref();
        }
        Some((Ticket::of(key), self.waiting.len() == MOST as usize))
    }

    fn leave(&mut self) {
        self.thin = match self.waiting.len() {
            ..FEW => (2 * self.thin + 1).min(ALONE),
            _ => 0,
        };
        self.alone = self.thin;
        if self.waiting.len() >= FEW
            && let Some(mut ring) = self.ring.take()
        {
            let waiting = self.waiting.iter().filter_map(|&key| {
                let Some(Send::Waits { fd, place, .. }) = self.sends.get(key) else {
                    return None;
                };
                Some((key, *fd, self.bytes.get(place.clone())?))
            });
            let sent = ring.send(waiting);
            for &(key, result) in &ring.done {
                self.done(key, result);
            }
            match sent {
                Ok(()) => self.ring = Some(ring),
                Err(error) => {
                    tracing::warn!(%error, "io_uring failed; sends go one by one from now on");
                    close();
                }
            }
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        for key in waiting.drain(..) {
            match self.sends.get(key) {
                Some(Send::Waits { fd, place, .. }) => {
                    let bytes = self.bytes.get(place.clone()).unwrap_or_default();
                    let result = ring::alone(*fd, bytes);
                    self.done(key, result);
                }
                Some(Send::Dropped) => drop(self.sends.try_remove(key)),
                _ => {}
            }
        }
        self.waiting = waiting;
        self.bytes.clear();
    }

    fn done(&mut self, key: usize, result: i32) {
        let Some(send @ Send::Waits { .. }) = self.sends.get_mut(key) else {
            return;
        };
        let Send::Waits {
            owner,
            tells,
            given,
            place,
            ..
        } = std::mem::replace(send, Send::Done(result))
        else {
            return;
        };
        let taken = said(result);
        let whole = matches!(taken, Ok(taken) if taken == place.len());
        if given {
            *send = match taken {
                Ok(_) if whole => Send::Gone,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => Send::Failed(result),
                taken => {
                    let left = place.start + taken.unwrap_or(0)..place.end;
                    Send::Left(self.bytes.get(left).unwrap_or_default().to_vec())
                }
            };
        }
        if whole && !tells {
            self.spared.push(owner);
        } else {
            self.told.push(owner);
        }
    }
}

/// What a system call has returned. One that was interrupted is to be repeated.
fn said(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| match io::Error::from_raw_os_error(-result) {
        error if error.kind() == io::ErrorKind::Interrupted => io::ErrorKind::WouldBlock.into(),
        error => error,
    })
}

#[cfg(test)]
mod tests;
