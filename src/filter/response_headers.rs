//! `response_headers`: sets, adds, appends and removes fields of the response.

use super::changes::Received;
use super::{Changes, Place, ResponseView};
use crate::config::Diagnostics;
use crate::config::raw::filter::HeaderEdits;

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

    pub(super) fn compile(raw: &HeaderEdits, diagnostics: &mut Diagnostics) -> Option<Self> {
        Changes::compile(raw, Place::Response, diagnostics).map(Self::new)
    }

    /// Makes the changes.
    pub fn on_response(&self, view: &mut ResponseView<'_>) {
        let received = Received::Response(view.head);
        self.changes.apply(view.edits, received, &view.sources());
    }
}
