//! What a service manager is told (`sd_notify(3)`). Without one, nothing.

use sd_notify::NotifyState;

/// The process serves; a reload is over.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; [`ready`] says that it ended.
pub(super) fn reloading() {
    // A manager that is told of a reload without the time takes it for a failure.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// The process drains.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// All workers turn.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
