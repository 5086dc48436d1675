//! How many are under way at once, by key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Arrays up to this length have a default.
const SHARDS: usize = 32;

/// Counts by key; a key that has nothing under way is not held.
#[derive(Debug, Default)]
pub struct Places {
    shards: [Mutex<HashMap<u128, u32>>; SHARDS],
}

/// One that is under way, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    key: u128,
}

impl Places {
    fn shard(&self, key: u128) -> MutexGuard<'_, HashMap<u128, u32>> {
        let index = usize::try_from(key % SHARDS as u128).unwrap_or_default();
        let [first, ..] = &self.shards;
        let shard = self.shards.get(index).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place of a key that has fewer than `most`.
    pub fn take(self: &Arc<Self>, key: u128, most: u32) -> Option<Place> {
        let mut held = self.shard(key);
        let count = held.entry(key).or_insert(0);
        if *count >= most {
            if *count == 0 {
                held.remove(&key);
            }
            return None;
        }
        *count += 1;
        drop(held);
        Some(Place {
            places: Arc::clone(self),
            key,
        })
    }

    /// Keys that have something under way.
    pub fn keys(&self) -> usize {
        let shards = self.shards.iter();
        shards
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.shard(self.key);
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_places_and_none_is_lost() {
        let places = Arc::new(Places::default());
        let held: Vec<_> = (0..5).filter_map(|_| places.take(7, 3)).collect();
        assert_eq!(held.len(), 3);
        assert!(places.take(8, 1).is_some());
        assert!(places.take(9, 0).is_none());
        assert_eq!(places.keys(), 1, "what has nothing under way is forgotten");
        let panicked = std::panic::catch_unwind(|| {
            let _held = held;
            std::panic::resume_unwind(Box::new("an exchange panics"));
        });
        assert!(panicked.is_err());
        assert_eq!(places.keys(), 0);
    }

    #[test]
    fn threads_together_never_hold_more() {
        let places = Arc::new(Places::default());
        let most = std::sync::atomic::AtomicU32::new(0);
        let now = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5000 {
                        if let Some(place) = places.take(1, 2) {
                            let held = 1 + now.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            most.fetch_max(held, std::sync::atomic::Ordering::SeqCst);
                            now.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                            drop(place);
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= 2);
        assert_eq!(places.keys(), 0);
    }
}
