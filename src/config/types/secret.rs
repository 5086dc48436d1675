//! Values that must not be seen: written out, or taken from the environment or a file.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::config::diagnostic::Code;
use crate::config::raw::SecretSource;

use super::refuse;

/// A secret: `"text"`, `{ env = "NAME" }` or `{ file = "path" }`. It is never printed.
#[derive(Clone, Eq, PartialEq)]
pub enum Secret {
    /// Written in the configuration.
    Literal(String),
    /// The value of an environment variable, read when the configuration is compiled.
    Env(String),
    /// The content of a file without its last line break, read when the configuration is compiled.
    File(PathBuf),
}

/// A text that may stand elsewhere, as a secret may, because every instance has its own. It is none itself.
pub type OwnText = Secret;

/// Why a secret could not be had. The text names the source, never the value.
#[derive(Debug)]
pub enum SecretError {
    /// The environment variable is not set, or is not UTF-8.
    Env(String),
    /// The file cannot be read.
    File(PathBuf, std::io::Error),
    /// There is nothing in it.
    Empty,
}

/// Longest secret that is read from a file, in bytes.
const MAX_SECRET: u64 = 64 << 10;

impl Secret {
    /// Reads the value from where it stands.
    pub fn resolve(&self) -> Result<String, SecretError> {
        let value = match self {
            Self::Literal(value) => value.clone(),
            Self::Env(name) => std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?,
            Self::File(path) => {
                use std::io::Read;
                let mut value = String::new();
                std::fs::File::open(path)
                    .and_then(|file| file.take(MAX_SECRET).read_to_string(&mut value))
                    .map_err(|error| SecretError::File(path.clone(), error))?;
                let end = value.trim_end_matches(['\r', '\n']).len();
                value.truncate(end);
                value
            }
        };
        if value.is_empty() {
            return Err(SecretError::Empty);
        }
        Ok(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Secret(…)"),
            Self::Env(name) => write!(f, "Secret(env {name})"),
            Self::File(path) => write!(f, "Secret(file {})", path.display()),
        }
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable `{name}` is not set"),
            Self::File(path, error) => write!(f, "cannot read `{}`: {error}", path.display()),
            Self::Empty => f.write_str("the secret is empty"),
        }
    }
}

impl std::error::Error for SecretError {}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret: a text, { env = \"NAME\" } or { file = \"path\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::Literal(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
        let source = SecretSource::deserialize(MapAccessDeserializer::new(map))?;
        match (source.env, source.file) {
            (Some(name), None) => Ok(Secret::Env(name)),
            (None, Some(path)) => Ok(Secret::File(path.0)),
            _ => Err(refuse(
                Code::BadSecret,
                "a secret comes from exactly one place",
                Some("write { env = \"NAME\" } or { file = \"path\" }".to_owned()),
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}
