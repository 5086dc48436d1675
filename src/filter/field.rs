//! Which fields the configuration may write, and with what values.

use std::fmt;

use crate::message::Known;
use crate::message::hops::is_token;

/// Where a configured field goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// Into a request on its way to an endpoint.
    Request,
    /// Into a response on its way to a client.
    Response,
    /// Into an answer of our own.
    Reply,
}

/// Why a field may not be configured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FieldError {
    /// No name.
    Empty,
    /// A character that is not of a token (RFC 9110, 5.6.2).
    Name(char),
    /// A field that frames the message or belongs to one hop: the writer's alone.
    Framing,
    /// Host follows the request.
    Host,
    /// What this proxy itself says of the client.
    Forwarding,
    /// Expect is answered here and never passed on.
    Expect,
    /// A date is of one moment, an answer of our own is sent at many.
    Date,
    /// A character that may not stand in a value.
    Value(char),
    /// White space before or after the value: it would be lost on the way.
    Space,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a field name cannot be empty"),
            Self::Name(c) => write!(f, "`{}` cannot stand in a field name", c.escape_default()),
            Self::Framing => f.write_str("framing and connection fields are written by the proxy"),
            Self::Host => f.write_str("Host follows the request and cannot be changed here"),
            Self::Forwarding => f.write_str("the proxy itself writes what it knows of the client"),
            Self::Expect => f.write_str("Expect is answered by the proxy and never passed on"),
            Self::Date => f.write_str("a fixed date would be wrong in every answer but one"),
            Self::Value(c) => write!(f, "`{}` cannot stand in a field value", c.escape_default()),
            Self::Space => f.write_str("a field value cannot begin or end with white space"),
        }
    }
}

impl std::error::Error for FieldError {}

/// Whether a field of this name may be written or removed there.
pub fn check_name(name: &str, place: Place) -> Result<(), FieldError> {
    if name.is_empty() {
        return Err(FieldError::Empty);
    }
    if let Some(c) = name.chars().find(|&c| !u8::try_from(c).is_ok_and(is_token)) {
        return Err(FieldError::Name(c));
    }
    let known = Known::of(name.as_bytes());
    if known.is_hop_by_hop() || known == Known::ContentLength {
        return Err(FieldError::Framing);
    }
    match (place, known) {
        (Place::Request, Known::Host) => Err(FieldError::Host),
        (Place::Request, Known::Expect) => Err(FieldError::Expect),
        (Place::Request, known) if known.is_forwarding() => Err(FieldError::Forwarding),
        (Place::Reply, Known::Date) => Err(FieldError::Date),
        _ => Ok(()),
    }
}

/// Whether a text may be a field's value: visible ASCII, inside it also spaces and tabs (E-040).
pub fn check_value(value: &str) -> Result<(), FieldError> {
    let allowed = |c: char| c.is_ascii_graphic() || c == ' ' || c == '\t';
    if let Some(c) = value.chars().find(|&c| !allowed(c)) {
        return Err(FieldError::Value(c));
    }
    if value.trim_ascii().len() != value.len() {
        return Err(FieldError::Space);
    }
    Ok(())
}
