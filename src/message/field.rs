//! One header field as offsets, and the names that this proxy must know.

/// A range of bytes in a head's buffer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A range; offsets are far below 4 GiB because heads are limited.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a head is limited to 1 MiB by its key's range"
    )]
    pub const fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// The bytes; empty if the range does not fit (it always does for a head's own buffer).
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// Length in bytes.
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One field line: `name: value CRLF`.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name as received.
    pub name: Span,
    /// The value without surrounding white space.
    pub value: Span,
    /// One past the line's LF; the line begins at `name.start`.
    pub line_end: u32,
    /// Which of the names we know it is.
    pub known: Known,
    /// How it goes on over HTTP/2.
    pub care: Care,
}

impl Field {
    /// Whether it may be remembered by nobody.
    pub fn is_guarded(&self) -> bool {
        self.care == Care::NeverIndexed
    }
}

/// How a field goes on over HTTP/2, where a connection remembers what it carried.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Care {
    /// As we see fit.
    #[default]
    Usual,
    /// Its sender wants it remembered by nobody, on no connection on the way (RFC 7541, 6.2.3 and 7.1.3).
    NeverIndexed,
}

/// How the fields begin by which proxies tell of a client: `-Prefix`, `-Ssl`, `-User` and more are in use.
const X_FORWARDED: &[u8] = b"x-forwarded-";

macro_rules! known {
    ($( $name:ident = $text:literal; )*) => {
        /// Names that decide something in this proxy; all others are [`Known::Other`]. A name beginning with
        /// `x-forwarded-` that is not in the list is [`Known::XForwarded`].
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the names say it")]
        pub enum Known { Other, XForwarded, $( $name, )* }

        impl Known {
            /// The name in lower case; empty where it is not one name.
            pub const fn name(self) -> &'static str {
                match self { Self::Other | Self::XForwarded => "", $( Self::$name => $text, )* }
            }

            /// Every name, by its slot.
            #[expect(clippy::indexing_slicing, reason = "run by the compiler alone")]
            const SLOTS: [(Self, Spelling); SLOTS] = {
                let mut slots = [(Self::Other, Spelling::of(b"")); SLOTS];
                $( {
                    let slot = slot($text.as_bytes());
                    assert!(matches!(slots[slot].0, Self::Other), "two names in one slot");
                    slots[slot] = (Self::$name, Spelling::of($text.as_bytes()));
                } )*
                slots
            };
        }
    };
}

/// How many slots the names are spread over.
const SLOTS: usize = 128;

/// Where a name stands: its length, first and last but one letter tell all the names apart, so a field is compared with
/// one of them at most. A new name that shares a slot does not compile: choose other factors.
const fn slot(name: &[u8]) -> usize {
    const LOWER: u8 = 0x20;
    match name {
        [first, .., near, _] => {
            (name.len() + (*near | LOWER) as usize * 23 + (*first | LOWER) as usize * 17) % SLOTS
        }
        [first, _] => (name.len() + (*first | LOWER) as usize * 40) % SLOTS,
        _ => 0,
    }
}

/// A name in lower case, as it is compared: byte by byte that was a fifteenth of a request.
#[derive(Clone, Copy)]
struct Spelling {
    name: &'static [u8],
    first: Word,
    last: Word,
}

/// Eight bytes of a name; or, of a short one, the first four and the last four, which overlap.
#[derive(Clone, Copy)]
struct Word {
    bytes: u64,
    /// Bit 5 of what is a letter: it says the case. Letters alone have bit 6 in a lower-case name.
    case: u64,
}

impl Word {
    const fn of(bytes: u64) -> Self {
        Self {
            bytes,
            case: (bytes & 0x4040_4040_4040_4040) >> 1,
        }
    }

    #[inline]
    const fn is(self, bytes: u64) -> bool {
        bytes | self.case == self.bytes
    }
}

/// The first and the last eight bytes; of fewer, down to four, twice the first four and the last four.
#[inline]
pub const fn words(name: &[u8]) -> Option<(u64, u64)> {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return Some((u64::from_le_bytes(*first), u64::from_le_bytes(*last)));
    }
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        let both = (first as u64) << 32 | last as u64;
        return Some((both, both));
    }
    None
}

/// Whether two names are one, whatever their case.
#[inline]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (words(a), words(b)) {
        (Some(one), Some(other)) if a.len() <= 8 => same_word(one.0, other.0),
        (Some(one), Some(other)) if a.len() <= 16 => {
            same_word(one.0, other.0) && same_word(one.1, other.1)
        }
        _ => a.eq_ignore_ascii_case(b),
    }
}

/// The same of eight bytes at once: they differ in nothing but bit 5 of letters.
#[inline]
const fn same_word(a: u64, b: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const CASE: u64 = ONES << 5;
    const TOP: u64 = ONES << 7;
    // What is added carries into the top bit of a byte from `a` on, and from behind `z` on; never into the next byte.
    let low = (a | CASE) & !TOP;
    let from_a = low + ONES * (0x80 - b'a' as u64);
    let past_z = low + ONES * (0x7f - b'z' as u64);
    let letters = (from_a & !past_z & !a & TOP) >> 2;
    (a ^ b) & !letters == 0
}

impl Spelling {
    const fn of(name: &'static [u8]) -> Self {
        let (first, last) = match words(name) {
            Some(words) => words,
            None => (0, 0),
        };
        Self {
            name,
            first: Word::of(first),
            last: Word::of(last),
        }
    }

