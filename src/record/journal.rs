//! One worker's part of the log: lines on their way, and what records are made from.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::clock::Instant;
use crate::message::RequestHead;

use super::format::{self, Value};
use super::id::{Id, Ids};
use super::plan::{AccessLog, Column, Output};
use super::queue::LogHandle;
use super::stamp::Stamper;

/// Bytes of lines after which they are handed over without waiting for the next flush.
const BATCH: usize = 32 * 1024;

/// Heads kept for the next exchanges, and the largest buffer that is kept with one. As many as a few connections of HTTP/2
/// have under way: where there are fewer, each turn makes the others anew, byte by doubled byte.
const MAX_FREE: usize = 256;
const MAX_KEPT_HEAD: usize = 8 * 1024;

/// One per worker. Nothing in it is shared with another thread but the handle's queue.
#[derive(Debug)]
pub struct Journal {
    handle: LogHandle,
    plan: RefCell<Option<Arc<AccessLog>>>,
    lines: RefCell<Lines>,
    stamper: RefCell<Stamper>,
    #[expect(
        clippy::vec_box,
        reason = "a head is large, and handed on from hand to hand"
    )]
    heads: RefCell<Vec<Box<RequestHead>>>,
    notes: RefCell<Vec<Vec<u8>>>,
    ids: Ids,
}

#[derive(Debug, Default)]
struct Lines {
    text: Vec<u8>,
    count: u64,
}

impl Journal {
    /// A journal without a plan: nothing is logged until [`Journal::configure`].
    pub fn new(handle: LogHandle) -> Rc<Self> {
        Rc::new(Self {
            handle,
            plan: RefCell::new(None),
            lines: RefCell::default(),
            stamper: RefCell::new(Stamper::new()),
            heads: RefCell::default(),
            notes: RefCell::default(),
            ids: Ids::new(),
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
        self.stamper.borrow_mut().refresh();
        self.lines.borrow_mut().hand_over(&self.handle);
    }

    /// An empty head, with the buffers of an earlier exchange.
    pub fn take_head(&self) -> Box<RequestHead> {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes it back.
    pub fn give_head(&self, mut head: Box<RequestHead>) {
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

    /// The name of an exchange that begins at `at`.
    pub(super) fn request_id(&self, at: Instant) -> Id {
        let stamper = self.stamper.try_borrow();
        self.ids
            .next(stamper.map_or(0, |stamper| stamper.millis(at)))
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
        let Ok(time) = self.stamper.try_borrow_mut().map(|mut it| it.text(at)) else {
            return;
        };
        format::line(plan, &mut lines.text, |column| {
            value(column).unwrap_or(Value::Plain(&time))
        });
        lines.count += 1;
        if lines.text.len() >= BATCH {
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

impl Drop for Journal {
    /// Exchanges that end with their worker have lines too.
    fn drop(&mut self) {
        self.flush();
    }
}
