//! Changes of endpoints while a configuration runs: clusters are made anew on another thread, and swapped in one go.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{Notify, oneshot};

use crate::base::clock;
use crate::cluster::Lapse;
use crate::reload::{self, Remade};
use crate::snapshot::{Live, Snapshot};
use crate::task;

/// Where it is told that what was known at the time of asking is in effect.
pub(super) type Heard = oneshot::Sender<()>;

/// What comes of waiting.
pub(super) enum Event {
    /// The time of an operator's word is up, or a name has other addresses: ask for a swap.
    Stale,
    /// These are to be swapped in, and then told.
    Made(Vec<Remade>, Vec<Heard>),
}

type Job = Pin<Box<dyn Future<Output = Result<Vec<Remade>, tokio::task::JoinError>>>>;

/// The making that is under way, and who waits for the next.
pub(super) struct Swaps {
    live: Arc<Live>,
    /// Tells that a name has other addresses.
    changed: Arc<Notify>,
    /// Who asked since the last one began; `None`: nobody did.
    waiting: Option<Vec<Heard>>,
    current: Option<(Vec<Heard>, Job)>,
}

impl Swaps {
    pub(super) fn new(live: Arc<Live>, changed: Arc<Notify>) -> Self {
        Self {
            live,
            changed,
            waiting: None,
            current: None,
        }
    }

    /// Makes anew what is stale, as soon as no other making is under way: that one may have looked before.
    pub(super) fn ask(&mut self, heard: Option<Heard>, running: &Arc<Snapshot>) {
        self.waiting.get_or_insert_default().extend(heard);
        self.begin(running);
    }

    /// Begins what waits, if nothing is under way.
    pub(super) fn begin(&mut self, running: &Arc<Snapshot>) {
        if self.current.is_some() {
            return;
        }
        let Some(heard) = self.waiting.take() else {
            return;
        };
        let (live, running) = (Arc::clone(&self.live), Arc::clone(running));
        let job = task::blocking(move || reload::remake(&running, &live.clusters));
        self.current = Some((heard, Box::pin(job)));
    }

    /// Waits for the end of a making or of an operator's word, or for other addresses. Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        let (live, current) = (&self.live, &mut self.current);
        let overrides = live.clusters.overrides();
        let end = overrides.next_end();
        let ended = async {
            match end {
                Some(end) => tokio::time::sleep_until(end.into()).await,
                None => std::future::pending().await,
            }
        };
        let made = async {
            match current {
                Some((_, job)) => job.await,
                None => std::future::pending().await,
            }
        };
        let made = tokio::select! {
            made = made => made,
            () = ended => {
                for (key, lapse) in overrides.expire(clock::now()) {
                    let (cluster, endpoint) = (key.cluster.as_str(), &key.addr);
                    match lapse {
                        Lapse::Ended => tracing::info!(cluster, %endpoint, "override ended"),
                        Lapse::Disabled => tracing::info!(cluster, %endpoint, "drained: disabled"),
                    }
                }
                return Event::Stale;
            }
            () = self.changed.notified() => return Event::Stale,
        };
        let heard = self.current.take().map(|(heard, _)| heard);
        let made = made.unwrap_or_else(|error| {
            tracing::error!(%error, "endpoints stay as they were");
            Vec::new()
        });
        Event::Made(made, heard.unwrap_or_default())
    }

    /// Forgets what was said over values that the file has changed, once the new ones are in effect.
    pub(super) fn settle(&self, running: &Snapshot) {
        self.live.clusters.settle(&running.clusters);
    }
}
