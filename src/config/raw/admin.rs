//! `[admin]`: the interface for operators.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::Secret;

/// `[admin]`. Without the table there is no admin interface.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// `IP:port` or `unix:/path`. Default: `127.0.0.1:9901`.
    pub bind: Option<Spanned<String>>,
    /// What a change must carry (`Authorization: Bearer …`), at least 16 bytes. Needed off loopback; once it is set,
    /// changes need it on loopback too. On a unix socket nobody asks for it: who may open the file may do everything.
    pub token: Option<Spanned<Secret>>,
}
