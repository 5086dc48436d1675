//! A certificate with its key, as an operator names it: two files in PEM, or one in PKCS#12.

use super::files::{Part, Source};
use crate::config::raw::tls::{Certificate, ClusterTls};
use crate::config::types::{FilePath, Secret};
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};

/// The keys that name it.
pub(super) struct Named<'r> {
    certificate: Option<&'r Spanned<FilePath>>,
    key: Option<&'r Spanned<FilePath>>,
    pkcs12: Option<&'r Spanned<FilePath>>,
    password: Option<&'r Spanned<Secret>>,
    /// The table that they stand in.
    within: Span,
}

impl<'r> Named<'r> {
    /// One of a listener.
    pub(super) fn of_listener(raw: &'r Spanned<Certificate>) -> Self {
        Self {
            certificate: raw.certificate.as_ref(),
            key: raw.key.as_ref(),
            pkcs12: raw.pkcs12.as_ref(),
            password: raw.password.as_ref(),
            within: raw.span,
        }
    }

    /// The one that a cluster shows to its endpoints, if any.
    pub(super) fn of_cluster(raw: &'r Spanned<ClusterTls>) -> Option<Self> {
        let named = Self {
            certificate: raw.certificate.as_ref(),
            key: raw.key.as_ref(),
            pkcs12: raw.pkcs12.as_ref(),
            password: raw.password.as_ref(),
            within: raw.span,
        };
        let none = named.certificate.or(named.key).or(named.pkcs12).is_none();
        (!none || named.password.is_some()).then_some(named)
    }

    /// Where it is read from.
    pub(super) fn source(&self, diagnostics: &mut Diagnostics) -> Option<Source> {
        if let (Some(password), None) = (self.password, self.pkcs12) {
            let diagnostic = Diagnostic::error(
                Code::Conflict,
                password.span,
                "`password` is that of a `pkcs12`, and there is none",
            );
            diagnostics.push(diagnostic.hint("a `key` in PEM stands without a passphrase"));
        }
        match (self.certificate, self.key, self.pkcs12) {
            (Some(chain), Some(key), None) => Some(Source::Pem {
                chain: chain.value.0.clone(),
                key: key.value.0.clone(),
            }),
            (None, None, Some(store)) => Some(Source::Store {
                path: store.value.0.clone(),
                password: self.password.map(|it| it.value.clone()),
            }),
            (_, _, Some(store)) => {
                let diagnostic = Diagnostic::error(
                    Code::Conflict,
                    store.span,
                    "`pkcs12` stands in the place of `certificate` and `key`",
                );
                diagnostics.push(diagnostic.hint("leave one or the other away"));
                None
            }
            (None, None, None) if self.password.is_some() => None,
            (certificate, key, None) => {
                let span = certificate.or(key).map_or(self.within, |it| it.span);
                let diagnostic = Diagnostic::error(
                    Code::MissingKey,
                    span,
                    "`certificate` and `key` belong together",
                );
                diagnostics.push(
                    diagnostic
                        .label("not both of them are here")
                        .hint("name both, or a file with both in it as `pkcs12`"),
                );
                None
            }
        }
    }

    /// Where a part of it is named.
    pub(super) fn span(&self, part: Part) -> Span {
        let file = match part {
            Part::Key => self.key,
            Part::Store => self.pkcs12,
            Part::Password => return self.password.map_or(self.within, |it| it.span),
            _ => self.certificate,
        };
        file.map_or(self.within, |it| it.span)
    }

    /// The file that it is known by.
    pub(super) fn file(&self) -> Option<&'r Spanned<FilePath>> {
        self.certificate.or(self.pkcs12)
    }
}
