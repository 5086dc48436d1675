//! What was found of passwords, and the line of those that are still to be hashed. One for the process.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Terms;
use super::hash::Hash;
use super::users::{Users, Whose};
use crate::base::cidr::client_key;
use crate::base::clock::{self, Instant};
use crate::base::hash::HashKey;
use crate::filter::counts::Counts;
use crate::filter::remembered::Remembered;
use crate::limit::{Place, Places};
use crate::task;
use std::net::IpAddr;

/// How long a right password is not hashed again, and a wrong one.
const RIGHT: Duration = Duration::from_mins(5);
const WRONG: Duration = Duration::from_mins(1);

/// What is known of a name and a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proof {
    /// They belong together.
    Right,
    /// They do not.
    Wrong,
}

/// Whether the line is too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Full {
    /// This client has as many in it as it may.
    OfClient,
    /// All together are too many.
    OfAll,
}

/// What became of a password that was not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Right,
    Wrong,
    /// Refused: its client had too many in the line.
    OfClient,
    /// Refused: all clients had too many.
    OfAll,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Right, Self::Wrong, Self::OfClient, Self::OfAll];

    const fn of(proof: Proof) -> Self {
        match proof {
            Proof::Right => Self::Right,
            Proof::Wrong => Self::Wrong,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::OfClient => "client_full",
            Self::OfAll => "full",
        }
    }
}

/// See the module.
pub struct Proofs {
    key: HashKey,
    right: Mutex<Remembered<Instant>>,
    /// Apart: guesses must not drive out what is right.
    wrong: Mutex<Remembered<Instant>>,
    /// Turns to hash, of so many at once. Another number makes others: who has one keeps it until his hash is made.
    turns: Mutex<(usize, Arc<Semaphore>)>,
    line: AtomicUsize,
    counts: Counts<{ Fate::ALL.len() }>,
    clients: Arc<Places>,
}

impl Default for Proofs {
    fn default() -> Self {
        let Terms {
            remembered,
            at_once,
            ..
        } = Terms::default();
        Self {
            key: HashKey::random(),
            right: Mutex::new(Remembered::new(remembered)),
            wrong: Mutex::new(Remembered::new(remembered)),
            turns: Mutex::new((at_once, Arc::new(Semaphore::new(at_once)))),
            line: AtomicUsize::new(0),
            counts: Counts::default(),
            clients: Arc::default(),
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Who it is said to be.
    pub user: &'a [u8],
    /// And by which word.
    pub password: &'a [u8],
    /// Where it comes from.
    pub client: IpAddr,
}

/// What is to be done about a claim.
pub enum Asked {
    /// It is known already.
    Known(Proof),
    /// It has to be hashed.
    Hash(Job),
    /// There is no place in the line.
    Full(Full),
}

impl Proofs {
    /// Looks a claim up, or takes a place in the line.
    pub fn ask(
        self: &Arc<Self>,
        users: &Users,
        claim: Claim<'_>,
        terms: Terms,
        now: Instant,
    ) -> Asked {
        let (hash, whose) = users.find(claim.user);
        let mut hasher = self.key.hasher128();
        // Whose hash it is belongs to the question: another file, or this one after a reload, may have given it to a decoy.
        for part in [claim.user, claim.password, hash.bytes(), whose.tag()] {
            hasher.word(part.len() as u64);
            hasher.write(part);
        }
        let key = hasher.finish();
        if let Some(proof) = self.known(key, now) {
            return Asked::Known(proof);
        }
        let client = match client_key(claim.client) {
            IpAddr::V4(addr) => self.key.hash128(&addr.octets()),
            IpAddr::V6(addr) => self.key.hash128(&addr.octets()),
        };
        let Some(place) = self.clients.take(client, terms.waiting_per_client) else {
            self.counts.add(Fate::OfClient as usize);
            return Asked::Full(Full::OfClient);
        };
        let Some(seat) = Seat::take(self, terms.waiting) else {
            self.counts.add(Fate::OfAll as usize);
            return Asked::Full(Full::OfAll);
        };
        Asked::Hash(Job {
            seat,
            turns: self.turns(terms.at_once),
            remembered: terms.remembered,
            _place: place,
            hash: Arc::clone(hash),
            whose,
            password: claim.password.into(),
            key,
        })
    }

    fn turns(&self, at_once: usize) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.0 != at_once {
            *turns = (at_once, Arc::new(Semaphore::new(at_once)));
        }
        Arc::clone(&turns.1)
    }

    /// What became of passwords that were not known.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.by(Fate::ALL.map(Fate::as_str))
    }

    /// How many are in the line now.
    pub fn waiting(&self) -> usize {
        self.line.load(Ordering::Relaxed)
    }

    fn known(&self, key: u128, now: Instant) -> Option<Proof> {
        let holds = |of: &Mutex<Remembered<Instant>>| {
            let known = of.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(key).is_some_and(|until| now < *until)
        };
        if holds(&self.right) {
            Some(Proof::Right)
        } else if holds(&self.wrong) {
            Some(Proof::Wrong)
        } else {
            None
        }
    }

    fn note(&self, key: u128, proof: Proof, most: usize, now: Instant) {
        let (of, time) = match proof {
            Proof::Right => (&self.right, RIGHT),
            Proof::Wrong => (&self.wrong, WRONG),
        };
        self.counts.add(Fate::of(proof) as usize);
        let mut known = of.lock().unwrap_or_else(PoisonError::into_inner);
        known.limit(most);
        known.put(key, now + time, |until| now < *until);
    }
}

impl fmt::Debug for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proofs").finish_non_exhaustive()
    }
}

/// A place in the line of all.
struct Seat(Arc<Proofs>);

impl Seat {
    fn take(proofs: &Arc<Proofs>, most: usize) -> Option<Self> {
        let seat = Self(Arc::clone(proofs));
        (proofs.line.fetch_add(1, Ordering::Relaxed) < most).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.line.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A password that is to be hashed. Who drops it leaves the line.
pub struct Job {
    seat: Seat,
    turns: Arc<Semaphore>,
    remembered: usize,
    _place: Place,
    hash: Arc<Hash>,
    whose: Whose,
    password: Box<[u8]>,
    key: u128,
}

impl Job {
    /// Waits for the turn, and for the hash.
    pub async fn proof(self) -> Proof {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        // Never closed; and nobody is right because something went wrong.
        let Ok(turn) = turn else { return Proof::Wrong };
        let hashed = task::blocking(move || {
            let is_of = self.hash.is_of(&self.password);
            let proof = match self.whose {
                Whose::User if is_of => Proof::Right,
                Whose::User | Whose::Nobody => Proof::Wrong,
            };
            self.seat
                .0
                .note(self.key, proof, self.remembered, clock::now());
            drop(turn);
            proof
        });
        hashed.await.unwrap_or(Proof::Wrong)
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Proofs {
    /// How many are remembered: right, wrong.
    pub(super) fn remembered(&self) -> (usize, usize) {
        let count = |of: &Mutex<Remembered<Instant>>| of.lock().unwrap().len();
        (count(&self.right), count(&self.wrong))
    }

    pub(super) fn note_for_test(&self, key: u128, proof: Proof, now: Instant) {
        self.note(key, proof, Terms::default().remembered, now);
    }
}
