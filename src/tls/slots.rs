//! Handshakes under way at one listener, over all workers.
//!
//! There may be so many at a time. Where all places are taken, of those of whom no whole hello was read the one that has been there longest makes
//! way, if that is long: silence costs its place alone. Whoever has said hello has had our work, and keeps its place to the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::base::clock::{self, Instant};

/// So long a client has for its first word, whoever comes.
const FAIR: Duration = Duration::from_secs(1);

/// The places of one listener.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<UnderWay>);

#[derive(Debug, Default)]
struct UnderWay {
    /// Counts all that there ever were.
    last: u64,
    /// Those who have said nothing yet, in the order in which they came.
    silent: BTreeMap<u64, Arc<Handshake>>,
    /// Those who have.
    spoken: usize,
}

#[derive(Debug)]
struct Handshake {
    since: Instant,
    place: Mutex<Place>,
}

#[derive(Debug)]
enum Place {
    /// Whom to wake when it is lost.
    Held(Option<Waker>),
    /// It cannot be lost any more.
    Kept,
    Lost,
}

/// A handshake's place among those under way.
#[derive(Debug)]
pub struct HandshakeSlot {
    slots: Arc<Slots>,
    number: u64,
    handshake: Arc<Handshake>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slots {
    /// Takes a place; `None` when there are `most`, and none of them has been there for long. 0: any number.
    pub(super) fn take(self: &Arc<Self>, most: usize, since: Instant) -> Option<HandshakeSlot> {
        let mut under_way = lock(&self.0);
        let all = under_way.silent.len() + under_way.spoken;
        if most > 0 && all >= most {
            let oldest = under_way.silent.first_entry()?;
            let makes_way = clock::between(oldest.get().since, since) >= FAIR;
            // Where there are more than there may be by now, one is not enough.
            if !makes_way || all > most {
                return None;
            }
            let handshake = oldest.remove();
            if let Place::Held(Some(waker)) =
                std::mem::replace(&mut *lock(&handshake.place), Place::Lost)
            {
                waker.wake();
            }
        }
        under_way.last += 1;
        let number = under_way.last;
        let handshake = Arc::new(Handshake {
            since,
            place: Mutex::new(Place::Held(None)),
        });
        under_way.silent.insert(number, Arc::clone(&handshake));
        Some(HandshakeSlot {
            slots: Arc::clone(self),
            number,
            handshake,
        })
    }
}

impl HandshakeSlot {
    /// Ready when another has taken the place.
    pub fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *lock(&self.handshake.place) {
            Place::Lost => Poll::Ready(()),
            Place::Kept => Poll::Pending,
            Place::Held(Some(waker)) if waker.will_wake(cx.waker()) => Poll::Pending,
            Place::Held(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl HandshakeSlot {
    /// The client has said hello: it keeps its place, if no other has it by now.
    pub fn speaks(&self) {
        let mut under_way = lock(&self.slots.0);
        if under_way.silent.remove(&self.number).is_some() {
            under_way.spoken += 1;
            *lock(&self.handshake.place) = Place::Kept;
        }
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        let mut under_way = lock(&self.slots.0);
        under_way.silent.remove(&self.number);
        if matches!(*lock(&self.handshake.place), Place::Kept) {
            under_way.spoken -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_is_silent_longest_makes_way() {
        let slots: Arc<Slots> = Arc::default();
        let count: Arc<Count> = Arc::default();
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let start = clock::now();
        let at = |millis| start + Duration::from_millis(millis);
        let (first, second) = (
            slots.take(2, at(0)).unwrap(),
            slots.take(2, at(500)).unwrap(),
        );
        assert!(first.poll_lost(&mut cx).is_pending() && second.poll_lost(&mut cx).is_pending());
        assert!(slots.take(2, at(999)).is_none(), "both are new");
        assert!(slots.take(3, at(999)).is_some(), "and one more would fit");
        let third = slots.take(2, at(1000)).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(first.poll_lost(&mut cx).is_ready());
        assert!(second.poll_lost(&mut cx).is_pending() && third.poll_lost(&mut cx).is_pending());
        // That it has none any more takes nobody else's.
        drop(first);
        assert!(slots.take(2, at(1400)).is_none());
        drop(second);
        assert!(slots.take(2, at(1400)).is_some());
        assert!(slots.take(0, at(1400)).is_some(), "any number");
        // Whoever has spoken stays.
        let fourth = slots.take(2, at(1400)).unwrap();
        for slot in [&third, &fourth, &third] {
            slot.speaks();
        }
        assert!(slots.take(2, at(9000)).is_none());
        let fifth = slots.take(3, at(9000)).unwrap();
        assert!(slots.take(2, at(19_000)).is_none(), "one is not enough");
        let sixth = slots.take(3, at(19_000)).unwrap();
        fifth.speaks();
        assert!(fifth.poll_lost(&mut cx).is_ready());
        drop((third, fourth, fifth, sixth));
        assert!(slots.take(1, at(19_000)).is_some());
    }
}
