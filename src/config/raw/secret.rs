//! `{ env = … }` and `{ file = … }`.

use serde::Deserialize;

use crate::config::types::FilePath;

/// Where a secret comes from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSource {
    /// Name of an environment variable.
    pub env: Option<String>,
    /// Path of a file.
    pub file: Option<FilePath>,
}

/// The settings of a choice that has none.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}
