//! The certificates of one listener, by name.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use crate::base::hash::HashKey;

/// Which of a listener's certificates: its position in the configuration.
type Slot = usize;

/// What a certificate was for: certificates for the same names have the same one, also after a renewal or a reload, and in any
/// order of the configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Names(pub u64);

impl Names {
    fn of(certificate: &Certificate) -> Self {
        let facts = &certificate.facts;
        let mut names: Vec<&str> = facts.names.iter().map(|name| &**name).collect();
        // Without a DNS name it is for what else it names; and one that names nothing is like no other.
        if names.is_empty() {
            names.extend(facts.beside());
        }
        if names.is_empty() {
            names.push(&facts.subject);
        }
        names.sort_unstable();
        Self(HashKey::from_seed("names").hash(names.join(" ").as_bytes()))
    }
}

/// Names and what is shown for them. A name that no certificate has gets the first one.
#[derive(Debug, Default)]
pub(super) struct Table {
    certificates: Vec<Arc<Certificate>>,
    /// By position.
    names: Vec<Names>,
    exact: HashMap<Box<str>, Vec<Slot>>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Vec<Slot>>,
    default: Vec<Slot>,
}

impl Table {
    /// A table of these certificates, at least one, in the order of the configuration.
    pub(super) fn new(certificates: Vec<Arc<Certificate>>) -> Self {
        let mut table = Self {
            names: certificates.iter().map(|it| Names::of(it)).collect(),
            ..Self::default()
        };
        // Of several for one name the better one first; of equals the one that the file has first.
        let mut order: Vec<Slot> = (0..certificates.len()).collect();
        order.sort_by_key(|slot| certificates.get(*slot).map(|it| it.rank()));
        for slot in order {
            let Some(certificate) = certificates.get(slot) else {
                continue;
            };
            for name in &certificate.facts.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut table.wildcard, rest),
                    None => (&mut table.exact, &**name),
                };
                names.entry(name.into()).or_default().push(slot);
            }
            // The default is the first, and one of another kind for the same names stands in for it.
            if table.names.first() == table.names.get(slot) {
                table.default.push(slot);
            }
        }
        table.certificates = certificates;
        table
    }

    /// The certificates for a name in lower case, the best first.
    fn candidates(&self, name: Option<&str>) -> &[Slot] {
        let Some(name) = name else {
            return &self.default;
        };
        let wildcard = || {
            let (_, rest) = name.split_once('.')?;
            self.wildcard.get(rest)
        };
        self.exact
            .get(name)
            .or_else(wildcard)
            .unwrap_or(&self.default)
    }

    /// The certificate for a client that asks for `name` and knows these signatures. One that knows none of ours gets
    /// the best: it may accept what it did not list, and otherwise the handshake fails and says why.
    pub(super) fn choose(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<(Names, Arc<CertifiedKey>)> {
        let candidates = self.candidates(name);
        let known = candidates.iter().find(|slot| {
            let certificate = self.certificates.get(**slot);
            certificate.is_some_and(|it| it.key.key.choose_scheme(schemes).is_some())
        });
        let slot = *known.or_else(|| candidates.first())?;
        let certificate = self.certificates.get(slot)?;
        Some((*self.names.get(slot)?, Arc::clone(certificate.shown())))
    }

    /// Whether a client that was shown a certificate for these names would have been shown one for the same for `name` too.
    pub(super) fn covers(&self, shown: Names, name: &str) -> bool {
        let candidates = self.candidates(Some(name)).iter();
        let mut names = candidates.filter_map(|slot| self.names.get(*slot));
        names.any(|names| *names == shown)
    }
}
