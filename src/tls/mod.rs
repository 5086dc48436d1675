//! TLS: files into certificates, names into one of them, both into what a handshake goes by.
//!
//! Turns `tls` of listeners into [`ServerTls`] and that of clusters into [`ClientTls`]. The bytes on the wire are rustls's (`net::secure` moves
//! them); what is decided here is what is shown to whom, and what is accepted.
//!
//! **Invariants.** A certificate that is in use was read whole, parsed, and found to fit its key: a file that is broken
//! never replaces one that works. A session is resumed only where it was made: tickets belong to one
//! listener and to what it asks of clients.
//!
//! **Not here.** When a handshake is made and how long it may take (`downstream`), what the files
//! are watched by (`server`).

mod certificate;
mod client;
mod clients;
mod der;
mod files;
pub mod hello;
mod key_log;
mod listed;
mod material;
mod named;
mod names;
mod ocsp;
mod pkcs12;
mod provider;
mod reader;
mod resolver;
mod server;
mod slots;
mod x509;
mod table;
mod tickets;
mod verify;

use crate::base::ListenerName;
use crate::base::secret::Secret;
use crate::state::Registry;

pub use certificate::Certificate;
pub use client::{ClientTls, TlsSpec};
pub use clients::client_certificate;
pub use files::{Files, LoadError, MAX_FILE, MAX_LISTS, Source};
pub use key_log::KeyLogFile;
pub use names::{detail, group, suite, version};
pub use resolver::{Hello, last_hello};
pub use server::{Inside, ServerTls, Shown};
pub use slots::HandshakeSlot;
pub use x509::Facts;

/// Settings of the process that every listener's TLS goes by.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Common {
    /// What keys of tickets are made of; `None`: they are random, and of this process.
    pub secret: Option<Secret>,
    /// Where secrets of connections are written for a debugger.
    pub key_log: Option<KeyLogFile>,
}

/// What a listener's TLS is compiled on.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// What outlives configurations.
    pub live: &'a Live,
    /// Settings of the process.
    pub common: &'a Common,
}

/// What outlives a configuration.
#[derive(Debug, Default)]
pub struct Live {
    listeners: Registry<ListenerName, server::Standing>,
    tickets: Registry<tickets::Whose, tickets::Tickets>,
}

impl Live {
    /// Forgets listeners that are gone.
    pub fn sweep(&self) {
        self.listeners.sweep();
        self.tickets.sweep();
    }
}
