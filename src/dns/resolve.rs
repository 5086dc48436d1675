//! One resolution: the only place that knows the resolver's crate.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::answer::{Failure, Finding, Lack, Service, Target, targets};
use super::{Family, Query, Settings};
use crate::metrics::DnsOutcome;

/// Longest time for one resolution, whatever the settings multiply to.
const LONGEST: Duration = Duration::from_mins(1);

/// Hosts of one service that are asked for.
const MAX_HOSTS: usize = 64;

/// A resolver, as one configuration wants it.
pub(super) struct Tools {
    pub(super) settings: std::sync::Arc<Settings>,
    resolver: Result<TokioResolver, String>,
    longest: Duration,
}

impl Tools {
    /// Reads the system's files where they are needed: for a thread that may wait for a disk.
    pub(super) fn new(settings: std::sync::Arc<Settings>) -> Self {
        let built = build(&settings);
        let servers = built.as_ref().map_or(1, |(_, servers)| *servers);
        let questions = settings
            .attempts
            .saturating_mul(u32::try_from(servers).unwrap_or(1));
        let longest = settings.timeout.saturating_mul(questions.max(1)) + Duration::from_secs(1);
        Self {
            settings,
            resolver: built.map(|(resolver, _)| resolver),
            longest: longest.min(LONGEST),
        }
    }

    /// Resolves a name.
    pub(super) async fn resolve(&self, query: &Query) -> Result<Finding, Failure> {
        let resolver = self.resolver.as_ref().map_err(|why| Failure {
            outcome: DnsOutcome::Error,
            text: why.clone(),
        })?;
        let resolved = async {
            match query {
                Query::Host(name) => host(resolver, name, self.settings.family).await,
                Query::Srv(name) => service(resolver, name, self.settings.family).await,
            }
        };
        tokio::time::timeout(self.longest, resolved)
            .await
            .unwrap_or_else(|_| {
                Err(Failure {
                    outcome: DnsOutcome::Timeout,
                    text: "no answer in time".to_owned(),
                })
            })
    }
}

