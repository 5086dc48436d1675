//! `tidegate explain`: what would become of one request, from the file alone.
//!
//! **Invariants.** Nothing is bound, connected to or asked: the answer depends on the file and on chance alone.
//!
//! **Not here.** How the answer looks ([`show`]).

mod show;

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use super::{REFUSED, color, say, tell};
use crate::balance::{Cursor, Pick, PickInput};
use crate::base::{Error, Reason, clock};
use crate::cluster::Cluster;
use crate::config;
use crate::endpoint::{Admin, Endpoint, EndpointIx, Tried};
use crate::http1::request::{Progress, parse};
use crate::listener::{ListenerSpec, Serves};
use crate::message::RequestHead;
use crate::message::forwarded::{self, Trust};
use crate::message::key::KeyInput;
use crate::route::{Action, Miss, Route, RouteInput};
use crate::snapshot::{self, Live, Purpose, Snapshot};

/// Picks that a share is counted from.
const PICKS: u32 = 1000;

/// What is asked.
#[derive(Debug)]
pub(super) struct Question<'a> {
    /// `GET http://host/path`, or the URL alone.
    pub(super) request: &'a str,
    /// `name: value`.
    pub(super) headers: &'a [String],
    /// The peer of the connection.
    pub(super) client: IpAddr,
    /// The listener; else the one with the port of the URL, else the first.
    pub(super) listener: Option<&'a str>,
}

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
    Redirect,
    Respond(u16),
    Cluster(Candidates),
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
    let (method, url) = match question.request.split_once(' ') {
        Some((method, url)) => (method, url.trim()),
        None => ("GET", question.request),
    };
    let rest = url
        .strip_prefix("http://")
        .ok_or("a request is `GET http://host/path`")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (position, listener) = find_listener(snapshot, authority, question.listener)?;
    let mut explanation = Explanation {
        asked: format!("{method} {url}"),
        client: question.client,
        listener: listener.name.to_string(),
        outcome: Outcome::Refused(Error::from(Reason::NoRoute)),
        misses: Vec::new(),
    };
    let path = if path.is_empty() { "/" } else { path };
    let text = written(method, authority, path, question.headers);
    let mut head = RequestHead::default();
    match parse(text.as_bytes(), &listener.head(), &mut head) {
        Ok(Progress::Complete(_)) => {}
        Ok(Progress::Partial) => return Err("the request is not whole".to_owned()),
        Err(error) => {
            explanation.outcome = Outcome::Refused(error);
            return Ok(explanation);
        }
    }
    if forwarded::trust(question.client, &listener.trusted) == Trust::Proxy {
        explanation.client = forwarded::client(question.client, &head, &listener.trusted);
    }
    explanation.route(snapshot, position, &head);
    Ok(explanation)
}

/// The request as it would arrive.
fn written(method: &str, authority: &str, path: &str, headers: &[String]) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    let names_host = |line: &String| line.to_ascii_lowercase().starts_with("host:");
    if !headers.iter().any(names_host) {
        // Writing to a String cannot fail.
        let _ = write!(text, "Host: {authority}\r\n");
    }
    for line in headers {
        let _ = write!(text, "{line}\r\n");
    }
    text.push_str("\r\n");
    text
}

fn find_listener<'s>(
    snapshot: &'s Snapshot,
    authority: &str,
    wanted: Option<&str>,
) -> Result<(usize, &'s ListenerSpec), String> {
    let all = snapshot.listeners.iter().map(|spec| &**spec).enumerate();
    // Only requests can be explained.
    let mut listeners = all.filter(|(_, spec)| spec.serves == Serves::Http);
    if let Some(wanted) = wanted {
        let found = listeners.find(|(_, spec)| spec.name.as_str() == wanted);
        return found.ok_or_else(|| format!("no listener `{wanted}` for http"));
    }
    let port = authority
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    let port: u16 = port.unwrap_or(80);
    let on_port =
        |(_, spec): &(usize, &ListenerSpec)| spec.binds.iter().any(|bind| bind.port() == port);
    let mut again = listeners.clone();
    let found = listeners.find(on_port).or_else(|| again.next());
    found.ok_or_else(|| "there is no listener for http".to_owned())
}

fn action(snapshot: &Snapshot, route: &Route, input: &RouteInput<'_>) -> Chosen {
    let key = KeyInput {
        head: input.head,
        client: input.client,
        route: route.name.as_str(),
    };
    let chosen = match &route.action {
        Action::Cluster(ix) => Some(*ix),
        Action::Split(split) => split.choose(&key),
        Action::Redirect(_) => return Chosen::Redirect,
        Action::Respond(reply) => return Chosen::Respond(reply.status()),
    };
    let cluster = chosen.and_then(|ix| snapshot.clusters.get(ix.index()));
    match cluster {
        Some(cluster) => Chosen::Cluster(candidates(cluster, &key)),
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
    fn route(&mut self, snapshot: &Snapshot, listener: usize, head: &RequestHead) {
        let input = RouteInput {
            listener,
            head,
            client: self.client,
        };
        let routes = &snapshot.routes;
        let found = routes.find(&input);
        for (ix, miss) in routes.misses(&input, found) {
            if let Some(route) = routes.route(ix) {
                self.misses.push((route.name.to_string(), miss));
            }
        }
        if let Some(route) = found.and_then(|ix| routes.route(ix)) {
            self.outcome = Outcome::Routed {
                route: route.name.to_string(),
                filters: route.filters.names().collect(),
                action: action(snapshot, route, &input),
            };
        }
    }
}
