//! `balancer` → [`Algorithm`] and [`BalanceKey`].

use super::{BalanceKey, Site};
use crate::balance::{Algorithm, MAX_POINTS};
use crate::config::types::OneOrMany;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned, raw};
use crate::message::key::{self, KeySource, Words};

/// How to pick, and by what.
pub(super) struct Choice {
    pub(super) algorithm: Algorithm,
    pub(super) key: Option<BalanceKey>,
}

const MAX_VNODES: u32 = 4096;
const LEAST_FACTOR: f64 = 1.0;
const MAX_FACTOR: f64 = 100.0;
/// Envoy's limit; a prime.
const MAX_TABLE: u32 = 5_000_011;

pub(super) fn compile(
    raw: &raw::Cluster,
    site: &Site,
    diagnostics: &mut Diagnostics,
) -> Option<Choice> {
    let Some(choice) = &raw.balancer else {
        return Some(unkeyed(Algorithm::default()));
    };
    let (algorithm, key) = match &choice.value.0 {
        raw::Balancer::RoundRobin => return Some(unkeyed(Algorithm::RoundRobin)),
        raw::Balancer::Random => return Some(unkeyed(Algorithm::Random)),
        raw::Balancer::LeastRequest => return Some(unkeyed(Algorithm::LeastRequest)),
        raw::Balancer::LeastConnections => return Some(unkeyed(Algorithm::LeastConnections)),
        raw::Balancer::LeastTime => return Some(unkeyed(Algorithm::LeastTime)),
        raw::Balancer::IpHash => (Some(Algorithm::IpHash), None),
        raw::Balancer::RingHash(raw_ring) => {
            (ring(raw_ring, raw, diagnostics), raw_ring.key.as_ref())
        }
        raw::Balancer::Maglev(maglev) => (
            table(maglev.table_size, raw, diagnostics),
            maglev.key.as_ref(),
        ),
        raw::Balancer::Rendezvous(rendezvous) => {
            (Some(Algorithm::Rendezvous), rendezvous.key.as_ref())
        }
    };
    let sources = sources(key, diagnostics);
    Some(Choice {
        algorithm: algorithm?,
        key: Some(BalanceKey {
            seed: site.seed,
            sources: sources?,
        }),
    })
}

fn unkeyed(algorithm: Algorithm) -> Choice {
    Choice {
        algorithm,
        key: None,
    }
}

fn sources(
    raw: Option<&Spanned<OneOrMany<String>>>,
    diagnostics: &mut Diagnostics,
) -> Option<Box<[KeySource]>> {
    let Some(raw) = raw else {
        return KeySource::parse("client_ip").ok().map(|key| [key].into());
    };
    key::compile(raw, Words::Apart, diagnostics)
}

/// Where a setting stands; for one that is not written, where the balancer does.
fn place<T>(raw: Option<&Spanned<T>>, cluster: &raw::Cluster) -> Span {
    let balancer = || cluster.balancer.as_ref().map(|balancer| balancer.span);
    let own = raw.map(|raw| raw.span);
    own.or_else(balancer).unwrap_or_default()
}

fn ring(
    raw: &raw::balancer::RingHash,
    cluster: &raw::Cluster,
    diagnostics: &mut Diagnostics,
) -> Option<Algorithm> {
    let vnodes = vnodes(raw.vnodes, cluster, diagnostics);
    let factor = raw.load_factor.map(|factor| factor.value);
    let sound = factor.is_none_or(|factor| factor > LEAST_FACTOR && factor <= MAX_FACTOR);
    if let (Some(raw), false) = (raw.load_factor, sound) {
        let message = format!(
            "`load_factor` is {}, not above 1.0 and up to 100",
            raw.value
        );
        diagnostics.push(Diagnostic::error(Code::BadValue, raw.span, message).hint(
            "1.25 lets an endpoint have a quarter more than its share; leave the key away for no bound",
        ));
    }
    Some(Algorithm::RingHash {
        vnodes: vnodes?,
        load_factor: sound.then_some(factor)?,
    })
}

fn vnodes(
    raw: Option<Spanned<u32>>,
    cluster: &raw::Cluster,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    let vnodes = raw.map_or(Algorithm::VNODES, |raw| raw.value);
    let span = place(raw.as_ref(), cluster);
    if !(1..=MAX_VNODES).contains(&vnodes) {
        let message = format!("`vnodes` is {vnodes}, not 1-{MAX_VNODES}");
        diagnostics.push(
            Diagnostic::error(Code::BadValue, span, message)
                .hint("160 keep shares within a few percent; more are more even and larger"),
        );
        return None;
    }
    let weight = |raw: &Spanned<raw::Endpoint>| raw.weight.map_or(1, |weight| weight.value);
    let weights: u64 = cluster
        .endpoints
        .iter()
        .map(|raw| u64::from(weight(raw)))
        .sum();
    let points = weights * u64::from(vnodes);
    if points > MAX_POINTS {
        let message = format!("a ring of {points} points: at most {MAX_POINTS} are kept");
        diagnostics.push(Diagnostic::error(Code::BadValue, span, message).hint(
            "points are vnodes × the sum of the weights: divide all weights by the same number, or set fewer `vnodes`",
        ));
        return None;
    }
    Some(vnodes)
}

fn table(
    raw: Option<Spanned<u32>>,
    cluster: &raw::Cluster,
    diagnostics: &mut Diagnostics,
) -> Option<Algorithm> {
    let table_size = raw.map_or(Algorithm::TABLE_SIZE, |raw| raw.value);
    let span = place(raw.as_ref(), cluster);
    let endpoints = u32::try_from(cluster.endpoints.len()).unwrap_or(u32::MAX);
    let refused = if !(2..=MAX_TABLE).contains(&table_size) {
        format!("`table_size` is {table_size}, not 2-{MAX_TABLE}")
    } else if !is_prime(table_size) {
        format!("`table_size` is {table_size}, which is not a prime")
    } else if table_size < endpoints {
        format!("`table_size` is {table_size}, but there are {endpoints} endpoints")
    } else {
        return Some(Algorithm::Maglev { table_size });
    };
    let wish = table_size.max(endpoints.saturating_mul(100)).min(MAX_TABLE);
    let prime = (wish..=MAX_TABLE)
        .find(|&number| is_prime(number))
        .unwrap_or(MAX_TABLE);
    diagnostics.push(
        Diagnostic::error(Code::BadValue, span, refused).hint(format!(
            "a hundred slots an endpoint share within 1 %: {prime} is a prime"
        )),
    );
    None
}

fn is_prime(number: u32) -> bool {
    number >= 2 && (2..=number.isqrt()).all(|divisor| !number.is_multiple_of(divisor))
}
