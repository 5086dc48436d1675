//! `request_headers`: sets, adds and removes fields of the request.

use super::{Changes, RequestView, Verdict};

/// The filter.
#[derive(Clone, Debug)]
pub struct RequestHeaders {
    changes: Changes,
}

impl RequestHeaders {
    /// A filter that makes these changes.
    pub const fn new(changes: Changes) -> Self {
        Self { changes }
    }

    /// Makes the changes.
    pub fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        self.changes.apply(view.edits);
        Verdict::Continue
    }
}
