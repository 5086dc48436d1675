//! Many changes of files in a short time are one.

use std::time::Duration;

use crate::base::clock::Instant;

/// Silence after which a change is looked at: an editor writes in several steps.
const QUIET: Duration = Duration::from_millis(250);
/// Longest wait while changes keep coming.
const LONGEST: Duration = Duration::from_secs(2);

/// Waits for silence. Takes the time as an argument.
#[derive(Debug, Default)]
pub(super) struct Debounce {
    /// First and last change that were not looked at.
    pending: Option<(Instant, Instant)>,
}

impl Debounce {
    /// Something changed.
    pub(super) fn changed(&mut self, now: Instant) {
        let first = self.pending.map_or(now, |(first, _)| first);
        self.pending = Some((first, now));
    }

    /// When to look; `None`: nothing changed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pending
            .map(|(first, last)| (last + QUIET).min(first + LONGEST))
    }

    /// It is being looked at.
    pub(super) fn clear(&mut self) {
        self.pending = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    #[test]
    fn waits_for_silence_but_not_for_ever() {
        let start = clock::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut debounce = Debounce::default();
        assert_eq!(debounce.due(), None);
        debounce.changed(at(0));
        assert_eq!(debounce.due(), Some(at(250)));
        debounce.changed(at(200));
        assert_eq!(debounce.due(), Some(at(450)));
        for millis in (400..2200).step_by(200) {
            debounce.changed(at(millis));
        }
        assert_eq!(debounce.due(), Some(at(2000)), "since the first");
        debounce.clear();
        assert_eq!(debounce.due(), None);
        debounce.changed(at(3000));
        assert_eq!(debounce.due(), Some(at(3250)));
    }
}
