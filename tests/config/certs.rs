//! The files that samples name under `certs/`, made where a sample is tried: none is kept in the repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
    KeyIdMethod, KeyPair, date_time_ymd,
};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

/// Makes every `"certs/…"` that `text` names below `directory`: `x.pem` and `x.key` belong together, and what ends in
/// `ca.pem` is an authority, and `x.crl` a list of it that revokes nobody; `x.ocsp` is
/// an answer of it about every certificate; `x.p12` is one with its key, under what is in `x.password`.
pub fn provide(directory: &Path, text: &str) {
    let mut stems = BTreeSet::new();
    let mut authorities = BTreeSet::new();
    let mut lists = BTreeSet::new();
    let mut answers = BTreeSet::new();
    let mut stores = BTreeSet::new();
    for quoted in text.split('"').skip(1).step_by(2) {
        let Some(name) = quoted.strip_prefix("certs/") else {
            continue;
        };
        match name.rsplit_once('.') {
            Some((stem, "pem")) if stem.ends_with("ca") => authorities.insert(stem.to_owned()),
            Some((stem, "ocsp")) => answers.insert(stem.to_owned()),
            Some((stem, "p12" | "password")) => stores.insert(stem.to_owned()),
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
        std::fs::write(folder.join(format!("{stem}.ocsp")), good(authority.der())).unwrap();
    }
    for stem in lists {
        std::fs::write(folder.join(format!("{stem}.crl")), &list).unwrap();
    }
    for stem in stems.union(&stores) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([stem.clone()]).unwrap();
        params.serial_number = Some(SERIAL.into());
        let certificate = params.signed_by(&key, &authority).unwrap();
        std::fs::write(folder.join(format!("{stem}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{stem}.key")), key.serialize_pem()).unwrap();
    }
    for stem in stores {
        let at = |ending| folder.join(format!("{stem}.{ending}"));
        std::fs::write(at("password"), "sample\n").unwrap();
        let output = Command::new("openssl")
            .args(["pkcs12", "-export", "-passout", "pass:sample", "-out"])
            .arg(at("p12"))
            .arg("-in")
            .arg(at("pem"))
            .arg("-inkey")
            .arg(at("key"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// The number of every certificate that is made here.
const SERIAL: u64 = 1;

/// An answer of OCSP that says that the certificate with this number is good, and for ever. Nobody signed it.
fn good(authority: &[u8]) -> Vec<u8> {
    fn put(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let len = u8::try_from(content.len()).unwrap();
        // Lengths above 127 say how many bytes they have.
        let head = if len < 0x80 {
            vec![tag, len]
        } else {
            vec![tag, 0x81, len]
        };
        [&head[..], &content].concat()
    }
    let basic = [0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
    let sha256 = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
    let hash = put(0x30, &[&put(6, &[&sha256])]);
    let name = Certificate::from_der(authority).unwrap();
    let name = name.tbs_certificate().subject().to_der().unwrap();
    let name = put(4, &[digest(&SHA256, &name).as_ref()]);
    let (none, time) = (put(4, &[]), put(0x18, &[b"20260101000000Z"]));
    let serial = put(2, &[&[u8::try_from(SERIAL).unwrap()]]);
    let about = put(0x30, &[&hash, &name, &none, &serial]);
    let single = put(0x30, &[&about, &put(0x80, &[]), &time]);
    let data = put(0x30, &[&put(0xa2, &[&none]), &time, &put(0x30, &[&single])]);
    let answer = put(0x30, &[&data]);
    let answer = put(0x30, &[&put(6, &[&basic]), &put(4, &[&answer])]);
    put(0x30, &[&put(0x0a, &[&[0]]), &put(0xa0, &[&answer])])
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
