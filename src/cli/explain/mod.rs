//! `tidegate explain`: what would become of one request, from the file alone.
//!
//! **Invariants.** Nothing is bound, connected to or asked: the answer depends on the file and on chance alone.
//!
//! **Not here.** How the answer looks ([`show`]).

mod show;

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use super::{REFUSED, color, say, tell};
use crate::balance::{Cursor, Pick, PickInput};
use crate::base::{Error, Reason, clock};
use crate::cluster::{Cluster, ClusterIx};
use crate::config;
use crate::endpoint::{Admin, Endpoint, EndpointIx, Tried};
use crate::message::forwarded::Proto;
use crate::message::key::KeyInput;
use crate::route::{Action, Miss, Route, RouteInput};
use crate::snapshot::question::Question;
use crate::snapshot::{self, Live, Purpose, Snapshot};

/// Picks that a share is counted from.
const PICKS: u32 = 1000;

/// How the answer is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Output {
    Text,
    Json,
}

/// Explains; binds nothing, asks nobody.
pub(super) fn run(path: &Path, question: &Question<'_>, output: Output) -> ExitCode {
    let snapshot = match read(path) {
        Ok(snapshot) => snapshot,
        Err(text) => {
            tell(&text);
            return ExitCode::from(REFUSED);
        }
    };
    match explain(&snapshot, question) {
        Ok(found) => {
            say(&match output {
                Output::Text => found.text(),
                Output::Json => format!("{:#}\n", found.json()),
            });
            ExitCode::SUCCESS
        }
        Err(why) => {
            tell(&format!("error: {why}\n"));
            ExitCode::from(REFUSED)
        }
    }
}

fn read(path: &Path) -> Result<Snapshot, String> {
    let shown = |found: config::Diagnostics| found.render_text(color());
    let loaded = config::load(path).map_err(shown)?;
    let mut diagnostics = loaded.diagnostics;
    let (raw, files, live) = (&loaded.raw, &loaded.files, Live::default());
    snapshot::compile(raw, files, &live, Purpose::Start, &mut diagnostics)
        .ok_or_else(|| shown(diagnostics))
}

/// What was found.
struct Explanation {
    asked: String,
    client: IpAddr,
    listener: String,
    outcome: Outcome,
    /// Routes that do not take it, and why.
    misses: Vec<(String, Miss)>,
}

enum Outcome {
    /// No endpoint hears of it.
    Refused(Error),
    Routed {
        route: String,
        filters: Vec<&'static str>,
        action: Chosen,
    },
}

enum Chosen {
    Redirect {
        status: u16,
        location: String,
    },
    Respond(u16),
    Cluster {
        /// Of a split, from which it was drawn or found by a key: names and shares.
        split: Vec<(String, f64)>,
        candidates: Candidates,
    },
}

struct Candidates {
    cluster: String,
    balancer: &'static str,
    endpoints: Vec<Candidate>,
    /// Names that were not asked for.
    names: Vec<String>,
    choice: Option<String>,
}

struct Candidate {
    address: String,
    weight: u32,
    tier: u8,
    zone: Option<String>,
    /// Of many picks from a start; `Err`: why it gets none.
    share: Result<f64, &'static str>,
}

fn explain(snapshot: &Snapshot, question: &Question<'_>) -> Result<Explanation, String> {
    let asked = question.put(snapshot).map_err(|why| why.to_string())?;
    let mut explanation = Explanation {
        asked: asked.text.clone(),
        client: asked.client,
        listener: asked.listener.1.name.to_string(),
        outcome: Outcome::Refused(Error::from(Reason::NoRoute)),
        misses: Vec::new(),
    };
    if let Some(input) = asked.input() {
        explanation.route(snapshot, &input, asked.scheme);
    } else if let Err(error) = asked.head {
        explanation.outcome = Outcome::Refused(error);
    }
    Ok(explanation)
}

