//! A token (RFC 7519) in its compact form (RFC 7515, 7.1), under the advice of RFC 8725.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::keys::{Checked, KeySet};
use crate::base::Detail;
use crate::message::Claims;

/// Longest token.
const MAX_TOKEN: usize = 16 << 10;
/// How deep claims are looked into, and how many are taken.
const MAX_DEPTH: usize = 8;
const MAX_CLAIMS: usize = 256;

/// What is asked of a token beside its signature.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    /// Empty: any that is known.
    pub(super) algorithms: Box<[Algorithm]>,
    /// Empty: any, or none.
    pub(super) issuers: Box<[Box<str>]>,
    /// Empty: any, or none.
    pub(super) audiences: Box<[Box<str>]>,
    /// How far clocks may be apart.
    pub(super) leeway: Duration,
    pub(super) expiry: Expiry,
}

/// Whether a token must say until when it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expiry {
    Required,
    Optional,
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// It has not the form, or its algorithm is not one that is taken.
    Form,
    /// No key can have signed it.
    Key,
    /// Its key did not sign it.
    Signature,
    /// It holds no more, or not yet, or for ever.
    Time,
    /// Somebody else made it.
    Issuer,
    /// It is for somebody else.
    Audience,
}

impl Fault {
    pub(super) const fn detail(self) -> Detail {
        match self {
            Self::Form => Detail::Token,
            Self::Key => Detail::Unknown,
            Self::Signature => Detail::Signature,
            Self::Time => Detail::TokenTime,
            Self::Issuer => Detail::Issuer,
            Self::Audience => Detail::Audience,
        }
    }

    pub(super) const ALL: [Self; 6] = [
        Self::Form,
        Self::Key,
        Self::Signature,
        Self::Time,
        Self::Issuer,
        Self::Audience,
    ];
}

/// A token that somebody signed whom we trust.
#[derive(Debug)]
pub(super) struct Verified {
    /// By which keys that was found.
    pub(super) set: u64,
    claims: Map<String, Value>,
    /// The same, as it is told.
    pub(super) told: Claims,
}

impl Verified {
    /// Until when it holds, in seconds since the epoch.
    pub(super) fn until(&self) -> Option<f64> {
        self.claims.get("exp").and_then(Value::as_f64)
    }

    /// Whether it lets in at this time since the epoch.
    pub(super) fn holds(&self, policy: &Policy, now: Duration) -> Result<(), Fault> {
        judge(&self.claims, policy, now)
    }
}

/// Verifies the signature of a token by an algorithm that is taken.
pub(super) fn open(token: &[u8], keys: &KeySet, policy: &Policy) -> Result<Verified, Fault> {
    if token.len() > MAX_TOKEN {
        return Err(Fault::Form);
    }
    let mut dots = memchr::memchr_iter(b'.', token);
    let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
        return Err(Fault::Form);
    };
    let part = |from, to| token.get(from..to).ok_or(Fault::Form);
    let header = object(part(0, first)?)?;
    // Extensions that must be understood: we understand none (RFC 7515, 4.1.11).
    if header.contains_key("crit") {
        return Err(Fault::Form);
    }
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    let algorithm = text("alg").and_then(Algorithm::parse).ok_or(Fault::Form)?;
    if !policy.algorithms.is_empty() && !policy.algorithms.contains(&algorithm) {
        return Err(Fault::Form);
    }
    let signature = URL_SAFE_NO_PAD
        .decode(part(second + 1, token.len())?)
        .map_err(|_| Fault::Form)?;
    match keys.check(text("kid"), algorithm, part(0, second)?, &signature) {
        Checked::Sound => {}
        Checked::Broken => return Err(Fault::Signature),
        Checked::NoKey => return Err(Fault::Key),
    }
    let claims = object(part(first + 1, second)?)?;
    let mut told = Claims::default();
    let mut left = MAX_CLAIMS;
    flatten("", &claims, &mut told, MAX_DEPTH, &mut left);
    let set = keys.id();
    Ok(Verified { set, claims, told })
}

fn object(part: &[u8]) -> Result<Map<String, Value>, Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Form)?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Fault::Form),
    }
}

fn judge(claims: &Map<String, Value>, policy: &Policy, now: Duration) -> Result<(), Fault> {
    let (now, leeway) = (now.as_secs_f64(), policy.leeway.as_secs_f64());
    // A time that is none is not one that has not come.
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or(Fault::Time),
    };
    match time("exp")? {
        Some(until) if now < until + leeway => {}
        None if policy.expiry == Expiry::Optional => {}
        Some(_) | None => return Err(Fault::Time),
    }
    if time("nbf")?.is_some_and(|from| now + leeway < from) {
        return Err(Fault::Time);
    }
    let known = |names: &[Box<str>], value: &Value| {
        let text = value.as_str();
        text.is_some_and(|text| names.iter().any(|name| **name == *text))
    };
    let issuer = claims.get("iss");
    if !policy.issuers.is_empty() && !issuer.is_some_and(|issuer| known(&policy.issuers, issuer)) {
        return Err(Fault::Issuer);
    }
    let audience = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(|one| known(&policy.audiences, one)),
        Some(one) => known(&policy.audiences, one),
        None => false,
    };
    if !policy.audiences.is_empty() && !audience {
        return Err(Fault::Audience);
    }
    Ok(())
}

/// Claims as text: a list of texts has commas between them, what is nested has dots in its name.
fn flatten(
    above: &str,
    claims: &Map<String, Value>,
    told: &mut Claims,
    depth: usize,
    left: &mut usize,
) {
    for (name, value) in claims {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let name = match above {
            "" => name.clone(),
            above => format!("{above}.{name}"),
        };
        match value {
            Value::String(text) => told.note(&name, text),
            Value::Number(number) => told.note(&name, &number.to_string()),
            Value::Bool(is) => told.note(&name, if *is { "true" } else { "false" }),
            Value::Array(all) => {
                let texts: Option<Vec<_>> = all.iter().map(Value::as_str).collect();
                if let Some(texts) = texts {
                    told.note(&name, &texts.join(","));
                }
            }
            Value::Object(inner) if depth > 0 => flatten(&name, inner, told, depth - 1, left),
            Value::Object(_) | Value::Null => {}
        }
    }
}