/// The resolver and the number of servers that it asks.
fn build(settings: &Settings) -> Result<(TokioResolver, usize), String> {
    let (config, mut options) = if settings.servers.is_empty() {
        hickory_resolver::system_conf::read_system_conf().map_err(|error| error.to_string())?
    } else {
        let servers = settings.servers.iter().map(|addr| {
            let with_port = |mut connection: ConnectionConfig| {
                connection.port = addr.port();
                connection
            };
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let connections = connections.into_iter().map(with_port).collect();
            NameServerConfig::new(addr.ip(), true, connections)
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        (config, ResolverOpts::default())
    };
    let servers = config.name_servers().len();
    options.timeout = settings.timeout;
    // Its own word for those after the first.
    options.attempts = settings.attempts.saturating_sub(1) as usize;
    // TTLs are looked after here, and what failed is asked for again.
    options.cache_size = 0;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let resolver = builder.with_options(options).build();
    Ok((resolver.map_err(|error| error.to_string())?, servers))
}

/// What was found of one kind of record.
enum Found {
    /// These, for so long.
    Some(Vec<IpAddr>, Duration),
    /// The name has none, or is none: an answer like any other.
    None(Failure),
    /// Nobody knows.
    Failed(Failure),
}

async fn host(resolver: &TokioResolver, name: &str, family: Family) -> Result<Finding, Failure> {
    let v4 = addresses(resolver, name, RecordType::A);
    let v6 = addresses(resolver, name, RecordType::AAAA);
    let (v4, v6) = match family {
        Family::Any => {
            let (v4, v6) = tokio::join!(v4, v6);
            (Some(v4), Some(v6))
        }
        Family::V4 => (Some(v4.await), None),
        Family::V6 => (None, Some(v6.await)),
    };
    let mut finding = Finding {
        targets: Vec::new(),
        ttl: Duration::MAX,
        lack: None,
    };
    let mut nothing = None;
    for (found, lack) in [(v4, Lack::V4), (v6, Lack::V6)] {
        match found {
            None => {}
            Some(Found::Some(addrs, ttl)) => {
                finding.ttl = finding.ttl.min(ttl);
                finding.targets.extend(addrs.into_iter().map(|addr| Target {
                    tier: 0,
                    addr,
                    port: None,
                    weight: None,
                }));
            }
            Some(Found::None(failure)) => nothing = Some(failure),
            Some(Found::Failed(failure)) => finding.lack = Some((lack, failure)),
        }
    }
    if !finding.targets.is_empty() {
        return Ok(finding);
    }
    // Silence about one kind of address is no reason to believe that there is none of the other.
    let failure = finding.lack.map(|(_, failure)| failure).or(nothing);
    Err(failure.unwrap_or_else(|| Failure {
        outcome: DnsOutcome::Empty,
        text: "there are no addresses in the answer".to_owned(),
    }))
}

async fn service(resolver: &TokioResolver, name: &str, family: Family) -> Result<Finding, Failure> {
    let lookup = resolver
        .lookup(name, RecordType::SRV)
        .await
        .map_err(|error| translate(&error))?;
    let mut finding = Finding {
        targets: Vec::new(),
        ttl: ttl(&lookup),
        lack: None,
    };
    let mut services = Vec::new();
    let records = lookup
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            // A target of "." says that the service is decidedly not here (RFC 2782).
            RData::SRV(srv) if !srv.target.is_root() => Some(srv),
            _ => None,
        });
    for srv in records.take(MAX_HOSTS) {
        match host(resolver, &srv.target.to_ascii(), family).await {
            Ok(found) => {
                finding.ttl = finding.ttl.min(found.ttl);
                if let Some((_, failure)) = found.lack {
                    finding.lack = Some((Lack::Host, failure));
                }
                services.push(Service {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    addrs: found.targets.iter().map(|target| target.addr).collect(),
                });
            }
            // A record that points to nothing is no reason to wait for a better answer.
            Err(failure) if matches!(failure.outcome, DnsOutcome::Empty | DnsOutcome::NoName) => {}
            Err(failure) => finding.lack = Some((Lack::Host, failure)),
        }
    }
    finding.targets = targets(&services);
    if finding.targets.is_empty()
        && let Some((_, failure)) = finding.lack
    {
        return Err(failure);
    }
    Ok(finding)
}

async fn addresses(resolver: &TokioResolver, name: &str, kind: RecordType) -> Found {
    match resolver.lookup(name, kind).await {
        Ok(lookup) => {
            let addrs = lookup
                .answers()
                .iter()
                .filter_map(|record| match record.data {
                    RData::A(addr) => Some(IpAddr::V4(addr.0)),
                    RData::AAAA(addr) => Some(IpAddr::V6(addr.0)),
                    _ => None,
                });
            Found::Some(addrs.collect(), ttl(&lookup))
        }
        Err(error) => {
            let failure = translate(&error);
            match failure.outcome {
                DnsOutcome::Empty | DnsOutcome::NoName => Found::None(failure),
                _ => Found::Failed(failure),
            }
        }
    }
}

/// The shortest of all records, those of aliases on the way included.
fn ttl(lookup: &Lookup) -> Duration {
    let ttls = lookup.answers().iter().map(|record| record.ttl);
    Duration::from_secs(ttls.min().unwrap_or(0).into())
}

fn translate(error: &NetError) -> Failure {
    let outcome = match error {
        NetError::Timeout => DnsOutcome::Timeout,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::NXDomain)) => DnsOutcome::NoName,
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => DnsOutcome::NoName,
            ResponseCode::NoError => DnsOutcome::Empty,
            _ => DnsOutcome::Refused,
        },
        NetError::Dns(DnsError::ResponseCode(_)) => DnsOutcome::Refused,
        _ => DnsOutcome::Error,
    };
    let text = match outcome {
        DnsOutcome::NoName => "there is no such name".to_owned(),
        DnsOutcome::Empty => "the name has no record of this kind".to_owned(),
        _ => error.to_string(),
    };
    Failure { outcome, text }
}
