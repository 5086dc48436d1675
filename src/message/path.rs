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
//! - dot segments are resolved afterwards (RFC 3986, 5.2.4); empty segments stay;
//! - refused: a path that does not begin with `/`, a malformed escape, `%00`, a backslash raw or as `%5C`,
//!   any other byte that may not stand in a path, a dot segment that climbs above the root, and a dot segment
//!   in disguise (`..;x`, `..%2Fx`), which some origins would still resolve.

use crate::base::Detail;

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
pub fn canonicalise(raw: &[u8], out: &mut Vec<u8>) -> Result<Canonical, Detail> {
    if is_canonical(raw)? {
        return Ok(Canonical::AsIs);
    }
    let start = out.len();
    match rewrite(raw, out) {
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

fn rewrite(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Detail> {
    let root = out.len() + 1;
    out.reserve(raw.len());
    out.push(b'/');
    let mut segment = root;
    let mut rest = raw.get(1..).unwrap_or_default();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match class(byte) {
            Class::Plain | Class::Dot => out.push(byte),
            Class::Encode => push_escape(byte, out),
            Class::Slash => segment = end_segment(out, root, segment, End::Slash)?,
            Class::Escape => {
                let (byte, tail) = read_escape(rest)?;
                rest = tail;
                match byte {
                    0 | b'\\' => return Err(Detail::Path),
                    byte if is_unreserved(byte) => out.push(byte),
                    byte => push_escape(byte, out),
                }
            }
            Class::Refuse => return Err(Detail::Path),
        }
    }
    end_segment(out, root, segment, End::Path)?;
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
fn end_segment(out: &mut Vec<u8>, root: usize, segment: usize, end: End) -> Result<usize, Detail> {
    match out.get(segment..).unwrap_or_default() {
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
        let mut out = b"kept".to_vec();
        let made = canonicalise(raw, &mut out);
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
    fn a_query_is_visible_ascii_without_a_fragment() {
        for byte in 0..=255u8 {
            let allowed = byte.is_ascii_graphic() && byte != b'#';
            assert_eq!(check_query(&[b'a', byte]).is_ok(), allowed, "{byte:#x}");
        }
        assert_eq!(check_query(b""), Ok(()));
    }

    fn escape(byte: u8) -> [char; 3] {
        let hex = |nibble: u8| {
            char::from_digit(nibble.into(), 16)
                .unwrap()
                .to_ascii_uppercase()
        };
        ['%', hex(byte >> 4), hex(byte & 15)]
    }

    /// The rules once more, on lists instead of offsets.
    fn model(raw: &[u8]) -> Option<String> {
        let mut text = String::new();
        let mut bytes = raw.iter().copied();
        while let Some(byte) = bytes.next() {
            let (byte, escaped) = if byte == b'%' {
                let pair = [bytes.next()?, bytes.next()?];
                if !pair.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                (
                    u8::from_str_radix(str::from_utf8(&pair).ok()?, 16).ok()?,
                    true,
                )
            } else {
                (byte, false)
            };
            let c = char::from(byte);
            let unreserved = c.is_ascii_alphanumeric() || "-._~".contains(c);
            match (escaped, byte) {
                (_, b'\\') | (true, 0) => return None,
                (true, _) if !unreserved => text.extend(escape(byte)),
                (true, _) => text.push(c),
                (false, _) if "\"<>[]^`{|}".contains(c) => text.extend(escape(byte)),
                (false, _) if unreserved || "!$&'()*+,;=:@/".contains(c) => text.push(c),
                (false, _) => return None,
            }
        }
        let segments: Vec<_> = text.strip_prefix('/')?.split('/').collect();
        let mut kept = vec![];
        for (at, segment) in segments.iter().enumerate() {
            let last = at + 1 == segments.len();
            let disguised = segment
                .split("%2F")
                .map(|part| part.replace("%3B", ";"))
                .any(|part| matches!(part.split(';').next(), Some("." | "..")));
            match *segment {
                "." | ".." => {
                    if *segment == ".." {
                        kept.pop()?;
                    }
                    if last {
                        kept.push("");
                    }
                }
                _ if disguised => return None,
                other => kept.push(other),
            }
        }
        Some(format!("/{}", kept.join("/")))
    }

    fn path() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            4 => prop::sample::select(vec![
                "/", "/", "..", ".", "%2e", "%2E", "%2f", "%3b", ";", "a", "%", "%25", "%5c", "%41", "{",
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
            1 => prop::collection::vec(0x20..=0x80u8, 1..3),
        ];
        prop::collection::vec(part, 0..12)
            .prop_map(|parts| [b"/".to_vec(), parts.concat()].concat())
    }

    proptest! {
        #[test]
        fn agrees_with_the_model(raw in path()) {
            prop_assert_eq!(canonical(&raw), model(&raw));
        }

        #[test]
        fn is_idempotent_and_bounded(raw in path()) {
            if let Some(once) = canonical(&raw) {
                prop_assert!(once.len() <= 3 * raw.len());
                prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
                let twice = canonical(once.as_bytes());
                prop_assert_eq!(twice.as_ref(), Some(&once));
            }
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(raw in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = canonical(&raw);
        }
    }
}
