//! `sticky` of a cluster: what keeps a client at its endpoint.
//!
//! **A cookie** is a pass to one endpoint: the HMAC-SHA256 of cluster and address under the secret of the site, 192 bits of
//! it. So it says nothing of the address, holds for this cluster only, cannot be made by a client, and is the same on every
//! instance with the same secret, after a restart and after a reload. All passes are made when the set is, so an exchange
//! looks one up and computes nothing.
//!
//! **A header** is hashed: the same value goes to the same endpoint on every instance, and nothing is remembered. A table of
//! values would be filled by whoever sends new ones, and would be each instance's own.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::{BalanceKey, Site};
use crate::balance::{Algorithm, Balancer};
use crate::base::ClusterName;
use crate::base::secret::Secret;
use crate::config::raw::cluster::{SameSite, StickyCookie, StickyHeader};
use crate::config::{Code, Diagnostic, Diagnostics, Spanned, raw, types};
use crate::endpoint::{Endpoint, EndpointIx, EndpointSet};
use crate::message::key::{KeyInput, KeySource, KeyValue};

/// Characters of a pass.
const PASS: usize = 32;
/// Those of them by which it is found; the others are compared in constant time.
const PREFIX: usize = 8;

/// What keeps clients at their endpoints.
#[derive(Debug)]
pub enum Sticky {
    /// A cookie of ours.
    Cookie(Passes),
    /// A field that the application sends.
    Header(Affinity),
}

/// The passes to the endpoints of one set.
#[derive(Debug)]
pub struct Passes {
    source: KeySource,
    secret: Secret,
    name: Box<str>,
    /// What follows the value in Set-Cookie.
    attributes: Box<str>,
    /// Passes and whose they are, sorted.
    known: Box<[([u8; PASS], EndpointIx)]>,
    /// Values of Set-Cookie, by position of the endpoint.
    fields: Box<[Box<str>]>,
}

/// Affinity by the value of a field.
#[derive(Debug)]
pub struct Affinity {
    key: BalanceKey,
    /// Rendezvous: where the sets of instances differ, they agree on all that they share, and with an endpoint only its own
    /// values move.
    balancer: Balancer,
}

impl Sticky {
    /// The same for another set of this cluster's endpoints.
    #[must_use]
    pub fn over(&self, cluster: &ClusterName, set: &EndpointSet) -> Self {
        match self {
            Self::Cookie(passes) => Self::Cookie(passes.over(cluster, set)),
            Self::Header(affinity) => Self::Header(affinity.over(set)),
        }
    }
}

impl Passes {
    fn over(&self, cluster: &ClusterName, set: &EndpointSet) -> Self {
        let pass = |endpoint: &Arc<Endpoint>| pass(&self.secret, cluster, endpoint);
        let passes: Vec<_> = set.iter().map(pass).collect();
        let field = |pass: &[u8; PASS]| {
            let pass = String::from_utf8_lossy(pass);
            format!("{}={pass}{}", self.name, self.attributes).into()
        };
        let fields = passes.iter().map(field).collect();
        let mut known: Vec<_> = passes
            .into_iter()
            .zip((0..=u32::MAX).map(EndpointIx))
            .collect();
        known.sort_unstable();
        Self {
            source: self.source.clone(),
            secret: self.secret.clone(),
            name: self.name.clone(),
            attributes: self.attributes.clone(),
            known: known.into(),
            fields,
        }
    }

    /// The endpoint that the request's cookie is a pass to. Anything else that a client sends is no cookie of ours.
    pub fn bound(&self, input: &KeyInput<'_>) -> Option<EndpointIx> {
        let Some(KeyValue::Bytes(sent)) = self.source.read(input) else {
            return None;
        };
        let sent: &[u8; PASS] = sent.try_into().ok()?;
        let (prefix, _) = sent.split_at(PREFIX);
        let first = self
            .known
            .partition_point(|(pass, _)| pass.split_at(PREFIX).0 < prefix);
        let alike = self.known.get(first..)?.iter();
        let mut alike = alike.take_while(|(pass, _)| pass.starts_with(prefix));
        alike
            .find(|(pass, _)| verify_slices_are_equal(pass, sent).is_ok())
            .map(|&(_, endpoint)| endpoint)
    }

    /// The value of the Set-Cookie field that binds a client to this endpoint.
    pub fn field(&self, ix: EndpointIx) -> Option<&[u8]> {
        Some(self.fields.get(ix.0 as usize)?.as_bytes())
    }
}

impl Affinity {
    fn over(&self, set: &EndpointSet) -> Self {
        Self {
            key: self.key.clone(),
            balancer: self.balancer.remade(set),
        }
    }

    /// The number by which the request's endpoint is picked; `None`: the field is not there, and any will do.
    pub fn hash(&self, input: &KeyInput<'_>) -> Option<u64> {
        self.key.hash(input)
    }

    /// What picks the endpoint of such a number.
    pub fn balancer(&self) -> &Balancer {
        &self.balancer
    }
}

/// The pass to an endpoint.
fn pass(secret: &Secret, cluster: &ClusterName, endpoint: &Endpoint) -> [u8; PASS] {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let tag = secret.sign(&["tidegate sticky 1", cluster.as_str(), &endpoint.text]);
    let mut pass = [0; PASS];
    for (letters, bytes) in pass.chunks_exact_mut(4).zip(tag.as_ref().chunks_exact(3)) {
        let group = bytes
            .iter()
            .fold(0u32, |group, &byte| group << 8 | u32::from(byte));
        for (at, letter) in (0..4).rev().zip(letters) {
            let index = group >> (6 * at) & 63;
            *letter = LETTERS.get(index as usize).copied().unwrap_or_default();
        }
    }
    pass
}

