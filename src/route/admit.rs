//! What a route refuses of a head that its listener lets through.

use super::{Route, Trace};
use crate::base::{Detail, Error, Reason};
use crate::message::{BodyLength, Method, RequestHead};

impl Route {
    /// Takes the head, or says why not. A body that says that it is too long is refused before any of it is read.
    pub fn admits(&self, head: &RequestHead) -> Result<(), Error> {
        if head.method() == Method::Trace && self.trace == Trace::Refused {
            return Err(Error::new(Reason::BadRequest, Detail::Trace));
        }
        if self.path.is_some_and(|policy| !head.path_allowed(policy)) {
            return Err(Error::new(Reason::BadRequest, Detail::Path));
        }
        let limits = &self.limits;
        if limits
            .header_count
            .is_some_and(|most| head.fields().len() > most)
            || limits.headers.is_some_and(|most| head.fields_len() > most)
        {
            return Err(Error::from(Reason::HeadersTooLarge));
        }
        match (head.body(), limits.body) {
            (BodyLength::Exact(length), Some(limit)) if length > limit => {
                Err(Error::from(Reason::BodyTooLarge))
            }
            _ => Ok(()),
        }
    }
}
