//! The probe that is a program.
//!
//! It gets no shell, no input, and of our environment nothing but PATH: what the configuration takes from the environment
//! (`{ env = "…" }`) is not for it. It runs in a process group of its own, so that at the timeout what it
//! started ends with it.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::probe::{Failure, Subject};
use super::spec::CommandCheck;
use crate::base::EndpointAddr;

/// Programs at once, in the whole process: each is a process of its own beside the data path. Over it they wait, within
/// their timeout.
const MAX_AT_ONCE: usize = 16;

static SLOTS: Semaphore = Semaphore::const_new(MAX_AT_ONCE);

/// Kills what is left of the program when the probe ends, however it does.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Once it was waited for it has no id any more, and the number may be somebody else's.
        let leader = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(leader) = leader.and_then(Pid::from_raw) {
            // It fails only when nobody is left.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

pub(super) async fn probe(check: &CommandCheck, subject: &Subject<'_>) -> Result<(), Failure> {
    // The semaphore is never closed.
    let _slot = SLOTS.acquire().await.ok();
    let mut command = Command::new(&check.program);
    command
        .args(&check.arguments)
        .env_clear()
        .env("TIDEGATE_CLUSTER", subject.cluster.as_str())
        .env("TIDEGATE_ENDPOINT", subject.endpoint.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    if let EndpointAddr::Inet(addr) = &subject.at.addr {
        command
            .env("TIDEGATE_HOST", addr.ip().to_string())
            .env("TIDEGATE_PORT", addr.port().to_string());
    }
    let mut group = Group(command.spawn().map_err(Failure::Start)?);
    let status = group.0.wait().await.map_err(Failure::Start)?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Exit(status.code()))
    }
}
