//! The only caller of spawn: every task has a name, is counted while it lives, and its panic is counted.
//!
//! **Invariants.** A panic ends its task and nothing else; it is counted here once, whoever spawned.
//!
//! **Not here.** Threads (`worker`, `server`) and what a task does.
//!
//! **Cancel safety.** Dropping a [`JoinHandle`] detaches the task; aborting drops its future in place.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
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

pin_project! {
    /// A future with what must live as long as it. A plain struct: an `async` block around a future would hold it
    /// twice, and a connection's task is most of what an idle connection costs.
    struct Held<F, G> {
        alive: Alive,
        guard: G,
        #[pin]
        future: F,
    }
}

impl<F: Future, G> Future for Held<F, G> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

/// Starts a task on the current thread's runtime (a worker's or the control thread's).
///
/// # Panics
///
/// Outside of a local or current-thread runtime with a local set: that is a fault of this program.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_holding(name, (), future)
}

/// Starts a task as [`spawn`] does, and drops `guard` when it has ended, in whatever way.
#[expect(clippy::disallowed_methods, reason = "the one home of spawning")]
pub fn spawn_holding<F, G>(name: &'static str, guard: G, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
    G: 'static,
{
    ALIVE.fetch_add(1, Ordering::Relaxed);
    tokio::task::spawn_local(Held {
        alive: Alive(name),
        guard,
        future,
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
