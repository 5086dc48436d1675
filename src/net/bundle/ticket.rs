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
    Waits,
    /// The kernel was asked: how much it took of what was offered.
    Asked(io::Result<usize>),
    /// What was given away is with the kernel.
    Gone,
    /// Not all of it is.
    Left,
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

    /// What became of it. While it waits, this task is the one that is told.
    pub(in crate::net) fn fate(&self, cx: &Context<'_>, tell: Tell) -> Fate {
        let (fate, _before) = BUNDLE.with_borrow_mut(|bundle| {
            let fate = match bundle.sends.get_mut(self.key()) {
                Some(Send::Waits {
                    owner,
                    tells,
                    given,
                    ..
                }) => {
                    // Behind what was given away something else waits for this.
                    *tells |= *given || tell == Tell::Always;
                    let other = !owner.will_wake(cx.waker());
                    let before = other.then(|| std::mem::replace(owner, cx.waker().clone()));
                    return (Fate::Waits, before);
                }
                Some(Send::Done(result) | Send::Failed(result)) => Fate::Asked(said(*result)),
                Some(Send::Left(_)) => Fate::Left,
                Some(Send::Gone | Send::Dropped) | None => Fate::Gone,
            };
            (fate, None)
        });
        fate
    }

    /// How much of what was given away the kernel has not taken when it was asked; an error where it never will.
    pub(in crate::net) fn left(&self) -> io::Result<usize> {
        BUNDLE.with_borrow(|bundle| match bundle.sends.get(self.key()) {
            Some(Send::Left(left)) => Ok(left.len()),
            Some(Send::Failed(result)) => said(*result),
            _ => Ok(0),
        })
    }

    /// Whether something that was given away is still here, whether the kernel was asked or not.
    pub(in crate::net) fn is_given(&self) -> bool {
        BUNDLE.with_borrow(|bundle| {
            matches!(
                bundle.sends.get(self.key()),
                Some(Send::Left(_) | Send::Waits { given: true, .. })
            )
        })
    }

    /// How much the kernel has taken by now of what was offered.
    pub(in crate::net) fn taken(&self) -> usize {
        let taken = BUNDLE.try_with(|bundle| match bundle.borrow().sends.get(self.key()) {
            Some(Send::Done(result)) => usize::try_from(*result).unwrap_or(0),
            _ => 0,
        });
        taken.unwrap_or(0)
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
