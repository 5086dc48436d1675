//! What a resolution found, and what becomes of it beside what was known: arithmetic without I/O.

use std::net::IpAddr;
use std::time::Duration;

use super::Settings;
use crate::base::clock::Instant;
use crate::metrics::DnsOutcome;

/// One address of a name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Target {
    /// 0 is used first: the place of the record's priority among those that there are.
    pub tier: u8,
    /// The address.
    pub addr: IpAddr,
    /// The port, where the name gives one.
    pub port: Option<u16>,
    /// The weight, where the name gives one.
    pub weight: Option<u32>,
}

/// A good answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Sorted, none twice; at least one.
    pub targets: Vec<Target>,
    /// How long it holds, within the bounds of the configuration.
    pub ttl: Duration,
    /// When it was given.
    pub at: Instant,
}

/// Why a resolution gave nothing to use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure {
    pub(super) outcome: DnsOutcome,
    pub(super) text: String,
}

/// What part of a name could not be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lack {
    /// Addresses of IPv4.
    V4,
    /// Addresses of IPv6.
    V6,
    /// Some host of a service.
    Host,
}

/// What one resolution found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Finding {
    pub(super) targets: Vec<Target>,
    pub(super) ttl: Duration,
    pub(super) lack: Option<(Lack, Failure)>,
}

/// One record of a service (RFC 2782) with the addresses of its host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Service {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) addrs: Vec<IpAddr>,
}

/// Largest weight that an endpoint may have.
const MAX_WEIGHT: u64 = 1000;

/// Priorities become tiers by their order, weights keep their ratio. Weight 0, "a very small chance of being
/// selected", is the smallest weight that there is.
pub(super) fn targets(services: &[Service]) -> Vec<Target> {
    let mut priorities: Vec<u16> = services.iter().map(|service| service.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let largest = services.iter().map(|service| service.weight).max();
    let largest = u64::from(largest.unwrap_or(0)).max(1);
    let weight = |weight: u16| {
        let weight = u64::from(weight);
        let fitting = if largest > MAX_WEIGHT {
            weight * MAX_WEIGHT / largest
        } else {
            weight
        };
        u32::try_from(fitting).unwrap_or(u32::MAX).max(1)
    };
    let tier = |priority: u16| {
        let place = priorities.iter().position(|&other| other == priority);
        u8::try_from(place.unwrap_or(0)).unwrap_or(u8::MAX)
    };
    let all = services.iter().flat_map(|service| {
        service.addrs.iter().map(move |&addr| Target {
            tier: tier(service.priority),
            addr,
            port: Some(service.port),
            weight: Some(weight(service.weight)),
        })
    });
    all.collect()
}

/// What is known after a resolution.
pub(super) enum Verdict {
    /// This is the last good answer from now on.
    Good(Answer, DnsOutcome),
    /// The one before stays.
    Kept(Failure),
}

/// Judges what was found beside the last good answer.
pub(super) fn judge(
    found: Result<Finding, Failure>,
    last: Option<&Answer>,
    settings: &Settings,
    now: Instant,
) -> Verdict {
    let finding = match found {
        Ok(finding) => finding,
        Err(failure) => return Verdict::Kept(failure),
    };
    let before = last.map_or(&[][..], |answer| &answer.targets);
    let mut targets = finding.targets;
    let mut outcome = DnsOutcome::Ok;
    if let Some((lack, failure)) = finding.lack {
        // What could not be asked for is what it was: an address does not leave because a server was silent.
        match lack {
            Lack::V4 => targets.extend(before.iter().filter(|target| target.addr.is_ipv4())),
            Lack::V6 => targets.extend(before.iter().filter(|target| target.addr.is_ipv6())),
            Lack::Host if !before.is_empty() => return Verdict::Kept(failure),
            Lack::Host => {}
        }
        outcome = DnsOutcome::Partial;
    }
    let said = targets.len();
    targets.retain(|target| !settings.deny.contains(target.addr));
    if targets.is_empty() {
        let (outcome, text) = if said > 0 {
            (DnsOutcome::Denied, "every address is one of `dns.deny`")
        } else {
            (DnsOutcome::Empty, "there are no addresses in the answer")
        };
        return Verdict::Kept(Failure {
            outcome,
            text: text.to_owned(),
        });
    }
    targets.sort_unstable();
    // One endpoint an address and port: the first has the lowest tier.
    let mut seen = std::collections::HashSet::with_capacity(targets.len());
    targets.retain(|target| seen.insert((target.addr, target.port)));
    if targets.len() > settings.max_addresses {
        targets.truncate(settings.max_addresses);
        outcome = DnsOutcome::Truncated;
    }
    let answer = Answer {
        targets,
        ttl: finding.ttl.clamp(settings.min_ttl, settings.max_ttl),
        at: now,
    };
    Verdict::Good(answer, outcome)
}

/// Longest pause after a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long after the `failures`th failure in a row the name is asked for again.
pub(super) fn pause(failures: u32, settings: &Settings) -> Duration {
    let longest = PATIENCE.min(settings.max_ttl).max(settings.min_ttl);
    let doubled = 1_u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    settings.min_ttl.saturating_mul(doubled.max(1)).min(longest)
}
