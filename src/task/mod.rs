//! The only caller of spawn: every task has a name, is counted while it lives, and its panic is counted.
//!
//! **Invariants.** A panic ends its task and nothing else; it is counted here once, whoever spawned.
//!
//! **Not here.** Threads (`worker`, `server`) and what a task does.
//!
//! **Cancel safety.** Dropping a [`JoinHandle`] detaches the task; aborting drops its future in place.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::{JoinError, JoinHandle};

static ALIVE: AtomicU64 = AtomicU64::new(0);
static PANICS: AtomicU64 = AtomicU64::new(0);

struct Alive(&'static str);

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
        if std::thread::panicking() {
            PANICS.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                task = self.0,
                "a task panicked; its connection or job ended, nothing else did"
            );
        }
    }
}

/// Starts a task on the current thread's runtime (a worker's or the control thread's).
///
/// # Panics
///
/// Outside of a local or current-thread runtime with a local set: that is a fault of this program.
#[expect(clippy::disallowed_methods, reason = "the one home of spawning")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    ALIVE.fetch_add(1, Ordering::Relaxed);
    let alive = Alive(name);
    tokio::task::spawn_local(async move {
        let _alive = alive;
        future.await
    })
}

/// Runs what takes long, or blocks, on a thread made for that. An error: it panicked, or the runtime ends.
pub async fn blocking<R: Send + 'static>(
    job: impl FnOnce() -> R + Send + 'static,
) -> Result<R, JoinError> {
    tokio::task::spawn_blocking(job).await
}

/// Tasks alive in the process.
pub fn alive() -> u64 {
    ALIVE.load(Ordering::Relaxed)
}

/// Tasks that panicked since the start of the process.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}
