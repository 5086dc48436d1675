//! What somebody whom we trust said of who asks.

use std::sync::Arc;

/// Names and values, as text; cloning copies none of them. A name stands once; what is nested has the names on the way to it, joined by dots.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Claims(Arc<Vec<(Box<str>, Box<str>)>>);

impl Claims {
    /// The value of this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter();
        all.find(|(known, _)| **known == *name)
            .map(|(_, value)| &**value)
    }

    /// Notes a value, if nothing has its name yet.
    pub fn note(&mut self, name: &str, value: &str) {
        if self.text(name).is_none() {
            Arc::make_mut(&mut self.0).push((name.into(), value.into()));
        }
    }
}
