//! Which endpoint serves a connection of QUIC, by its connection ids: shared by all workers, for one listener.
//!
//! The kernel may steer a client whose address changed to any worker, and its flow is a new one there. Ids are learned from what
//! endpoints send, never from clients, and live as long as a flow that they were learned on, or found for. All of this is a hint
//! where to send a datagram, and no more: answers go to whom the endpoint sends them, and it is the endpoint that asks a new
//! address for proof (RFC 9000, 9.3).
//!
//! The lock is taken when a flow begins or ends and when an endpoint says a new id, not for other datagrams.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::endpoint::EndpointKey;
use crate::metrics::{IdEvent, SessionCells};
use crate::net::quic::{Header, Id, MAX_ID, MIN_ID};
use crate::record::ConnectionFacts;

/// Ids that one flow holds: a client may have more than one connection over one address.
const MOST: usize = 4;

/// Endpoints by connection id.
#[derive(Debug, Default)]
pub struct Ids {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    homes: HashMap<Id, Home>,
    /// How many of them have so many bytes.
    lengths: [usize; MAX_ID + 1],
}

#[derive(Debug)]
struct Home {
    endpoint: EndpointKey,
    /// Flows that hold it.
    holders: usize,
}

impl Ids {
    /// Whose connection the first packet of a datagram belongs to. The longest id that fits counts.
    pub fn find(&self, datagram: &[u8]) -> Option<(Id, EndpointKey)> {
        let header = Header::parse(datagram)?;
        let known = self.known();
        let home = |id: Id| Some((id, known.homes.get(&id)?.endpoint.clone()));
        match header {
            Header::Long { destination, .. } => home(Id::new(destination)?),
            Header::Short(rest) => (MIN_ID..=MAX_ID)
                .rev()
                .filter(|length| known.lengths.get(*length).is_some_and(|count| *count > 0))
                .find_map(|length| home(Id::new(rest.get(..length)?)?)),
        }
    }

    /// Another flow holds this id; `false`: it is another endpoint's.
    fn hold(&self, id: Id, endpoint: &EndpointKey) -> bool {
        let mut known = self.known();
        match known.homes.entry(id) {
            Entry::Occupied(mut home) => {
                let home = home.get_mut();
                let same = home.endpoint == *endpoint;
                home.holders += usize::from(same);
                same
            }
            Entry::Vacant(place) => {
                place.insert(Home {
                    endpoint: endpoint.clone(),
                    holders: 1,
                });
                if let Some(count) = known.lengths.get_mut(id.length()) {
                    *count += 1;
                }
                true
            }
        }
    }

    fn release(&self, id: Id) {
        let mut known = self.known();
        let Entry::Occupied(mut home) = known.homes.entry(id) else {
            return;
        };
        home.get_mut().holders -= 1;
        if home.get().holders == 0 {
            home.remove();
            if let Some(count) = known.lengths.get_mut(id.length()) {
                *count -= 1;
            }
        }
    }

    /// A panic leaves it whole, or with an id too many.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ids of one flow.
#[derive(Debug)]
pub struct Holder {
    ids: Arc<Ids>,
    cells: Arc<SessionCells>,
    facts: Rc<ConnectionFacts>,
    /// Oldest first.
    held: RefCell<Vec<Id>>,
}

impl Holder {
    /// Those of a flow that has none yet.
    pub fn new(ids: &Arc<Ids>, cells: &Arc<SessionCells>, facts: &Rc<ConnectionFacts>) -> Self {
        Self {
            ids: Arc::clone(ids),
            cells: Arc::clone(cells),
            facts: Rc::clone(facts),
            held: RefCell::default(),
        }
    }

    /// The flow began with a datagram that bore this id of this endpoint.
    pub fn found(&self, id: Id, endpoint: &EndpointKey) {
        self.hold(id, endpoint, IdEvent::Found);
    }

    /// Learns from what the flow's endpoint sends.
    pub fn hear(&self, datagram: &[u8], endpoint: impl FnOnce() -> Option<EndpointKey>) {
        let chosen = Header::parse(datagram).and_then(|header| header.chosen());
        if let Some(id) = chosen.filter(|id| !self.held.borrow().contains(id))
            && let Some(endpoint) = endpoint()
        {
            self.hold(id, &endpoint, IdEvent::Learned);
        }
    }