fn action(snapshot: &Snapshot, route: &Route, input: &RouteInput<'_>, asked: Proto) -> Chosen {
    let key = KeyInput::received(input.head, input.client, route.name.as_str());
    let chosen = match &route.action {
        Action::Cluster(ix) => Some(*ix),
        Action::Split(split) => split.choose(&key),
        Action::Redirect(redirect) => {
            // A question names its host.
            let location = redirect.location(input.head, asked.into(), None);
            let location = location.unwrap_or_default();
            return Chosen::Redirect {
                status: redirect.status,
                location: String::from_utf8_lossy(&location).into_owned(),
            };
        }
        Action::Respond(reply) => return Chosen::Respond(reply.status()),
    };
    let cluster = |ix: ClusterIx| snapshot.clusters.get(ix.index());
    let split = match &route.action {
        Action::Split(split) => split
            .shares()
            .filter_map(|(ix, share)| Some((cluster(ix)?.name.to_string(), share)))
            .collect(),
        _ => Vec::new(),
    };
    match chosen.and_then(cluster) {
        Some(cluster) => Chosen::Cluster {
            split,
            candidates: candidates(cluster, &key),
        },
        None => Chosen::Respond(Reason::Internal.row().status),
    }
}

fn candidates(cluster: &Cluster, key: &KeyInput<'_>) -> Candidates {
    for endpoint in cluster.set.iter() {
        endpoint.state.set_admin(endpoint.admin);
    }
    let tried = Tried::new();
    let input = PickInput {
        tried: &tried,
        cap: cluster.bulkhead.connections_per_endpoint,
        hash: cluster.key.as_ref().and_then(|own| own.hash(key)),
        now: clock::now(),
    };
    let mut cursor = Cursor::new();
    let mut pick = || match cluster.balancer.pick(&cluster.set, &mut cursor, &input) {
        Pick::Endpoint(ix) => Some(ix),
        Pick::Full | Pick::None => None,
    };
    let choice = pick();
    let mut counts = vec![0_u32; cluster.set.len()];
    for ix in std::iter::once(choice)
        .chain((1..PICKS).map(|_| pick()))
        .flatten()
    {
        if let Some(count) = counts.get_mut(ix.0 as usize) {
            *count += 1;
        }
    }
    let address = |ix: EndpointIx| Some(cluster.set.endpoint(ix)?.text.to_string());
    let judged = cluster
        .set
        .iter()
        .zip(counts)
        .map(|(endpoint, count)| Candidate {
            address: endpoint.text.to_string(),
            weight: endpoint.weight,
            tier: endpoint.tier,
            zone: endpoint.origin.zone.as_deref().map(str::to_owned),
            share: match count {
                0 => Err(left_out(endpoint)),
                count => Ok(f64::from(count) / f64::from(PICKS)),
            },
        });
    Candidates {
        cluster: cluster.name.to_string(),
        balancer: cluster.balancer.algorithm().as_str(),
        endpoints: judged.collect(),
        names: cluster
            .members
            .names()
            .map(|entry| entry.query.to_string())
            .collect(),
        choice: choice.and_then(address),
    }
}

fn left_out(endpoint: &Endpoint) -> &'static str {
    match endpoint.admin {
        Admin::Drain => "the file says that it drains",
        Admin::Disabled => "the file says that it is disabled",
        Admin::Ready
            if endpoint
                .health
                .as_ref()
                .is_some_and(|cell| !cell.is_healthy()) =>
        {
            "it counts as unhealthy until its first probe"
        }
        Admin::Ready if endpoint.tier > 0 => "a lower tier has an available endpoint",
        Admin::Ready if endpoint.origin.zone.is_some() => {
            "another zone serves, or the balancer never took it"
        }
        Admin::Ready => "the balancer never took it",
    }
}

impl Explanation {
    fn route(&mut self, snapshot: &Snapshot, input: &RouteInput<'_>, asked: Proto) {
        let routes = &snapshot.routes;
        let found = routes.find(input);
        for (ix, miss) in routes.misses(input, found) {
            if let Some(route) = routes.route(ix) {
                self.misses.push((route.name.to_string(), miss));
            }
        }
        if let Some(route) = found.and_then(|ix| routes.route(ix)) {
            self.outcome = Outcome::Routed {
                route: route.name.to_string(),
                filters: route.filters.names().collect(),
                action: action(snapshot, route, input, asked),
            };
        }
    }
}
