//! Cells of one name that is resolved. Written by one thread.

use std::time::Duration;

use super::cell::{Distribution, Histogram, SharedCounter};
use super::names;
use super::scrape::Scrape;

/// How a resolution ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DnsOutcome {
    /// Addresses.
    Ok,
    /// Addresses, but some part could not be asked for.
    Partial,
    /// More addresses than are used.
    Truncated,
    /// There is no such name.
    NoName,
    /// The name has no addresses.
    Empty,
    /// None of the addresses may be used.
    Denied,
    /// Every server refused or failed (SERVFAIL, REFUSED, …).
    Refused,
    /// No answer in time.
    Timeout,
    /// Anything else.
    Error,
}

impl DnsOutcome {
    const ALL: [Self; 9] = [
        Self::Ok,
        Self::Partial,
        Self::Truncated,
        Self::NoName,
        Self::Empty,
        Self::Denied,
        Self::Refused,
        Self::Timeout,
        Self::Error,
    ];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
            Self::Truncated => "truncated",
            Self::NoName => "no_name",
            Self::Empty => "empty",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Error => "error",
        }
    }
}

/// What is counted of one name.
#[derive(Debug, Default)]
pub struct DnsCells {
    outcomes: [SharedCounter; DnsOutcome::ALL.len()],
    changes: SharedCounter,
    duration: Histogram,
}

impl DnsCells {
    /// Counts one resolution.
    pub fn resolved(&self, outcome: DnsOutcome, duration: Duration) {
        if let Some(counter) = self.outcomes.get(outcome as usize) {
            counter.inc();
        }
        self.duration.observe(duration);
    }

    /// Counts a change of the addresses.
    pub fn changed(&self) {
        self.changes.inc();
    }

    pub(super) fn collect(&self, name: &str, scrape: &mut Scrape) {
        for (outcome, counter) in DnsOutcome::ALL.into_iter().zip(&self.outcomes) {
            let labels = [name, outcome.as_str()];
            scrape.add(&names::DNS_RESOLUTIONS, &labels, counter.read());
        }
        scrape.add(&names::DNS_CHANGES, &[name], self.changes.read());
        let mut duration = Distribution::default();
        duration.absorb(&self.duration);
        scrape.distribution(&names::DNS_RESOLUTION_DURATION, &[name], &duration);
    }
}
