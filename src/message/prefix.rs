//! Another prefix for a canonical path.

/// Appends `path` with its first `matched` bytes, a prefix by segment without its trailing slash, replaced by `with`,
/// a canonical path. As the Gateway API has it (`ReplacePrefixMatch`): a trailing slash of either prefix makes no
/// difference, one of the path stays, and nothing at all is `/`.
///
/// `*` is no path and stays as it is.
#[inline]
pub fn replace_prefix(path: &[u8], matched: usize, with: &[u8], out: &mut Vec<u8>) {
    if path.first() != Some(&b'/') {
        return out.extend_from_slice(path);
    }
    let rest = path.get(matched..).unwrap_or_default();
    let with = with.strip_suffix(b"/").unwrap_or(with);
    if !with.is_empty() {
        out.extend_from_slice(with);
    } else if rest.is_empty() {
        return out.push(b'/');
    }
    out.extend_from_slice(rest);
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
            replace_prefix(path.as_bytes(), matched, with.as_bytes(), &mut out);
            let made = String::from_utf8(out).unwrap();
            assert_eq!(made, expected, "{path}: {prefix} by {with}");
        }
    }
}
