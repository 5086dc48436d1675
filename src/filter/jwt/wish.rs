//! What a token causes that names a key which is not known: one more fetch, and the wait for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::base::clock::{self, Instant};

/// Between two fetches for the sake of keys that nobody knows: who makes up ids must not make us ask for each.
const APART: Duration = Duration::from_secs(10);
/// How long a request waits for the keys: whoever holds them may be slow, and the key may be made up.
const PATIENCE: Duration = Duration::from_secs(2);

/// The fetches of one source, and the last that was wished for.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    last: Mutex<Option<Wish>>,
    begun: AtomicU64,
    over: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Wish {
    at: Instant,
    /// The number of the fetch that will answer it.
    fetch: u64,
}

impl Wishes {
    /// Wishes for keys, unless somebody has just done so, and gives what to wait for; `None`: what there is to know is known.
    pub(super) fn wish(&self, now: Instant, wake: &Notify) -> Option<Fetch> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let fetch = match *last {
            Some(wish) if clock::between(wish.at, now) < APART => wish.fetch,
            _ => {
                // The one under way may have been answered before the key was there.
                let fetch = self.begun.load(Ordering::Acquire) + 1;
                *last = Some(Wish { at: now, fetch });
                wake.notify_one();
                fetch
            }
        };
        let over = self.over.subscribe();
        let is_over = *over.borrow() >= fetch;
        (!is_over).then_some(Fetch { over, fetch })
    }

    /// A fetch begins; its number is for [`Wishes::over`].
    pub(super) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// It brought keys, or none.
    pub(super) fn over(&self, fetch: u64) {
        self.over.send_replace(fetch);
    }
}

/// A fetch of keys that a request waits for.
#[derive(Debug)]
pub struct Fetch {
    over: watch::Receiver<u64>,
    fetch: u64,
}

impl Fetch {
    /// Waits until it is over, or for so long that it is of no use to wait any more.
    pub async fn over(mut self) {
        let over = self.over.wait_for(|over| *over >= self.fetch);
        let _ = tokio::time::timeout(PATIENCE, over).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_for_the_next_fetch_and_not_for_each() {
        let (wishes, wake) = (Wishes::default(), Notify::new());
        let now = clock::now();
        // Under way when the key is missed.
        let first = wishes.begin();
        let waits = |after: u64| {
            let fetch = wishes.wish(now + Duration::from_secs(after), &wake);
            fetch.map(|fetch| fetch.fetch)
        };
        assert_eq!(waits(0), Some(first + 1));
        wishes.over(first);
        assert_eq!(waits(1), Some(first + 1), "it is another's wish, too");
        let second = wishes.begin();
        assert_eq!(waits(2), Some(second));
        wishes.over(second);
        assert_eq!(waits(9), None, "it was asked for a moment ago");
        assert_eq!(waits(10), Some(second + 1));
    }
}
