//! The thread that owns the access log's output.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::metrics::Hub;

use super::queue::{Batch, Closed, LogHandle, MAX_QUEUED, Order, Pause, Queue};
use super::sink::Sink;

/// Pause between two tries of a write that failed.
const RETRY: Duration = Duration::from_millis(100);

/// How long the end of the process waits for a stalled output.
const PATIENCE: Duration = Duration::from_millis(300);

/// The writer thread. It keeps trying when the output fails; meanwhile lines queue up to 8 MiB, then whole
/// batches are dropped and counted. Dropping it writes what is queued.
#[derive(Debug)]
pub struct LogWriter {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl LogWriter {
    /// Starts the thread, without an output: give it one with [`LogWriter::switch`].
    pub fn start(hub: &Arc<Hub>) -> io::Result<Self> {
        Self::with_queue(Queue::new(Arc::clone(hub), MAX_QUEUED))
    }

    pub(super) fn with_queue(queue: Arc<Queue>) -> io::Result<Self> {
        let end = End(Arc::clone(&queue));
        let thread = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || run(&end.0))?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }

    /// A worker's end.
    pub fn handle(&self) -> LogHandle {
        LogHandle::new(&self.queue)
    }

    /// Lines handed over from now on go to `sink`; those before it to the output before it.
    pub fn switch(&self, sink: Sink) {
        self.queue.order(Order::Switch(sink));
    }

    /// Opens the file by its name again: after a rename, lines handed over from now on are in the new
    /// file. None is lost.
    pub fn reopen(&self) {
        self.queue.order(Order::Reopen);
    }

    /// Writes what is queued and ends the thread; waits at most 300 ms for a stalled output.
    /// Dropping does the same.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        if self.queue.close(PATIENCE) == Closed::Finished
            && let Some(thread) = self.thread.take()
        {
            // A panic of the thread has been printed by it.
            let _ = thread.join();
        }
    }
}

/// Tells the closer that the thread has ended, however it ended.
struct End(Arc<Queue>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.leave();
    }
}

fn run(queue: &Queue) {
    let mut sink = Sink::off();
    while let Some(order) = queue.next() {
        match order {
            Order::Write(batch) => write(queue, &mut sink, batch),
            change => _ = turn(&mut sink, change),
        }
    }
}

/// Whether lines go to another file than before.
enum Turn {
    NewFile,
    SameFile,
}

fn turn(sink: &mut Sink, change: Order) -> Turn {
    match change {
        Order::Switch(new) => *sink = new,
        Order::Reopen => {
            if let Err(error) = sink.reopen() {
                tracing::error!(%error, "access log could not be reopened, the old file stays in use");
                return Turn::SameFile;
            }
        }
        Order::Write(_) => return Turn::SameFile,
    }
    Turn::NewFile
}

/// Writes a batch to its end, however often that takes. A line that was torn by a failure is continued
/// where it stopped, or written again from its begin when the output has changed.
fn write(queue: &Queue, sink: &mut Sink, batch: Batch) {
    let text = batch.text;
    let mut written = 0;
    let mut failing = false;
    let mut last_try = false;
    while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
        let error = match sink.write(rest) {
            Ok(taken) => {
                written += taken;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        if last_try {
            break;
        }
        if !failing {
            failing = true;
            tracing::error!(%error, "access log cannot be written, trying again");
        }
        match queue.pause(RETRY) {
            Pause::Again => {}
            Pause::Closing => last_try = true,
            Pause::Change(change) => {
                if let Turn::NewFile = turn(sink, change) {
                    written = line_start(&text, written);
                }
            }
        }
    }
    if failing && written == text.len() {
        tracing::info!("access log is written again");
    }
    let unwritten = text.get(line_start(&text, written)..).unwrap_or_default();
    let lost = memchr::memchr_iter(b'\n', unwritten).count();
    queue.done(text, lost as u64, sink.label());
}

/// Where the line begins that `position` is in.
fn line_start(text: &[u8], position: usize) -> usize {
    let before = text.get(..position).unwrap_or(text);
    memchr::memrchr(b'\n', before).map_or(0, |feed| feed + 1)
}
