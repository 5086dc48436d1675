//! `method_access`: serves some methods and refuses the others with 405, where a route's `methods` would look for another
//! route.

use super::{Reply, RequestView, Verdict};
use crate::base::{Detail, Reason};
use crate::config::raw::filter as raw;
use crate::config::{Code, Diagnostic, Diagnostics};
use crate::message::spelled;

/// The filter.
#[derive(Clone, Debug)]
pub struct MethodAccess {
    allow: Box<[Box<str>]>,
    refusal: Reply,
}

impl MethodAccess {
    pub(super) fn compile(raw: &raw::MethodAccess, diagnostics: &mut Diagnostics) -> Option<Self> {
        if raw.allow.is_empty() {
            let diagnostic = Diagnostic::error(Code::Empty, raw.allow.span, "`allow` is empty");
            diagnostics.push(diagnostic.hint("name the methods that are served"));
            return None;
        }
        let methods: Vec<_> = raw
            .allow
            .iter()
            .map(|method| {
                spelled::method(method)
                    .map_err(|diagnostic| diagnostics.push(*diagnostic))
                    .ok()
            })
            .collect();
        let allow: Vec<Box<str>> = methods
            .into_iter()
            .map(|method| method.map(String::into_boxed_str))
            .collect::<Option<_>>()?;
        let list = allow.join(", ");
        let allowed = [(b"allow".as_slice(), list.as_bytes())];
        Some(Self {
            allow: allow.into(),
            refusal: Reply::told(405, Reason::Denied, Detail::NotAllowed, &allowed),
        })
    }

    /// Decides.
    pub fn on_request(&self, view: &RequestView<'_>) -> Verdict {
        let token = view.head.method_token();
        if self.allow.iter().any(|method| method.as_bytes() == token) {
            Verdict::Continue
        } else {
            self.refusal.verdict()
        }
    }
}
