//! What to change in the fields of a head.

use crate::message::Edits;

/// Validated changes: first the removals, then what is set, then what is added.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Names.
    pub(super) remove: Vec<Box<str>>,
    /// Names and values; each replaces every field of its name.
    pub(super) set: Vec<(Box<str>, Box<str>)>,
    /// Names and values; each stands beside the fields of its name.
    pub(super) add: Vec<(Box<str>, Box<str>)>,
}

impl Changes {
    /// Notes the changes; the writer makes them.
    pub fn apply(&self, edits: &mut Edits) {
        for name in &self.remove {
            edits.remove(name.as_bytes());
        }
        for (name, value) in &self.set {
            edits.set(name.as_bytes(), value.as_bytes());
        }
        for (name, value) in &self.add {
            edits.add(name.as_bytes(), value.as_bytes());
        }
    }
}
