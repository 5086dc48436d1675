//! The hosts of a route.

use std::fmt;

use crate::message::authority::{self, Parsed};

/// One host of a route, canonical.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum HostPattern {
    /// This host alone.
    Exact(Box<str>),
    /// Every host below this domain, at any depth: `.example.com` for `*.example.com`.
    Below(Box<str>),
}

/// Why a text is not a host of a route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostError {
    /// Not a name, an IPv4 address or an IPv6 address in brackets.
    Shape,
    /// A port stands behind it.
    Port,
    /// A `*` elsewhere than as the whole first label.
    Wildcard,
    /// `*` alone.
    Anything,
    /// Not ASCII.
    NotAscii,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "expected a host name, an IPv4 address or `[IPv6]`",
            Self::Port => "a host has no port here: routes ignore the port",
            Self::Wildcard => "`*` can only be the whole first label, as in `*.example.com`",
            Self::Anything => "leave `hosts` out to match every host",
            Self::NotAscii => "write international names in their ASCII form (`xn--…`)",
        })
    }
}

impl std::error::Error for HostError {}

impl HostPattern {
    /// Parses `example.com`, `*.example.com`, an IPv4 address or an IPv6 address in brackets.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if !text.is_ascii() {
            return Err(HostError::NotAscii);
        }
        if text == "*" {
            return Err(HostError::Anything);
        }
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err(HostError::Wildcard);
        }
        let parsed = authority::parse(name.as_bytes()).map_err(|_| HostError::Shape)?;
        if parsed.port.is_some() {
            return Err(HostError::Port);
        }
        let host = canonical(&parsed, name).ok_or(HostError::Shape)?;
        match below {
            false => Ok(Self::Exact(host.into())),
            true if host.starts_with('[') => Err(HostError::Wildcard),
            true => Ok(Self::Below(format!(".{host}").into())),
        }
    }
}

impl HostPattern {
    /// Whether a host is one of these, in any case.
    pub fn holds(&self, host: &[u8]) -> bool {
        match self {
            Self::Exact(name) => name.as_bytes().eq_ignore_ascii_case(host),
            Self::Below(domain) => host
                .len()
                .checked_sub(domain.len())
                .filter(|&label| label > 0)
                .and_then(|label| host.get(label..))
                .is_some_and(|end| end.eq_ignore_ascii_case(domain.as_bytes())),
        }
    }
}

fn canonical(parsed: &Parsed, name: &str) -> Option<String> {
    let mut made = Vec::new();
    parsed.make(name.as_bytes(), &mut made);
    String::from_utf8(made).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_holds_its_hosts_and_no_others() {
        for (pattern, host, held) in [
            ("a.example", "A.EXAMPLE", true),
            ("a.example", "b.a.example", false),
            ("*.a.example", "b.A.example", true),
            ("*.a.example", "c.b.a.example", true),
            ("*.a.example", "a.example", false),
            ("*.a.example", ".a.example", false),
            ("*.a.example", "xa.example", false),
        ] {
            let pattern = HostPattern::parse(pattern).unwrap();
            assert_eq!(pattern.holds(host.as_bytes()), held, "{pattern:?} {host}");
        }
    }

    #[test]
    fn hosts_are_canonical_or_refused() {
        let exact = |text: &str| Ok(HostPattern::Exact(text.into()));
        for (text, expected) in [
            ("Example.COM.", exact("example.com")),
            ("10.0.0.1", exact("10.0.0.1")),
            ("[0::1]", exact("[::1]")),
            (
                "*.Example.com",
                Ok(HostPattern::Below(".example.com".into())),
            ),
            ("*", Err(HostError::Anything)),
            ("*.", Err(HostError::Shape)),
            ("", Err(HostError::Shape)),
            ("a.*.b", Err(HostError::Wildcard)),
            ("*a.b", Err(HostError::Wildcard)),
            ("*.*.b", Err(HostError::Wildcard)),
            ("*.[::1]", Err(HostError::Wildcard)),
            ("a:80", Err(HostError::Port)),
            ("a/b", Err(HostError::Shape)),
            ("bücher.example", Err(HostError::NotAscii)),
        ] {
            assert_eq!(HostPattern::parse(text), expected, "{text}");
        }
    }
}
