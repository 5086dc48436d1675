//! The path: one canonical form for matching, filters, log and endpoint.
//!
//! Two texts that an origin would take for the same resource must not meet two different routes (E-110,
//! E-111), so a path is made canonical once, before anything looks at it:
//!
//! - escapes of unreserved characters are decoded (`%2e` is `.`), all others get upper-case digits and stay;
//!   nothing is decoded twice (`%252e` stays `%252e`);
//! - `%2F` is data, never a separator;
//! - characters that RFC 3986 does not allow in a path but that clients send raw (`"<>[]^{|}` and the
//!   backquote) are escaped;
//! - dot segments are resolved afterwards (RFC 3986, 5.2.4); empty segments stay, unless the [`Policy`] merges
//!   them, which happens before;
//! - refused: a path that does not begin with `/`, a malformed escape, `%00`, a backslash raw or as `%5C`,
//!   any other byte that may not stand in a path, a dot segment that climbs above the root, and a dot segment
//!   in disguise (`..;x`, `..%2Fx`), which some origins would still resolve; and what the [`Policy`] refuses.

use crate::base::Detail;

/// What is done with those parts of a path that origins read differently. The defaults keep what may be meant;
/// an operator whose origins differ from us in one of them refuses it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// `/a/../b`, with escaped dots too. Kept means resolved: none is ever passed on.
    pub dot_segments: Rule,
    /// `%2F`. Kept means as data, never as a separator.
    pub encoded_slash: Rule,
    /// `//`.
    pub empty_segments: Empty,
    /// `;` and `%3B`.
    pub parameters: Rule,
}

/// Whether a part of a path may stand.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Rule {
    /// It may.
    #[default]
    Keep,
    /// The request is refused.
    Refuse,
}

/// What is done with empty segments.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Empty {
    /// They stay: RFC 3986 gives them a meaning.
    #[default]
    Keep,
    /// Slashes in a row become one, before dot segments are resolved.
    Merge,
    /// The request is refused.
    Refuse,
}

impl Policy {
    /// Where nothing is configured.
    pub const DEFAULT: Self = Self {
        dot_segments: Rule::Keep,
        encoded_slash: Rule::Keep,
        empty_segments: Empty::Keep,
        parameters: Rule::Keep,
    };

    /// Whether a path of plain characters needs a closer look.
    fn minds(self, raw: &[u8]) -> bool {
        (self.empty_segments != Empty::Keep && memchr::memmem::find(raw, b"//").is_some())
            || (self.parameters == Rule::Refuse && memchr::memchr(b';', raw).is_some())
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Where the canonical path stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Canonical {
    /// The received path is canonical already; nothing was written.
    AsIs,
    /// The canonical path was appended to the output.
    Made,
}

/// What a raw byte of a path asks for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Class {
    /// May not stand in a path.
    Refuse,
    /// Stands as it is.
    Plain,
    /// Ends a segment.
    Slash,
    /// Stands as it is, but may begin a dot segment.
    Dot,
    /// Begins an escape.
    Escape,
    /// Must be escaped.
    Encode,
}

const CLASSES: [Class; 256] = classes();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where an index out of range is an error"
)]
const fn classes() -> [Class; 256] {
    let mut table = [Class::Refuse; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        table[byte as usize] = match byte {
            b'/' => Class::Slash,
            b'.' => Class::Dot,
            b'%' => Class::Escape,
            b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => Class::Encode,
            b'#' | b'?' | b'\\' => Class::Refuse,
            0x21..=0x7e => Class::Plain,
            _ => Class::Refuse,
        };
        byte += 1;
    }
    table
}

#[inline]
fn class(byte: u8) -> Class {
    CLASSES
        .get(usize::from(byte))
        .copied()
        .unwrap_or(Class::Refuse)
}

/// Makes the path part of a request target (before `?`) canonical. Appends to `out` where the received
/// path is not canonical already; `out` is as it was when the path is refused.
pub fn canonicalise(raw: &[u8], policy: Policy, out: &mut Vec<u8>) -> Result<Canonical, Detail> {
    if is_canonical(raw)? && (policy == Policy::DEFAULT || !policy.minds(raw)) {
        return Ok(Canonical::AsIs);
    }
    let start = out.len();
    match rewrite(raw, policy, out) {
        Ok(()) => Ok(Canonical::Made),
        Err(detail) => {
            out.truncate(start);
            Err(detail)
        }
    }
}

/// Whether the slow way can be spared: only plain bytes and nothing that may be a dot segment.
#[inline]
fn is_canonical(raw: &[u8]) -> Result<bool, Detail> {
    if raw.first() != Some(&b'/') {
        return Err(Detail::Path);
    }
    let mut before = Class::Plain;
    for &byte in raw {
        let class = class(byte);
        match class {
            Class::Plain | Class::Slash => {}
            Class::Dot if before != Class::Slash => {}
            Class::Dot | Class::Escape | Class::Encode => return Ok(false),
            Class::Refuse => return Err(Detail::Path),
        }
        before = class;
    }
    Ok(true)
}

