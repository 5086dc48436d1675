//! Names that an operator writes in the configuration and reads back in logs and metrics.

use std::fmt;
use std::sync::Arc;

/// Longest name that is accepted, in bytes: names become metric labels.
pub const MAX_NAME: usize = 64;

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NameError {
    /// Nothing between the quotes.
    Empty,
    /// More than [`MAX_NAME`] bytes.
    TooLong,
    /// A character other than an ASCII letter, a digit, `-`, `_` or `.`.
    Character(char),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name cannot be empty"),
            Self::TooLong => write!(f, "a name has at most {MAX_NAME} bytes"),
            Self::Character(c) => {
                write!(
                    f,
                    "`{}` cannot stand in a name (allowed: a-z A-Z 0-9 - _ .)",
                    c.escape_default()
                )
            }
        }
    }
}

impl std::error::Error for NameError {}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong);
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
    {
        Some(c) => Err(NameError::Character(c)),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks length and characters.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The name as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A listener: a bound address and how to speak on it.
    ListenerName
}
name! {
    /// A route: match, filters, action.
    RouteName
}
name! {
    /// A cluster: a named group of endpoints and the policy for reaching them.
    ClusterName
}
name! {
    /// Error pages.
    PagesName
}
name! {
    /// A rate limiter.
    LimiterName
}

impl RouteName {
    /// What stands for no route. None can be configured under it.
    pub fn none() -> Self {
        Self(Self::NONE.into())
    }

    /// The same as text.
    pub const NONE: &str = "-";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_names_and_refuses_what_would_break_a_label() {
        assert_eq!(
            ClusterName::parse("api-2.eu_west").unwrap().as_str(),
            "api-2.eu_west"
        );
        assert_eq!(ClusterName::parse(""), Err(NameError::Empty));
        assert_eq!(ClusterName::parse("a b"), Err(NameError::Character(' ')));
        assert_eq!(ClusterName::parse("a\"b"), Err(NameError::Character('"')));
        assert_eq!(RouteName::parse(&"x".repeat(65)), Err(NameError::TooLong));
    }
}
