//! What somebody whom we trust said of who asks.

/// Names and values, as text. A name stands once; what is nested has the names on the way to it, joined by dots.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Claims(Vec<(Box<str>, Box<str>)>);

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
            self.0.push((name.into(), value.into()));
        }
    }
}
