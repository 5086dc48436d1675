//! The proxy, as its user starts it: a process, a file, signals, the admin endpoint.

use super::client::{Client, Response};
use super::metrics::Metrics;
use super::process::signal;
use super::setup::Setup;
use super::{DEADLINE, eventually, within};
use serde_json::Value;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What became of a reload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reload {
    Done,
    Refused,
}

pub struct Proxy {
    child: Child,
    pub web: SocketAddr,
    pub admin: SocketAddr,
    setup: Setup,
    output: Arc<Mutex<String>>,
}

/// The command that starts the built binary.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

impl Proxy {
    #[track_caller]
    pub fn start(setup: &Setup) -> Self {
        let mut command = binary();
        command.args(["run", "-c"]).arg(setup.config_path());
        Self::start_by(setup, command)
    }

    /// Starts it by a command of the test's own (under a tracer, with a limit).
    #[track_caller]
    pub fn start_by(setup: &Setup, command: Command) -> Self {
        setup.write();
        Self::start_as_written(setup, command)
    }

    /// Starts it with the file as it stands.
    #[track_caller]
    pub fn start_as_written(setup: &Setup, mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the proxy's binary");
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take(), &output);
        collect(child.stderr.take(), &output);
        let mut this = Self {
            child,
            web: setup.web,
            admin: setup.admin,
            setup: setup.clone(),
            output,
        };
        within(DEADLINE * 2, "the proxy is ready", || {
            if let Some(status) = this.child.try_wait().expect("wait") {
                panic!(
                    "ended at once with {status}:\n{}\n{}",
                    this.output(),
                    this.setup.text()
                );
            }
            let ready = Client::try_connect(this.admin)
                .ok()?
                .try_get_host("/ready", this.admin);
            (ready?.status == 200).then_some(())
        });
        this
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output and standard error.
    pub fn output(&self) -> String {
        self.output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until it has written this: what it says may come behind what it does.
    #[track_caller]
    pub fn wait_output(&self, text: &str) {
        eventually(text, || self.output().contains(text).then_some(()));
    }

    pub fn client(&self) -> Client {
        Client::connect(self.web)
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.client().get(path)
    }

    /// A GET to the admin listener.
    #[track_caller]
    pub fn admin_get(&self, path: &str) -> Response {
        Client::connect(self.admin)
            .try_get_host(path, self.admin)
            .expect("admin answers")
    }

    /// An order to the admin listener; what it says, where that is JSON.
    pub fn order(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut client = Client::connect(self.admin);
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.admin,
            body.len()
        ));
        let response = client.response_to(method);
        let json = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        (response.status, json)
    }

    /// What it was started with.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    pub fn metrics(&self) -> Metrics {
        let response = self.admin_get("/metrics");
        response.is(200);
        Metrics::parse(response.text())
    }

    /// The sum of a metric's samples with these labels.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().sum(name, labels)
    }

    /// Requests that are under way at this endpoint of the cluster `app`.
    pub fn busy(&self, endpoint: SocketAddr) -> f64 {
        let endpoint = endpoint.to_string();
        let labels = [("cluster", "app"), ("endpoint", endpoint.as_str())];
        self.metric("tidegate_upstream_endpoint_requests_active", &labels)
    }

    #[track_caller]
    pub fn wait_metric(&self, name: &str, labels: &[(&str, &str)], enough: impl Fn(f64) -> bool) {
        eventually(&format!("{name}{labels:?}"), || {
            enough(self.metric(name, labels)).then_some(())
        });
    }

    pub fn status(&self) -> Value {
        let response = self.admin_get("/api/v1/status");
        response.is(200);
        serde_json::from_slice(&response.body).expect("JSON")
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    fn reloads(&self) -> (f64, f64) {
        let metrics = self.metrics();
        let name = "tidegate_config_reloads_total";
        let done = metrics.sum(name, &[("result", "ok")]);
        (done, metrics.sum(name, &[]) - done)
    }

    /// Puts this configuration in the file's place, sends SIGHUP and waits for what comes of it.
    #[track_caller]
    pub fn reload(&self, setup: &Setup) -> Reload {
        let before = self.reloads();
        setup.write();
        self.signal("HUP");
        eventually("the reload shows in the metrics", || {
            let now = self.reloads();
            if now.0 > before.0 {
                Some(Reload::Done)
            } else if now.1 > before.1 {
                Some(Reload::Refused)
            } else {
                None
            }
        })
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        within(deadline, "the proxy exits", || {
            self.child.try_wait().expect("wait")
        })
    }

    /// SIGTERM, and then the end with code 0.
    #[track_caller]
    pub fn terminate(&mut self) {
        self.signal("TERM");
        self.ends_well();
    }

    /// The end with code 0, of a process that was told to end.
    #[track_caller]
    pub fn ends_well(&mut self) {
        let status = self.wait_exit(DEADLINE * 2);
        assert_eq!(status.code(), Some(0), "{}", self.output());
    }

    /// Processor time so far, user and system, in ticks (100 a second).
    pub fn ticks(&self) -> u64 {
        let stat = self.proc("stat");
        // The name in parentheses may hold anything.
        let (_, rest) = stat.rsplit_once(')').expect("a name");
        let fields: Vec<_> = rest.split_whitespace().collect();
        fields[11..=12]
            .iter()
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum()
    }

    pub fn log_path(&self) -> PathBuf {
        self.setup.log_path()
    }

    /// The access log up to now: every whole line is a JSON object.
    #[track_caller]
    pub fn log(&self) -> Vec<Value> {
        lines(&std::fs::read_to_string(self.log_path()).unwrap_or_default())
    }

    /// Waits until the log has so many lines.
    #[track_caller]
    pub fn wait_log(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} lines in the log"), || {
            let lines = self.log();
            (lines.len() >= count).then_some(lines)
        })
    }

    /// Waits for a line.
    #[track_caller]
    pub fn wait_line(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.log().into_iter().find(|line| is(line)))
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.pid())).expect("/proc")
    }

    fn proc_status(&self, key: &str) -> usize {
        let text = self.proc("status");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .expect("a line of status");
        line.trim_start_matches(':')
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .expect("a number")
    }

    pub fn threads(&self) -> usize {
        self.proc_status("Threads")
    }

    /// Memory of its own in KiB: without the pages of the program, which come and go as parts of it are run, and of which some are
    /// given back after the start.
    pub fn held(&self) -> usize {
        self.proc_status("RssAnon")
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> usize {
        self.proc_status("VmRSS")
    }

    /// Open file descriptors.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("/proc")
            .count()
    }
}

/// The lines of a log, each a JSON object.
#[track_caller]
pub fn lines(text: &str) -> Vec<Value> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
        })
        .collect()
}

/// Collects what a child says into a text.
pub fn collect(from: Option<impl Read + Send + 'static>, into: &Arc<Mutex<String>>) {
    let (mut from, into) = (from.expect("a pipe"), Arc::clone(into));
    thread::spawn(move || {
        let mut scratch = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut scratch) {
            let text = String::from_utf8_lossy(&scratch[..n]);
            into.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&text);
        }
    });
}

impl Client {
    /// A GET with this Host: the admin listener looks at it.
    pub fn try_get_host(&mut self, path: &str, host: impl std::fmt::Display) -> Option<Response> {
        self.send(format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ));
        self.try_response_to("GET").ok()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let output = self.output();
            let tail = output
                .char_indices()
                .rev()
                .nth(4000)
                .map_or(0, |(at, _)| at);
            eprintln!("── the proxy said ──\n{}\n── end ──", &output[tail..]);
        }
    }
}