fn rewrite(raw: &[u8], policy: Policy, out: &mut Vec<u8>) -> Result<(), Detail> {
    let root = out.len() + 1;
    out.reserve(raw.len());
    out.push(b'/');
    let mut segment = root;
    let mut rest = raw.get(1..).unwrap_or_default();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match class(byte) {
            Class::Plain if byte == b';' && policy.parameters == Rule::Refuse => {
                return Err(Detail::Path);
            }
            Class::Plain | Class::Dot => out.push(byte),
            Class::Encode => push_escape(byte, out),
            Class::Slash if out.len() == segment && policy.empty_segments != Empty::Keep => {
                if policy.empty_segments == Empty::Refuse {
                    return Err(Detail::Path);
                }
            }
            Class::Slash => segment = end_segment(out, root, segment, End::Slash, policy)?,
            Class::Escape => {
                let (byte, tail) = read_escape(rest)?;
                rest = tail;
                match byte {
                    0 | b'\\' => return Err(Detail::Path),
                    b'/' if policy.encoded_slash == Rule::Refuse => return Err(Detail::Path),
                    b';' if policy.parameters == Rule::Refuse => return Err(Detail::Path),
                    byte if is_unreserved(byte) => out.push(byte),
                    byte => push_escape(byte, out),
                }
            }
            Class::Refuse => return Err(Detail::Path),
        }
    }
    end_segment(out, root, segment, End::Path, policy)?;
    Ok(())
}

/// What ends a segment.
#[derive(Clone, Copy)]
enum End {
    Slash,
    Path,
}

/// Ends the segment that begins at `segment`; returns where the next one begins. `root` is one past the
/// first slash.
fn end_segment(
    out: &mut Vec<u8>,
    root: usize,
    segment: usize,
    end: End,
    policy: Policy,
) -> Result<usize, Detail> {
    match out.get(segment..).unwrap_or_default() {
        b"." | b".." if policy.dot_segments == Rule::Refuse => Err(Detail::Path),
        // `/a/.` is `/a/`: the slash before a dot segment stays, the one after it goes.
        b"." => {
            out.truncate(segment);
            Ok(segment)
        }
        b".." => {
            if segment == root {
                return Err(Detail::Path);
            }
            let parent = out.get(..segment - 1).unwrap_or_default();
            let parent = memchr::memrchr(b'/', parent).map_or(root, |slash| slash + 1);
            out.truncate(parent);
            Ok(parent)
        }
        text if is_dot_in_disguise(text) => Err(Detail::Path),
        _ => {
            if let End::Slash = end {
                out.push(b'/');
            }
            Ok(out.len())
        }
    }
}

/// Origins that cut path parameters or decode `%2F` before they resolve dot segments would see one here
/// where we see none.
fn is_dot_in_disguise(segment: &[u8]) -> bool {
    let mut rest = segment;
    loop {
        let (part, tail) = match memchr::memmem::find(rest, b"%2F") {
            Some(at) => (rest.get(..at), rest.get(at + 3..)),
            None => (Some(rest), None),
        };
        let part = part.unwrap_or_default();
        let name = part.split(|&byte| byte == b';').next().unwrap_or_default();
        let name = match memchr::memmem::find(name, b"%3B") {
            Some(at) => name.get(..at).unwrap_or_default(),
            None => name,
        };
        if matches!(name, b"." | b"..") {
            return true;
        }
        match tail {
            Some(tail) => rest = tail,
            None => return false,
        }
    }
}

fn read_escape(rest: &[u8]) -> Result<(u8, &[u8]), Detail> {
    let Some((&[high, low], tail)) = rest.split_first_chunk::<2>() else {
        return Err(Detail::Path);
    };
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Ok((high << 4 | low, tail)),
        _ => Err(Detail::Path),
    }
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn push_escape(byte: u8, out: &mut Vec<u8>) {
    let hex = |nibble: u8| match nibble {
        0..=9 => b'0' + nibble,
        _ => b'A' + nibble - 10,
    };
    out.extend_from_slice(&[b'%', hex(byte >> 4), hex(byte & 15)]);
}

