//! Which certificate a hello gets.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::table::{Names, Table};

/// What a client asked for, and what it was shown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hello {
    /// The server's name, in lower case.
    pub name: Option<Box<str>>,
    /// What names the certificate was for, see [`ServerTls::covers`](super::ServerTls::covers); `None`: there was none to show.
    pub shown: Option<u64>,
}

thread_local! {
    /// What the last hello of this thread said. rustls asks for a certificate in the middle of a call that is made
    /// for one connection, and has no other way to say for which.
    static LAST: RefCell<Option<Hello>> = const { RefCell::new(None) };
}

/// Takes what the hello said that was read by the call just made, if it read one.
pub fn last_hello() -> Option<Hello> {
    LAST.with_borrow_mut(Option::take)
}

/// Finds certificates by name.
pub(super) struct Resolver(pub(super) Table);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Some clients send the dot that ends a name (RFC 6066, 3 has none).
        let name = hello.server_name();
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
        let schemes = hello.signature_schemes();
        let (shown, key) = self.0.choose(name.as_deref(), schemes).unzip();
        LAST.set(Some(Hello {
            name: name.map(Into::into),
            shown: shown.map(|Names(shown)| shown),
        }));
        key
    }
}
