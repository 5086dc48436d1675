//! Another prefix for a canonical path.

/// What takes the place of the prefix that a route matched. As the Gateway API has it (`ReplacePrefixMatch`): a trailing
/// slash of either prefix makes no difference, one of the path stays, and nothing at all is `/`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewPrefix {
    /// So many bytes of the path give way: a prefix by segment without its trailing slash.
    matched: usize,
    /// Without its trailing slash.
    with: Box<[u8]>,
}

impl NewPrefix {
    /// Replaces the first `matched` bytes, a prefix by segment without its trailing slash, by `with`, a canonical path.
    pub fn new(matched: usize, with: &[u8]) -> Self {
        let with = with.strip_suffix(b"/").unwrap_or(with).into();
        Self { matched, with }
    }

    /// Appends `path` with the other prefix. `*` is no path and stays as it is.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "two callers and little code: a call would cost as much again"
    )]
    pub fn write(&self, path: &[u8], out: &mut Vec<u8>) {
        if path.first() != Some(&b'/') {
            return out.extend_from_slice(path);
        }
        let rest = path.get(self.matched..).unwrap_or_default();
        if !self.with.is_empty() {
            out.extend_from_slice(&self.with);
        } else if rest.is_empty() {
            return out.push(b'/');
        }
        out.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the Gateway API's documentation of `ReplacePrefixMatch`.
    #[test]
    fn prefixes_are_replaced_by_segment() {
        for (path, prefix, with, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo", "/", "/xyz", "/xyz/foo"),
            ("/", "/", "/xyz", "/xyz/"),
            ("//a//b", "/", "/x", "/x//a//b"),
            ("*", "/", "/xyz", "*"),
        ] {
            let matched = prefix.strip_suffix('/').unwrap_or(prefix).len();
            let mut out = Vec::new();
            NewPrefix::new(matched, with.as_bytes()).write(path.as_bytes(), &mut out);
            let made = String::from_utf8(out).unwrap();
            assert_eq!(made, expected, "{path}: {prefix} by {with}");
        }
    }
}
