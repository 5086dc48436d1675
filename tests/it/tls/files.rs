//! Files of certificates change while the proxy runs: new ones are shown, wrong ones are told and change nothing.

use super::Bed;
use crate::support::eventually;
use crate::support::tls::{Authority, Issued, connect, replace, shown, status};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.chain.as_bytes()).expect("PEM")
}

fn reloads(bed: &Bed, result: &str) -> f64 {
    let labels = [("result", result)];
    bed.proxy.metric("tidegate_config_reloads_total", &labels)
}

impl Bed {
    fn shows(&self) -> CertificateDer<'static> {
        shown(&connect(self.proxy.web, "test.example", &self.client()).expect("a connection"))
    }

    fn put(&self, issued: &Issued) {
        // The key first: between the two steps the pair does not match, and the old one stays.
        let dir = self.proxy.log_path();
        let dir = dir.parent().expect("a directory");
        replace(&dir.join("c0.key"), &issued.key);
        replace(&dir.join("c0.pem"), &issued.chain);
    }
}

/// Nobody reloads: the file is enough. A connection that was there goes on.
#[test]
fn a_new_certificate_is_shown_when_its_file_is_there() {
    let bed = Bed::new();
    let before = bed.shows();
    let next = bed.authority.issue(&["test.example"]);
    bed.put(&next);
    eventually("the new one is shown", || {
        (bed.shows() == der(&next)).then_some(())
    });
    assert_ne!(before, der(&next));
    assert_eq!(status(bed.proxy.web, "test.example", &bed.client()), 200);
}

/// Half written, of another key, or gone: told with the path, and what was shown is shown on.
#[test]
fn a_wrong_file_changes_nothing() {
    let bed = Bed::new();
    let good = bed.shows();
    let dir = bed.proxy.log_path();
    let chain = dir.parent().expect("a directory").join("c0.pem");
    let whole = std::fs::read_to_string(&chain).expect("a file");
    let foreign = bed.authority.issue(&["test.example"]).chain;
    for (text, says) in [
        (&whole[..whole.len() / 2], "c0.pem` has"),
        (
            foreign.as_str(),
            "has a key that does not belong to the certificate",
        ),
        ("", "has no certificate in PEM"),
    ] {
        let before = reloads(&bed, "invalid");
        replace(&chain, text);
        eventually("it is refused", || {
            (reloads(&bed, "invalid") > before).then_some(())
        });
        bed.proxy.wait_output(says);
        assert_eq!(bed.shows(), good, "{says}");
    }
    // And it comes right again by itself.
    let next = bed.authority.issue(&["test.example"]);
    bed.put(&next);
    eventually("the new one is shown", || {
        (bed.shows() == der(&next)).then_some(())
    });
}

/// A certificate of an authority that nobody trusts is one like any other here: what is shown is the operator's choice.
#[test]
fn the_file_decides_not_the_authority() {
    let bed = Bed::new();
    let stranger = Authority::new("Somebody Else").issue(&["test.example"]);
    bed.put(&stranger);
    eventually("clients of the old authority refuse it", || {
        connect(bed.proxy.web, "test.example", &bed.client())
            .is_err()
            .then_some(())
    });
}
