//! `[stores.*]`.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{Duration, FilePath, Secret};

/// `[stores]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stores {
    /// `[stores.redis]`.
    pub redis: Option<Spanned<RedisStore>>,
}

/// `[stores.redis]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisStore {
    /// Where: `redis://[user:password@]host:port[/database]`, `unix:///path`, `redis-sentinel://[user:password@]host[:port],…/MASTER[/database]`
    /// or `redis-cluster://[user:password@]host[:port],…`; with `rediss` in the place of `redis`, under TLS.
    pub url: Spanned<Secret>,
    /// TLS to it, beside a URL that begins with `rediss`. Default: what the system trusts is trusted, and no certificate is shown.
    pub tls: Option<Spanned<StoreTls>>,
    /// For one decision. Range: above `0s`. Default: `20ms`.
    pub timeout: Option<Spanned<Duration>>,
    /// What holds without it. Default: `local`.
    pub on_error: Option<Spanned<OnStoreError>>,
}

/// `tls` of a store.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreTls {
    /// File with the authorities that sign the store's certificate, in PEM. Default: those that the system trusts.
    pub ca: Option<Spanned<FilePath>>,
    /// File with our own certificate and its chain in PEM, for a store that asks for one.
    pub certificate: Option<Spanned<FilePath>>,
    /// File with its private key in PEM, without a passphrase.
    pub key: Option<Spanned<FilePath>>,
}

/// What happens when a store cannot be reached.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreError {
    /// The limits, counted by this process alone.
    Local,
    /// Everything passes.
    Allow,
    /// Nothing passes: 503.
    Deny,
}
