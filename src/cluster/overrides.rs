//! What operators say of endpoints while the process runs: it wins over the file until its time is up, or until the
//! file's value for that field changes. Held by name, whether or not the endpoint is there at the moment.
//!
//! Asked when a set is made and by the admin interface, never on the data path.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::ClusterName;
use crate::base::clock::Instant;
use crate::endpoint::{Admin, EndpointKey, EndpointSet, Origin};

/// Most overrides that are held: those of endpoints that are gone for good are not noticed otherwise.
pub const MAX_OVERRIDES: usize = 10_000;

/// A value that stands over the file's, and the file's at that time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Over<T> {
    value: T,
    written: T,
}

/// An operator's word on one endpoint.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Override {
    admin: Option<Over<Admin>>,
    weight: Option<Over<u32>>,
    until: Option<Instant>,
    /// When a drain becomes the end.
    deadline: Option<Instant>,
}

/// What the passing of time made of an operator's word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lapse {
    /// Its time is up: the file counts again.
    Ended,
    /// The endpoint has drained long enough: it is disabled.
    Disabled,
}

impl Override {
    /// `admin` and `weight`, where they are given, instead of what `origin` has; until then, or for good.
    pub fn new(
        admin: Option<Admin>,
        weight: Option<u32>,
        until: Option<Instant>,
        origin: &Origin,
    ) -> Self {
        Self {
            admin: admin.map(|value| Over {
                value,
                written: origin.admin,
            }),
            weight: weight.map(|value| Over {
                value,
                written: origin.written_weight,
            }),
            until,
            deadline: None,
        }
    }

    /// The same, and an endpoint that drains is disabled then.
    #[must_use]
    pub fn drained_by(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    /// The state, if one was said.
    pub fn admin(&self) -> Option<Admin> {
        self.admin.map(|over| over.value)
    }

    /// The weight, if one was said.
    pub fn weight(&self) -> Option<u32> {
        self.weight.map(|over| over.value)
    }

    /// When it ends by itself.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// When an endpoint that drains is disabled.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What has become of it by now.
    fn lapse(&mut self, now: Instant) -> Option<Lapse> {
        let passed = |end: Option<Instant>| end.is_some_and(|end| end <= now);
        if passed(self.until) {
            return Some(Lapse::Ended);
        }
        if !passed(self.deadline) {
            return None;
        }
        self.deadline = None;
        let over = self.admin.as_mut()?;
        over.value = Admin::Disabled;
        Some(Lapse::Disabled)
    }

    /// The state that wins over this origin's.
    pub(super) fn admin_over(&self, origin: &Origin) -> Option<Admin> {
        let over = self.admin?;
        (over.written == origin.admin).then_some(over.value)
    }

    /// The weight that wins over this origin's.
    pub(super) fn weight_over(&self, origin: &Origin) -> Option<u32> {
        let over = self.weight?;
        (over.written == origin.written_weight).then_some(over.value)
    }
}

/// There are [`MAX_OVERRIDES`] already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooMany;

/// All overrides of the process.
#[derive(Debug, Default)]
pub struct Overrides(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    said: BTreeMap<EndpointKey, Override>,
    /// Counts the changes of each cluster that ever had one.
    revisions: HashMap<ClusterName, u64>,
}

impl Inner {
    fn changed(&mut self, cluster: &ClusterName) {
        *self.revisions.entry(cluster.clone()).or_default() += 1;
    }
}

impl Overrides {
    /// Every change leaves the table whole, so a poisoned lock is as good as a clean one.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is said of this endpoint.
    pub fn of(&self, key: &EndpointKey) -> Option<Override> {
        self.inner().said.get(key).copied()
    }

    /// Says it, in place of what was said before.
    pub fn put(&self, key: &EndpointKey, said: Override) -> Result<(), TooMany> {
        let mut inner = self.inner();
        if inner.said.len() >= MAX_OVERRIDES && !inner.said.contains_key(key) {
            return Err(TooMany);
        }
        inner.said.insert(key.clone(), said);
        inner.changed(&key.cluster);
        Ok(())
    }

    /// Takes it back; what it was.
    pub fn remove(&self, key: &EndpointKey) -> Option<Override> {
        let mut inner = self.inner();
        let said = inner.said.remove(key)?;
        inner.changed(&key.cluster);
        Some(said)
    }

    /// Lets time pass, and says what it changed.
    pub fn expire(&self, now: Instant) -> Vec<(EndpointKey, Lapse)> {
        let mut inner = self.inner();
        let words = inner.said.iter_mut();
        let lapsed: Vec<_> = words
            .filter_map(|(key, said)| Some((key.clone(), said.lapse(now)?)))
            .collect();
        for (key, lapse) in &lapsed {
            if *lapse == Lapse::Ended {
                inner.said.remove(key);
            }
            inner.changed(&key.cluster);
        }
        lapsed
    }

