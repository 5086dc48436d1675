//! The files that samples name under `certs/`, made where a sample is tried: none is kept in the repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
    KeyIdMethod, KeyPair, date_time_ymd,
};

/// Makes every `"certs/…"` that `text` names below `directory`: `x.pem` and `x.key` belong together, and what ends in
/// `ca.pem` is an authority, and `x.crl` a list of it that revokes nobody; `x.ocsp` is
/// an answer of it that says `successful`.
pub fn provide(directory: &Path, text: &str) {
    let mut stems = BTreeSet::new();
    let mut authorities = BTreeSet::new();
    let mut lists = BTreeSet::new();
    let mut answers = BTreeSet::new();
    for quoted in text.split('"').skip(1).step_by(2) {
        let Some(name) = quoted.strip_prefix("certs/") else {
            continue;
        };
        match name.rsplit_once('.') {
            Some((stem, "pem")) if stem.ends_with("ca") => authorities.insert(stem.to_owned()),
            Some((stem, "ocsp")) => answers.insert(stem.to_owned()),
            Some((stem, "crl")) => lists.insert(stem.to_owned()),
            Some((stem, "pem" | "key")) => stems.insert(stem.to_owned()),
            _ => panic!("`{quoted}`: nobody knows how to make it"),
        };
    }
    let folder = directory.join("certs");
    std::fs::create_dir_all(&folder).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    for stem in authorities {
        std::fs::write(folder.join(format!("{stem}.pem")), authority.pem()).unwrap();
    }
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2126, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&authority).unwrap().pem().unwrap();
    for stem in answers {
        std::fs::write(folder.join(format!("{stem}.ocsp")), [0x30, 3, 0x0a, 1, 0]).unwrap();
    }
    for stem in lists {
        std::fs::write(folder.join(format!("{stem}.crl")), &list).unwrap();
    }
    for stem in stems {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([stem.clone()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        std::fs::write(folder.join(format!("{stem}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{stem}.key")), key.serialize_pem()).unwrap();
    }
}

/// A folder of this test's own that has what stands in `directory`, and the certificates that `text` needs.
pub fn folder(directory: &Path, text: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("tidegate-certs-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    provide(&folder, text);
    folder
}
