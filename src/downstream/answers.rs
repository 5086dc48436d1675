//! Answers to the clients of one socket: collected for as long as flows have some, and sent by one call.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::metrics::{Lost, SessionCells};
use crate::net::batch::{Piece, SLOTS};
use crate::net::datagrams::{Datagrams, Ends};
use crate::net::runs::{run, takes_single};

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
        // So many at the front go out one by one: the kernel did not take them as a run.
        let mut single = 0_usize;
        while let Some((_, ends, _)) = rest.first() {
            let empty = Piece {
                bytes: &[],
                segment: 0,
                ends: *ends,
            };
            let (mut pieces, mut counts) = ([empty; SLOTS], [0; SLOTS]);
            let (mut unasked, mut filled) = (rest, 0);
            for (piece, count) in pieces.iter_mut().zip(&mut counts) {
                let Some((range, ends, _)) = unasked.first() else {
                    break;
                };
                let same = unasked.iter().take_while(|(_, other, _)| other == ends);
                (*count, piece.segment) = match single {
                    0 => run(same.map(|(range, ..)| range.len())),
                    _ => (1, 0),
                };
                single = single.saturating_sub(1);
                // What comes from one flow in a turn lies behind each other.
                let end = unasked.get(*count - 1).map_or(range.end, |last| last.0.end);
                piece.bytes = self.bytes.get(range.start..end).unwrap_or_default();
                piece.ends = *ends;
                unasked = unasked.get(*count..).unwrap_or_default();
                filled += 1;
            }
            let pieces = pieces.get(..filled).unwrap_or_default();
            let (done, lost) = match socket.answer(pieces) {
                Ok(sent @ 1..) => (counts.iter().take(sent).sum(), 0),
                Err(error) if counts[0] > 1 && takes_single(&error) => {
                    single = counts[0];
                    continue;
                }
                _ => (0, counts[0].max(1)),
            };
            for (_, _, cells) in rest.iter().take(done) {
                cells.datagrams.sent.inc();
            }
            for (_, _, cells) in rest.iter().take(lost) {
                cells.datagrams.lost(Lost::Send);
            }
            rest = rest.get(done + lost..).unwrap_or_default();
        }
        self.answers.clear();
        self.bytes.clear();
    }
}
