//! The thread that keeps names fresh: one task a name, all of them on a runtime of their own.

use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, Semaphore, watch};

use super::book::{Change, Concluded};
use super::resolve::Tools;
use super::{Entry, Settings};
use crate::base::clock;
use crate::metrics::{DnsCells, DnsOutcome, Hub};
use crate::task;

/// Resolutions under way at once, in the whole process: a server that is silent must not cost a descriptor for each
/// name.
const MAX_AT_ONCE: usize = 64;

/// What the thread is to do, left where it finds it: whoever asks never waits for it, and what waits is bounded by
/// the names of a configuration.
#[derive(Default)]
struct Mailbox {
    letters: Mutex<Letters>,
    rang: Notify,
}

#[derive(Default)]
struct Letters {
    /// Keep these from now on, with these settings at first.
    keep: Vec<(Weak<Entry>, Arc<Settings>)>,
    /// These settings hold from now on; all names are asked for again.
    follow: Option<Arc<Settings>>,
    thread: Thread,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Thread {
    #[default]
    NotStarted,
    Started,
    /// It is to end.
    Ends,
}

impl Mailbox {
    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps names fresh. Its thread starts with the first name.
pub struct Keeper {
    hub: Arc<Hub>,
    changed: Arc<Notify>,
    mailbox: Arc<Mailbox>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Keeper {
    /// A keeper that counts in `hub`.
    pub fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            changed: Arc::default(),
            mailbox: Arc::default(),
        }
    }

    /// Is notified when the addresses of some name have changed.
    pub fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Keeps these names from now on, as long as somebody holds them. Those that are kept already go on as they are.
    pub fn keep<'e>(
        &self,
        entries: impl IntoIterator<Item = &'e Arc<Entry>>,
        settings: &Arc<Settings>,
    ) {
        let mut letters = self.mailbox.letters();
        let fresh = entries.into_iter().filter(|entry| entry.claim());
        let fresh = fresh.map(|entry| (Arc::downgrade(entry), Arc::clone(settings)));
        letters.keep.extend(fresh);
        if letters.thread == Thread::NotStarted && !letters.keep.is_empty() {
            letters.thread = Thread::Started;
            self.start();
        }
        drop(letters);
        self.mailbox.rang.notify_one();
    }

    /// Takes on the settings of the configuration in effect.
    pub fn follow(&self, settings: &Arc<Settings>) {
        self.mailbox.letters().follow = Some(Arc::clone(settings));
        self.mailbox.rang.notify_one();
    }

    fn start(&self) {
        let (hub, changed) = (Arc::clone(&self.hub), Arc::clone(&self.changed));
        let mailbox = Arc::clone(&self.mailbox);
        let thread = std::thread::Builder::new().name("dns".to_owned());
        let started = thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build_local(tokio::runtime::LocalOptions::default());
            match runtime {
                Ok(runtime) => runtime.block_on(run(&mailbox, hub, changed)),
                Err(error) => {
                    tracing::error!(%error, "cannot build the runtime that resolves names");
                }
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "cannot start the thread that resolves names");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.mailbox.letters().thread = Thread::Ends;
        self.mailbox.rang.notify_one();
    }
}

/// What the tasks share.
struct Shared {
    hub: Arc<Hub>,
    changed: Arc<Notify>,
    slots: Semaphore,
}

async fn run(mailbox: &Mailbox, hub: Arc<Hub>, changed: Arc<Notify>) {
    let shared = Rc::new(Shared {
        hub,
        changed,
        slots: Semaphore::new(MAX_AT_ONCE),
    });
    let (in_effect, news) = watch::channel(None);
    let mut last: Option<Rc<Tools>> = None;
    loop {
        let (keep_these, follow) = {
            let mut letters = mailbox.letters();
            if letters.thread == Thread::Ends {
                return;
            }
            (std::mem::take(&mut letters.keep), letters.follow.take())
        };
        if let Some(settings) = follow {
            // Made anew also for the same settings: the system's files may be others.
            let tools = Rc::new(Tools::new(settings));
            last = Some(Rc::clone(&tools));
            in_effect.send_replace(Some(tools));
        }
        for (entry, settings) in keep_these {
            let tools = last
                .take()
                .filter(|tools| Arc::ptr_eq(&tools.settings, &settings))
                .unwrap_or_else(|| Rc::new(Tools::new(settings)));
            last = Some(Rc::clone(&tools));
            let kept = keep(entry, tools, news.clone(), Rc::clone(&shared));
            task::spawn("dns", kept);
        }
        mailbox.rang.notified().await;
    }
}

/// Keeps one name until nobody holds it.
async fn keep(
    entry: Weak<Entry>,
    mut tools: Rc<Tools>,
    mut news: watch::Receiver<Option<Rc<Tools>>>,
    shared: Rc<Shared>,
) {
    news.mark_unchanged();
    let Some(name) = entry.upgrade().map(|entry| entry.query.to_string()) else {
        return;
    };
    let cells = shared.hub.process().dns(&name);
    loop {
        let Some(entry) = entry.upgrade() else {
            return;
        };
        let Ok(slot) = shared.slots.acquire().await else {
            return;
        };
        let begun = clock::now();
        // Other settings may be the cure for a server that is silent.
        let found = tokio::select! {
            found = tools.resolve(&entry.query) => found,
            next = next(&mut news) => match next {
                Some(next) => {
                    tools = next;
                    continue;
                }
                None => return,
            },
        };
        drop(slot);
        let now = clock::now();
        let concluded = entry.conclude(found, &tools.settings, now);
        cells.resolved(concluded.outcome, clock::between(begun, now));
        tell(&entry, concluded, &cells);
        if concluded.change != Change::Same {
            shared.changed.notify_one();
        }
        drop(entry);
        // The TTL runs from the answer, which came at `now`.
        tokio::select! {
            () = tokio::time::sleep_until((now + concluded.wait).into()) => {}
            next = next(&mut news) => match next {
                Some(next) => tools = next,
                None => return,
            },
        }
    }
}

/// Waits for other settings; `None`: there will be no more. Cancel safe.
async fn next(news: &mut watch::Receiver<Option<Rc<Tools>>>) -> Option<Rc<Tools>> {
    news.changed().await.ok()?;
    news.borrow_and_update().clone()
}

fn tell(entry: &Entry, concluded: Concluded, cells: &DnsCells) {
    let name = &entry.query;
    let outcome = concluded.outcome;
    if let Change::Other { came, went } = concluded.change {
        cells.changed();
        tracing::info!(%name, came, went, "addresses changed");
    }
    if concluded.before == Some(outcome) {
        return;
    }
    let standing = entry.standing(clock::now());
    match (outcome, concluded.before) {
        (DnsOutcome::Ok, None) => {}
        (DnsOutcome::Ok, Some(_)) => tracing::info!(%name, "resolves again"),
        (DnsOutcome::Partial | DnsOutcome::Truncated, _) => {
            tracing::warn!(%name, outcome = outcome.as_str(), "resolves in part");
        }
        _ => {
            let cause = standing.why;
            let kept = standing.good.map_or(0, |good| good.targets.len());
            let outcome = outcome.as_str();
            tracing::warn!(%name, outcome, cause, kept, "does not resolve; what was known stays");
        }
    }
}
