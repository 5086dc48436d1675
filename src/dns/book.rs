//! All names, and what is known of each.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::answer::{Answer, Failure, Finding, Target, Verdict, judge, pause};
use super::{Query, Settings};
use crate::base::clock::{self, Instant};
use crate::metrics::DnsOutcome;
use crate::state::Registry;

/// The names of the living configurations. One for the process.
#[derive(Debug, Default)]
pub struct Book(Registry<Query, Entry>);

impl Book {
    /// What is known of a name: the same for everyone who asks.
    pub fn entry(&self, query: &Query) -> Arc<Entry> {
        self.0.keep_or_make(query, || Entry::new(query.clone()))
    }

    /// Every name that a configuration holds, in order.
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        let mut entries = self.0.alive();
        entries.sort_by(|a, b| a.query.cmp(&b.query));
        entries
    }

    /// Forgets names that no configuration holds.
    pub fn sweep(&self) {
        self.0.sweep();
    }
}

/// One name.
pub struct Entry {
    /// What is asked for.
    pub query: Query,
    since: Instant,
    known: Mutex<Known>,
    /// Counts the changes of the addresses.
    generation: AtomicU64,
    kept: AtomicBool,
    attempted: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Known {
    good: Option<Arc<Answer>>,
    outcome: Option<DnsOutcome>,
    why: Option<String>,
    failures: u32,
}

/// What is to be shown of a name.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The last good answer.
    pub good: Option<Arc<Answer>>,
    /// How the last resolution ended; `None`: there was none yet.
    pub outcome: Option<DnsOutcome>,
    /// Why it gave nothing to use.
    pub why: Option<String>,
    /// Since the last good answer, or since the name is known if there was none.
    pub age: Duration,
}

/// What a resolution has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Concluded {
    pub(super) outcome: DnsOutcome,
    /// How the one before had ended.
    pub(super) before: Option<DnsOutcome>,
    pub(super) change: Change,
    /// When to ask again, from now.
    pub(super) wait: Duration,
}

/// Whether the addresses are others now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    Same,
    /// So many came, and so many went.
    Other {
        came: usize,
        went: usize,
    },
}

/// Who it is; what is known of it comes and goes.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({})", self.query)
    }
}

impl Entry {
    pub(super) fn new(query: Query) -> Self {
        Self {
            query,
            since: clock::now(),
            known: Mutex::default(),
            generation: AtomicU64::new(0),
            kept: AtomicBool::new(false),
            attempted: watch::Sender::new(false),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last good answer.
    pub fn good(&self) -> Option<Arc<Answer>> {
        self.known().good.clone()
    }

    /// Counts the changes of the addresses.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What is to be shown.
    pub fn standing(&self, now: Instant) -> Standing {
        let known = self.known();
        let from = known.good.as_ref().map_or(self.since, |good| good.at);
        Standing {
            good: known.good.clone(),
            outcome: known.outcome,
            why: known.why.clone(),
            age: clock::between(from, now),
        }
    }

    /// Waits until it was tried once to resolve the name.
    pub async fn attempted(&self) {
        // An error is impossible: the sender is ours.
        let _ = self.attempted.subscribe().wait_for(|tried| *tried).await;
    }

    /// Whether nobody has begun to keep this name before; somebody has now.
    pub(super) fn claim(&self) -> bool {
        !self.kept.swap(true, Ordering::Relaxed)
    }

    /// Takes what a resolution found.
    pub(super) fn conclude(
        &self,
        found: Result<Finding, Failure>,
        settings: &Settings,
        now: Instant,
    ) -> Concluded {
        let mut known = self.known();
        let before = known.outcome;
        let last = known.good.clone();
        let concluded = match judge(found, last.as_deref(), settings, now) {
            Verdict::Good(answer, outcome) => {
                let old = last.as_ref().map_or(&[][..], |last| &last.targets);
                let missing = |from: &[Target], of: &[Target]| {
                    of.iter().filter(|target| !from.contains(target)).count()
                };
                let change = if *old == *answer.targets {
                    Change::Same
                } else {
                    Change::Other {
                        came: missing(old, &answer.targets),
                        went: missing(&answer.targets, old),
                    }
                };
                let wait = answer.ttl;
                *known = Known {
                    good: Some(Arc::new(answer)),
                    outcome: Some(outcome),
                    why: None,
                    failures: 0,
                };
                Concluded {
                    outcome,
                    before,
                    change,
                    wait,
                }
            }
            Verdict::Kept(Failure { outcome, text }) => {
                known.outcome = Some(outcome);
                known.why = Some(text);
                known.failures = known.failures.saturating_add(1);
                Concluded {
                    outcome,
                    before,
                    change: Change::Same,
                    wait: pause(known.failures, settings),
                }
            }
        };
        if concluded.change != Change::Same {
            self.generation.fetch_add(1, Ordering::Release);
        }
        drop(known);
        self.attempted.send_replace(true);
        concluded
    }
}
