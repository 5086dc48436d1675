//! `users_file`: names and hashes, as `htpasswd` writes them.

use std::collections::HashMap;
use std::sync::Arc;

use super::Terms;
use super::hash::Hash;
use crate::config::types::FilePath;
use crate::config::{Beside, Code, Diagnostic, Diagnostics, Spanned};

const MAX_FILE: u64 = 16 << 20;

/// The users of a file.
#[derive(Debug)]
pub struct Users {
    known: HashMap<Box<str>, Arc<Hash>>,
    /// Hashed for who is unknown.
    decoy: Arc<Hash>,
}

/// Whose hash it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Whose {
    /// The user's.
    User,
    /// Somebody else's: whatever comes out is wrong.
    Nobody,
}

impl Whose {
    /// Tells the two apart where bytes are hashed.
    pub(super) fn tag(self) -> &'static [u8] {
        match self {
            Self::User => b"user",
            Self::Nobody => b"nobody",
        }
    }
}

impl Users {
    /// Reads the file, or tells what is wrong with it; that shows no hash.
    pub fn read(
        path: &Spanned<FilePath>,
        files: &Beside,
        terms: Terms,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let text = files.text(path, MAX_FILE, diagnostics)?;
        let mut known = HashMap::new();
        let mut decoy = None;
        for (line, entry) in (1..).zip(text.lines()) {
            let entry = entry.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            let read = parse(entry, terms).and_then(|(user, hash)| {
                let hash = Arc::new(hash);
                decoy.get_or_insert_with(|| Arc::clone(&hash));
                match known.insert(user.into(), hash) {
                    None => Ok(()),
                    Some(_) => Err("this user stands here twice"),
                }
            });
            if let Err(why) = read {
                let message = format!("line {line} of `{}`: {why}", path.display());
                let diagnostic = Diagnostic::error(Code::BadSecret, path.span, message);
                diagnostics.push(diagnostic.hint("`htpasswd -nB USER` makes a line"));
                return None;
            }
        }
        let Some(decoy) = decoy else {
            let message = format!("`{}` has no user", path.display());
            diagnostics.push(Diagnostic::error(Code::Empty, path.span, message));
            return None;
        };
        Some(Self { known, decoy })
    }

    pub(super) fn find(&self, user: &[u8]) -> (&Arc<Hash>, Whose) {
        let user = std::str::from_utf8(user).ok();
        match user.and_then(|user| self.known.get(user)) {
            Some(hash) => (hash, Whose::User),
            None => (&self.decoy, Whose::Nobody),
        }
    }
}

fn parse(entry: &str, terms: Terms) -> Result<(&str, Hash), &'static str> {
    let (user, hash) = entry.split_once(':').ok_or("not `user:hash`")?;
    if user.is_empty() || !user.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a user's name is visible ASCII without blanks");
    }
    Ok((user, Hash::parse(hash, terms)?))
}
