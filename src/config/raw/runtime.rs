//! `[runtime]`: the process.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

use crate::config::span::Spanned;
use crate::config::types::{ByteSize, Duration, FilePath, OwnText};

/// `[runtime]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Number of workers; `auto` is one for each core that the process may use. Range: `1` to `1024`. Default: `auto`. Read at start.
    pub workers: Option<Spanned<Workers>>,
    /// Whether sends to many sockets leave by one system call where the kernel has that (`io_uring`, from Linux 6.0 on). Default: `true`. Read at start.
    pub io_uring: Option<Spanned<bool>>,
    /// SIGTERM: how long exchanges in flight may take to finish. Default: `30s`.
    pub drain_timeout: Option<Spanned<Duration>>,
    /// Client connections of the process; 0: from the limit of file descriptors. Default: `0`.
    pub max_connections: Option<Spanned<u32>>,
    /// Memory for what peers make us hold, at least `16MiB`; 0B: three quarters of what control group and machine allow. Default: `0B`.
    pub memory: Option<Spanned<ByteSize>>,
    /// SIGTERM: how long `/ready` says 503 while still serving. Default: `0s`.
    pub shutdown_delay: Option<Spanned<Duration>>,
    /// Seed of everything that must hash alike on several instances: with the same one, the same key goes the
    /// same way. Default: `tidegate`.
    pub hash_seed: Option<Spanned<String>>,
    /// The zone that this instance stands in: endpoints in the same one come first. Default: none.
    pub zone: Option<Spanned<OwnText>>,
    /// File with the key that signs sticky cookies and seals TLS tickets, at least 16 bytes; the same on every instance. Default: a
    /// random key of the process.
    pub secret_file: Option<Spanned<FilePath>>,
    /// File that the secrets of all TLS connections of listeners are appended to, for a debugger (the format of `SSLKEYLOGFILE`): whoever
    /// has it can read what was recorded. Default: none.
    pub danger_tls_key_log: Option<Spanned<FilePath>>,
    /// What checking the passwords of `basic_auth` may take.
    #[serde(default)]
    pub passwords: Passwords,
}

/// `[runtime.passwords]`: hashing is work that strangers order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passwords {
    /// How many are hashed at once. Range: `1` to `1024`. Default: half of the cores that the process may use.
    pub at_once: Option<Spanned<u32>>,
    /// How many of all clients wait for that or are hashed; more are refused with 503. Range: `1` to `65536`. Default: `256`.
    pub waiting: Option<Spanned<u32>>,
    /// How many of one client (IPv6: of one /64); more are refused with 429. Range: `1` to `65536`. Default: `8`.
    pub waiting_per_client: Option<Spanned<u32>>,
    /// How many right ones are remembered, and how many wrong ones. Range: `16` to `4194304`. Default: `16384`.
    pub remembered: Option<Spanned<u32>>,
    /// Largest cost of a hash of bcrypt; each one more takes twice the time. Range: `10` to `31`. Default: `15`.
    pub bcrypt_cost: Option<Spanned<u32>>,
    /// Largest memory of a hash of argon2, which each takes that is made at once. Range: `8KiB` to `4096MiB`. Default: `256MiB`.
    pub argon2_memory: Option<Spanned<ByteSize>>,
}

/// A number of workers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Workers {
    /// One for each core the process may use.
    Auto,
    /// That many.
    Count(u32),
}

struct WorkersReader;

impl Visitor<'_> for WorkersReader {
    type Value = Workers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"auto\" or a number, 1-1024")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Workers, E> {
        match text {
            "auto" => Ok(Workers::Auto),
            _ => Err(E::unknown_variant(text, &["auto"])),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Workers, E> {
        u32::try_from(number)
            .ok()
            .filter(|count| (1..=1024).contains(count))
            .map(Workers::Count)
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WorkersReader)
    }
}
