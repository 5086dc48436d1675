//! A connection to an endpoint that one client has for itself.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::IdleSet;
use crate::net::Stream;
use crate::net::socket::Quiet;

/// Where a client's connection keeps the one to an endpoint that must serve nobody else: authentication is bound to
/// it, so the next client on it would be taken for this one (E-219). At most one; it closes with the client's own.
#[derive(Default)]
pub struct Private(Cell<Option<Box<Owned>>>);

struct Owned {
    stream: Stream,
    /// Which endpoint of which cluster it leads to: where it would have been put back.
    set: Rc<IdleSet>,
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Private")
    }
}

impl Private {
    /// Which of these endpoints the connection leads to, if there is one.
    #[inline]
    pub fn position(&self, sets: &[Rc<IdleSet>]) -> Option<usize> {
        let owned = self.0.take()?;
        let found = sets.iter().position(|set| Rc::ptr_eq(set, &owned.set));
        self.0.set(Some(owned));
        found
    }

    /// Takes it out; one that its endpoint closed, or on which something unasked came, is closed.
    pub fn take(&self) -> Option<Stream> {
        let owned = self.0.take()?;
        (owned.stream.quiet_now() == Quiet::Yes).then_some(owned.stream)
    }

    /// Keeps a connection for the client's next request; one that was kept before is closed.
    pub fn keep(&self, stream: Stream, set: &Rc<IdleSet>) {
        let set = Rc::clone(set);
        self.0.set(Some(Box::new(Owned { stream, set })));
    }
}
