//! Paths of files.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer};

use crate::config::span::Scope;

/// The path of a file; a relative one is meant from the configuration file that names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FilePath(pub PathBuf);

impl Deref for FilePath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Scope::resolve(&text)))
    }
}