/// Compiles `sticky`; what belongs to endpoints is made with [`Sticky::over`].
pub(super) fn compile(
    raw: &Spanned<types::Choice<raw::cluster::Sticky>>,
    site: &Site,
    diagnostics: &mut Diagnostics,
) -> Option<Sticky> {
    match &raw.value.0 {
        raw::cluster::Sticky::Cookie(cookie) => {
            let Some(secret) = &site.secret else {
                diagnostics.push(
                    Diagnostic::error(
                        Code::SecretUnavailable,
                        raw.span,
                        "the system gives no random numbers to sign cookies with",
                    )
                    .hint("write `secret_file` in `[runtime]`"),
                );
                return None;
            };
            if secret.is_of_this_process() {
                diagnostics.push(
                    Diagnostic::warning(
                        Code::EphemeralSecret,
                        raw.span,
                        "sticky cookies are signed with a random key of this process",
                    )
                    .label("they are void after a restart and on other instances")
                    .hint("write `secret_file` in `[runtime]`, the same on every instance"),
                );
            }
            self::cookie(cookie, secret, diagnostics).map(Sticky::Cookie)
        }
        raw::cluster::Sticky::Header(StickyHeader { name }) => {
            let source = source("header", name, diagnostics)?;
            let nobody = EndpointSet::new(Vec::new());
            Some(Sticky::Header(Affinity {
                key: BalanceKey {
                    seed: site.seed,
                    sources: [source].into(),
                },
                balancer: Balancer::new(Algorithm::Rendezvous, &nobody, site.seed),
            }))
        }
    }
}

fn cookie(raw: &StickyCookie, secret: &Secret, diagnostics: &mut Diagnostics) -> Option<Passes> {
    let source = source("cookie", &raw.name, diagnostics);
    let is =
        |flag: &Option<Spanned<bool>>, default| flag.as_ref().map_or(default, |flag| flag.value);
    let secure = is(&raw.secure, false);
    let mut attributes = String::from("; Path=/");
    if let Some(age) = &raw.max_age {
        if age.get().as_secs() == 0 {
            diagnostics.push(
                Diagnostic::error(Code::BadValue, age.span, "`max_age` must be at least 1s")
                    .hint("leave it out for a cookie that lives as long as the browser's session"),
            );
            return None;
        }
        let _ = write!(attributes, "; Max-Age={}", age.get().as_secs());
    }
    if secure {
        attributes.push_str("; Secure");
    }
    if is(&raw.http_only, true) {
        attributes.push_str("; HttpOnly");
    }
    attributes.push_str(match raw.same_site.as_ref().map(|site| &site.value) {
        Some(SameSite::Strict) => "; SameSite=Strict",
        None | Some(SameSite::Lax) => "; SameSite=Lax",
        Some(SameSite::None) => "; SameSite=None",
    });
    if let (Some(SameSite::None), false) = (raw.same_site.as_ref().map(|site| &site.value), secure)
    {
        let span = raw
            .same_site
            .as_ref()
            .map(|site| site.span)
            .unwrap_or_default();
        diagnostics.push(
            Diagnostic::error(
                Code::Conflict,
                span,
                "a cookie with `same_site = \"none\"` must be `secure`",
            )
            .label("browsers drop it otherwise")
            .hint("write `secure = true`"),
        );
        return None;
    }
    Some(Passes {
        source: source?,
        secret: secret.clone(),
        name: raw.name.as_str().into(),
        attributes: attributes.into(),
        known: Box::default(),
        fields: Box::default(),
    })
}

fn source(word: &str, name: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<KeySource> {
    KeySource::parse(&format!("{word}:{}", name.value))
        .map_err(|_| {
            let shown = name.escape_debug();
            diagnostics.push(
                Diagnostic::error(
                    Code::BadField,
                    name.span,
                    format!("`{shown}` is not the name of a {word}"),
                )
                .hint("letters, digits and !#$%&'*+-.^_`|~"),
            );
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Live;
    use crate::cluster::tests::compile_at;

    const LINES: &str = "endpoints = ['127.0.0.1:1', '127.0.0.1:2', 'unix:/run/a']\n\
                         sticky = { cookie = { name = 'tg' } }";

    fn site(secret: &[u8]) -> Site {
        Site {
            secret: Some(Secret::from_text(secret)),
            ..Site::new(None)
        }
    }

    fn fields(name: &str, site: &Site) -> Vec<String> {
        let cluster = compile_at(name, LINES, site, &Live::new());
        let Some(Sticky::Cookie(passes)) = &cluster.sticky else {
            panic!("no cookie");
        };
        let field = |at| String::from_utf8(passes.field(EndpointIx(at)).unwrap().to_vec());
        (0..3).map(|at| field(at).unwrap()).collect()
    }

    #[test]
    fn passes_are_of_the_secret_the_cluster_and_the_endpoint() {
        let ours = fields("c", &site(b"a secret of all of us"));
        assert_eq!(ours, fields("c", &site(b"a secret of all of us")));
        let others = [
            fields("d", &site(b"a secret of all of us")),
            fields("c", &site(b"another secret")),
        ];
        let mut all: Vec<_> = others.into_iter().flatten().chain(ours.clone()).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 9);
        for field in ours {
            let (pass, rest) = field.strip_prefix("tg=").unwrap().split_at(PASS);
            assert!(
                pass.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            );
            assert_eq!(rest, "; Path=/; HttpOnly; SameSite=Lax");
        }
    }
}
