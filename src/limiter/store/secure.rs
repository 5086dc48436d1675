//! `tls` of `[stores.redis]` → what the library is given.

use std::fs;

use redis::{ClientTlsConfig, TlsCertificates};

use crate::base::hash::HashKey;
use crate::config::raw::store::StoreTls;
use crate::config::raw::tls::ClusterTls;
use crate::config::types::FilePath;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
use crate::tls::ClientTls;

/// Reads its files; what is wrong with them is told as it is for a cluster's.
pub(super) fn compile(
    raw: &Spanned<StoreTls>,
    diagnostics: &mut Diagnostics,
) -> Option<TlsCertificates> {
    let StoreTls {
        ca,
        certificate,
        key,
    } = &raw.value;
    // Said here: of a cluster there is a third way, PKCS#12, which the library does not read.
    if let (Some(one), None) | (None, Some(one)) = (certificate, key) {
        let message = "`certificate` and `key` belong together";
        let diagnostic = Diagnostic::error(Code::MissingKey, one.span, message);
        diagnostics.push(diagnostic.label("not both of them are here"));
        return None;
    }
    let wanted = ClusterTls {
        ca: ca.clone(),
        certificate: certificate.clone(),
        key: key.clone(),
        ..ClusterTls::default()
    };
    ClientTls::compile(&Spanned::new(wanted, raw.span), diagnostics)?;
    let mut read = |path: &Option<Spanned<FilePath>>| match path {
        None => Some(None),
        Some(path) => match fs::read(&path.value.0) {
            Ok(bytes) => Some(Some(bytes)),
            Err(error) => {
                let message = format!("`{}` cannot be read: {error}", path.display());
                diagnostics.push(Diagnostic::error(Code::BadValue, path.span, message));
                None
            }
        },
    };
    let root_cert = read(ca)?;
    let client_tls = match (read(certificate)?, read(key)?) {
        (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig {
            client_cert,
            client_key,
        }),
        _ => None,
    };
    Some(TlsCertificates {
        client_tls,
        root_cert,
    })
}

/// What a store is known by from one configuration to the next: where it is, and the content of its files. Only compared within this
/// process, and never shown.
pub(super) fn identity(url: &str, tls: Option<&TlsCertificates>) -> u128 {
    let own = tls.and_then(|tls| tls.client_tls.as_ref());
    let parts = [
        Some(url.as_bytes()),
        tls.map(|_| &b""[..]),
        tls.and_then(|tls| tls.root_cert.as_deref()),
        own.map(|own| own.client_cert.as_slice()),
        own.map(|own| own.client_key.as_slice()),
    ];
    let mut text = Vec::new();
    for part in parts {
        let len = part.map_or(u64::MAX, |part| part.len() as u64);
        text.extend(len.to_le_bytes());
        text.extend(part.unwrap_or_default());
    }
    HashKey::from_seed("store").hash128(&text)
}
