//! What is asked for.

use std::fmt;

/// A name and what of it is asked for. The identity of an answer: the port that is written with a name is not part
/// of the question.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Query {
    /// Addresses of a host (A and AAAA).
    Host(Box<str>),
    /// Hosts, ports, weights and priorities of a service (SRV, RFC 2782).
    Srv(Box<str>),
}

/// What stands before the name of a service.
const SRV: &str = "srv:";

/// Longest name and longest label (RFC 1035, 2.3.4), the name without the dots of its wire form.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

impl Query {
    /// Parses `name:port`, which also gives a port, or `srv:name`.
    pub fn parse(text: &str) -> Option<(Self, Option<u16>)> {
        if let Some(name) = text.strip_prefix(SRV) {
            return Some((Self::Srv(name_of(name)?), None));
        }
        let (host, port) = text.rsplit_once(':')?;
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port: u16 = port.parse().ok().filter(|&port| digits && port != 0)?;
        Some((Self::Host(name_of(host)?), Some(port)))
    }

    /// The name that is asked for.
    pub fn name(&self) -> &str {
        match self {
            Self::Host(name) | Self::Srv(name) => name,
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Srv(_) = self {
            f.write_str(SRV)?;
        }
        f.write_str(self.name())
    }
}

/// A name in lower case. Digits and dots alone are no name but a slip in an address.
fn name_of(text: &str) -> Option<Box<str>> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(allowed)
    };
    let last = bare.rsplit('.').next()?;
    let named = last.bytes().any(|byte| !byte.is_ascii_digit());
    let fits = bare.len() <= MAX_NAME && bare.split('.').all(label) && named;
    fits.then(|| text.to_ascii_lowercase().into())
}
