//! The flows of one socket, by client: which there are, which were silent longest, and which for too long.
//!
//! Nothing here reads a clock or a socket. Time is any order: `T` is the moment at which a flow ends unless something more
//! goes over it.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Flows by client.
#[derive(Debug)]
pub(super) struct Flows<K, V, T> {
    by_client: HashMap<K, Entry<V, T>>,
    /// Those that were silent longest first, to the grain of `T`. A number makes each place one of its own.
    order: BTreeMap<(T, u64), K>,
    next: u64,
}

#[derive(Debug)]
struct Entry<V, T> {
    value: V,
    place: (T, u64),
}

impl<K: Copy + Eq + Hash, V, T: Copy + Ord> Default for Flows<K, V, T> {
    fn default() -> Self {
        Self {
            by_client: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<K: Copy + Eq + Hash, V, T: Copy + Ord> Flows<K, V, T> {
    pub(super) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// The client's flow, which ends at `due` from now on. Its place is moved when the time is another one: many datagrams
    /// within one tick pay for it once.
    pub(super) fn touch(&mut self, client: K, due: T) -> Option<&V> {
        let entry = self.by_client.get_mut(&client)?;
        if entry.place.0 != due {
            self.order.remove(&entry.place);
            entry.place = (due, self.next);
            self.order.insert(entry.place, client);
            self.next += 1;
        }
        Some(&entry.value)
    }

    /// A client's new flow, in the place of an old one.
    pub(super) fn insert(&mut self, client: K, value: V, due: T) {
        self.remove_if(client, |_| true);
        let place = (due, self.next);
        self.next += 1;
        self.order.insert(place, client);
        self.by_client.insert(client, Entry { value, place });
    }

    /// Takes out the client's flow if it is the one that is meant.
    pub(super) fn remove_if(&mut self, client: K, meant: impl FnOnce(&V) -> bool) -> Option<V> {
        let entry = self.by_client.get(&client).filter(|it| meant(&it.value))?;
        self.order.remove(&entry.place);
        self.by_client.remove(&client).map(|entry| entry.value)
    }

    /// Takes out the one that was silent longest.
    pub(super) fn pop(&mut self) -> Option<V> {
        let (_, client) = self.order.pop_first()?;
        self.by_client.remove(&client).map(|entry| entry.value)
    }

    /// Takes out the one that was silent longest, if it is over at `now`.
    pub(super) fn expired(&mut self, now: T) -> Option<V> {
        self.first_due().filter(|due| *due <= now)?;
        self.pop()
    }

    /// When the first of them ends.
    pub(super) fn first_due(&self) -> Option<T> {
        self.order.first_key_value().map(|((due, _), _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    /// What is obviously right: a list, in the order in which the times came.
    #[derive(Default)]
    struct Model(Vec<(SocketAddr, u32, u64)>);

    impl Model {
        fn touch(&mut self, client: SocketAddr, due: u64) -> Option<u32> {
            let at = self.0.iter().position(|flow| flow.0 == client)?;
            if self.0[at].2 != due {
                let mut flow = self.0.remove(at);
                flow.2 = due;
                self.0.push(flow);
            }
            self.0.iter().find(|flow| flow.0 == client).map(|it| it.1)
        }
    }

    #[test]
    fn is_what_a_list_is() {
        for seed in 0..50 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut flows, mut model) = (Flows::default(), Model::default());
            let (idle, cap) = (rng.u64(1..20), rng.usize(1..12));
            let mut now = 0;
            for step in 0..2_000_u32 {
                now += u64::from(rng.u8(0..4) == 0);
                let client = SocketAddr::from(([127, 0, 0, 1], rng.u16(1..20)));
                match rng.u8(0..8) {
                    0 => {
                        let was = model.0.iter().position(|flow| flow.0 == client);
                        let was = was.map(|at| model.0.remove(at).1);
                        assert_eq!(flows.remove_if(client, |_| true), was);
                    }
                    1 => assert_eq!(flows.remove_if(client, |_| false), None),
                    _ => {
                        let found = flows.touch(client, now + idle).copied();
                        assert_eq!(found, model.touch(client, now + idle), "{seed} {step}");
                        if found.is_none() {
                            while flows.len() >= cap {
                                assert_eq!(flows.pop(), Some(model.0.remove(0).1));
                            }
                            flows.insert(client, step, now + idle);
                            model.0.push((client, step, now + idle));
                        }
                    }
                }
                while model.0.first().is_some_and(|flow| flow.2 <= now) {
                    assert_eq!(flows.expired(now), Some(model.0.remove(0).1));
                }
                assert_eq!(flows.expired(now), None);
                assert_eq!(flows.first_due(), model.0.first().map(|flow| flow.2));
                assert_eq!(flows.len(), model.0.len());
                assert_eq!(flows.order.len(), flows.by_client.len());
            }
        }
    }
}
