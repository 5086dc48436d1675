//! What filters leave to the configuration after them.

use std::sync::Arc;

use super::Proofs;
use super::bandwidth_limit::Flows;
use super::counts::Counts;
use super::jwt::{Cache, Identity, KeySet, Source, Whose};
use super::pages::Shown;
use crate::base::{PagesName, RouteName};
use crate::state::Registry;

/// What every filter that a configuration or an exchange still holds knows. One for the process.
#[derive(Debug, Default)]
pub struct Live {
    /// What was found of passwords.
    pub proofs: Arc<Proofs>,
    tallies: Registry<(RouteName, &'static str), Tally>,
    sources: Registry<Identity, Source>,
    /// By what their file said.
    keys: Registry<Box<[u8]>, KeySet>,
    tokens: Registry<Whose, Cache>,
    shown: Registry<PagesName, Shown>,
    flows: Registry<(RouteName, usize), Flows>,
}

/// How often the filters of one kind on one route let in, and how often not.
#[derive(Debug)]
pub struct Tally {
    /// The route.
    pub route: RouteName,
    /// The word of the filter.
    pub filter: &'static str,
    counts: Counts<{ Decision::ALL.len() }>,
}

/// What became of a request at a filter that asks who it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// It goes on.
    Allow,
    /// It does not.
    Refuse,
    /// There is nobody to tell, so it does not.
    Fail,
}

impl Decision {
    const ALL: [Self; 3] = [Self::Allow, Self::Refuse, Self::Fail];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Refuse => "refuse",
            Self::Fail => "fail",
        }
    }
}

impl Tally {
    pub(super) fn count(&self, decision: Decision) {
        self.counts.add(decision as usize);
    }

    /// Each decision with how often it was made.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.by(Decision::ALL.map(Decision::as_str))
    }
}

impl Live {
    /// What is counted by filters of this kind on a route.
    pub(super) fn tally(&self, route: &RouteName, filter: &'static str) -> Arc<Tally> {
        self.tallies
            .keep_or_make(&(route.clone(), filter), || Tally {
                route: route.clone(),
                filter,
                counts: Counts::default(),
            })
    }

    /// The keys at a URL: those that are alive, or `new` ones.
    pub(super) fn source(&self, identity: &Identity, new: Source) -> Arc<Source> {
        self.sources.keep_or_make(identity, || new)
    }

    /// Keys of a file: those that were read from the same text, or these.
    pub(super) fn keys(&self, read: KeySet) -> Arc<KeySet> {
        self.keys.keep_or_make(&read.text().into(), || read)
    }

    /// What is remembered of tokens.
    pub(super) fn tokens(&self, whose: &Whose) -> Arc<Cache> {
        self.tokens.keep_or_make(whose, || Cache::new(whose.most))
    }

    /// Everywhere that keys are fetched from.
    pub fn sources(&self) -> Vec<Arc<Source>> {
        self.sources.alive()
    }

    /// What the `bandwidth_limit` at this step of a route knows.
    pub(super) fn flows(&self, route: &RouteName, step: usize) -> Arc<Flows> {
        self.flows
            .keep_or_make(&(route.clone(), step), || Flows::new(route.clone()))
    }

    /// Everything that is slowed down.
    pub fn slowed(&self) -> Vec<Arc<Flows>> {
        self.flows.alive()
    }

    /// How often pages of this name were shown.
    pub(super) fn shown(&self, pages: &PagesName) -> Arc<Shown> {
        self.shown.keep_or_make(pages, || Shown::new(pages.clone()))
    }

    /// How often error pages were shown.
    pub fn pages(&self) -> Vec<Arc<Shown>> {
        self.shown.alive()
    }

    /// Everything that is counted.
    pub fn tallies(&self) -> Vec<Arc<Tally>> {
        self.tallies.alive()
    }

    /// Forgets the identities of what is gone. To be called after a reload.
    pub fn sweep(&self) {
        self.tallies.sweep();
        self.sources.sweep();
        self.keys.sweep();
        self.tokens.sweep();
        self.shown.sweep();
        self.flows.sweep();
    }
}
