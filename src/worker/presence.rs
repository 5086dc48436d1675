//! Who is there on a worker.

use std::rc::Rc;

/// See [`Presence::is_crowd`].
const FEW: usize = 8;

/// Who is there: the accept loops and connections of one worker, or its exchanges.
#[derive(Debug, Default)]
pub struct Presence(Rc<()>);

impl Presence {
    /// One more, until what is returned is dropped.
    #[must_use]
    pub fn join(&self) -> Self {
        Self(Rc::clone(&self.0))
    }

    /// Whether all others are gone.
    pub fn alone(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    /// How many have joined.
    #[inline]
    pub fn count(&self) -> usize {
        Rc::strong_count(&self.0) - 1
    }

    /// Whether there are so many that whoever is ready is read before anything is sent on: what is sent wakes the other side, and to
    /// be woken once for many is cheaper for both than to fall asleep between them. With few the second look at each, of hundreds of
    /// instructions, costs more than it saves.
    #[inline]
    pub fn is_crowd(&self) -> bool {
        self.count() > FEW
    }
}
