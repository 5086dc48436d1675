//! Whether the workers still turn: a worker that is stuck makes the process unready, and a service manager that
//! hears nothing any more may restart it (E-257).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::notify;
use crate::admin::Readiness;
use crate::base::clock;
use crate::worker::Command;

/// Pause between two looks, unless the service manager wants to hear more often.
const PAUSE: Duration = Duration::from_secs(1);
/// A worker that has not answered for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(5);
/// Why `/ready` says no.
const STUCK: &str = "a worker is stuck";

/// Looks after the workers for as long as the future lives.
pub(super) async fn run(workers: Vec<mpsc::Sender<Command>>, readiness: Arc<Readiness>) {
    // Twice within the manager's limit.
    let pause = sd_notify::watchdog_enabled().map_or(PAUSE, |limit| PAUSE.min(limit / 2));
    let mut before = None;
    loop {
        let stuck = first_stuck(&workers).await;
        match stuck {
            None => {
                readiness.unblock(STUCK);
                notify::alive();
            }
            Some(worker) => {
                readiness.block(STUCK);
                if before != Some(worker) {
                    tracing::error!(worker, "a worker does not answer");
                }
            }
        }
        if let (Some(worker), None) = (before, stuck) {
            tracing::info!(worker, "all workers answer again");
        }
        before = stuck;
        tokio::time::sleep(pause).await;
    }
}

/// Asks all at once and gives them the same time. A worker that is gone is not stuck: it ended because it was told
/// to, or the process ends with it.
async fn first_stuck(workers: &[mpsc::Sender<Command>]) -> Option<usize> {
    let deadline = clock::now() + PATIENCE;
    let mut answers = Vec::with_capacity(workers.len());
    for (id, worker) in workers.iter().enumerate() {
        let (answer, answered) = oneshot::channel();
        match worker.try_send(Command::Ping(answer)) {
            Ok(()) => answers.push((id, answered)),
            Err(TrySendError::Closed(_)) => {}
            // A queue that nobody empties: no answer will come.
            Err(TrySendError::Full(_)) => return Some(id),
        }
    }
    for (id, answered) in answers {
        let silent = tokio::time::timeout_at(deadline.into(), answered).await;
        if silent.is_err() {
            return Some(id);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_full_is_stuck_and_one_that_is_gone_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let (alive, mut inbox) = mpsc::channel(1);
        let (gone, _) = mpsc::channel(1);
        let (full, _kept) = mpsc::channel(1);
        let (ping, _) = oneshot::channel();
        full.try_send(Command::Ping(ping)).unwrap();
        let answering = std::thread::spawn(move || {
            while let Some(Command::Ping(answer)) = inbox.blocking_recv() {
                // Nobody waits for it any more once another one is known to be stuck.
                let _ = answer.send(());
            }
        });
        runtime.block_on(async {
            assert_eq!(first_stuck(std::slice::from_ref(&alive)).await, None);
            assert_eq!(first_stuck(&[alive.clone(), gone]).await, None);
            assert_eq!(first_stuck(&[alive, full]).await, Some(1));
        });
        answering.join().unwrap();
    }
}
