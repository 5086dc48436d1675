//! The conditions of a route: listeners, path, methods.

use regex::bytes::Regex;

use crate::message::Method;

/// The listeners that a route serves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListenerSet {
    /// Every one.
    All,
    /// Those whose bit is set: listener `n` is bit `n % 64` of word `n / 64`.
    These(Box<[u64]>),
}

impl ListenerSet {
    /// The set of these positions.
    pub fn of(positions: &[usize]) -> Self {
        let words = positions.iter().max().map_or(0, |max| max / 64 + 1);
        let mut set = vec![0; words];
        for &position in positions {
            if let Some(word) = set.get_mut(position / 64) {
                *word |= 1 << (position % 64);
            }
        }
        Self::These(set.into())
    }

    /// Whether this listener is in the set.
    #[inline]
    pub fn contains(&self, listener: usize) -> bool {
        match self {
            Self::All => true,
            Self::These(words) => words
                .get(listener / 64)
                .is_some_and(|word| word >> (listener % 64) & 1 == 1),
        }
    }
}

/// The path of a route, canonical.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// This path alone.
    Exact(Box<[u8]>),
    /// This path and everything below it, by segment. Without a trailing slash: the empty prefix is that of
    /// every path, `*` included.
    Prefix(Box<[u8]>),
    /// A path that this expression matches from end to end.
    Regex(Regex),
    /// Any path: nothing was asked.
    Any,
}

impl PathMatch {
    /// The prefix of a canonical path: `/v1` and `/v1/` are the same.
    pub fn prefix(path: &[u8]) -> Self {
        Self::Prefix(path.strip_suffix(b"/").unwrap_or(path).into())
    }

    /// Whether this path fulfils what the index does not know: the others were found by their text.
    #[inline]
    pub(super) fn may_be(&self, path: &[u8], known: Option<&Regex>) -> bool {
        match (self, known) {
            (Self::Exact(_) | Self::Prefix(_) | Self::Any, _) => true,
            (Self::Regex(regex), None) => regex.is_match(path),
            (Self::Regex(regex), Some(known)) => regex.as_str() == known.as_str(),
        }
    }
}

/// The methods of a route. Empty: every method.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MethodSet {
    /// Bit [`Method::index`] for each method that we know.
    known: u16,
    others: Box<[Box<[u8]>]>,
}

impl MethodSet {
    /// The set of these tokens.
    pub fn of<'a>(tokens: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut known = 0;
        let mut others: Vec<Box<[u8]>> = Vec::new();
        for token in tokens {
            match Method::of(token) {
                Method::Other => others.push(token.into()),
                method => known |= 1 << method.index(),
            }
        }
        Self {
            known,
            others: others.into(),
        }
    }

    /// Whether no method is asked for.
    #[inline]
    pub const fn is_any(&self) -> bool {
        self.known == 0 && self.others.is_empty()
    }

    /// Whether a request with this method fulfils the condition.
    #[inline]
    pub fn contains(&self, method: Method, token: &[u8]) -> bool {
        match method {
            _ if self.is_any() => true,
            Method::Other => self.others.iter().any(|other| **other == *token),
            method => self.known >> method.index() & 1 == 1,
        }
    }

    /// The methods that are asked for; empty for any.
    pub fn iter(&self) -> impl Iterator<Item = (Method, &[u8])> {
        let known = Method::ALL
            .into_iter()
            .filter(|method| self.known >> method.index() & 1 == 1)
            .map(|method| (method, method.label().as_bytes()));
        known.chain(self.others.iter().map(|token| (Method::Other, &**token)))
    }
}
