//! Parts of a request as the configuration spells them, in the form in which requests have them.

use super::hops::is_token;
use super::method::{MAX_METHOD, Method};
use super::path::{Canonical, Policy, canonicalise};
use crate::config::{Code, Diagnostic, Spanned};

/// A path.
pub fn canonical_path(path: &Spanned<String>) -> Result<Box<[u8]>, Box<Diagnostic>> {
    let mut made = Vec::new();
    match canonicalise(path.as_bytes(), Policy::DEFAULT, &mut made) {
        Ok(Canonical::AsIs) => Ok(path.as_bytes().into()),
        Ok(Canonical::Made) => Ok(made.into()),
        Err(_) => {
            let diagnostic = Diagnostic::error(
                Code::BadPath,
                path.span,
                format!("`{}` is not a path", path.escape_debug()),
            );
            Err(Box::new(if path.contains('?') {
                diagnostic.label("the query does not belong to the path")
            } else if path.starts_with('/') {
                diagnostic.label("no request can have this path").note(
                    "a path is ASCII, other characters stand escaped (`%C3%A9`); `\\`, `%5C`, `%00` and `..` \
                     above the root are refused in requests",
                )
            } else {
                diagnostic.label("a path begins with `/`")
            }))
        }
    }
}

/// How many bytes of a path a route's prefix takes, without a trailing slash. A prefix that is wrong is told of
/// where it stands.
pub fn matched_prefix(prefix: Option<&Spanned<String>>) -> Option<usize> {
    let path = canonical_path(prefix?).unwrap_or_default();
    Some(path.strip_suffix(b"/").unwrap_or(&path).len())
}

/// A method.
pub fn method(method: &Spanned<String>) -> Result<String, Box<Diagnostic>> {
    let bad = |label: &str| {
        Diagnostic::error(
            Code::BadMethod,
            method.span,
            format!("`{}` is not a method for a route", method.escape_debug()),
        )
        .label(label)
    };
    let upper = method.to_ascii_uppercase();
    Err(Box::new(match Method::of(upper.as_bytes()) {
        _ if method.is_empty() || method.len() > MAX_METHOD || !method.bytes().all(is_token) => {
            bad("a method is a word of at most 32 letters")
        }
        Method::Connect => bad("CONNECT is answered with 405 and never routed"),
        Method::Other => return Ok(method.value.clone()),
        _ if upper == method.value => return Ok(upper),
        _ => bad("methods are case-sensitive").hint(format!("write `{upper}`")),
    }))
}
