//! What the owner of a send holds.

use std::io;
use std::marker::PhantomData;
use std::num::NonZero;
use std::task::Context;

use super::{BUNDLE, Send, Tell, said};

/// One send that waits here, or what became of it. Dropped before it is sent, it is not sent.
#[derive(Debug)]
pub(in crate::net) struct Ticket(NonZero<u32>, PhantomData<*const ()>);

/// What became of a send.
#[derive(Debug)]
pub(in crate::net) enum Fate {
    /// The turn is not over.
    Waits {
        /// Whether it was given away.
        given: bool,
    },
    /// The kernel was asked: how much it took of what was offered.
    Asked(io::Result<usize>),
    /// What was given away is with the kernel.
    Gone,
    /// So much of it is not.
    Left(usize),
    /// Nothing of it ever will be.
    Failed(io::Error),
}

impl Ticket {
    /// Every idle connection has room for one: four bytes, not sixteen.
    pub(super) fn of(key: usize) -> Self {
        let after = |key| NonZero::<u32>::MIN.saturating_add(key);
        Self(
            u32::try_from(key).map_or(NonZero::<u32>::MAX, after),
            PhantomData,
        )
    }

    fn key(&self) -> usize {
        self.0.get() as usize - 1
    }

    /// What became of it.
    pub(in crate::net) fn fate(&self) -> Fate {
        // At the end of the thread there may be no bundle any more.
        let fate = BUNDLE.try_with(|bundle| match bundle.borrow().sends.get(self.key()) {
            Some(Send::Waits { given, .. }) => Fate::Waits { given: *given },
            Some(Send::Done(result)) => Fate::Asked(said(*result)),
            Some(Send::Left(left)) => Fate::Left(left.len()),
            Some(Send::Failed(result)) => match said(*result) {
                Err(error) => Fate::Failed(error),
                Ok(_) => Fate::Gone,
            },
            Some(Send::Gone | Send::Dropped) | None => Fate::Gone,
        });
        fate.unwrap_or(Fate::Gone)
    }

    /// While it waits, this task is the one that is told, and when.
    pub(in crate::net) fn tell(&self, cx: &Context<'_>, when: Tell) {
        // Dropped when the bundle is not in hand.
        let _before = BUNDLE.with_borrow_mut(|bundle| {
            let Some(Send::Waits {
                owner,
                tells,
                given,
                ..
            }) = bundle.sends.get_mut(self.key())
            else {
                return None;
            };
            // Behind what was given away something else waits for this.
            *tells |= *given || when == Tell::Always;
            let other = !owner.will_wake(cx.waker());
            other.then(|| std::mem::replace(owner, cx.waker().clone()))
        });
    }

    /// Takes out what the kernel did not take of what was given away; it comes back by [`keep_left`](Self::keep_left), or is gone.
    pub(in crate::net) fn take_left(&self) -> Vec<u8> {
        BUNDLE.with_borrow_mut(|bundle| match bundle.sends.get_mut(self.key()) {
            Some(Send::Left(left)) => std::mem::take(left),
            _ => Vec::new(),
        })
    }

    /// Keeps what it still has not.
    pub(in crate::net) fn keep_left(&self, left: Vec<u8>) {
        BUNDLE.with_borrow_mut(|bundle| {
            if let Some(send @ Send::Left(_)) = bundle.sends.get_mut(self.key()) {
                *send = Send::Left(left);
            }
        });
    }

    /// What was given away and is not with the kernel: whoever asks sends it, for nobody else does.
    pub(in crate::net) fn into_given(self) -> Vec<u8> {
        let bytes = BUNDLE.try_with(|bundle| {
            let bundle = &mut *bundle.borrow_mut();
            match bundle.sends.get_mut(self.key()) {
                Some(Send::Left(left)) => std::mem::take(left),
                Some(Send::Waits {
                    place, given: true, ..
                }) => {
                    let bytes = bundle.bytes.get(place.clone());
                    bytes.unwrap_or_default().to_vec()
                }
                _ => Vec::new(),
            }
        });
        bytes.unwrap_or_default()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // At the end of the thread there may be no bundle any more, and nothing that would be sent.
        let _ = BUNDLE.try_with(|bundle| {
            let bundle = &mut *bundle.borrow_mut();
            match bundle.sends.get_mut(self.key()) {
                // Its key is still in the list of those that wait.
                Some(send @ Send::Waits { .. }) => Some(std::mem::replace(send, Send::Dropped)),
                _ => bundle.sends.try_remove(self.key()),
            }
        });
    }
}
