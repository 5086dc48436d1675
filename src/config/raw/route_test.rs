//! `[[tests]]`.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::Named;

/// `[[tests]]`: requests whose routes are known, tried at every load. One that fails refuses the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTest {
    /// `GET https://shop.example.com/x`; the method may be left out.
    pub request: Spanned<String>,
    /// Fields of the request.
    #[serde(default)]
    pub headers: Named<Spanned<String>>,
    /// Whose address it comes from. Default: `192.0.2.1`.
    pub client: Option<Spanned<String>>,
    /// On which listener. Default: the one with the port of the URL, else the first.
    pub listener: Option<Spanned<String>>,
    /// What must come of it.
    pub expect: Spanned<Expect>,
}

/// `expect`: all that is said must be so.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The route that is found; `-`: none.
    pub route: Option<Spanned<String>>,
    /// The cluster that it goes to; of a split, one that it may go to.
    pub cluster: Option<Spanned<String>>,
    /// The status of a redirect, of a fixed response or of a refusal.
    pub status: Option<Spanned<u16>>,
    /// Where a redirect leads.
    pub location: Option<Spanned<String>>,
}
