//! The endpoints that an exchange has tried already.

use super::EndpointIx;

/// How many are remembered: the most tries that a retry policy may allow after the first.
pub const MAX_TRIED: usize = 8;

/// A small set of endpoints without an allocation. Past [`MAX_TRIED`] the oldest is forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    tried: [EndpointIx; MAX_TRIED],
    count: usize,
}

impl Tried {
    /// Nothing tried yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers one.
    pub fn insert(&mut self, ix: EndpointIx) {
        if self.contains(ix) {
            return;
        }
        if let Some(slot) = self.tried.get_mut(self.count % MAX_TRIED) {
            *slot = ix;
        }
        self.count += 1;
    }

    /// Whether this one was tried.
    #[inline]
    pub fn contains(&self, ix: EndpointIx) -> bool {
        self.tried.iter().take(self.count).any(|&tried| tried == ix)
    }

    /// Whether none was tried.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_latest() {
        let mut tried = Tried::new();
        assert!(tried.is_empty() && !tried.contains(EndpointIx(0)));
        for ix in 0..9 {
            tried.insert(EndpointIx(ix));
            tried.insert(EndpointIx(ix));
        }
        assert!(!tried.contains(EndpointIx(0)), "the oldest is forgotten");
        assert!((1..9).all(|ix| tried.contains(EndpointIx(ix))));
    }
}
