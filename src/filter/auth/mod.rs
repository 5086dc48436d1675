//! Who asks: users with passwords, and what checking them costs.
//!
//! **Invariants.** A password is hashed on a thread of its own kind, few at once: who guesses waits in a short line of its
//! own, and takes no time from requests of others. What was found once is remembered under a hash that nobody outside can
//! make, so that a user is not hashed for each request. An unknown user costs as much as a wrong password.

mod hash;
mod proofs;
mod terms;
mod users;
#[cfg(test)]
mod tests;

use crate::config::raw::filter::Credentials as Raw;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};

pub use proofs::{Asked, Claim, Full, Job, Proof, Proofs};
pub use terms::Terms;
pub use users::Users;

/// What becomes of the credentials.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Credentials {
    /// They were for this proxy, and go no further.
    Removed,
    /// The endpoint gets them too.
    Forwarded,
}

impl Credentials {
    pub(super) fn of(raw: Option<&Spanned<Raw>>) -> Self {
        match raw.map(|raw| &raw.value) {
            None | Some(Raw::Remove) => Self::Removed,
            Some(Raw::Forward) => Self::Forwarded,
        }
    }
}

const REALM: &str = "restricted";

/// The realm of a challenge: it stands in quotes.
pub(super) fn realm<'r>(
    raw: Option<&'r Spanned<String>>,
    diagnostics: &mut Diagnostics,
) -> Option<&'r str> {
    let Some(raw) = raw else { return Some(REALM) };
    let allowed = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\');
    if let Some(c) = raw.chars().find(|&c| !allowed(c)) {
        let message = format!("`{}` cannot stand in a realm", c.escape_default());
        diagnostics.push(Diagnostic::error(Code::BadField, raw.span, message));
        return None;
    }
    Some(raw.as_str())
}
