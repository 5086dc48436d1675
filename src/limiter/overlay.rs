//! An operator's word on a limiter at run time: it wins over the file until its time is over, or until the file says
//! something else of the same number.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::Rules;
use crate::config::Spanned;
use crate::config::raw::limiter as raw;
use crate::config::types::Duration;

/// What is said; nothing of a number leaves it as the file has it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Said {
    /// Units in a period.
    pub rate: Option<u64>,
    /// The period.
    pub per: Option<Duration>,
    /// Units at once.
    pub burst: Option<u64>,
}

/// What is said, and what follows from it.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// What is said.
    pub said: Said,
    /// Until when, in microseconds since the Unix epoch; `None`: for good.
    pub until: Option<u64>,
    /// What the file said then.
    pub(super) file: Said,
    pub(super) rules: Rules,
}

/// The place of an overlay: one look at a flag where there is none.
#[derive(Debug, Default)]
pub(super) struct Slot {
    taken: AtomicBool,
    overlay: RwLock<Option<Arc<Overlay>>>,
}

impl Overlay {
    /// All rules, with what is said in its place.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}

impl Said {
    /// What the file says.
    pub(super) fn of(raw: &raw::Limiter) -> Self {
        Self {
            rate: Some(raw.rate.value),
            per: raw.per.map(|per| per.value),
            burst: raw.burst.map(|burst| burst.value),
        }
    }

    /// The file's table with this in its place.
    pub(super) fn over(&self, raw: &raw::Limiter) -> raw::Limiter {
        let mut raw = raw.clone();
        if let Some(rate) = self.rate {
            raw.rate = Spanned::nowhere(rate);
        }
        if let Some(per) = self.per {
            raw.per = Some(Spanned::nowhere(per));
        }
        if let Some(burst) = self.burst {
            raw.burst = Some(Spanned::nowhere(burst));
        }
        raw
    }

    /// What is left of it when the file changed from one text to another.
    pub(super) fn kept(self, before: &Self, after: &Self) -> Self {
        Self {
            rate: self.rate.filter(|_| before.rate == after.rate),
            per: self.per.filter(|_| before.per == after.per),
            burst: self.burst.filter(|_| before.burst == after.burst),
        }
    }
}

impl Slot {
    /// The overlay, if one holds at this time.
    #[inline]
    pub(super) fn at(&self, now: u64) -> Option<Arc<Overlay>> {
        if self.taken.load(Ordering::Acquire) {
            self.taken_at(now)
        } else {
            None
        }
    }

    #[cold]
    fn taken_at(&self, now: u64) -> Option<Arc<Overlay>> {
        let overlay = self.read()?;
        if overlay.until.is_some_and(|until| until <= now) {
            self.set(None);
            return None;
        }
        Some(overlay)
    }

    /// The overlay, whatever the time.
    #[inline]
    pub(super) fn any(&self) -> Option<Arc<Overlay>> {
        if self.taken.load(Ordering::Acquire) {
            self.read()
        } else {
            None
        }
    }

    #[cold]
    fn read(&self) -> Option<Arc<Overlay>> {
        self.overlay
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set(&self, overlay: Option<Overlay>) {
        let mut place = self.overlay.write().unwrap_or_else(PoisonError::into_inner);
        self.taken.store(overlay.is_some(), Ordering::Release);
        *place = overlay.map(Arc::new);
    }
}
