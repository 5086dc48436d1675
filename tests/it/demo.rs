//! What a newcomer does first: `tidegate demo`, and the lines that it prints, typed as they stand.

use crate::support::process::signal;
use crate::support::proxy::{binary, collect};
use crate::support::{DEADLINE, eventually, ports, within};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

struct Demo {
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Demo {
    fn start() -> Self {
        let (proxy, admin) = (ports::free(), ports::free());
        let mut command = binary();
        command
            .args(["demo", "--port", &proxy.port().to_string()])
            .args(["--admin-port", &admin.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the demo");
        let output = Arc::default();
        collect(child.stdout.take(), &output);
        collect(child.stderr.take(), &output);
        let mut this = Self { child, output };
        within(DEADLINE * 2, "the demo serves", || {
            let ended = this.child.try_wait().expect("wait");
            assert!(ended.is_none(), "{ended:?}: {}", this.output());
            this.output().contains(" serving").then_some(())
        });
        this
    }

    fn output(&self) -> String {
        let output = self.output.lock();
        output.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it says to type for this.
    #[track_caller]
    fn tip(&self, label: &str) -> String {
        let output = self.output();
        let line = output
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(label));
        line.unwrap_or_else(|| panic!("no tip `{label}`: {output}"))
            .trim()
            .to_owned()
    }

    /// Types it; what came of it.
    #[track_caller]
    fn follow(&self, label: &str) -> String {
        let tip = self.tip(label);
        assert!(tip.contains("curl"), "{tip}");
        let done = Command::new("sh")
            .args(["-c", &tip])
            .output()
            .expect("sh and curl (Debian's package)");
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{tip}: {}: {text}", done.status);
        text
    }

    /// One round of requests: the origins that answered, each once.
    #[track_caller]
    fn round(&self) -> Vec<String> {
        let text = self.follow("balancing");
        assert_eq!(text.lines().count(), 8, "{text}");
        let mut names: Vec<_> = text
            .lines()
            .map(|line| {
                let name = line.strip_prefix("hello from origin ");
                name.unwrap_or_else(|| panic!("{text}")).to_owned()
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn wait_status(&self, what: &str, is: impl Fn(&str) -> bool) {
        eventually(what, || is(&self.follow("status")).then_some(()));
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn everything_that_the_demo_says_to_try_works() {
    let mut demo = Demo::start();
    eventually("all three are asked", || {
        (demo.round() == ["one", "three", "two"]).then_some(())
    });
    let echo = demo.follow("what arrives");
    assert!(
        echo.starts_with("GET /echo at origin ") && echo.contains("x-demo: tidegate"),
        "{echo}"
    );
    let back = demo.follow("what comes back");
    assert!(
        back.starts_with("HTTP/1.1 200 ") && back.contains("x-proxy: tidegate"),
        "{back}"
    );

    assert_eq!(demo.follow("take one down"), "origin one is down\n");
    // No request fails, whether the probes have seen it or not.
    demo.round();
    demo.wait_status("the probes see it", |status| status.contains("unhealthy"));
    assert_eq!(demo.round(), ["three", "two"]);
    eventually("the log shows it", || {
        demo.output()
            .contains("endpoint is unhealthy")
            .then_some(())
    });
    assert_eq!(demo.follow("and up again"), "origin one is up\n");
    demo.wait_status("the probes see it", |status| !status.contains("unhealthy"));
    eventually("all three are asked again", || {
        (demo.round() == ["one", "three", "two"]).then_some(())
    });

    let other = demo.follow("redirect, reply");
    assert!(
        other.starts_with("HTTP/1.1 308 ") && other.ends_with("short and stout\n"),
        "{other}"
    );
    let metrics = demo.follow("metrics");
    let counted = metrics.lines().find(|line| {
        line.starts_with("tidegate_requests_total{") && line.contains("route=\"demo\"")
    });
    assert!(counted.is_some(), "{metrics}");
    eventually("a request is a line", || {
        demo.output().contains(" path=/echo ").then_some(())
    });

    let output = demo.output();
    let config = output
        .lines()
        .find_map(|line| line.strip_prefix("The configuration is "))
        .and_then(|line| line.split_once(": "))
        .expect("where the configuration is")
        .0;
    assert!(Path::new(config).exists(), "{config}");
    signal(demo.child.id(), "INT");
    let status = within(DEADLINE, "Ctrl-C ends it", || {
        demo.child.try_wait().expect("wait")
    });
    assert_eq!(status.code(), Some(0), "{}", demo.output());
    assert!(!Path::new(config).exists(), "{config} is left behind");
}

/// The ports that it takes unasked are the ones that the README and `--help` speak of.
#[test]
fn help_tells_the_ports() {
    let help = binary().args(["demo", "--help"]).output().unwrap();
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.status.success(), "{text}");
    for word in ["--port", "8080", "--admin-port", "9901"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn version_tells_the_version() {
    let version = binary().arg("version").output().unwrap();
    assert_eq!(version.status.code(), Some(0));
    let text = String::from_utf8_lossy(&version.stdout).into_owned();
    assert_eq!(text, format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
}
