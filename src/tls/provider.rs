//! The one implementation of cryptography.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Suites and groups in rustls's order: TLS 1.3 first, X25519MLKEM768 before the classical groups: a
/// recorded handshake is worth nothing to a later quantum computer.
static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

pub(super) fn provider() -> &'static Arc<CryptoProvider> {
    &PROVIDER
}