    /// Whether a name is this one, whatever its case.
    #[inline]
    fn is(&self, name: &[u8]) -> bool {
        if name.len() != self.name.len() {
            return false;
        }
        match words(name) {
            Some((first, last)) => {
                self.first.is(first)
                    && self.last.is(last)
                    // Between them.
                    && (name.len() <= 16 || name.eq_ignore_ascii_case(self.name))
            }
            None => name.eq_ignore_ascii_case(self.name),
        }
    }
}

impl Known {
    /// Finds a name, whatever its case.
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        if let Some((known, spelling)) = Self::SLOTS.get(slot(name))
            && spelling.is(name)
        {
            return *known;
        }
        match name.split_at_checked(X_FORWARDED.len()) {
            Some((start @ [b'x' | b'X', ..], _)) if start.eq_ignore_ascii_case(X_FORWARDED) => {
                Self::XForwarded
            }
            _ => Self::Other,
        }
    }
}

known! {
    Te = "te";
    Date = "date";
    Host = "host";
    Expect = "expect";
    Cookie = "cookie";
    Server = "server";
    Referer = "referer";
    Trailer = "trailer";
    Upgrade = "upgrade";
    Location = "location";
    XRealIp = "x-real-ip";
    Forwarded = "forwarded";
    Connection = "connection";
    KeepAlive = "keep-alive";
    SetCookie = "set-cookie";
    UserAgent = "user-agent";
    RetryAfter = "retry-after";
    ClientCert = "client-cert";
    ContentType = "content-type";
    XRequestId = "x-request-id";
    CacheControl = "cache-control";
    Authorization = "authorization";
    ContentLength = "content-length";
    XForwardedFor = "x-forwarded-for";
    Http2Settings = "http2-settings";
    XForwardedHost = "x-forwarded-host";
    XForwardedPort = "x-forwarded-port";
    ProxyConnection = "proxy-connection";
    ClientCertChain = "client-cert-chain";
    XForwardedProto = "x-forwarded-proto";
    TransferEncoding = "transfer-encoding";
    ProxyAuthenticate = "proxy-authenticate";
    ProxyAuthorization = "proxy-authorization";
    XForwardedClientCert = "x-forwarded-client-cert";
}

impl Known {
    /// Fields of one hop only (RFC 9110, 7.6.1 and the older ones that are still sent): never passed on.
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::TransferEncoding
                | Self::Te
                | Self::Trailer
                | Self::Upgrade
                | Self::Http2Settings
        )
    }

    /// Fields that carry what a proxy says of the client: ours alone unless the peer is trusted.
    pub const fn is_forwarding(self) -> bool {
        matches!(
            self,
            Self::XForwarded
                | Self::XForwardedFor
                | Self::XForwardedHost
                | Self::XForwardedProto
                | Self::XForwardedPort
                | Self::XRealIp
                | Self::Forwarded
        ) || self.is_client_certificate()
    }

    /// Fields that carry the certificate that a client showed: believed of nobody who is not named for it.
    pub const fn is_client_certificate(self) -> bool {
        matches!(
            self,
            Self::ClientCert | Self::ClientCertChain | Self::XForwardedClientCert
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_whatever_their_case() {
        let plain = |a: &[u8], b: &[u8]| a.eq_ignore_ascii_case(b);
        for len in 0..20 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut one = vec![b'x'; len];
                    one[at] = byte;
                    for bits in [0, 0x20, 0x40, 0x60, 0x80, 0x01] {
                        let mut other = one.clone();
                        other[at] ^= bits;
                        assert_eq!(same(&one, &other), plain(&one, &other), "{one:?} {other:?}");
                    }
                }
            }
        }
        assert!(same(b"X-Served-By-Whom-Ever", b"x-served-by-whom-ever"));
        assert!(!same(b"server", b"servers") && same(b"", b""));
    }

    #[test]
    fn finds_names_in_any_case() {
        assert_eq!(Known::of(b"HOST"), Known::Host);
        assert_eq!(Known::of(b"Content-Length"), Known::ContentLength);
        assert_eq!(Known::of(b"content_length"), Known::Other);
        assert_eq!(Known::of(b""), Known::Other);
        assert_eq!(Known::of(b"X-Forwarded-User"), Known::XForwarded);
        assert_eq!(Known::of(b"X-Forwarded-"), Known::XForwarded);
        assert_eq!(Known::of(b"X-Forwarded"), Known::Other);
        assert_eq!(Known::of(b"X-Forwarded-Proto"), Known::XForwardedProto);
    }

    /// Every name in any case is found; with any one byte changed it is not, but for its case.
    #[test]
    fn a_name_is_known_by_every_byte() {
        let names = Known::SLOTS.into_iter().map(|(known, _)| known);
        for known in names.filter(|known| *known != Known::Other) {
            let name = known.name().as_bytes();
            assert_eq!(Known::of(&name.to_ascii_uppercase()), known);
            for at in 0..name.len() {
                for byte in 0..=u8::MAX {
                    let mut changed = name.to_vec();
                    changed[at] = byte;
                    let wanted = changed.eq_ignore_ascii_case(name);
                    assert_eq!(
                        Known::of(&changed) == known,
                        wanted,
                        "{}",
                        changed.escape_ascii()
                    );
                }
            }
        }
    }
}
