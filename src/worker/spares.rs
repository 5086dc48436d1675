//! What a worker keeps for whoever needs one next.

use std::cell::{Cell, RefCell};

/// How many are kept.
const MOST: usize = 256;

/// How many are kept though nobody needs them: what comes after a pause finds them.
const FEW: usize = 8;

/// Things of one kind, given back by those who are done with them.
#[derive(Debug)]
pub(super) struct Spares<T> {
    kept: RefCell<Vec<T>>,
    /// The fewest that lay here since the last trim: so many nobody has needed.
    least: Cell<usize>,
}

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Self {
            kept: RefCell::default(),
            least: Cell::new(0),
        }
    }
}

impl<T> Spares<T> {
    pub(super) fn take(&self) -> Option<T> {
        let mut kept = self.kept.borrow_mut();
        let one = kept.pop();
        self.least.set(self.least.get().min(kept.len()));
        one
    }

    pub(super) fn give(&self, one: T) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < MOST {
            kept.push(one);
        }
    }

    /// Drops what nobody has needed since the last time: a crowd that is gone leaves nothing behind for long.
    pub(super) fn trim(&self) {
        let mut kept = self.kept.borrow_mut();
        let unneeded = self.least.get().min(kept.len()).saturating_sub(FEW);
        kept.drain(..unneeded);
        self.least.set(kept.len());
    }

    pub(super) fn clear(&self) {
        self.kept.take();
    }

    /// What they weigh together.
    pub(super) fn weight(&self, of: impl Fn(&T) -> usize) -> usize {
        self.kept.borrow().iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_needs_for_a_while_is_dropped() {
        let spares = Spares::default();
        let kept = || spares.weight(|_| 1);
        for at in 0..1000 {
            spares.give(at);
        }
        assert_eq!(kept(), MOST);
        // They came since the last trim, so nothing is known of them.
        spares.trim();
        assert_eq!(kept(), MOST);
        let taken: Vec<_> = (0..100).map_while(|_| spares.take()).collect();
        for one in taken {
            spares.give(one);
        }
        spares.trim();
        assert_eq!(kept(), 100 + FEW);
        spares.trim();
        assert_eq!(kept(), FEW);
        spares.trim();
        assert_eq!(kept(), FEW);
        spares.clear();
        assert_eq!((kept(), spares.take()), (0, None));
        spares.trim();
    }
}
