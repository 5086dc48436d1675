//! State that outlives a configuration: a registry hands out the value that lives under an identity.
//!
//! **Invariants.** A value lives exactly as long as a snapshot or an exchange holds it; the registry itself
//! holds none alive. While one holder lives, everyone who asks for its identity gets the same value.
//!
//! **Not here.** What the state is (`endpoint`, `health`) and where the registries stand (`cluster`).

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Weak references by identity. Asked when a configuration is compiled, never on the data path.
pub struct Registry<K, V> {
    entries: Mutex<HashMap<K, Weak<V>>>,
}

impl<K: Clone + Eq + Hash, V> Registry<K, V> {
    /// An empty registry.
    pub fn new() -> Self {
        Self {
            entries: Mutex::new(HashMap::new()),
        }
    }

    /// The value that lives under `key`, or a new one. `make` runs under the registry's lock and must
    /// not ask it again.
    pub fn keep_or_make(&self, key: &K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut entries = self.lock();
        if let Some(kept) = entries.get(key).and_then(Weak::upgrade) {
            return kept;
        }
        let made = Arc::new(make());
        entries.insert(key.clone(), Arc::downgrade(&made));
        made
    }

    /// Every value that is alive now, in no particular order.
    pub fn alive(&self) -> Vec<Arc<V>> {
        self.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Forgets the identities whose values are gone.
    pub fn sweep(&self) {
        self.lock().retain(|_, value| value.strong_count() > 0);
    }

    /// Identities that are remembered, those of dead values included.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no identity is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A panic in `make` leaves the map whole, so a poisoned lock is as good as a clean one.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Weak<V>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, V> Default for Registry<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone + Eq + Hash, V> fmt::Debug for Registry<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lives_as_long_as_someone_holds_it() {
        let registry = Registry::new();
        let first = registry.keep_or_make(&"a", || 1);
        let again = registry.keep_or_make(&"a", || 2);
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(registry.alive().len(), 1);

        drop((first, again));
        assert!(registry.alive().is_empty());
        assert_eq!(*registry.keep_or_make(&"a", || 3), 3, "a new life");
    }

    #[test]
    fn a_sweep_forgets_the_dead_only() {
        let registry = Registry::new();
        let kept = registry.keep_or_make(&1, || "kept");
        drop(registry.keep_or_make(&2, || "dropped"));
        assert_eq!(registry.len(), 2);
        registry.sweep();
        assert_eq!(registry.len(), 1);
        assert!(Arc::ptr_eq(&kept, &registry.keep_or_make(&1, || "new")));
    }

    #[test]
    fn holders_on_many_threads_agree() {
        let registry = Registry::new();
        let values: Vec<Arc<u32>> = std::thread::scope(|scope| {
            let ask = || scope.spawn(|| registry.keep_or_make(&"x", || 7));
            let threads: Vec<_> = (0..8).map(|_| ask()).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let first = values.first().unwrap();
        assert!(values.iter().all(|value| Arc::ptr_eq(first, value)));
    }
}
