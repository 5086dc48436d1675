//! `api_key`: keys of programs, long and by chance, so that a plain hash of them is enough.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::auth::{self, Credentials};
use super::basic_auth::{unauthorized, user_header};
use super::{Reply, RequestView, Verdict};
use crate::base::Detail;
use crate::config::raw::filter as raw;
use crate::config::types::FilePath;
use crate::config::{Beside, Code, Diagnostic, Diagnostics, Spanned};
use crate::message::key::{KeyInput, KeySource, KeyValue};

const MAX_FILE: u64 = 16 << 20;
const FROM: &str = "header:x-api-key";

type Digest = [u8; 32];

/// The filter.
#[derive(Clone, Debug)]
pub struct ApiKey {
    from: KeySource,
    /// Names by the hash of their keys. What is looked up is a hash too: how long that takes tells nothing of a key.
    known: Arc<HashMap<Digest, Box<str>>>,
    credentials: Credentials,
    user_header: Option<Box<str>>,
    missing: Reply,
    wrong: Reply,
}

impl ApiKey {
    pub(super) fn compile(
        raw: &raw::ApiKey,
        files: &Beside,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let known = read(&raw.keys_file, files, diagnostics);
        let realm = auth::realm(raw.realm.as_ref(), diagnostics);
        let user_header = user_header(raw.user_header.as_ref(), diagnostics);
        let from = source(raw.from.as_ref(), FROM, "a key", diagnostics);
        let challenge = format!("ApiKey realm=\"{}\"", realm?);
        Some(Self {
            from: from?,
            known: Arc::new(known?),
            credentials: Credentials::of(raw.credentials.as_ref()),
            user_header: user_header.ok()?,
            missing: unauthorized(&challenge, Detail::None),
            wrong: unauthorized(&challenge, Detail::Unknown),
        })
    }

    /// Decides.
    pub fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        let input = KeyInput::received(view.head, view.facts.client, view.facts.route());
        let Some(key) = self.from.read(&input).and_then(KeyValue::bytes) else {
            return Verdict::Respond(self.missing.clone());
        };
        let hashed = digest(&SHA256, &key);
        let Some(name) = self.known.get(hashed.as_ref()) else {
            return Verdict::Respond(self.wrong.clone());
        };
        if self.credentials == Credentials::Removed {
            self.from.strip(view.head, view.edits);
        }
        if let Some(header) = &self.user_header {
            view.edits.set(header.as_bytes(), name.as_bytes());
        }
        Verdict::Continue
    }
}

/// Where in a request `what` stands.
pub(super) fn source(
    raw: Option<&Spanned<String>>,
    default: &str,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<KeySource> {
    let text = raw.map_or(default, |raw| raw.as_str());
    let parsed = KeySource::parse(text).ok();
    let sound = parsed.filter(|source| {
        matches!(
            source,
            KeySource::Header(_) | KeySource::Cookie(_) | KeySource::Query(_)
        )
    });
    if sound.is_none() {
        let span = raw.map(|from| from.span).unwrap_or_default();
        let message = format!("`{}` is not where {what} can stand", text.escape_debug());
        let diagnostic = Diagnostic::error(Code::BadKey, span, message);
        diagnostics.push(diagnostic.note("allowed: header:NAME, cookie:NAME, query:NAME"));
    }
    sound
}

fn read(
    path: &Spanned<FilePath>,
    files: &Beside,
    diagnostics: &mut Diagnostics,
) -> Option<HashMap<Digest, Box<str>>> {
    let text = files.text(path, MAX_FILE, diagnostics)?;
    let mut known = HashMap::new();
    for (line, entry) in (1..).zip(text.lines()) {
        let entry = entry.trim();
        if entry.is_empty() || entry.starts_with('#') {
            continue;
        }
        let why = match parse(entry) {
            Some((name, hash)) if known.insert(hash, name.into()).is_none() => continue,
            Some(_) => "this key stands here twice",
            None => "not `name:` and 64 hexadecimal digits",
        };
        let message = format!("line {line} of `{}`: {why}", path.display());
        let diagnostic = Diagnostic::error(Code::BadSecret, path.span, message);
        diagnostics.push(diagnostic.hint("`printf %s KEY | sha256sum` makes the digits"));
        return None;
    }
    if known.is_empty() {
        let message = format!("`{}` has no key", path.display());
        diagnostics.push(Diagnostic::error(Code::Empty, path.span, message));
        return None;
    }
    Some(known)
}

fn parse(entry: &str) -> Option<(&str, Digest)> {
    let (name, hash) = entry.split_once(':')?;
    let hash = hash.trim();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) || hash.len() != 64 {
        return None;
    }
    let mut bytes = Digest::default();
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hash.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some((name, bytes))
}
