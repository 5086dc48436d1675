//! `response_headers`: sets, adds and removes fields of the response.

use super::{Changes, ResponseView};

/// The filter.
#[derive(Clone, Debug)]
pub struct ResponseHeaders {
    changes: Changes,
}

impl ResponseHeaders {
    /// A filter that makes these changes.
    pub const fn new(changes: Changes) -> Self {
        Self { changes }
    }

    /// Makes the changes.
    pub fn on_response(&self, view: &mut ResponseView<'_>) {
        self.changes.apply(view.edits);
    }
}
