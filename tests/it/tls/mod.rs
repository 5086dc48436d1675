//! TLS on listeners: what is shown to whom, what is spoken, and what is refused.

mod agreed;
mod clients;
mod files;
mod handshake;
mod many;
mod names;
mod staples;
mod stores;
mod traffic;
mod upstream;

use crate::support::tls::{Authority, Issued};
use crate::support::{Origin, Proxy, Setup, endpoint};
use std::sync::Arc;

/// A proxy with TLS in front of an origin.
struct Bed {
    origin: Origin,
    authority: Authority,
    proxy: Proxy,
}

impl Bed {
    /// With one certificate for `test.example`.
    fn new() -> Self {
        Self::with("", &|authority| vec![authority.issue(&["test.example"])])
    }

    /// The same with these fields in the log.
    fn logging(fields: &[&str]) -> Self {
        let setup = Setup::new().access("fields", format!("{fields:?}"));
        Self::of(setup, Origin::start(), "", "", &|authority| {
            vec![authority.issue(&["test.example"])]
        })
    }

    /// With these certificates and further keys in `tls`.
    fn with(keys: &str, issue: &dyn Fn(&Authority) -> Vec<Issued>) -> Self {
        Self::on(Origin::start(), keys, "", issue)
    }

    /// Over this origin, with further keys of the listener.
    fn on(
        origin: Origin,
        keys: &str,
        listener: &str,
        issue: &dyn Fn(&Authority) -> Vec<Issued>,
    ) -> Self {
        Self::of(Setup::new(), origin, keys, listener, issue)
    }

    fn of(
        setup: Setup,
        origin: Origin,
        keys: &str,
        listener: &str,
        issue: &dyn Fn(&Authority) -> Vec<Issued>,
    ) -> Self {
        let authority = Authority::new("Test Authority");
        let setup = setup
            .cluster("app", &[endpoint(origin.addr())], "")
            .route("all", "cluster = \"app\"")
            .listener(listener);
        let certificates: Vec<String> = issue(&authority)
            .iter()
            .enumerate()
            .map(|(ix, issued)| issued.write(&setup.dir, &format!("c{ix}")))
            .collect();
        let ca = setup.dir.file("ca.pem");
        std::fs::write(ca, authority.pem()).expect("ca.pem");
        let tls = format!(
            "tls = {{ certificates = [{}]{keys} }}",
            certificates.join(", ")
        );
        let proxy = setup.listener(&tls).start();
        Self {
            origin,
            authority,
            proxy,
        }
    }

    fn client(&self) -> Arc<rustls::ClientConfig> {
        Arc::new(self.authority.client())
    }
}
