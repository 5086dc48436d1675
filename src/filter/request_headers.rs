//! `request_headers`: sets, adds, appends and removes fields of the request.

use super::changes::Received;
use super::template::Sources;
use super::{Changes, Place, RequestView, Verdict};
use crate::config::Diagnostics;
use crate::config::raw::filter::HeaderEdits;

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

    pub(super) fn compile(raw: &HeaderEdits, diagnostics: &mut Diagnostics) -> Option<Self> {
        Changes::compile(raw, Place::Request, diagnostics).map(Self::new)
    }

    /// Makes the changes.
    pub fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        let sources = Sources {
            request: view.head,
            facts: view.facts,
            status: None,
        };
        let received = Received::Request(view.head);
        self.changes.apply(view.edits, received, &sources);
        Verdict::Continue
    }
}
