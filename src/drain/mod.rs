//! The graceful end: first gentle, then forced.
//!
//! **Invariants.** A phase only ever moves forward: serving, draining, forced.
//!
//! **Not here.** Who decides to drain (`server`, `reload`) and what a connection does about it (`downstream`).

use std::cell::Cell;

/// How far the end has come, for a process, a worker or a listener.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// Business as usual.
    #[default]
    Serving,
    /// What is in flight finishes; connections close after one more answer or a second of silence.
    Draining,
    /// Time is up: what is left is cut.
    Forced,
}

/// One worker's drain, looked at by its connections.
#[derive(Debug, Default)]
pub struct Drain {
    phase: Cell<Phase>,
}

impl Drain {
    /// The current phase.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Moves forward to `phase`; never back.
    pub fn advance(&self, phase: Phase) {
        self.phase.set(self.phase.get().max(phase));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back() {
        let drain = Drain::default();
        drain.advance(Phase::Forced);
        drain.advance(Phase::Draining);
        assert_eq!(drain.phase(), Phase::Forced);
    }
}
