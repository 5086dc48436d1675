//! Batches of lines on their way from the workers to the writer: bounded in bytes, never waited for.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::metrics::Hub;

use super::sink::Sink;

/// Bytes that may wait for the writer; a batch that does not fit is dropped.
pub(super) const MAX_QUEUED: usize = 8 * 1024 * 1024;

/// Empty buffers kept for the workers.
const MAX_FREE: usize = 16;

/// Whole lines.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) text: Vec<u8>,
    pub(super) lines: u64,
}

/// What the writer is asked to do, in the order of asking.
#[derive(Debug)]
pub(super) enum Order {
    Write(Batch),
    Switch(Sink),
    Reopen,
}

#[derive(Debug)]
struct State {
    orders: VecDeque<Order>,
    bytes: usize,
    free: Vec<Vec<u8>>,
    /// Label of the output that is being written to, or will be once the orders are done.
    sink: Option<&'static str>,
    closing: bool,
    /// Lines that the writer has taken and not yet written.
    in_hand: u64,
    writer_is_gone: bool,
}

/// The queue between workers and writer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    gone: Condvar,
    hub: Arc<Hub>,
    max_bytes: usize,
}

impl Queue {
    pub(super) fn new(hub: Arc<Hub>, max_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                orders: VecDeque::new(),
                bytes: 0,
                free: Vec::new(),
                sink: None,
                closing: false,
                in_hand: 0,
                writer_is_gone: false,
            }),
            wake: Condvar::new(),
            gone: Condvar::new(),
            hub,
            max_bytes,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dropped(&self, sink: Option<&'static str>, lines: u64) {
        if let Some(sink) = sink
            && lines > 0
        {
            self.hub.process().access_log_dropped(sink, lines);
        }
    }

    /// Takes the lines out of `text`, which comes back empty. The lock is held for a few moves.
    fn submit(&self, text: &mut Vec<u8>, lines: u64) {
        let mut state = self.state();
        if state.bytes + text.len() > self.max_bytes || state.closing {
            let sink = state.sink;
            drop(state);
            text.clear();
            self.dropped(sink, lines);
            return;
        }
        let empty = state.free.pop().unwrap_or_default();
        let text = std::mem::replace(text, empty);
        state.bytes += text.len();
        state.orders.push_back(Order::Write(Batch { text, lines }));
        drop(state);
        self.wake.notify_one();
    }

    pub(super) fn order(&self, order: Order) {
        let mut state = self.state();
        if let Order::Switch(sink) = &order {
            state.sink = sink.label();
        }
        state.orders.push_back(order);
        drop(state);
        self.wake.notify_one();
    }

    /// Waits for the next order. `None`: closed, and nothing is left to do.
    pub(super) fn next(&self) -> Option<Order> {
        let mut state = self.state();
        loop {
            if let Some(order) = state.orders.pop_front() {
                if let Order::Write(batch) = &order {
                    state.bytes -= batch.text.len();
                    state.in_hand = batch.lines;
                }
                return Some(order);
            }
            if state.closing {
                return None;
            }
            state = self
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The writer's pause after a failed write: ends early when it is asked for something other than
    /// more lines. Gives that order, or says whether trying again makes sense.
    pub(super) fn pause(&self, delay: Duration) -> Pause {
        let is_change = |order: &Order| !matches!(order, Order::Write(_));
        let mut state = self.state();
        if !state.closing && !state.orders.iter().any(is_change) {
            (state, _) = self
                .wake
                .wait_timeout(state, delay)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let change = state.orders.iter().position(is_change);
        if let Some(order) = change.and_then(|index| state.orders.remove(index)) {
            return Pause::Change(order);
        }
        if state.closing {
            Pause::Closing
        } else {
            Pause::Again
        }
    }

    /// A batch is done: `lost` of its lines were not written. Its buffer is used again.
    pub(super) fn done(&self, mut text: Vec<u8>, lost: u64, sink: Option<&'static str>) {
        text.clear();
        let mut state = self.state();
        // The closer gave up and has counted what was in hand.
        let counted = std::mem::take(&mut state.in_hand) == 0 && lost > 0;
        if state.free.len() < MAX_FREE && text.capacity() <= 256 * 1024 {
            state.free.push(text);
        }
        drop(state);
        if !counted {
            self.dropped(sink, lost);
        }
    }

    /// The writer's last word.
    pub(super) fn leave(&self) {
        self.state().writer_is_gone = true;
        self.gone.notify_all();
    }

    /// Asks the writer to write what is queued and to end; waits for it at most `patience`. What a
    /// stalled output has not taken by then is counted as dropped.
    pub(super) fn close(&self, patience: Duration) -> Closed {
        let mut state = self.state();
        state.closing = true;
        self.wake.notify_one();
        (state, _) = self
            .gone
            .wait_timeout_while(state, patience, |state| !state.writer_is_gone)
            .unwrap_or_else(PoisonError::into_inner);
        if state.writer_is_gone {
            return Closed::Finished;
        }
        let mut lines = std::mem::take(&mut state.in_hand);
        for order in state.orders.drain(..) {
            if let Order::Write(batch) = order {
                lines += batch.lines;
            }
        }
        state.bytes = 0;
        let sink = state.sink;
        drop(state);
        self.dropped(sink, lines);
        Closed::Abandoned
    }
}

/// What a pause ended with.
#[derive(Debug)]
pub(super) enum Pause {
    /// Try again.
    Again,
    /// The output changes.
    Change(Order),
    /// Try once more, then end.
    Closing,
}

/// How closing went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Closed {
    /// Everything was written or counted, and the thread is ending.
    Finished,
    /// The output is stalled; the thread is left behind.
    Abandoned,
}

/// A worker's end of the queue.
#[derive(Clone, Debug)]
pub struct LogHandle(Arc<Queue>);

impl LogHandle {
    pub(super) fn new(queue: &Arc<Queue>) -> Self {
        Self(Arc::clone(queue))
    }

    /// Hands over whole lines; `text` comes back empty. Never waits for the output.
    pub(super) fn submit(&self, text: &mut Vec<u8>, lines: u64) {
        self.0.submit(text, lines);
    }
}