    fn hold(&self, id: Id, endpoint: &EndpointKey, event: IdEvent) {
        let counts = &self.cells.connection_ids;
        if !self.ids.hold(id, endpoint) {
            counts.met(IdEvent::Taken);
            return;
        }
        counts.met(event);
        counts.held.inc();
        self.facts.known_by(&id);
        let mut held = self.held.borrow_mut();
        if held.len() == MOST {
            self.ids.release(held.remove(0));
            counts.held.dec();
            counts.met(IdEvent::Displaced);
        }
        held.push(id);
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        for id in self.held.borrow().iter() {
            self.ids.release(*id);
            self.cells.connection_ids.held.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ClusterName, EndpointAddr, ListenerName, Peer};

    fn key(port: u16) -> EndpointKey {
        EndpointKey {
            cluster: ClusterName::parse("app").unwrap(),
            addr: EndpointAddr::parse(&format!("127.0.0.1:{port}")).unwrap(),
        }
    }

    fn holder(ids: &Arc<Ids>) -> Holder {
        let peer = Peer::Inet("127.0.0.1:9".parse().unwrap());
        let facts = ConnectionFacts::new(ListenerName::parse("quic").unwrap(), peer);
        Holder::new(ids, &Arc::default(), &facts)
    }

    /// A packet from an endpoint that chose this id.
    fn long(source: &[u8]) -> Vec<u8> {
        let length = u8::try_from(source.len()).unwrap();
        [&[0xc0, 0, 0, 0, 1, 0, length], source, &[0; 20]].concat()
    }

    fn short(destination: &[u8]) -> Vec<u8> {
        [&[0x40], destination, &[7; 40]].concat()
    }

    #[test]
    fn ids_live_as_long_as_a_flow_that_holds_them() {
        let ids = Arc::<Ids>::default();
        let (first, moved) = (holder(&ids), holder(&ids));
        first.hear(&long(b"12345678"), || Some(key(1)));
        first.hear(&long(b"12345678"), || unreachable!("it is known"));
        let (id, endpoint) = ids.find(&short(b"12345678")).unwrap();
        assert_eq!(endpoint, key(1));
        moved.found(id, &endpoint);
        drop(first);
        assert!(ids.find(&short(b"12345678")).is_some());
        drop(moved);
        assert!(ids.find(&short(b"12345678")).is_none());
        assert_eq!(ids.known().lengths, [0; MAX_ID + 1]);
    }

    #[test]
    fn what_is_another_endpoints_is_not_taken_from_it() {
        let ids = Arc::<Ids>::default();
        let (one, two) = (holder(&ids), holder(&ids));
        one.hear(&long(b"12345678"), || Some(key(1)));
        two.hear(&long(b"12345678"), || Some(key(2)));
        drop(two);
        assert_eq!(ids.find(&short(b"12345678")).unwrap().1, key(1));
    }

    #[test]
    fn a_flow_holds_a_few_and_the_longest_that_fits_counts() {
        let ids = Arc::<Ids>::default();
        let (one, two) = (holder(&ids), holder(&ids));
        for number in 0..100_u8 {
            one.hear(&long(&[number; 6]), || Some(key(1)));
        }
        assert_eq!(ids.known().homes.len(), MOST);
        assert!(ids.find(&short(&[95; 20])).is_none(), "displaced");
        two.hear(&long(&[99; 9]), || Some(key(2)));
        assert_eq!(ids.find(&short(&[99; 20])).unwrap().1, key(2));
        let packet = [&[99; 6][..], &[1; 20]].concat();
        assert_eq!(ids.find(&short(&packet)).unwrap().1, key(1));
        assert!(ids.find(&short(&[99; 5])[..6]).is_none(), "too short");
        // A long header says how long its id is.
        let long = |id: &[u8]| {
            let length = u8::try_from(id.len()).unwrap();
            [&[0xe0, 0, 0, 0, 1, length], id, &[0, 0, 0]].concat()
        };
        assert_eq!(ids.find(&long(&[99; 6])).unwrap().1, key(1));
        assert!(ids.find(&long(&[99; 7])).is_none());
    }
}
