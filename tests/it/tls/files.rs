//! Files of certificates change while the proxy runs: new ones are shown, wrong ones are told and change nothing.

use super::Bed;
use crate::support::eventually;
use crate::support::tls::{Authority, Issued, Kind, connect, replace, shown, status};
use crate::support::{Origin, Setup};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.chain.as_bytes()).expect("PEM")
}

fn reloads(bed: &Bed, result: &str) -> f64 {
    let labels = [("result", result)];
    bed.proxy.metric("tidegate_config_reloads_total", &labels)
}

fn renewals(bed: &Bed, result: &str) -> f64 {
    let labels = [("listener", "web"), ("result", result)];
    bed.proxy.metric("tidegate_tls_renewals_total", &labels)
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

/// E-165: half written, of another key, or gone: told with the path, and what was shown is shown on.
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
        let before = renewals(&bed, "error");
        replace(&chain, text);
        eventually("it is refused", || {
            (renewals(&bed, "error") > before).then_some(())
        });
        bed.proxy.wait_output(says);
        assert_eq!(bed.shows(), good, "{says}");
    }
    assert_eq!(
        reloads(&bed, "invalid"),
        0.0,
        "no configuration was asked for"
    );
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

/// A configuration that does not load stands there, and another certificate is broken: that is no reason to let one run out.
#[test]
fn a_certificate_is_renewed_whatever_else_is_wrong() {
    let bed = Bed::of(Setup::new(), Origin::start(), "", "", &|authority| {
        vec![
            authority.issue(&["test.example"]),
            authority.issue(&["other.example"]),
        ]
    });
    let dir = bed.proxy.log_path();
    let at = |name: &str| dir.with_file_name(name);
    let text = std::fs::read_to_string(at("tidegate.toml")).expect("a file");
    replace(&at("tidegate.toml"), "[[routes]]\nname = 1\n");
    replace(&at("c1.pem"), "broken");
    eventually("both are refused", || {
        (reloads(&bed, "invalid") >= 1.0 && renewals(&bed, "error") >= 1.0).then_some(())
    });
    let next = bed.authority.issue(&["test.example"]);
    bed.put(&next);
    eventually("the new one is shown", || {
        (bed.shows() == der(&next)).then_some(())
    });
    // Both are mended, in any order.
    bed.authority.issue(&["other.example"]).write_at(&at("c1"));
    replace(&at("tidegate.toml"), &text);
    eventually("the configuration is taken", || {
        let labels = [];
        let last = "tidegate_config_last_reload_successful";
        (bed.proxy.metric(last, &labels) == 1.0).then_some(())
    });
    assert_eq!(status(bed.proxy.web, "other.example", &bed.client()), 200);
}

/// What a refused configuration names is watched: when it is mended, the configuration is tried again.
#[test]
fn a_file_that_only_a_refused_configuration_names_is_watched() {
    let bed = Bed::new();
    let elsewhere = crate::support::dir::Dir::new();
    let late = elsewhere.file("late");
    let path = bed.proxy.log_path().with_file_name("tidegate.toml");
    let text = std::fs::read_to_string(&path).expect("a file");
    let old = path.with_file_name("c0").display().to_string();
    replace(&path, &text.replace(&old, &late.display().to_string()));
    eventually("it is refused", || {
        (reloads(&bed, "invalid") >= 1.0).then_some(())
    });
    let next = bed.authority.issue(&["test.example"]);
    next.write_at(&late);
    eventually("the new one is shown", || {
        (bed.shows() == der(&next)).then_some(())
    });
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// F-19, F-45 at the size of a test: certificates and authorities of clients are exchanged, and broken between, while
/// clients come without a pause. None of them notices.
#[test]
fn handshakes_go_on_while_files_are_exchanged() {
    let people = Authority::new("People");
    let setup = Setup::new();
    let ca = setup.dir.file("people.pem");
    replace(&ca, &people.pem());
    let auth = format!(
        ", client_auth = {{ required = {{ ca = \"{}\" }} }}",
        ca.display()
    );
    let bed = Bed::of(setup, Origin::start(), &auth, "", &|authority| {
        vec![authority.issue(&["test.example"])]
    });
    let own = people.issue_with(&["client.example"], Kind::Ecdsa, |_| {});
    let client = std::sync::Arc::new(bed.authority.client_with(&own));
    let (done, good) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        // Full ones and resumed ones in turn.
                        assert_eq!(status(bed.proxy.web, "test.example", &client), 200);
                        good.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        // Also where an assertion fails: the scope waits for them.
        let end = Done(&done);
        let chain = bed.proxy.log_path().with_file_name("c0.pem");
        for round in 0..6 {
            let before = good.load(Ordering::Relaxed);
            let others = Authority::new("Others").pem();
            replace(&ca, &format!("{}{others}", people.pem()));
            let refused = renewals(&bed, "error");
            let whole = std::fs::read_to_string(&chain).expect("a file");
            replace(&chain, &whole[..whole.len() * (round + 1) / 8]);
            eventually("it is refused", || {
                (renewals(&bed, "error") > refused).then_some(())
            });
            let next = bed.authority.issue(&["test.example"]);
            bed.put(&next);
            eventually("the next one is shown", || {
                // One that resumes nothing: it would be shown nothing.
                let fresh = std::sync::Arc::new(bed.authority.client_with(&own));
                let came = connect(bed.proxy.web, "test.example", &fresh);
                (came.is_ok_and(|it| shown(&it) == der(&next))).then_some(())
            });
            eventually("clients came meanwhile", || {
                (good.load(Ordering::Relaxed) > before + 8).then_some(())
            });
        }
        drop(end);
        for client in clients {
            client.join().expect("no handshake failed");
        }
    });
}

#[test]
fn certificates_are_shown_to_the_operator() {
    let bed = Bed::of(Setup::new(), Origin::start(), "", "", &|authority| {
        let until = |params: &mut rcgen::CertificateParams| {
            params.not_after = rcgen::date_time_ymd(2090, 1, 1);
        };
        vec![
            authority.issue_with(&["test.example", "*.test.example"], Kind::Ecdsa, until),
            authority.issue(&["other.example"]),
        ]
    });
    let text = bed.proxy.admin_get("/api/v1/certificates").is(200).text();
    let shown: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let shown = shown.as_array().expect("a list");
    assert_eq!(shown.len(), 2);
    let one = shown
        .iter()
        .find(|one| one["names"][0] == "test.example")
        .expect("the first");
    assert_eq!(one["names"][1], "*.test.example");
    assert_eq!(one["issuer"], "CN=Test Authority");
    assert_eq!(one["not_after"], 3_786_912_000_u64);
    assert_eq!(one["fingerprint"].as_str().expect("a text").len(), 64);
    assert_eq!(one["shown_by"][0]["listener"], "web");
    let file = one["shown_by"][0]["file"].as_str().expect("a text");
    let labels = [("listener", "web"), ("certificate", file)];
    let until = "tidegate_tls_certificate_not_after_timestamp_seconds";
    assert_eq!(bed.proxy.metric(until, &labels), 3_786_912_000.0);
}
