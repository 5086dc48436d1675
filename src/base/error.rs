//! An error that knows how it ends an exchange.

use std::fmt;

use super::{Detail, Reason};

/// A failure, translated to a [`Reason`] where it was met. Cheap: two small enums and, on cold paths
/// only, a boxed cause for humans.
#[derive(Debug)]
pub struct Error {
    reason: Reason,
    detail: Detail,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An ending without a deeper cause.
    pub const fn new(reason: Reason, detail: Detail) -> Self {
        Self {
            reason,
            detail,
            cause: None,
        }
    }

    /// An ending with what caused it; the cause is for logs, never for decisions.
    pub fn caused(
        reason: Reason,
        detail: Detail,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            reason,
            detail,
            cause: Some(cause.into()),
        }
    }

    /// How the exchange ends.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// What exactly was wrong.
    pub const fn detail(&self) -> Detail {
        self.detail
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self::new(reason, Detail::None)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_str())?;
        if self.detail != Detail::None {
            write!(f, " ({})", self.detail.as_str())?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
