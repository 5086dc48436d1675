//! What a configuration says of a cluster's endpoints, and the set that is made of it, of what is alive, and of
//! what operators have said since. The same making serves a new configuration and every later change.

use std::sync::Arc;

use super::live::Live;
use crate::base::{ClusterName, EndpointAddr};
use crate::endpoint::{Admin, Endpoint, EndpointKey, EndpointSet, Origin};
use crate::health::HealthSpec;
use crate::upstream::ConnectSpec;

/// One endpoint as it was written, with meaning.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) addr: EndpointAddr,
    pub(super) weight: u32,
    pub(super) tier: u8,
    pub(super) admin: Admin,
}

/// The endpoints of a cluster as they were written.
#[derive(Debug)]
pub struct Members(Vec<Member>);

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
}

impl Members {
    pub(super) fn new(members: Vec<Member>) -> Self {
        Self(members)
    }

    /// What there is to know now.
    pub(super) fn knowledge(cluster: &ClusterName, live: &Live) -> Knowledge {
        Knowledge {
            overrides: live.overrides().revision(cluster),
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
        let knowledge = Self::knowledge(cluster, live);
        let endpoints = self.0.iter().map(|member| {
            let key = EndpointKey {
                cluster: cluster.clone(),
                addr: member.addr.clone(),
            };
            let origin = Origin {
                weight: member.weight,
                written_weight: member.weight,
                admin: member.admin,
            };
            Arc::new(endpoint(key, member.tier, origin, health, live))
        });
        Made {
            set: EndpointSet::new(endpoints.collect()),
            knowledge,
        }
    }
}

fn endpoint(
    key: EndpointKey,
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
        spec: Arc::new(ConnectSpec {
            addr: key.addr.clone(),
        }),
        health: health.map(cell),
        key,
        state,
    }
}
