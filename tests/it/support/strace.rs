//! strace (Debian's package) on a proxy that runs.

use super::process::signal;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Follows a process and its threads while it lives.
pub struct Strace(Child);

impl Strace {
    /// Attaches with these options, and returns when it has.
    pub fn attach<S: AsRef<OsStr>>(pid: u32, options: impl IntoIterator<Item = S>) -> Self {
        let mut child = Command::new("strace")
            .arg("-f")
            .args(options)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace (Debian's package)");
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("attached") {
            line.clear();
            assert_ne!(
                said.read_line(&mut line).unwrap(),
                0,
                "strace could not attach"
            );
        }
        // It must not be held up by what it has to say.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self(child)
    }

    /// `calls` fail with `error` while this lives, at the turns that `when` says (strace's expression).
    pub fn failing(pid: u32, calls: &str, error: &str, when: &str) -> Self {
        let trace = format!("trace={calls}");
        let inject = format!("inject={calls}:error={error}:when={when}");
        Self::attach(pid, ["-e", &trace, "-e", &inject, "-o", "/dev/null"])
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        signal(self.0.id(), "INT");
        let _ = self.0.wait();
    }
}
