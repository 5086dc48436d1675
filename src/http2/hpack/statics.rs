//! The static table (RFC 7541, appendix A).

use std::sync::LazyLock;

use super::line::{Fit, Kind, Line};
use crate::message::Care;

/// How many lines it has; their indexes begin with 1.
pub(super) const LEN: usize = 61;

static LINES: [(&str, &str); LEN] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// What their names are.
static KINDS: LazyLock<[Kind; LEN]> =
    LazyLock::new(|| LINES.map(|(name, _)| Kind::of(name.as_bytes())));

/// The line at this index.
pub(super) fn line(index: usize) -> Option<Line<'static>> {
    let place = index.checked_sub(1)?;
    let (name, value) = LINES.get(place)?;
    Some(Line {
        kind: *KINDS.get(place)?,
        name: name.as_bytes(),
        value: value.as_bytes(),
        fit: Fit::Good,
        care: Care::Usual,
    })
}

/// The index of a response's status, where the table has it.
pub(super) const fn status(status: u16) -> Option<usize> {
    Some(match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => return None,
    })
}

/// The index of `:status` with another value.
pub(super) const STATUS: usize = 8;

/// The index of the first line with this name, in lower case.
pub(super) const fn name(name: &[u8]) -> Option<usize> {
    Some(match name {
        b":authority" => 1,
        b":method" => 2,
        b":path" => 4,
        b":scheme" => 6,
        b":status" => STATUS,
        b"accept-charset" => 15,
        b"accept-encoding" => 16,
        b"accept-language" => 17,
        b"accept-ranges" => 18,
        b"accept" => 19,
        b"access-control-allow-origin" => 20,
        b"age" => 21,
        b"allow" => 22,
        b"authorization" => 23,
        b"cache-control" => 24,
        b"content-disposition" => 25,
        b"content-encoding" => 26,
        b"content-language" => 27,
        b"content-length" => 28,
        b"content-location" => 29,
        b"content-range" => 30,
        b"content-type" => 31,
        b"cookie" => 32,
        b"date" => 33,
        b"etag" => 34,
        b"expect" => 35,
        b"expires" => 36,
        b"from" => 37,
        b"host" => 38,
        b"if-match" => 39,
        b"if-modified-since" => 40,
        b"if-none-match" => 41,
        b"if-range" => 42,
        b"if-unmodified-since" => 43,
        b"last-modified" => 44,
        b"link" => 45,
        b"location" => 46,
        b"max-forwards" => 47,
        b"proxy-authenticate" => 48,
        b"proxy-authorization" => 49,
        b"range" => 50,
        b"referer" => 51,
        b"refresh" => 52,
        b"retry-after" => 53,
        b"server" => 54,
        b"set-cookie" => 55,
        b"strict-transport-security" => 56,
        b"transfer-encoding" => 57,
        b"user-agent" => 58,
        b"vary" => 59,
        b"via" => 60,
        b"www-authenticate" => 61,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_and_lines_agree() {
        assert!(line(0).is_none() && line(LEN + 1).is_none());
        for (at, (text, _)) in LINES.iter().enumerate() {
            let first = LINES.iter().position(|(other, _)| other == text);
            assert_eq!(name(text.as_bytes()), first.map(|at| at + 1), "{text}");
            let line = line(at + 1).unwrap();
            assert_eq!(line.name, text.as_bytes());
            assert!(!matches!(line.kind, Kind::Unknown | Kind::Invalid));
        }
        for code in [200, 204, 206, 304, 400, 404, 500] {
            let line = line(status(code).unwrap()).unwrap();
            assert_eq!(
                (line.name, line.value),
                (&b":status"[..], code.to_string().as_bytes())
            );
        }
        assert!(status(201).is_none() && name(b"x").is_none());
    }
}
