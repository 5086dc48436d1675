//! `[stores.redis]`: counters that several instances share.
//!
//! One script decides, atomically, by the arithmetic of `limit` (script.lua). A thread of its own owns the connection;
//! workers reach it by a bounded channel and a one-shot answer, and wait no longer than the store's timeout. When the
//! store does not answer, the breaker opens: from then on nobody waits for it, and it is tried once a second.
//!
//! **Not here.** What holds without it (`on_error`: [`Limiter`](super::Limiter)).

mod address;
mod breaker;
mod compile;
mod link;
mod secure;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::base::LimiterName;
use crate::limit::{Decision, Rule};

pub use address::Address;
pub use breaker::{Breaker, Counts};
pub use compile::{OnError, Shared, compile};

/// Questions that may wait for the store's thread.
const WAITING: usize = 8192;

/// A store that is asked, kept by its URL over reloads.
pub struct Store {
    address: Address,
    timeout: Duration,
    breaker: std::sync::Arc<Breaker>,
    questions: OnceLock<Option<mpsc::Sender<Question>>>,
}

/// What the store is asked.
#[derive(Debug)]
pub(super) struct Question {
    key: String,
    rule: Rule,
    cost: u32,
    /// The store's clock if there is none.
    now: Option<u64>,
    answer: oneshot::Sender<Decision>,
}

/// An answer that is on its way.
#[derive(Debug)]
pub struct Ticket {
    answer: oneshot::Receiver<Decision>,
    timeout: Duration,
}

impl Ticket {
    /// Waits for the answer; `None`: there is none in time.
    pub async fn answer(self) -> Option<Decision> {
        tokio::time::timeout(self.timeout, self.answer)
            .await
            .ok()?
            .ok()
    }
}

impl Store {
    /// The store at this address, which is waited for no longer than `timeout`.
    pub fn new(address: Address, timeout: Duration) -> Self {
        Self {
            address,
            timeout,
            breaker: std::sync::Arc::default(),
            questions: OnceLock::new(),
        }
    }

    /// Begins to hold a connection. A configuration that is only looked at holds none.
    pub fn start(&self) {
        self.questions.get_or_init(|| {
            let (sender, inbox) = mpsc::channel(WAITING);
            let link = link::Link::new(self.address.clone(), self.timeout, self.breaker.clone());
            match link.start(inbox) {
                Ok(()) => Some(sender),
                Err(error) => {
                    tracing::error!(%error, "cannot start the thread of the rate-limit store");
                    None
                }
            }
        });
    }

    /// Asks about one key; `None`: it is of no use to ask now.
    pub fn ask(
        &self,
        limiter: &LimiterName,
        hash: u128,
        rule: &Rule,
        cost: u32,
        now: Option<u64>,
    ) -> Option<Ticket> {
        if self.breaker.is_open() {
            self.breaker.skipped();
            return None;
        }
        let (answer, told) = oneshot::channel();
        // The form of what is kept is the algorithm's; 1 is the version of the form.
        let algorithm = rule.algorithm().as_str();
        let question = Question {
            key: format!("tidegate:1:{limiter}:{algorithm}:{hash:032x}"),
            rule: *rule,
            cost,
            now,
            answer,
        };
        let questions = self.questions.get()?.as_ref()?;
        if questions.try_send(question).is_err() {
            self.breaker.skipped();
            return None;
        }
        Some(Ticket {
            answer: told,
            timeout: self.timeout,
        })
    }

    /// How it does.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may carry a password.
        f.debug_struct("Store")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
