//! Signals: SIGHUP reloads, SIGUSR1 reopens the access log, SIGTERM, SIGINT and SIGQUIT drain.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the process takes. SIGPIPE is ignored by the runtime of the language.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Signal,
    user: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// By which nginx is asked to end gracefully, and what images of it have as their STOPSIGNAL.
    quit: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    Reload,
    Reopen,
    /// To end, by this signal.
    End(&'static str),
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next signal. Cancel safe.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.user.recv() => Asked::Reopen,
            _ = self.terminate.recv() => Asked::End("SIGTERM"),
            _ = self.interrupt.recv() => Asked::End("SIGINT"),
            _ = self.quit.recv() => Asked::End("SIGQUIT"),
        }
    }

    /// The next signal that asks to end. Cancel safe.
    pub(super) async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.quit.recv() => "SIGQUIT",
        }
    }
}
