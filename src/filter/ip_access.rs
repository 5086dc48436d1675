//! `ip_access`: admits or refuses by the client's address, behind trusted proxies.

use ipnet::IpNet;

use super::{Reply, RequestView, Verdict};
use crate::base::{CidrSet, Detail, Reason};
use crate::config;
use crate::config::raw::filter as raw;
use crate::config::types::FilePath;
use crate::config::{Beside, Code, Diagnostic, Diagnostics, Span, Spanned};

/// Largest list: about a million networks.
const MAX_LIST: u64 = 16 << 20;

/// The filter.
#[derive(Clone, Debug)]
pub struct IpAccess {
    /// `None`: everybody who is not refused.
    allow: Option<CidrSet>,
    deny: CidrSet,
    refusal: Reply,
}

impl IpAccess {
    pub(super) fn compile(
        raw: &raw::IpAccess,
        span: Span,
        files: &Beside,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        if raw.allow.is_none()
            && raw.deny.is_none()
            && raw.allow_file.is_none()
            && raw.deny_file.is_none()
        {
            let diagnostic = Diagnostic::error(Code::Empty, span, "no network is named");
            diagnostics
                .push(diagnostic.hint("say one of `allow`, `deny`, `allow_file` and `deny_file`"));
            return None;
        }
        let allow = networks(
            raw.allow.as_ref(),
            raw.allow_file.as_ref(),
            files,
            diagnostics,
        );
        let deny = networks(
            raw.deny.as_ref(),
            raw.deny_file.as_ref(),
            files,
            diagnostics,
        );
        let (allow, deny) = (allow?, deny?);
        let named = raw.allow.is_some() || raw.allow_file.is_some();
        Some(Self {
            allow: named.then(|| CidrSet::new(&allow)),
            deny: CidrSet::new(&deny),
            refusal: Reply::refusal(Reason::Denied, Detail::Address),
        })
    }

    /// Refused is who is in `deny`, and where there is an `allow`, who is not in that.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "part of the walk, on most routes")]
    pub fn on_request(&self, view: &RequestView<'_>) -> Verdict {
        let client = view.facts.client;
        let admitted = self
            .allow
            .as_ref()
            .is_none_or(|allow| allow.contains(client));
        if admitted && !self.deny.contains(client) {
            Verdict::Continue
        } else {
            self.refusal.verdict()
        }
    }
}

fn networks(
    inline: Option<&Spanned<Vec<Spanned<String>>>>,
    file: Option<&Spanned<FilePath>>,
    files: &Beside,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<IpNet>> {
    let found = match inline {
        Some(list) => config::networks::networks(list, diagnostics),
        None => Some(Vec::new()),
    };
    let Some(path) = file else { return found };
    let text = files.text(path, MAX_LIST, diagnostics)?;
    let read = list(&text).map_err(|(line, text)| {
        let shown = path.display();
        let text = text.escape_debug();
        let message = format!("line {line} of `{shown}`: `{text}` is not a network");
        diagnostics.push(
            Diagnostic::error(Code::BadNetwork, path.span, message)
                .hint("a line has one network or address; `#` begins a comment"),
        );
    });
    let mut found = found?;
    found.extend(read.ok()?);
    Some(found)
}

/// One network a line; an error is the first that is none, with its line.
fn list(text: &str) -> Result<Vec<IpNet>, (usize, &str)> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let entry = text.split('#').next().unwrap_or_default().trim();
        if !entry.is_empty() {
            found.push(CidrSet::parse_entry(entry).ok_or((line, entry))?);
        }
    }
    Ok(found)
}
