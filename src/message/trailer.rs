//! Which trailers may be passed on (E-025).

use super::alias;
use super::field::Known;

/// What becomes of one trailer field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is passed on.
    Passes,
    /// HTTP/1 has no word for it: recipients may merge trailers into the head unasked, so only what is known to be
    /// harmless there is passed on.
    Unlisted,
    /// It frames, routes, authenticates or controls: it never stands in a trailer (RFC 9110, 6.5.1).
    Forbidden,
}

/// How many trailer fields of a message were not passed on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Dropped {
    /// [`Verdict::Unlisted`].
    pub unlisted: u64,
    /// [`Verdict::Forbidden`].
    pub forbidden: u64,
}

/// What is forbidden besides the names that this proxy knows.
const FORBIDDEN: [&str; 27] = [
    "accept-encoding",
    "accept-ranges",
    "age",
    "allow",
    "alt-svc",
    "clear-site-data",
    "content-encoding",
    "content-range",
    "date",
    "early-data",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-http-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Results and measurements.
const LISTED: [&str; 9] = [
    "content-digest",
    "content-md5",
    "digest",
    "etag",
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "repr-digest",
    "server-timing",
];
/// Beginnings of such.
const FAMILIES: [&str; 2] = ["x-amz-checksum-", "x-checksum-"];

/// What becomes of a trailer of this name over HTTP/1.
pub fn judge(name: &[u8]) -> Verdict {
    let is = |listed: &str| name.eq_ignore_ascii_case(listed.as_bytes());
    let begins = |family: &str| {
        name.get(..family.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(family.as_bytes()))
    };
    let reads_as = |forbidden: &str| alias::same(name, forbidden.as_bytes());
    if Known::of(name) != Known::Other
        || alias::is_alias(name)
        || FORBIDDEN.iter().any(|forbidden| reads_as(forbidden))
    {
        Verdict::Forbidden
    } else if LISTED.iter().any(|listed| is(listed)) || FAMILIES.iter().any(|family| begins(family))
    {
        Verdict::Passes
    } else {
        Verdict::Unlisted
    }
}

impl Dropped {
    /// Counts a field that is not passed on.
    pub fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Passes => {}
            Verdict::Unlisted => self.unlisted += 1,
            Verdict::Forbidden => self.forbidden += 1,
        }
    }

    /// Whether every field was passed on.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_something_is_forbidden() {
        for name in [
            "Content-Length",
            "transfer-encoding",
            "Host",
            "Authorization",
            "cookie",
            "Set-Cookie",
            "Connection",
            "X-Forwarded-For",
            "x-forwarded-user",
            "X_Real_IP",
            "te",
            "Trailer",
            "If-None-Match",
            "if_match",
            "Cache-Control",
            "WWW-Authenticate",
        ] {
            assert_eq!(judge(name.as_bytes()), Verdict::Forbidden, "{name}");
        }
    }

    #[test]
    fn results_pass_and_the_rest_is_unlisted() {
        for name in LISTED {
            assert_eq!(judge(name.as_bytes()), Verdict::Passes, "{name}");
        }
        assert_eq!(judge(b"X-Amz-Checksum-Crc32c"), Verdict::Passes);
        for name in ["x", "x-amz-ch", "grpc_status", "x-whatever"] {
            assert_eq!(judge(name.as_bytes()), Verdict::Unlisted, "{name}");
        }
    }
}
