//! Loads of the configuration: one at a time, on another thread; triggers that come meanwhile are one.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::admin::Reloaded;
use crate::dns::Keeper;
use crate::reload::{self, Attempt, Tried, Trigger};
use crate::snapshot::{Live, Snapshot};
use crate::task;

/// Where the outcome of an order to reload is told.
pub(super) type Answer = oneshot::Sender<Reloaded>;

/// Triggers that are one load.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) trigger: Trigger,
    answers: Vec<Answer>,
}

impl Batch {
    /// Tells everyone who asked.
    pub(super) fn answer(self, outcome: &Reloaded) {
        for answer in self.answers {
            let _ = answer.send(outcome.clone());
        }
    }
}

type Job = Pin<Box<dyn Future<Output = Result<(Attempt, Tried), tokio::task::JoinError>>>>;

/// The load that is under way, and what waits for the next.
pub(super) struct Loads {
    path: PathBuf,
    live: Arc<Live>,
    keeper: Arc<Keeper>,
    /// What was tried last.
    tried: Tried,
    waiting: Option<Batch>,
    current: Option<(Batch, Job)>,
}

impl Loads {
    pub(super) fn new(path: PathBuf, live: Arc<Live>, keeper: Arc<Keeper>, tried: Tried) -> Self {
        Self {
            path,
            live,
            keeper,
            tried,
            waiting: None,
            current: None,
        }
    }

    /// Loads as soon as no other load is under way: that one may have read the text of before.
    pub(super) fn ask(
        &mut self,
        trigger: Trigger,
        answer: Option<Answer>,
        running: &Arc<Snapshot>,
    ) {
        let before = self.waiting.take();
        let mut batch = before.unwrap_or(Batch {
            trigger,
            answers: Vec::new(),
        });
        batch.trigger = batch.trigger.and(trigger);
        batch.answers.extend(answer);
        self.waiting = Some(batch);
        self.begin(running);
    }

    /// Begins what waits, if nothing is under way.
    pub(super) fn begin(&mut self, running: &Arc<Snapshot>) {
        if self.current.is_some() {
            return;
        }
        let Some(batch) = self.waiting.take() else {
            return;
        };
        let effort = batch.trigger.effort(&self.tried);
        let (path, live) = (self.path.clone(), Arc::clone(&self.live));
        let running = Arc::clone(running);
        let keeper = Arc::clone(&self.keeper);
        let job = async move {
            let known = Arc::clone(&live);
            let read = task::blocking(move || {
                running.renew(&known);
                reload::attempt(&path, &known, &running, effort)
            });
            let (attempt, tried) = read.await?;
            let attempt = match attempt {
                Attempt::Right(plan) => Attempt::Right(plan.resolve(&keeper, &live).await),
                other => other,
            };
            Ok((attempt, tried))
        };
        self.current = Some((batch, Box::pin(job)));
    }

    /// Waits for the end of the load that is under way; for ever without one. Cancel safe. An error says why a
    /// load broke off.
    pub(super) async fn next(&mut self) -> (Batch, Result<Attempt, String>) {
        let outcome = match &mut self.current {
            Some((_, job)) => job.await,
            None => std::future::pending().await,
        };
        let Some((batch, _)) = self.current.take() else {
            return std::future::pending().await;
        };
        match outcome {
            Ok((attempt, tried)) => {
                self.tried = tried;
                (batch, Ok(attempt))
            }
            Err(error) => (batch, Err(format!("loading broke off: {error}"))),
        }
    }

    /// Forgets what outlived the configurations before for nothing.
    pub(super) fn sweep(&self) {
        self.live.clusters.sweep();
        self.live.limiters.sweep();
        self.live.filters.sweep();
        self.live.tls.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::plan;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(future)
    }

    #[test]
    fn what_comes_during_a_load_is_answered_by_the_next_together() {
        let path = std::env::temp_dir().join(format!("tg-loads-{}.toml", std::process::id()));
        let listener = "[[listeners]]\nname = 'a'\nbind = ['127.0.0.1:0']\nprotocol = 'http'\n";
        std::fs::write(&path, listener).unwrap();
        let live = Arc::new(Live::default());
        let (first, tried) = plan(&path, &live).unwrap();
        let running = first.snapshot;
        let keeper = Arc::new(Keeper::new(crate::metrics::Hub::new(1)));
        let mut loads = Loads::new(path.clone(), live, keeper, tried);
        let failed = Reloaded::Failed("why".to_owned());
        block_on(async {
            loads.ask(Trigger::File, None, &running);
            let (one, heard_one) = oneshot::channel();
            let (two, heard_two) = oneshot::channel();
            loads.ask(Trigger::Api, Some(one), &running);
            loads.ask(Trigger::File, Some(two), &running);

            let (batch, attempt) = loads.next().await;
            assert_eq!((batch.trigger, batch.answers.len()), (Trigger::File, 0));
            assert!(matches!(attempt, Ok(Attempt::Same(_))));

            loads.begin(&running);
            let (batch, attempt) = loads.next().await;
            assert_eq!((batch.trigger, batch.answers.len()), (Trigger::Api, 2));
            assert!(matches!(attempt, Ok(Attempt::Right(_))));
            batch.answer(&failed);
            for heard in [heard_one, heard_two] {
                assert!(matches!(heard.await, Ok(Reloaded::Failed(why)) if why == "why"));
            }
            loads.begin(&running);
            assert!(loads.current.is_none(), "nothing waits");
        });
        std::fs::remove_file(path).unwrap();
    }
}
