//! Answers of an authority that a certificate is not revoked (OCSP), which are shown with it.

use crate::support::tls::{Any, Authority, Issued, Standing, connect, run};
use crate::support::{Proxy, Setup, eventually};
use std::path::PathBuf;
use std::sync::Arc;

/// A proxy that shows one certificate with what is in a file.
struct Bed {
    authority: Authority,
    issued: Issued,
    staple: PathBuf,
    proxy: Proxy,
}

impl Bed {
    fn showing(answer: &dyn Fn(&Authority, &Issued) -> Vec<u8>) -> Self {
        let setup = Setup::new();
        let staple = setup.dir.file("c0.ocsp");
        let authority = Authority::new("Test Authority");
        let issued = authority.issue(&["test.example"]);
        std::fs::write(&staple, answer(&authority, &issued)).expect("a file");
        let entry = issued.write(&setup.dir, "c0");
        let entry = entry.replace(" }", &format!(", ocsp = \"{}\" }}", staple.display()));
        let proxy = setup
            .route("all", "respond = { status = 204 }")
            .listener(&format!("tls = {{ certificates = [{entry}] }}"))
            .start();
        Self {
            authority,
            issued,
            staple,
            proxy,
        }
    }

    /// What a client is shown.
    fn stapled(&self) -> Vec<u8> {
        let seen = Arc::new(Any::default());
        let mut client = self.authority.client();
        let verifier = Arc::clone(&seen);
        client.dangerous().set_certificate_verifier(verifier);
        connect(self.proxy.web, "test.example", &Arc::new(client)).expect("a connection");
        seen.stapled()
    }

    fn until(&self) -> f64 {
        let file = self.staple.with_extension("pem").display().to_string();
        let labels = [("listener", "web"), ("certificate", file.as_str())];
        let name = "tidegate_tls_staple_next_update_timestamp_seconds";
        self.proxy.metric(name, &labels)
    }
}

/// It is shown with its certificate and exchanged like it, and what is no answer about it changes nothing.
#[test]
fn an_answer_of_the_authority_is_stapled() {
    let bed = Bed::showing(&|authority, issued| authority.answer(issued, Standing::Good, 0..2));
    let first = std::fs::read(&bed.staple).expect("a file");
    assert_eq!(bed.stapled(), first);
    let until = bed.until();
    assert!(until > 0.0);
    let ca = bed.staple.with_extension("ca");
    std::fs::write(&ca, bed.authority.pem()).expect("a file");
    let (at, ca) = (bed.proxy.web.to_string(), ca.display().to_string());
    let arguments = ["s_client", "-connect", &at, "-servername", "test.example"];
    let arguments = [&arguments[..], &["-status", "-CAfile", &ca]].concat();
    let output = run("openssl", &arguments, "");
    let text = String::from_utf8_lossy(&output.stdout);
    for says in [
        "OCSP Response Status: successful (0x0)",
        "Cert Status: good",
        "Verify return code: 0 (ok)",
    ] {
        assert!(text.contains(says), "{text}");
    }
    let other = bed.authority.issue(&["test.example"]);
    let stranger = Authority::new("Somebody Else");
    for (answer, says) in [
        (vec![0x30, 3, 0x0a, 1, 3], "its status is 3"),
        (first[..first.len() / 2].to_vec(), "or not all of it"),
        (
            bed.authority.answer(&other, Standing::Good, 0..2),
            "about another certificate",
        ),
        (
            stranger.answer(&bed.issued, Standing::Good, 0..2),
            "about another certificate",
        ),
        (
            bed.authority.answer(&bed.issued, Standing::Revoked, 0..2),
            "says that the certificate is revoked",
        ),
    ] {
        std::fs::write(&bed.staple, answer).expect("a file");
        bed.proxy.wait_output(says);
        assert_eq!(bed.stapled(), first, "{says}");
    }
    let next = bed.authority.answer(&bed.issued, Standing::Good, 0..4);
    std::fs::write(&bed.staple, &next).expect("a file");
    eventually("the next one is shown", || {
        (bed.stapled() == next).then_some(())
    });
    assert!(bed.until() > until);
}

/// A certificate is renewed before its answer is: it is shown without one for as long.
#[test]
fn a_renewed_certificate_does_not_wait_for_its_answer() {
    let bed = Bed::showing(&|authority, issued| authority.answer(issued, Standing::Good, 0..2));
    assert_ne!(bed.stapled(), b"");
    let next = bed.authority.issue(&["test.example"]);
    next.write_at(&bed.staple.with_extension(""));
    bed.proxy.wait_output("shown without an answer of OCSP");
    eventually("the next one is shown", || {
        bed.stapled().is_empty().then_some(())
    });
    let answer = bed.authority.answer(&next, Standing::Good, 0..2);
    std::fs::write(&bed.staple, &answer).expect("a file");
    eventually("its answer, too", || {
        (bed.stapled() == answer).then_some(())
    });
}

/// Clients that refuse an answer that is too old take its certificate without one.
#[test]
fn an_answer_that_is_too_old_is_not_shown() {
    let bed = Bed::showing(&|authority, issued| authority.answer(issued, Standing::Good, -3..-2));
    assert_eq!(bed.stapled(), b"");
    bed.proxy.wait_output("has an answer that is too old");
    let next = bed.authority.answer(&bed.issued, Standing::Good, 0..2);
    std::fs::write(&bed.staple, &next).expect("a file");
    eventually("the next one is shown", || {
        (bed.stapled() == next).then_some(())
    });
    let old = bed.authority.answer(&bed.issued, Standing::Good, -3..-2);
    std::fs::write(&bed.staple, &old).expect("a file");
    bed.proxy.wait_output("is too old, and is not shown");
    assert_eq!(bed.stapled(), b"");
}

/// They refuse one that is of the future, too.
#[test]
fn an_answer_that_is_not_good_yet_is_not_shown() {
    let bed = Bed::showing(&|authority, issued| authority.answer(issued, Standing::Good, 1..2));
    assert_eq!(bed.stapled(), b"");
    bed.proxy.wait_output("has an answer that is not good yet");
    let now = bed.authority.answer(&bed.issued, Standing::Good, 0..2);
    std::fs::write(&bed.staple, &now).expect("a file");
    eventually("the one of today is shown", || {
        (bed.stapled() == now).then_some(())
    });
}