/// RFC 3986, 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Checks what stands after `?`. A query is passed on as it is: it may hold any visible ASCII character
/// but `#`.
#[inline]
pub fn check_query(raw: &[u8]) -> Result<(), Detail> {
    // Counted without a branch per byte, so that the compiler can do many at a time.
    let bad: usize = raw
        .iter()
        .map(|&byte| usize::from(!byte.is_ascii_graphic()) + usize::from(byte == b'#'))
        .sum();
    if bad == 0 {
        Ok(())
    } else {
        Err(Detail::Target)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The canonical path as text, or `None` when it is refused.
    fn canonical(raw: &[u8]) -> Option<String> {
        under(raw, Policy::DEFAULT)
    }

    fn under(raw: &[u8], policy: Policy) -> Option<String> {
        let mut out = b"kept".to_vec();
        let made = canonicalise(raw, policy, &mut out);
        assert!(out.starts_with(b"kept"));
        match made {
            Ok(Canonical::AsIs) => {
                assert_eq!(out, b"kept");
                Some(String::from_utf8(raw.to_vec()).unwrap())
            }
            Ok(Canonical::Made) => Some(String::from_utf8(out.split_off(4)).unwrap()),
            Err(detail) => {
                assert_eq!((detail, out.len()), (Detail::Path, 4));
                None
            }
        }
    }

    #[test]
    fn makes_paths_canonical() {
        for (raw, expected) in [
            ("/", "/"),
            ("/a/b.c", "/a/b.c"),
            ("/a//b/", "/a//b/"),
            ("//a", "//a"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/%41%7e%2D", "/A~-"),
            ("/a%2fb", "/a%2Fb"),
            ("/%252e%252E/", "/%252e%252E/"),
            ("/%0d%0a", "/%0D%0A"),
            ("/%c3%a9", "/%C3%A9"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/b/../c", "/a/c"),
            ("/a/%2e%2E/c", "/c"),
            ("/a//../b", "/a/b"),
            ("//..", "/"),
            ("/a/b;p=1/../c", "/a/c"),
            ("/a;..;b", "/a;..;b"),
            ("/x%2F.hidden", "/x%2F.hidden"),
            ("/@scope%2fname", "/@scope%2Fname"),
            ("/{a}|[b]^`\"<>", "/%7Ba%7D%7C%5Bb%5D%5E%60%22%3C%3E"),
        ] {
            assert_eq!(
                canonical(raw.as_bytes()).as_deref(),
                Some(expected),
                "{raw}"
            );
        }
    }

    #[test]
    fn refuses_what_two_parsers_would_read_differently() {
        for raw in [
            "",
            "a",
            "*",
            "%2Fa",
            "/%",
            "/%4",
            "/%zz",
            "/%u560a",
            "/a%00b",
            "/a\\b",
            "/a%5cb",
            "/a%5Cb",
            "/a#b",
            "/a?b",
            "/a b",
            "/..",
            "/../a",
            "/a/../..",
            "/%2e%2e/a",
            "/./../a",
            "/a/..;/b",
            "/a/.;x/b",
            "/a/..%3bx/b",
            "/a/..%2Fb",
            "/a/x%2f%2e%2e%2fb",
            "/é",
            "/\u{7f}",
        ] {
            assert_eq!(canonical(raw.as_bytes()), None, "{raw}");
        }
    }

    #[test]
    fn a_policy_refuses_or_merges() {
        let strict = Policy {
            dot_segments: Rule::Refuse,
            encoded_slash: Rule::Refuse,
            empty_segments: Empty::Refuse,
            parameters: Rule::Refuse,
        };
        for raw in [
            "/a/./b",
            "/a/%2e%2E/b",
            "/a/.",
            "/a%2fb",
            "/a//b",
            "//",
            "/a//",
            "/.//a",
            "/a;p",
            "/a%3bp",
        ] {
            assert!(canonical(raw.as_bytes()).is_some(), "{raw}");
            assert_eq!(under(raw.as_bytes(), strict), None, "{raw}");
        }
        for raw in ["/", "/a/", "/a/b.c", "/.well-known/x", "/a%C3%A9"] {
            assert_eq!(under(raw.as_bytes(), strict).as_deref(), Some(raw));
        }
        let merging = Policy {
            empty_segments: Empty::Merge,
            ..Policy::DEFAULT
        };
        for (raw, expected) in [
            ("//a///b//", "/a/b/"),
            ("//", "/"),
            ("/a//../b", "/b"),
            ("/a/.//b", "/a/b"),
            ("/a%2F/b", "/a%2F/b"),
        ] {
            assert_eq!(
                under(raw.as_bytes(), merging).as_deref(),
                Some(expected),
                "{raw}"
            );
        }
        assert_eq!(under(b"//..", merging), None, "above the root");
    }

    #[test]
    fn a_query_is_visible_ascii_without_a_fragment() {
        for byte in 0..=255u8 {
            let allowed = byte.is_ascii_graphic() && byte != b'#';
            assert_eq!(check_query(&[b'a', byte]).is_ok(), allowed, "{byte:#x}");
        }
        assert_eq!(check_query(b""), Ok(()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(raw in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = canonical(&raw);
        }
    }
}
