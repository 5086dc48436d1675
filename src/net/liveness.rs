//! How a connection finds out that its other side went away without a word.

use std::time::Duration;

use crate::config::types::Duration as RawDuration;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};

/// Longest silence before the kernel asks: it takes 32767 seconds (tcp(7), `TCP_KEEPIDLE`).
const MAX_KEEPALIVE: Duration = Duration::from_hours(9);
/// Longest wait for an acknowledgement.
const MAX_USER_TIMEOUT: Duration = Duration::from_hours(24);

/// What the kernel is asked to watch.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Liveness {
    /// Silence before it asks; zero: never. `None`: as the kind of the connection wants it.
    pub keepalive: Option<Duration>,
    /// How long what was sent may stay unacknowledged; zero: as long as the kernel tries.
    pub user_timeout: Duration,
}

impl Liveness {
    /// Whether nothing is asked for.
    #[inline]
    pub const fn is_silent(&self) -> bool {
        self.keepalive.is_none() && self.user_timeout.is_zero()
    }

    /// Compiles the keys of that name.
    pub fn compile(
        keepalive: Option<Spanned<RawDuration>>,
        user_timeout: Option<Spanned<RawDuration>>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut within = |raw: Option<Spanned<RawDuration>>, most: Duration| {
            let given = raw?;
            if given.get() > most {
                let message = "longer than the kernel waits";
                let hours = most.as_secs() / 3600;
                diagnostics.push(
                    Diagnostic::error(Code::BadValue, given.span, message)
                        .label(format!("at most {hours}h")),
                );
                return None;
            }
            Some(given.get())
        };
        Self {
            keepalive: within(keepalive, MAX_KEEPALIVE),
            user_timeout: within(user_timeout, MAX_USER_TIMEOUT).unwrap_or_default(),
        }
    }
}
