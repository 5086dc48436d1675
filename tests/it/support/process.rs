//! An origin in a process of its own, for what only a process can suffer: kill -9, SIGSTOP.
//! The process is this test binary again, told by its environment to be an origin.

use super::answer::Step;
use super::client::pattern;
use super::{Answer, Origin, ports};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ADDR: &str = "TIDEGATE_IT_ORIGIN";
const JOURNAL: &str = "TIDEGATE_IT_JOURNAL";
const PAUSE: Step = Step::Pause(Duration::from_millis(2));

/// Not a test of anything: it is where the process begins. Without the variable it does nothing.
#[test]
fn origin_process() {
    let Ok(addr) = std::env::var(ADDR) else {
        return;
    };
    let addr: SocketAddr = addr.parse().expect("an address");
    let journal = std::env::var(JOURNAL).ok().map(|path| {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("journal")
    });
    let plan = Origin::plan().counts_only().respond(move |request| {
        let nonce = request.one("x-nonce").unwrap_or("-");
        if let Some(mut journal) = journal.as_ref() {
            // One write, so that processes which share the file do not mix their lines.
            let line = format!("{} {nonce}\n", request.method);
            journal.write_all(line.as_bytes()).expect("journal");
        }
        if let Some(count) = request.target.strip_prefix("/bytes/") {
            // In four parts, so that there is a middle that a kill can hit.
            let mut answer = Answer::ok(pattern(count.parse().expect("a number")));
            let parts = [0, 250, 500, 750].map(|at| [Step::Reply(at, at + 250), PAUSE]);
            answer.steps = parts.concat();
            return answer;
        }
        let length = request.body.len();
        Answer::ok(format!("{addr} {nonce} {length} bytes\n"))
    });
    let _origin = plan.start_at(addr);
    // Lives as long as the test that started it.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(0);
}

pub struct OriginProcess {
    addr: SocketAddr,
    journal: Option<String>,
    child: Child,
}

impl OriginProcess {
    /// An origin at a free port. Its answer is its address, the request's nonce and the length of its body; to
    /// `/bytes/N`, so many bytes.
    pub fn start() -> Self {
        Self::begin(ports::free(), None)
    }

    /// One that also writes method and nonce of every request to a file.
    pub fn with_journal(path: &Path) -> Self {
        Self::begin(ports::free(), Some(path.to_string_lossy().into_owned()))
    }

    fn begin(addr: SocketAddr, journal: Option<String>) -> Self {
        let child = spawn(addr, journal.as_deref());
        let this = Self {
            addr,
            journal,
            child,
        };
        this.wait_up();
        this
    }

    fn wait_up(&self) {
        super::eventually("origin process listens", || {
            TcpStream::connect_timeout(&self.addr, Duration::from_secs(1)).ok()
        });
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// SIGKILL: the kernel closes what it had, in the middle of whatever it did.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// The same origin again, at the same address.
    pub fn restart(&mut self) {
        self.child = spawn(self.addr, self.journal.as_deref());
        self.wait_up();
    }

    /// SIGSTOP: everything stays as it is, and nothing moves any more.
    pub fn stop(&self) {
        let pid = self.child.id();
        signal(pid, "STOP");
        let stopped = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            let (_, rest) = stat.rsplit_once(") ")?;
            rest.starts_with('T').then_some(())
        };
        super::eventually("every thread of it has stopped", || {
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
            tasks.flatten().try_for_each(stopped)
        });
    }

    pub fn resume(&self) {
        signal(self.child.id(), "CONT");
    }
}

impl Drop for OriginProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(addr: SocketAddr, journal: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .args(["--exact", "support::process::origin_process", "--nocapture"])
        .env(ADDR, addr.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(path) = journal {
        command.env(JOURNAL, path);
    }
    command.spawn().expect("origin process")
}

/// Sends a signal by name.
pub fn signal(pid: u32, name: &str) {
    let command = format!("kill -{name} {pid}");
    let status = Command::new("sh")
        .args(["-c", &command])
        .status()
        .expect("sh");
    assert!(status.success(), "{command}");
}
