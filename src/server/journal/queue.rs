//! Lines of the log on their way to standard error: bounded in bytes, and no thread but the writer's waits for
//! whoever reads there.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::format;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::snapshot::LogFormat;

/// Bytes that may wait; a line that does not fit is dropped. Some thousands of lines.
pub(super) const MAX_QUEUED: usize = 1024 * 1024;

/// How long the end of the process waits for a stalled reader.
const PATIENCE: Duration = Duration::from_millis(100);

/// Pause between two tries where standard error does not block (whoever shares it may have asked for that).
const RETRY: Duration = Duration::from_millis(50);

#[derive(Debug)]
enum Entry {
    Line(Box<[u8]>),
    /// In the place of so many lines.
    Dropped(u64),
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The writer is at work on what it has taken.
    busy: bool,
}

/// The queue between those who log and the writer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    idle: Condvar,
    max_bytes: usize,
    dropped: AtomicU64,
    format: LogFormat,
}

impl Queue {
    pub(super) fn new(format: LogFormat, max_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            idle: Condvar::new(),
            max_bytes,
            dropped: AtomicU64::new(0),
            format,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over whole lines that belong together. Never waits for the reader.
    pub(super) fn submit(&self, text: &[u8]) {
        let mut state = self.state();
        if state.bytes + text.len() > self.max_bytes {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            match state.entries.back_mut() {
                Some(Entry::Dropped(lines)) => *lines += 1,
                _ => state.entries.push_back(Entry::Dropped(1)),
            }
        } else {
            state.bytes += text.len();
            state.entries.push_back(Entry::Line(text.into()));
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Lines that were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn next(&self) -> Entry {
        let mut state = self.state();
        loop {
            if let Some(entry) = state.entries.pop_front() {
                if let Entry::Line(text) = &entry {
                    state.bytes -= text.len();
                }
                state.busy = true;
                return entry;
            }
            state.busy = false;
            self.idle.notify_all();
            state = self
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until everything is written; not long for a reader that stalls.
    pub(super) fn flush(&self) {
        let pending = |state: &mut State| state.busy || !state.entries.is_empty();
        drop(
            self.idle
                .wait_timeout_while(self.state(), PATIENCE, pending),
        );
    }

    /// Starts the thread that writes to standard error. It ends with the process, wherever it is then.
    pub(super) fn start_writer(self: &Arc<Self>) -> io::Result<()> {
        // A descriptor of our own: a panic's message must not wait for the lock of `std::io::stderr`.
        let output = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        self.write_to(output)
    }

    fn write_to(self: &Arc<Self>, mut output: impl Write + Send + 'static) -> io::Result<()> {
        let queue = Arc::clone(self);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || queue.run(&mut output))?;
        Ok(())
    }

    fn run(&self, output: &mut impl Write) {
        loop {
            match self.next() {
                Entry::Line(text) => {
                    if write(output, &text).is_err() {
                        self.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Entry::Dropped(lines) => {
                    // It is counted already.
                    let _ = write(output, notice(self.format, lines).as_bytes());
                }
            }
        }
    }
}

/// Writes all of it. An error: nobody reads any more, or the disk is full.
fn write(output: &mut impl Write, text: &[u8]) -> io::Result<()> {
    let mut rest = text;
    while !rest.is_empty() {
        match output.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(taken) => rest = rest.get(taken..).unwrap_or_default(),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock => thread::sleep(RETRY),
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

/// A line of the log like its others. It does not go through the log, which would put it behind what is queued.
fn notice(format: LogFormat, lines: u64) -> String {
    let mut time = String::new();
    // A time that cannot be told is no time.
    let _ = SystemTime.format_time(&mut format::Writer::new(&mut time));
    let message = format!("{lines} lines of this log were dropped");
    match format {
        LogFormat::Text => format!("{time}  WARN {message}\n"),
        LogFormat::Json => {
            format!("{{\"timestamp\":\"{time}\",\"level\":\"WARN\",\"message\":\"{message}\"}}\n")
        }
    }
}

/// The log's end of the queue. The log hands over each event in one write.
#[derive(Debug)]
pub(super) struct Pen(pub(super) Arc<Queue>);

impl Write for Pen {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.submit(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            // A few at a time, as a pipe that is nearly full.
            let some = &text[..text.len().min(3)];
            self.0.lock().unwrap().extend_from_slice(some);
            Ok(some.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(queue: &Arc<Queue>, more: &str) -> String {
        let output = Output::default();
        queue.write_to(output.clone()).unwrap();
        let text = || String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        while !text().contains("dropped") {
            thread::yield_now();
        }
        queue.submit(more.as_bytes());
        while !text().ends_with(more) {
            thread::yield_now();
        }
        text()
    }

    #[test]
    fn what_does_not_fit_is_counted_and_told_in_its_place() {
        let queue = Queue::new(LogFormat::Text, 16);
        for line in ["first\n", "second\n", "too long\n", "too\n", "3\n"] {
            queue.submit(line.as_bytes());
        }
        assert_eq!(queue.dropped(), 2);
        let text = written(&queue, "later\n");
        let lines: Vec<_> = text.lines().collect();
        let [first, second, told, third, later] = lines[..] else {
            panic!("{text}");
        };
        assert_eq!(
            [first, second, third, later],
            ["first", "second", "3", "later"]
        );
        assert!(
            told.ends_with("  WARN 2 lines of this log were dropped"),
            "{told}"
        );
        queue.flush();
        assert_eq!(queue.dropped(), 2);
    }

    #[test]
    fn what_is_told_of_dropped_lines_is_json_where_the_log_is() {
        let queue = Queue::new(LogFormat::Json, 4);
        queue.submit(b"too long\n");
        let text = written(&queue, "{}\n");
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "1 lines of this log were dropped");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }

    #[test]
    fn an_output_that_fails_counts_and_holds_up_nothing() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let queue = Queue::new(LogFormat::Text, 1024);
        queue.submit(b"one\n");
        queue.submit(b"two\n");
        queue.write_to(Closed).unwrap();
        while queue.dropped() < 2 {
            thread::yield_now();
        }
        queue.flush();
    }
}
