//! What a configuration says of a cluster's endpoints, and the set that is made of it, of what is alive, of what names
//! resolve to, and of what operators have said since. The same making serves a new configuration and every later
//! change.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::live::Live;
use crate::base::{ClusterName, EndpointAddr};
use crate::dns::{Entry, Target};
use crate::endpoint::{Admin, Endpoint, EndpointKey, EndpointSet, Origin};
use crate::health::HealthSpec;
use crate::net::preface::Version;
use crate::tls::TlsSpec;
use crate::upstream::{ConnectSpec, Protocol, SocketSpec};

/// Where an endpoint is, or where that is to be asked.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Here.
    Addr(EndpointAddr),
    /// At the addresses of a name.
    Name {
        entry: Arc<Entry>,
        /// `None`: the name gives one to each address.
        port: Option<u16>,
    },
}

impl Place {
    /// What a certificate of this endpoint has to be for, where nothing else is said: its name, or its address. That of a
    /// service is the domain that it belongs to (RFC 6125, 6.2.1).
    pub(super) fn known_as(&self) -> Option<String> {
        match self {
            Self::Addr(EndpointAddr::Inet(addr)) => Some(addr.ip().to_string()),
            Self::Addr(EndpointAddr::Unix(_)) => None,
            Self::Name { entry, .. } => {
                let labels = entry.query.name().trim_end_matches('.').split('.');
                let labels: Vec<&str> = labels.skip_while(|label| label.starts_with('_')).collect();
                Some(labels.join("."))
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => addr.fmt(f),
            Self::Name { entry, port } => {
                entry.query.fmt(f)?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

/// One endpoint as it was written, with meaning; a name may be any number of them.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) place: Place,
    pub(super) weight: u32,
    pub(super) tier: u8,
    pub(super) admin: Admin,
    pub(super) zone: Option<Arc<str>>,
    /// TLS to it. What is written is settled when it is compiled: where TLS is asked for there is never an endpoint without.
    pub(super) tls: Option<TlsSpec>,
}

/// The endpoints of a cluster as they were written.
#[derive(Debug)]
pub struct Members {
    written: Vec<Member>,
    /// What is spoken to them.
    pub protocol: Protocol,
    /// Whether they are told of clients by the PROXY protocol.
    pub preface: Option<Version>,
    /// What the kernel is asked for, of connections to them.
    socket: SocketSpec,
    /// Whether it was said that a name leads to where no source does.
    told: AtomicBool,
}

/// A set, and what was known when it was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) set: EndpointSet,
    pub(super) knowledge: Knowledge,
}

/// What was known when a set was made: with other knowledge it would be another set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Knowledge {
    /// Of what operators have said.
    overrides: u64,
    /// Of names: the sum of their counts of changes, each of which only grows.
    names: u64,
}

impl Members {
    pub(super) fn new(
        mut written: Vec<Member>,
        protocol: Protocol,
        preface: Option<Version>,
        socket: SocketSpec,
    ) -> Self {
        // Where HTTP/2 is spoken, it is asked for.
        let offer: &[&[u8]] = match protocol {
            Protocol::Http1 => &[],
            Protocol::Http2(_) => &[b"h2"],
            Protocol::Either(_) => &[b"h2", b"http/1.1"],
        };
        if !offer.is_empty() {
            for tls in written.iter_mut().filter_map(|member| member.tls.as_mut()) {
                *tls = tls.offering(offer);
            }
        }
        Self {
            written,
            protocol,
            preface,
            socket,
            told: AtomicBool::new(false),
        }
    }

    /// Whether there is a source for it. What is written is refused without; a name may have addresses of both families where there
    /// is a source of one.
    fn reaches(&self, cluster: &ClusterName, name: &str, addr: &EndpointAddr) -> bool {
        let (EndpointAddr::Inet(inet), Some(source)) = (addr, &self.socket.source) else {
            return true;
        };
        let reaches = source.reaches(*inet);
        if !reaches && !self.told.swap(true, Ordering::Relaxed) {
            let cluster = cluster.as_str();
            tracing::warn!(cluster, name, %addr, "left out: `source` has no address of its family");
        }
        reaches
    }

    /// Whether a connection to them is one client's, and cannot serve another.
    pub fn tells_client(&self) -> bool {
        self.preface.is_some() || self.speaks_for_client()
    }

    /// Whether connections come from the client's address.
    pub fn speaks_for_client(&self) -> bool {
        self.socket.is_clients()
    }

    /// The names among them; one that stands there twice, with two ports, is given twice.
    pub fn names(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.written
            .iter()
            .filter_map(|member| match &member.place {
                Place::Addr(_) => None,
                Place::Name { entry, .. } => Some(entry),
            })
    }

    /// What there is to know now.
    pub(super) fn knowledge(&self, cluster: &ClusterName, live: &Live) -> Knowledge {
        let generations = self.names().map(|entry| entry.generation());
        Knowledge {
            overrides: live.overrides().revision(cluster),
            names: generations.fold(0, u64::wrapping_add),
        }
    }

    /// Makes the set.
    pub(super) fn assemble(
        &self,
        cluster: &ClusterName,
        health: Option<&HealthSpec>,
        live: &Live,
    ) -> Made {
        // Before anything is looked up: what changes meanwhile makes the set stale, never wrong for good.
        let knowledge = self.knowledge(cluster, live);
        let mut endpoints = Vec::with_capacity(self.written.len());
        // Addresses that are written come first: what a name resolves to never takes their place.
        let written = self
            .written
            .iter()
            .filter_map(|member| match &member.place {
                Place::Addr(addr) => Some(addr.clone()),
                Place::Name { .. } => None,
            });
        let mut seen: HashSet<EndpointAddr> = written.collect();
        for member in &self.written {
            let mut add = |addr: EndpointAddr, tier: u8, origin: Origin| {
                let key = EndpointKey {
                    cluster: cluster.clone(),
                    addr,
                };
                let spec = ConnectSpec {
                    addr: key.addr.clone(),
                    protocol: self.protocol,
                    preface: self.preface,
                    tls: member.tls.clone(),
                    socket: self.socket.clone(),
                };
                endpoints.push(Arc::new(endpoint(key, spec, tier, origin, health, live)));
            };
            match &member.place {
                Place::Addr(addr) => add(addr.clone(), member.tier, member.origin(None, None)),
                Place::Name { entry, port } => {
                    let name: Arc<str> = member.place.to_string().into();
                    let good = entry.good();
                    for target in good.iter().flat_map(|good| &good.targets) {
                        let Some(addr) = address(target, *port) else {
                            continue;
                        };
                        if self.reaches(cluster, &name, &addr) && seen.insert(addr.clone()) {
                            let origin = member.origin(target.weight, Some(Arc::clone(&name)));
                            add(addr, member.tier.saturating_add(target.tier), origin);
                        }
                    }
                }
            }
        }
        Made {
            set: EndpointSet::new(endpoints),
            knowledge,
        }
    }
}

impl Member {
    fn origin(&self, told: Option<u32>, name: Option<Arc<str>>) -> Origin {
        Origin {
            weight: told.unwrap_or(self.weight),
            written_weight: self.weight,
            admin: self.admin,
            name,
            zone: self.zone.clone(),
        }
    }
}

fn address(target: &Target, port: Option<u16>) -> Option<EndpointAddr> {
    // A record may give port 0, which cannot be connected to.
    let port = port.or(target.port).filter(|&port| port != 0)?;
    Some(EndpointAddr::Inet(SocketAddr::new(target.addr, port)))
}

fn endpoint(
    key: EndpointKey,
    spec: ConnectSpec,
    tier: u8,
    origin: Origin,
    health: Option<&HealthSpec>,
    live: &Live,
) -> Endpoint {
    let state = live.endpoint(&key);
    let cell = |spec: &HealthSpec| state.health_cell(spec.fingerprint(), spec.policy.initial);
    let said = live.overrides().of(&key);
    let said = said.as_ref();
    Endpoint {
        text: key.addr.to_string().into(),
        weight: said
            .and_then(|said| said.weight_over(&origin))
            .unwrap_or(origin.weight),
        admin: said
            .and_then(|said| said.admin_over(&origin))
            .unwrap_or(origin.admin),
        origin,
        tier,
        spec: Arc::new(spec),
        health: health.map(cell),
        key,
        state,
    }
}