    /// When time changes the next one.
    pub fn next_end(&self) -> Option<Instant> {
        let inner = self.inner();
        let ends = inner
            .said
            .values()
            .flat_map(|said| [said.until, said.deadline]);
        ends.flatten().min()
    }

    /// Forgets what was said over values that the file has changed since. For a set that is in effect; until
    /// then such a word merely has no effect.
    pub(super) fn settle(&self, set: &EndpointSet) {
        let mut inner = self.inner();
        for endpoint in set.iter() {
            let Some(said) = inner.said.get_mut(&endpoint.key) else {
                continue;
            };
            let origin = &endpoint.origin;
            let stands = |over: &Over<u32>| over.written == origin.written_weight;
            said.weight = said.weight.filter(stands);
            said.admin = said.admin.filter(|over| over.written == origin.admin);
            if said.weight.is_none() && said.admin.is_none() {
                inner.said.remove(&endpoint.key);
            }
        }
    }

    /// Those of one cluster, endpoints that are not there included.
    pub fn of_cluster(&self, cluster: &ClusterName) -> Vec<(EndpointKey, Override)> {
        let inner = self.inner();
        let mine = inner.said.iter().filter(|(key, _)| key.cluster == *cluster);
        mine.map(|(key, said)| (key.clone(), *said)).collect()
    }

    /// Counts the changes of what is said of this cluster's endpoints.
    pub(super) fn revision(&self, cluster: &ClusterName) -> u64 {
        self.inner().revisions.get(cluster).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{EndpointAddr, clock};
    use std::time::Duration;

    fn key(port: u16) -> EndpointKey {
        EndpointKey {
            cluster: ClusterName::parse("app").unwrap(),
            addr: EndpointAddr::Inet(([127, 0, 0, 1], port).into()),
        }
    }

    fn origin(weight: u32) -> Origin {
        Origin {
            weight,
            written_weight: weight,
            admin: Admin::Ready,
            name: None,
            zone: None,
        }
    }

    #[test]
    fn a_word_wins_only_over_the_value_that_it_was_said_over() {
        let said = Override::new(Some(Admin::Drain), Some(7), None, &origin(1));
        assert_eq!(said.weight_over(&origin(1)), Some(7));
        assert_eq!(said.weight_over(&origin(2)), None);
        assert_eq!(said.admin_over(&origin(2)), Some(Admin::Drain));
        let disabled = Origin {
            admin: Admin::Disabled,
            ..origin(1)
        };
        assert_eq!(said.admin_over(&disabled), None);
    }

    #[test]
    fn every_change_is_a_revision_of_its_cluster() {
        let overrides = Overrides::default();
        let now = clock::now();
        let other = ClusterName::parse("other").unwrap();
        let until = Some(now + Duration::from_secs(1));
        let short = Override::new(Some(Admin::Drain), None, until, &origin(1));
        overrides.put(&key(1), short).unwrap();
        overrides
            .put(&key(2), Override::new(None, Some(3), None, &origin(1)))
            .unwrap();
        assert_eq!(overrides.revision(&key(1).cluster), 2);
        assert_eq!(overrides.next_end(), until);
        assert!(overrides.expire(now).is_empty());
        assert_eq!(
            overrides.expire(now + Duration::from_secs(1)),
            [(key(1), Lapse::Ended)]
        );
        assert_eq!(overrides.next_end(), None);
        assert!(overrides.remove(&key(2)).is_some() && overrides.remove(&key(2)).is_none());
        assert_eq!(overrides.revision(&key(1).cluster), 4);
        assert_eq!(overrides.revision(&other), 0);
    }

    #[test]
    fn a_drain_ends_at_its_deadline() {
        let overrides = Overrides::default();
        let now = clock::now();
        let [soon, later] = [1, 2].map(|seconds| now + Duration::from_secs(seconds));
        let drain = Override::new(Some(Admin::Drain), None, Some(later), &origin(1));
        let drain = drain.drained_by(Some(soon));
        overrides.put(&key(1), drain).unwrap();
        assert_eq!(overrides.next_end(), Some(soon));
        assert_eq!(overrides.expire(soon), [(key(1), Lapse::Disabled)]);
        let said = overrides.of(&key(1)).unwrap();
        assert_eq!(
            (said.admin(), said.deadline()),
            (Some(Admin::Disabled), None)
        );
        assert_eq!(said.admin_over(&origin(1)), Some(Admin::Disabled));
        assert_eq!(overrides.next_end(), Some(later));
        assert_eq!(overrides.expire(later), [(key(1), Lapse::Ended)]);
        assert_eq!(overrides.revision(&key(1).cluster), 3);
    }

    #[test]
    fn there_is_an_end_to_them() {
        let overrides = Overrides::default();
        let said = Override::new(None, Some(3), None, &origin(1));
        for port in 0..10_000 {
            overrides.put(&key(port), said).unwrap();
        }
        assert_eq!(overrides.put(&key(10_000), said), Err(TooMany));
        assert_eq!(
            overrides.put(&key(9_999), said),
            Ok(()),
            "one that is there"
        );
    }
}
