//! The page that a worker reads into, for all of its connections one after another; and how a request keeps one, so
//! that the beginning of a body goes to an endpoint from where the kernel has put it.

use std::cell::{Cell, RefCell, RefMut};
use std::mem;
use std::ops::{Deref, DerefMut, Range};
use std::rc::Rc;

use super::spares::Spares;

/// Bytes of one read, and so the most that is held in one direction of an exchange.
pub const READ: usize = 64 * 1024;
/// Room in front of what was read, for the head of a request that is sent with it, and for the size line of a chunk.
pub const HEADROOM: usize = 2048;
/// As much of it as the size line of a chunk takes.
pub const FRAME: usize = 32;
/// Room behind it, for the end of a chunk and of a body.
pub const TAIL: usize = 32;

/// Bytes of a page.
const PAGE: usize = HEADROOM + READ + TAIL;

/// So many pages are out at most. Where more clients than that wait for their turn, what they sent is copied.
const OUT: usize = 64;

/// What is shorter is copied: that costs less than to look after a page.
const SHORT: usize = 1024;

/// The page that is read into, and those that are not.
#[derive(Debug)]
pub struct Scratch {
    now: RefCell<Box<[u8]>>,
    spare: Spares<Box<[u8]>>,
    out: Cell<usize>,
}

/// What was read for one client, on a page of its own until this is dropped.
#[derive(Debug)]
pub struct Page {
    bytes: Box<[u8]>,
    of: Rc<Scratch>,
}

fn blank() -> Box<[u8]> {
    vec![0; PAGE].into_boxed_slice()
}

impl Scratch {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            now: RefCell::new(blank()),
            spare: Spares::default(),
            out: Cell::new(0),
        })
    }

    /// The page that is read into.
    #[inline]
    pub(super) fn borrow(&self) -> RefMut<'_, Box<[u8]>> {
        self.now.borrow_mut()
    }

    /// Keeps the page that was read into for whom these bytes on it belong to; the next read goes to another. `None`: they are to be
    /// copied.
    pub(super) fn turn(self: &Rc<Self>, now: &mut Box<[u8]>, bytes: &Range<usize>) -> Option<Page> {
        if bytes.len() < SHORT || self.out.get() >= OUT {
            return None;
        }
        self.out.set(self.out.get() + 1);
        let next = self.spare.take().unwrap_or_else(blank);
        Some(Page {
            bytes: mem::replace(now, next),
            of: Rc::clone(self),
        })
    }

    /// Gives spare pages up that nobody has needed for a while.
    pub(super) fn trim(&self) {
        self.spare.trim();
    }

    /// Gives all of them up.
    pub(super) fn clear(&self) {
        self.spare.clear();
    }

    /// Bytes of the pages that are out, and of those that are spare.
    pub(super) fn weight(&self) -> usize {
        self.spare.weight(|page| page.len()) + self.out.get() * PAGE
    }
}

impl Deref for Page {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Page {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.of.out.set(self.of.out.get() - 1);
        self.of.spare.give(mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(scratch: &Rc<Scratch>, bytes: Range<usize>) -> Option<Page> {
        scratch.turn(&mut scratch.borrow(), &bytes)
    }

    #[test]
    fn what_is_kept_is_not_read_over() {
        let scratch = Scratch::new();
        let bytes = HEADROOM..HEADROOM + SHORT;
        scratch.borrow()[HEADROOM] = 1;
        let first = turn(&scratch, bytes.clone()).unwrap();
        scratch.borrow()[HEADROOM] = 2;
        let second = turn(&scratch, bytes.clone()).unwrap();
        scratch.borrow()[HEADROOM] = 3;
        assert_eq!((first[HEADROOM], second[HEADROOM]), (1, 2));
        assert_eq!(scratch.weight(), 2 * PAGE);
        drop((first, second));
        assert_eq!(scratch.weight(), 2 * PAGE);
        // A page that came back is used again.
        drop(turn(&scratch, bytes));
        assert_eq!(scratch.weight(), 2 * PAGE);
        scratch.clear();
        assert_eq!(scratch.weight(), 0);
    }

    #[test]
    fn few_pages_are_out_and_none_for_little() {
        let scratch = Scratch::new();
        let bytes = HEADROOM..HEADROOM + SHORT;
        assert!(turn(&scratch, HEADROOM..HEADROOM + SHORT - 1).is_none());
        let out: Vec<_> = (0..OUT)
            .map_while(|_| turn(&scratch, bytes.clone()))
            .collect();
        assert_eq!(out.len(), OUT);
        assert!(turn(&scratch, bytes.clone()).is_none());
        drop(out);
        assert!(turn(&scratch, bytes).is_some());
    }
}
