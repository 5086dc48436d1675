//! Answers to the clients of one socket: collected for as long as flows have some, and sent by one call.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::metrics::{Lost, SessionCells};
use crate::net::batch::{Piece, SLOTS};
use crate::net::datagrams::{Datagrams, Ends};

/// Bytes that are collected at most, but for the last datagram.
const MOST: usize = 256 << 10;

/// What waits for the end of a turn.
#[derive(Debug, Default)]
pub(super) struct Answers {
    waiting: RefCell<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    answers: Vec<(Range<usize>, Ends, Arc<SessionCells>)>,
    /// Who sends them.
    waker: Option<Waker>,
}

impl Answers {
    /// The task that calls [`flush`](Self::flush) when it is woken.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        let waker = &mut self.waiting.borrow_mut().waker;
        match waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
    }

    /// One more. They leave when all flows that have something to say in this turn have said it.
    pub(super) fn push(
        &self,
        socket: &Datagrams,
        datagram: &[u8],
        ends: Ends,
        cells: &Arc<SessionCells>,
    ) {
        let mut waiting = self.waiting.borrow_mut();
        let start = waiting.bytes.len();
        waiting.bytes.extend_from_slice(datagram);
        let range = start..waiting.bytes.len();
        waiting.answers.push((range, ends, Arc::clone(cells)));
        if waiting.answers.len() == SLOTS || waiting.bytes.len() >= MOST {
            waiting.send(socket);
        } else if waiting.answers.len() == 1
            && let Some(waker) = &waiting.waker
        {
            waker.wake_by_ref();
        }
    }

    /// Sends what waits; what the kernel does not take is lost, and counted.
    pub(super) fn flush(&self, socket: &Datagrams) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.answers.is_empty() {
            waiting.send(socket);
        }
    }
}

impl Waiting {
    fn send(&mut self, socket: &Datagrams) {
        let mut rest = &self.answers[..];
        while let Some((first, behind)) = rest.split_first() {
            let empty = Piece {
                bytes: &[],
                ends: first.1,
            };
            let mut pieces = [empty; SLOTS];
            for (piece, (range, ends, _)) in pieces.iter_mut().zip(rest) {
                piece.bytes = self.bytes.get(range.clone()).unwrap_or_default();
                piece.ends = *ends;
            }
            let count = rest.len().min(SLOTS);
            let sent = socket.answer(pieces.get(..count).unwrap_or_default());
            if let Ok(sent @ 1..) = sent {
                let (sent, unsent) = rest.split_at(sent.min(rest.len()));
                for (_, _, cells) in sent {
                    cells.datagrams.sent.inc();
                }
                rest = unsent;
            } else {
                first.2.datagrams.lost(Lost::Send);
                rest = behind;
            }
        }
        self.answers.clear();
        self.bytes.clear();
    }
}
