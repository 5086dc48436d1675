//! What systemd is told: ready, reloading, stopping, and that the workers still turn (E-257).

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};

use crate::task;
use crate::worker::Command;

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}

/// The process serves.
pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; [`ready`] says that it ended.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
}

/// The process drains.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Pings the workers, and the service manager when all of them answered. Without one it only says in the log
/// which worker does not turn.
pub(super) fn start(workers: Vec<mpsc::Sender<Command>>) {
    let asked = sd_notify::watchdog_enabled();
    let every = asked.map_or(PATIENCE, |timeout| timeout / 2);
    task::spawn("watchdog", async move {
        loop {
            tokio::time::sleep(every).await;
            let mut stuck = 0_usize;
            for (id, worker) in workers.iter().enumerate() {
                let (answer, answered) = oneshot::channel();
                let alive = async {
                    worker.send(Command::Ping(answer)).await.is_ok() && answered.await.is_ok()
                };
                if !tokio::time::timeout(PATIENCE.min(every), alive)
                    .await
                    .unwrap_or(false)
                {
                    stuck += 1;
                    tracing::error!(worker = id, "a worker does not answer");
                }
            }
            if stuck == 0 && asked.is_some() {
                notify(&[NotifyState::Watchdog]);
            }
        }
    });
}
