//! `certificates` of a listener, as the operator lists them.

use super::certificate::Certificate;
use super::clients::Demands;
use super::files::{Files, LoadError, Part};
use super::material::Read;
use super::named::Named;
use super::x509::Facts;
use crate::base::clock;
use crate::config::raw::tls::{Certificate as RawCertificate, ClientAuth, ListenerTls};
use crate::config::types::FilePath;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};

/// Where the certificates come from. What is wrong with one is told, and leaves all of them out.
pub(super) fn files(raw: &ListenerTls, diagnostics: &mut Diagnostics) -> Vec<Files> {
    let mut all = Vec::with_capacity(raw.certificates.len());
    for one in raw.certificates.iter() {
        let source = Named::of_listener(one).source(diagnostics);
        all.extend(source.map(|source| Files {
            source,
            staple: one.ocsp.as_ref().map(|ocsp| ocsp.value.0.clone()),
        }));
    }
    // Who reads them tells of one by its position.
    if all.len() < raw.certificates.len() {
        return Vec::new();
    }
    all
}

/// Where a part of a certificate is named.
fn span(raw: &Spanned<RawCertificate>, part: Part) -> Span {
    match (part, &raw.ocsp) {
        (Part::Staple, Some(ocsp)) => ocsp.span,
        _ => Named::of_listener(raw).span(part),
    }
}

/// Reads the files, and tells what is wrong with them where they are named.
pub(super) fn read(
    raw: &ListenerTls,
    auth: Option<&ClientAuth>,
    (certificates, clients): (&[Files], Option<&Demands>),
    diagnostics: &mut Diagnostics,
) -> Read {
    if raw.certificates.is_empty() {
        diagnostics.push(
            Diagnostic::error(
                Code::Empty,
                raw.certificates.span,
                "`certificates` is empty",
            )
            .label("there is nothing to show to clients"),
        );
    }
    let mut refuse = |at: Option<usize>, error: &LoadError| {
        let certificate = at.and_then(|at| raw.certificates.get(at));
        let span = match (certificate, auth) {
            (Some(one), _) => span(one, error.part),
            (None, Some(ClientAuth::Optional(ca) | ClientAuth::Required(ca))) => match &ca.crl {
                Some(crl) if error.part == Part::Lists => crl.span,
                _ => ca.ca.span,
            },
            (None, _) => raw.certificates.span,
        };
        diagnostics.push(error.diagnostic(span));
    };
    let read = Read::all(certificates, clients, &mut refuse);
    // Where one is missing they do not stand in the same order.
    if read.certificates.len() == raw.certificates.len() {
        for (raw, certificate) in raw.certificates.iter().zip(&read.certificates) {
            warn_of(raw, certificate, diagnostics);
        }
    }
    if let (Some(clients), Some(ClientAuth::Optional(raw) | ClientAuth::Required(raw))) =
        (&read.clients, auth)
        && let Some(crl) = raw.crl.as_ref().filter(|_| clients.lists_expired())
    {
        diagnostics.push(
            Diagnostic::warning(
                Code::CertificateTime,
                crl.span,
                format!("`{}` has a list that has expired", crl.display()),
            )
            .note("clients whose certificates it is about are refused until there is a newer one"),
        );
    }
    read
}

/// A certificate that is not valid now is shown all the same: a client that does not look is served, one that does is
/// told.
fn warn_of(
    raw: &Spanned<RawCertificate>,
    certificate: &Certificate,
    diagnostics: &mut Diagnostics,
) {
    if let (Some(ocsp), Some(why)) = (&raw.ocsp, certificate.staple_fault()) {
        let message = format!("`{}` has an answer that {why}", ocsp.value.display());
        diagnostics.push(
            Diagnostic::warning(Code::CertificateTime, ocsp.span, message)
                .note("it is not shown: some clients refuse such a one, and none misses it"),
        );
    }
    if let Some(file) = Named::of_listener(raw).file() {
        let note = "clients that check it refuse the connection";
        warn_of_time(file, certificate.facts(), note, diagnostics);
    }
}

/// Warns of a certificate that is not valid now; `note` says what comes of it.
pub(super) fn warn_of_time(
    file: &Spanned<FilePath>,
    facts: &Facts,
    note: &str,
    diagnostics: &mut Diagnostics,
) {
    let now = clock::wall().as_secs();
    let what = if facts.not_after < now {
        "has expired"
    } else if facts.not_before > now {
        "is not valid yet"
    } else {
        return;
    };
    let message = format!("`{}` {what}", file.value.display());
    diagnostics.push(Diagnostic::warning(Code::CertificateTime, file.span, message).note(note));
}
