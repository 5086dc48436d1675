//! Whether this process wants traffic, and if not, why.

use std::sync::{Mutex, PoisonError};

/// Why `/ready` says no. Nothing: it says yes.
#[derive(Debug)]
pub struct Readiness(Mutex<Vec<&'static str>>);

impl Readiness {
    /// Not ready: the start is still under way.
    pub const STARTING: &'static str = "starting";
    /// Not ready: the process is on its way out.
    pub const DRAINING: &'static str = "draining";

    /// Not ready yet, because of [`Readiness::STARTING`].
    pub fn new() -> Self {
        Self(Mutex::new(vec![Self::STARTING]))
    }

    /// Adds a reason against being ready.
    pub fn block(&self, reason: &'static str) {
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }

    /// Takes a reason away.
    pub fn unblock(&self, reason: &'static str) {
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.retain(|have| *have != reason);
    }

    /// What speaks against it; nothing: ready.
    pub fn reasons(&self) -> Vec<&'static str> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}
