//! What was found out once, by a hash of what was asked, of as many as there is room for.

use std::collections::HashMap;

/// Strangers choose what is asked: it never grows beyond its room.
#[derive(Debug)]
pub(super) struct Remembered<V> {
    found: HashMap<u128, V>,
    most: usize,
}

impl<V> Remembered<V> {
    /// With room for so many.
    pub(super) fn new(most: usize) -> Self {
        let found = HashMap::new();
        Self { found, most }
    }

    /// From now on with room for so many; what is over goes with the next that comes.
    pub(super) fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// What is remembered of this, whether it still holds or not.
    pub(super) fn get(&self, key: u128) -> Option<&V> {
        self.found.get(&key)
    }

    /// Remembers it. Where there is no room, what does not hold any more makes room, and else whatever.
    pub(super) fn put(&mut self, key: u128, value: V, holds: impl Fn(&V) -> bool) {
        if self.is_full(key) {
            self.make_room(key, holds);
        }
        self.found.insert(key, value);
    }

    fn make_room(&mut self, key: u128, holds: impl Fn(&V) -> bool) {
        self.found.retain(|_, value| holds(value));
        while self.is_full(key) {
            // Any eighth, and one at least: looking for the oldest at each would be work that strangers order.
            let mut at = 0_u32;
            self.found.retain(|_, _| {
                at += 1;
                at % 8 != 1
            });
        }
        // There may have been more room before.
        self.found.shrink_to(self.most);
    }

    fn is_full(&self, key: u128) -> bool {
        self.found.len() >= self.most && !self.found.contains_key(&key)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_hold_makes_room_first() {
        let mut known = Remembered::new(16);
        for key in 0..16 {
            known.put(key, key, |_| true);
        }
        known.put(3, 30, |_| false);
        assert_eq!(
            (known.len(), known.get(3)),
            (16, Some(&30)),
            "it had its room"
        );
        known.put(16, 16, |&value| value >= 8);
        let kept: Vec<u128> = (0..=16).filter(|&key| known.get(key).is_some()).collect();
        assert_eq!(kept, [3, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    }

    #[test]
    fn it_never_grows_beyond_its_room() {
        for most in [1, 7, 8, 100] {
            let mut known = Remembered::new(most);
            for key in 0..1000 {
                known.put(key, (), |()| true);
                assert!(known.len() <= most);
                assert_eq!(known.get(key), Some(&()), "the newest is there");
            }
            assert!(
                known.len() >= most - most.div_ceil(8),
                "{most}: {}",
                known.len()
            );
        }
    }

    #[test]
    fn with_less_room_it_keeps_less() {
        let mut known = Remembered::new(1000);
        for key in 0..1000 {
            known.put(key, (), |()| true);
        }
        known.limit(16);
        known.put(1000, (), |()| true);
        assert!((8..=16).contains(&known.len()), "{}", known.len());
        assert_eq!(known.get(1000), Some(&()), "the newest is there");
        assert!(known.found.capacity() < 100, "{}", known.found.capacity());
    }
}
