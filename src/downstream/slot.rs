//! Boxes for the futures of exchanges, used again and again.

use std::cell::RefCell;
use std::future::poll_fn;

use reusable_box_future::ReusableLocalBoxFuture;

use crate::exchange::Disposition;

/// A pooled box for the future of an exchange.
pub(super) type Slot = ReusableLocalBoxFuture<Disposition>;

/// Boxes that a worker keeps.
const SLOTS: usize = 1024;

thread_local! {
    /// Boxes of this worker that no exchange uses.
    static IDLE_SLOTS: RefCell<Vec<Slot>> = const { RefCell::new(Vec::new()) };
}

/// Boxes an exchange.
pub(super) fn boxed(exchange: impl Future<Output = Disposition> + 'static) -> Slot {
    match IDLE_SLOTS.with_borrow_mut(Vec::pop) {
        Some(mut slot) => {
            slot.set(exchange);
            slot
        }
        None => Slot::new(exchange),
    }
}

/// Runs a boxed exchange and keeps the box.
pub(super) async fn run(mut slot: Slot) -> Disposition {
    let disposition = poll_fn(|cx| slot.poll(cx)).await;
    IDLE_SLOTS.with_borrow_mut(|slots| {
        if slots.len() < SLOTS {
            slots.push(slot);
        }
    });
    disposition
}
