//! `request_id`: tells the endpoint, and the client if wanted, under which name the exchange is logged.
//!
//! The name itself is the record's: made there, or taken over from a trusted proxy.

use super::compile::bad_name;
use super::{Place, RequestView, ResponseView, Verdict, check_name};
use crate::config::Diagnostics;
use crate::config::raw::filter::{self as raw, ToClient};

const HEADER: &str = "x-request-id";

/// The filter.
#[derive(Clone, Debug)]
pub struct RequestId {
    header: Box<str>,
    client: Client,
}

/// Whether the client is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Client {
    Told,
    NotTold,
}

impl RequestId {
    pub(super) fn compile(raw: &raw::RequestId, diagnostics: &mut Diagnostics) -> Option<Self> {
        if let Some(header) = &raw.header
            && let Err(error) = check_name(header, Place::Request)
        {
            diagnostics.push(bad_name(header, error));
            return None;
        }
        Some(Self {
            header: raw.header.as_deref().map_or(HEADER, String::as_str).into(),
            client: match raw.response.as_deref() {
                Some(ToClient::Send) => Client::Told,
                Some(ToClient::Off) | None => Client::NotTold,
            },
        })
    }

    /// Names the exchange to the endpoint.
    pub fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        let id = view.facts.request_id().as_bytes();
        view.edits.set(self.header.as_bytes(), id);
        Verdict::Continue
    }

    /// Names it to the client.
    pub fn on_response(&self, view: &mut ResponseView<'_>) {
        if self.client == Client::Told {
            let id = view.facts.request_id().as_bytes();
            view.edits.set(self.header.as_bytes(), id);
        }
    }
}
