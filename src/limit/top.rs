//! Who is met most often, in bounded memory: the Space-Saving sketch (Metwally, Agrawal, El Abbadi, ICDT 2005).
//!
//! Whoever makes up more than one part in [`Top::PLACES`] of all counts is in the list; a count is at most its
//! `error` too high and never too low.

/// One place of the list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place<T> {
    key: u128,
    /// How it is shown.
    pub label: T,
    /// At most so often …
    pub count: u64,
    /// … and so many of these may have been others.
    pub error: u64,
}

/// The list.
#[derive(Clone, Debug)]
pub struct Top<T> {
    places: Vec<Place<T>>,
}

impl<T> Default for Top<T> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

impl<T: Clone> Top<T> {
    /// How many are kept.
    pub const PLACES: usize = 64;

    /// Counts one; `label` is asked when the key is new to the list.
    pub fn count(&mut self, key: u128, label: impl FnOnce() -> T) {
        if let Some(place) = self.places.iter_mut().find(|place| place.key == key) {
            place.count += 1;
            return;
        }
        let place = |error| Place {
            key,
            label: label(),
            count: error + 1,
            error,
        };
        if self.places.len() < Self::PLACES {
            self.places.push(place(0));
        } else if let Some(least) = self.places.iter_mut().min_by_key(|place| place.count) {
            *least = place(least.count);
        }
    }

    /// The list, most often first.
    pub fn list(&self) -> Vec<Place<T>> {
        let mut places = self.places.clone();
        places.sort_by_key(|place| std::cmp::Reverse(place.count));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_often_is_in_the_list_and_no_count_is_too_low() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut top = Top::default();
        let mut truth = std::collections::HashMap::<u128, u64>::new();
        for _ in 0..100_000 {
            // Five keys get a tenth each, the other half is a crowd.
            let key = match rng.u128(0..10) {
                heavy @ 0..5 => heavy,
                _ => 1000 + rng.u128(0..1_000_000),
            };
            *truth.entry(key).or_default() += 1;
            top.count(key, || key);
        }
        let list = top.list();
        assert_eq!(list.len(), Top::<u128>::PLACES);
        let first: std::collections::HashSet<_> =
            list.iter().take(5).map(|place| place.label).collect();
        assert_eq!(first, (0..5).collect());
        for place in &list {
            let real = truth[&place.label];
            assert!(
                place.count >= real && place.count - place.error <= real,
                "{place:?} {real}"
            );
        }
    }
}
