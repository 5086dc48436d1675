//! What an operator has taken out of service while the process runs: everything, a listener, a route. Held by name, over every reload.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ipnet::IpNet;

use crate::base::clock::Instant;
use crate::base::{CidrSet, ListenerName, RouteName};

/// Most words that are held: those for routes that are gone for good are not noticed otherwise.
pub const MAX_WORDS: usize = 1000;

/// What is out of service.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// Every request.
    All,
    /// What comes in there.
    Listener(ListenerName),
    /// What found this route.
    Route(RouteName),
}

/// On what terms.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closed {
    /// When clients should come back.
    pub retry_after: Duration,
    /// Who is served all the same, as it was said.
    pub allow: Vec<IpNet>,
    /// The same, to be asked.
    pub allowed: CidrSet,
    /// When it ends by itself.
    pub until: Option<Instant>,
}

impl Closed {
    /// For all but these.
    pub fn new(retry_after: Duration, allow: Vec<IpNet>, until: Option<Instant>) -> Self {
        Self {
            retry_after,
            allowed: CidrSet::new(&allow),
            allow,
            until,
        }
    }

    fn holds(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

type Words = BTreeMap<Scope, Closed>;

/// All that is out of service; one look at a flag while nothing is.
#[derive(Debug, Default)]
pub struct Maintenance {
    any: AtomicBool,
    words: RwLock<Arc<Words>>,
}

/// As many words as may be are held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooMany;

impl Maintenance {
    /// When this client should come back, if it is not served now: the longest of the waits that are asked for. Who is let in by one
    /// word may be kept out by another.
    pub fn refuses(
        &self,
        listener: &ListenerName,
        route: Option<&RouteName>,
        client: IpAddr,
        now: Instant,
    ) -> Option<Duration> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let words = self.words();
        let held = words.iter().filter(|(scope, closed)| {
            let meant = match scope {
                Scope::All => true,
                Scope::Listener(name) => name == listener,
                Scope::Route(name) => Some(name) == route,
            };
            meant && closed.holds(now) && !closed.allowed.contains(client)
        });
        held.map(|(_, closed)| closed.retry_after).max()
    }

    fn words(&self) -> Arc<Words> {
        let words = self.words.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&words)
    }

    /// All that is out of service now.
    pub fn list(&self, now: Instant) -> Vec<(Scope, Closed)> {
        let words = self.words();
        let held = words.iter().filter(|(_, closed)| closed.holds(now));
        held.map(|(scope, closed)| (scope.clone(), closed.clone()))
            .collect()
    }

    /// Takes it out of service, in place of what was said before. In effect for every request that begins from here on.
    pub fn close(&self, scope: Scope, closed: Closed, now: Instant) -> Result<(), TooMany> {
        self.change(now, |words| {
            if words.len() >= MAX_WORDS && !words.contains_key(&scope) {
                return Err(TooMany);
            }
            words.insert(scope, closed);
            Ok(())
        })
    }

    /// Takes that back; whether there was something to take back.
    pub fn open(&self, scope: &Scope, now: Instant) -> bool {
        self.change(now, |words| words.remove(scope).is_some())
    }

    /// What has ended by itself is forgotten on the way.
    fn change<T>(&self, now: Instant, change: impl FnOnce(&mut Words) -> T) -> T {
        let mut place = self.words.write().unwrap_or_else(PoisonError::into_inner);
        let mut words = Words::clone(&place);
        words.retain(|_, closed| closed.holds(now));
        let changed = change(&mut words);
        self.any.store(!words.is_empty(), Ordering::Release);
        *place = Arc::new(words);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn closed(seconds: u32, allow: &str, until: Option<Instant>) -> Closed {
        let allow = CidrSet::parse_entry(allow).into_iter().collect();
        Closed::new(SECOND * seconds, allow, until)
    }

    #[test]
    fn each_word_is_for_what_it_names() {
        let maintenance = Maintenance::default();
        let now = clock::now();
        let (web, other) = (["web", "other"])
            .map(|it| ListenerName::parse(it).unwrap())
            .into();
        let (shop, api) = (["shop", "api"])
            .map(|it| RouteName::parse(it).unwrap())
            .into();
        let client = |text: &str| text.parse::<IpAddr>().unwrap();
        let wait = |listener, route, from: &str, after: u32| {
            let wait = maintenance.refuses(listener, route, client(from), now + SECOND * after);
            wait.map(|wait| wait.as_secs())
        };
        assert_eq!(wait(&web, Some(&shop), "10.0.0.1", 0), None);
        let route = Scope::Route(shop.clone());
        let word = closed(60, "10.0.0.0/8", Some(now + SECOND * 9));
        maintenance.close(route.clone(), word, now).unwrap();
        assert_eq!(wait(&web, Some(&shop), "192.0.2.1", 0), Some(60));
        assert_eq!(wait(&web, Some(&shop), "10.0.0.1", 0), None, "let in");
        assert_eq!(wait(&web, Some(&api), "192.0.2.1", 0), None);
        assert_eq!(wait(&web, None, "192.0.2.1", 0), None);
        assert_eq!(
            wait(&web, Some(&shop), "192.0.2.1", 9),
            None,
            "its time is up"
        );
        let listener = Scope::Listener(web.clone());
        maintenance
            .close(listener.clone(), closed(5, "", None), now)
            .unwrap();
        assert_eq!(wait(&web, None, "10.0.0.1", 99), Some(5));
        assert_eq!(
            wait(&web, Some(&shop), "10.0.0.1", 0),
            Some(5),
            "by the other word"
        );
        assert_eq!(
            wait(&web, Some(&shop), "192.0.2.1", 0),
            Some(60),
            "the longest"
        );
        assert_eq!(wait(&other, Some(&api), "192.0.2.1", 0), None);
        maintenance
            .close(Scope::All, closed(7, "", None), now)
            .unwrap();
        assert_eq!(wait(&other, None, "192.0.2.1", 0), Some(7));
        assert_eq!(maintenance.list(now).len(), 3);
        assert!(maintenance.open(&Scope::All, now + SECOND * 9));
        assert!(!maintenance.open(&route, now), "it was forgotten");
        assert!(maintenance.open(&listener, now));
        assert_eq!(wait(&web, Some(&shop), "192.0.2.1", 0), None);
    }

    #[test]
    fn words_are_bounded() {
        let maintenance = Maintenance::default();
        let now = clock::now();
        let scope = |at| Scope::Route(RouteName::parse(&format!("r{at}")).unwrap());
        for at in 0..MAX_WORDS {
            maintenance
                .close(scope(at), closed(1, "", None), now)
                .unwrap();
        }
        let more = maintenance.close(scope(MAX_WORDS), closed(1, "", None), now);
        assert_eq!(more, Err(TooMany));
        maintenance
            .close(scope(0), closed(2, "", None), now)
            .unwrap();
    }
}
