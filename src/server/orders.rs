//! What others ask of the control thread, and how they wait for it.

use tokio::sync::{mpsc, oneshot};

use super::loads::Answer;
use super::swaps::Heard;
use crate::admin::Reloaded;

/// One order.
#[derive(Debug)]
pub(super) enum Order {
    /// Load the configuration again.
    Reload(Answer),
    /// Put operators' words in force.
    Swap(Heard),
}

/// Passes an order on to the control thread's loop and waits for its outcome.
pub(super) async fn reload(orders: mpsc::Sender<Order>) -> Reloaded {
    let (outcome, told) = oneshot::channel();
    let stopped = || Reloaded::Failed("the process is stopping".to_owned());
    if orders.send(Order::Reload(outcome)).await.is_err() {
        return stopped();
    }
    told.await.unwrap_or_else(|_| stopped())
}

/// The same for a swap.
pub(super) async fn swap(orders: mpsc::Sender<Order>) {
    let (heard, told) = oneshot::channel();
    if orders.send(Order::Swap(heard)).await.is_ok() {
        // An error: the process is stopping, and nothing waits for endpoints any more.
        let _ = told.await;
    }
}
