//! A gate: whoever stands before it goes on when the test opens it.

use super::DEADLINE;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn shut() -> Self {
        Self::default()
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits until the gate is open, or for four deadlines: a test that fails must not leave threads.
    pub fn pass(&self) {
        let open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self
            .0
            .1
            .wait_timeout_while(open, DEADLINE * 4, |open| !*open);
    }
}
