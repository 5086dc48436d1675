//! The output itself: a file, standard output, or nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::plan::Output;

/// New log files belong to the process's user; its group may read them.
const MODE: u32 = 0o640;

/// As much fits into a pipe that takes anything at all (pipe(7), `PIPE_BUF`).
const PIPE: usize = 4096;

/// How long whoever reads there may keep us waiting, before it is called a failure.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// An open output. Opening is what can fail, so a reload opens first and switches afterwards.
#[derive(Debug)]
pub struct Sink(Target);

#[derive(Debug)]
enum Target {
    Off,
    Stdout(File),
    File {
        path: PathBuf,
        file: File,
    },
    #[cfg(test)]
    Test(Test),
}

impl Sink {
    /// Nothing is written.
    pub const fn off() -> Self {
        Self(Target::Off)
    }

    /// Opens what the configuration says.
    pub fn open(output: &Output) -> io::Result<Self> {
        Ok(Self(match output {
            Output::Off => Target::Off,
            // A descriptor of our own, without the line buffer of `std::io::stdout`.
            Output::Stdout => {
                Target::Stdout(File::from(io::stdout().as_fd().try_clone_to_owned()?))
            }
            Output::File(path) => Target::File {
                path: path.clone(),
                file: append(path)?,
            },
        }))
    }

    /// Standard output, as it were.
    #[cfg(test)]
    pub(super) const fn standard(file: File) -> Self {
        Self(Target::Stdout(file))
    }

    /// Label of the output; `None` when there is none.
    pub(super) const fn label(&self) -> Option<&'static str> {
        match &self.0 {
            Target::Off => None,
            Target::Stdout(_) => Some("stdout"),
            Target::File { .. } => Some("file"),
            #[cfg(test)]
            Target::Test(_) => Some("file"),
        }
    }

    /// Opens a file by its name again, after it has been renamed. On failure the old file stays.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Target::File { path, file } => *file = append(path)?,
            Target::Off | Target::Stdout(_) => {}
            #[cfg(test)]
            Target::Test(test) => test.reopen(),
        }
        Ok(())
    }

    /// Writes some of `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.0 {
            Target::Off => bytes.len(),
            Target::Stdout(file) => {
                let some = bytes.get(..PIPE).unwrap_or(bytes);
                takes_more(file)?;
                file.write(some)?
            }
            Target::File { file, .. } => file.write(bytes)?,
            #[cfg(test)]
            Target::Test(test) => test.write(bytes)?,
        };
        if written == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(written)
    }
}

/// An error: whoever reads there has stalled. The descriptor is not ours alone, so it is not made one that does not block; and a
/// writer that waits in a write hears of nothing else, not even that lines are to go elsewhere.
fn takes_more(file: &File) -> io::Result<()> {
    let mut fds = [PollFd::new(file, PollFlags::OUT)];
    match poll(&mut fds, Some(&PATIENCE))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        // One that cannot be written to any more says so when it is written to.
        _ => Ok(()),
    }
}

/// Opens for appending. A file that ends in the middle of a line (of a process that was killed, or on a
/// disk that was full) gets a line feed first, so that no line is glued to it.
fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(MODE);
    // Reading is for the look at the last byte; a pipe opened so does not wait for its reader.
    let mut file = match options.clone().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => options.open(path)?,
        Err(error) => return Err(error),
    };
    if ends_mid_line(&mut file).unwrap_or(false) {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn ends_mid_line(file: &mut File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
pub(super) use test::Test;

#[cfg(test)]
mod test {
    use std::io;
    use std::sync::{Arc, Condvar, Mutex};

    use super::{Sink, Target};

    /// An output that can be told to stall, to fail, or to take a few bytes at a time.
    #[derive(Clone, Debug, Default)]
    pub(in crate::record) struct Test(Arc<(Mutex<Inner>, Condvar)>);

    #[derive(Debug, Default)]
    struct Inner {
        /// What each file, by reopening, has got.
        files: Vec<Vec<u8>>,
        stalled: bool,
        /// Bytes that may still be written before writes fail.
        room: Option<usize>,
        /// Most bytes of one write.
        step: Option<usize>,
        /// Writes that have begun.
        writes: usize,
    }

    impl Test {
        pub(in crate::record) fn sink(&self) -> Sink {
            let mut inner = self.0.0.lock().unwrap();
            inner.files.push(Vec::new());
            drop(inner);
            Sink(Target::Test(self.clone()))
        }

        fn change(&self, change: impl FnOnce(&mut Inner)) {
            change(&mut self.0.0.lock().unwrap());
            self.0.1.notify_all();
        }

        pub(in crate::record) fn stall(&self, stalled: bool) {
            self.change(|inner| inner.stalled = stalled);
        }

        pub(in crate::record) fn room(&self, room: Option<usize>) {
            self.change(|inner| inner.room = room);
        }

        pub(in crate::record) fn step(&self, step: usize) {
            self.change(|inner| inner.step = Some(step));
        }

        pub(in crate::record) fn files(&self) -> Vec<String> {
            let inner = self.0.0.lock().unwrap();
            let text = |file: &Vec<u8>| String::from_utf8(file.clone()).unwrap();
            inner.files.iter().map(text).collect()
        }

        /// Waits until so many writes have begun.
        pub(in crate::record) fn wait_for_writes(&self, writes: usize) {
            let inner = self.0.0.lock().unwrap();
            drop(self.0.1.wait_while(inner, |i| i.writes < writes).unwrap());
        }

        pub(super) fn reopen(&self) {
            self.change(|inner| inner.files.push(Vec::new()));
        }

        pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            let mut inner = self.0.0.lock().unwrap();
            inner.writes += 1;
            self.0.1.notify_all();
            let mut inner = self.0.1.wait_while(inner, |i| i.stalled).unwrap();
            let mut taken = bytes.len().min(inner.step.unwrap_or(usize::MAX));
            if let Some(room) = &mut inner.room {
                if *room == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                taken = taken.min(*room);
                *room -= taken;
            }
            inner
                .files
                .last_mut()
                .unwrap()
                .extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
    }
}
