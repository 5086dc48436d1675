//! One worker's part of the log: lines on their way, and what records are made from.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::message::RequestHead;

use super::format::{self, Value};
use super::plan::{AccessLog, Column, Output};
use super::queue::LogHandle;
use super::stamp::Stamper;

/// Bytes of lines after which they are handed over without waiting for the next flush.
const BATCH: usize = 32 * 1024;

/// Heads kept for the next exchanges, and the largest buffer that is kept with one.
const MAX_FREE: usize = 128;
const MAX_KEPT_HEAD: usize = 16 * 1024;

/// One per worker. Nothing in it is shared with another thread but the handle's queue.
#[derive(Debug)]
pub struct Journal {
    handle: LogHandle,
    plan: RefCell<Option<Arc<AccessLog>>>,
    lines: RefCell<Lines>,
    heads: RefCell<Vec<RequestHead>>,
    notes: RefCell<Vec<Vec<u8>>>,
    id_prefix: [u8; 16],
    next_id: Cell<u64>,
}

#[derive(Debug)]
struct Lines {
    text: Vec<u8>,
    count: u64,
    stamper: Stamper,
}

impl Journal {
    /// A journal without a plan: nothing is logged until [`Journal::configure`].
    pub fn new(worker: usize, handle: LogHandle) -> Rc<Self> {
        // Keyed by the operating system's random numbers: ids of two instances do not meet.
        let random = RandomState::new();
        Rc::new(Self {
            handle,
            plan: RefCell::new(None),
            lines: RefCell::new(Lines {
                text: Vec::new(),
                count: 0,
                stamper: Stamper::new(),
            }),
            heads: RefCell::default(),
            notes: RefCell::default(),
            id_prefix: hex(random.hash_one(worker)),
            next_id: Cell::new(random.hash_one("counter") >> 16),
        })
    }

    /// Lines look so from now on; those made before are handed over first.
    pub fn configure(&self, plan: Arc<AccessLog>) {
        self.flush();
        *self.plan.borrow_mut() = Some(plan);
    }

    /// Hands over the lines that were made since the last time, and follows the wall clock. The worker
    /// calls it every 100 ms and before it ends.
    pub fn flush(&self) {
        let mut lines = self.lines.borrow_mut();
        lines.stamper.refresh();
        lines.hand_over(&self.handle);
    }

    /// An empty head, with the buffers of an earlier exchange.
    pub fn take_head(&self) -> RequestHead {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give_head(&self, mut head: RequestHead) {
        if let Ok(mut heads) = self.heads.try_borrow_mut()
            && heads.len() < MAX_FREE
            && head.bytes.capacity() <= MAX_KEPT_HEAD
        {
            head.clear();
            heads.push(head);
        }
    }

    pub(super) fn take_note(&self) -> Vec<u8> {
        self.notes.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give_note(&self, mut note: Vec<u8>) {
        if let Ok(mut notes) = self.notes.try_borrow_mut()
            && notes.len() < MAX_FREE
        {
            note.clear();
            notes.push(note);
        }
    }

    /// 32 hexadecimal digits that no other exchange has: the worker's random ones and a count.
    pub(super) fn request_id(&self) -> [u8; 32] {
        let count = self.next_id.get();
        self.next_id.set(count.wrapping_add(1));
        let mut id = [b'0'; 32];
        let (prefix, suffix) = id.split_at_mut(16);
        prefix.copy_from_slice(&self.id_prefix);
        suffix.copy_from_slice(&hex(count));
        id
    }

    /// Makes one line, if lines are made at all and this one is not left out by sampling. `time` gets the
    /// text of `at`. Never panics: it runs in drops.
    pub(super) fn log<'a>(
        &self,
        at: Instant,
        weight: Weight,
        value: impl Fn(&Column) -> Option<Value<'a>>,
    ) {
        let Ok(plan) = self.plan.try_borrow() else {
            return;
        };
        let Some(plan) = plan.as_deref() else { return };
        if *plan.output() == Output::Off
            || weight == Weight::Sampled && !plan.samples(|| fastrand::u32(..))
        {
            return;
        }
        let Ok(mut lines) = self.lines.try_borrow_mut() else {
            return;
        };
        let Lines {
            text,
            count,
            stamper,
        } = &mut *lines;
        let time = stamper.text(at);
        format::line(plan, text, |column| {
            value(column).unwrap_or(Value::Plain(time))
        });
        *count += 1;
        if text.len() >= BATCH {
            lines.hand_over(&self.handle);
        }
    }
}

/// Whether an exchange is always logged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Weight {
    /// It went well: `sample` decides.
    Sampled,
    /// It did not.
    Always,
}

impl Lines {
    fn hand_over(&mut self, handle: &LogHandle) {
        if self.count > 0 {
            handle.submit(&mut self.text, self.count);
            self.count = 0;
        }
    }
}

fn hex(number: u64) -> [u8; 16] {
    let mut text = [b'0'; 16];
    for (position, digit) in text.iter_mut().rev().enumerate() {
        let nibble = u8::try_from(number >> (4 * position) & 15).unwrap_or_default();
        *digit = if nibble < 10 {
            b'0' + nibble
        } else {
            b'a' + nibble - 10
        };
    }
    text
}

impl Drop for Journal {
    /// Exchanges that end with their worker have lines too.
    fn drop(&mut self) {
        self.flush();
    }
}
