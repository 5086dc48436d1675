//! `[[tests]]`: requests whose routes are known, tried on a configuration before it takes effect.

use std::net::{IpAddr, Ipv4Addr};

use super::Snapshot;
use super::question::{Asked, NotAsked, Question};
use crate::base::Reason;
use crate::config::raw::route_test::{Expect, RouteTest};
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
use crate::route::{Action, Route};

/// For documentation: nobody's (RFC 5737).
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// How a route is called that was not found.
const NO_ROUTE: &str = "-";

/// Runs all tests and tells of those that fail.
pub(super) fn run(
    tests: &[Spanned<RouteTest>],
    snapshot: &Snapshot,
    diagnostics: &mut Diagnostics,
) {
    for test in tests {
        if let Err(diagnostic) = try_one(test, snapshot) {
            diagnostics.push(*diagnostic);
        }
    }
}

fn try_one(test: &RouteTest, snapshot: &Snapshot) -> Result<(), Box<Diagnostic>> {
    if test.expect.value == Expect::default() {
        let diagnostic = Diagnostic::error(Code::Empty, test.expect.span, "`expect` is empty");
        return Err(Box::new(
            diagnostic.hint("say one of `route`, `cluster`, `status` and `location`"),
        ));
    }
    let wrong = |why: NotAsked| {
        let span = match (&why, &test.listener) {
            (NotAsked::Listener(_), Some(listener)) => listener.span,
            _ => test.request.span,
        };
        let diagnostic = Diagnostic::error(Code::FailedTest, span, why.to_string());
        Box::new(diagnostic.label("this cannot be asked"))
    };
    let client = match &test.client {
        None => CLIENT,
        Some(text) => text.parse().map_err(|_| {
            let message = format!("`{}` is not an address", text.escape_debug());
            Box::new(Diagnostic::error(Code::BadAddress, text.span, message))
        })?,
    };
    let headers: Vec<String> = test
        .headers
        .iter()
        .map(|(name, value)| format!("{}: {}", name.value, value.value))
        .collect();
    let question = Question {
        request: &test.request,
        headers: &headers,
        client,
        listener: test.listener.as_deref().map(String::as_str),
    };
    let asked = question.put(snapshot).map_err(wrong)?;
    let found = Found::of(snapshot, &asked);
    found.compare(&test.expect).map_err(|(span, wanted)| {
        let message = format!("`{}` {}", asked.text.escape_debug(), found.told());
        let diagnostic = Diagnostic::error(Code::FailedTest, span, message).label(wanted);
        let missed = test
            .expect
            .route
            .as_ref()
            .and_then(|route| found.missed(route));
        Box::new(match missed {
            Some(why) => diagnostic.note(why),
            None => diagnostic,
        })
    })
}

/// What comes of a request.
struct Found {
    route: Option<String>,
    clusters: Vec<String>,
    status: Option<u16>,
    location: Option<String>,
    /// Why other routes do not take it.
    misses: Vec<(String, &'static str)>,
}

impl Found {
    fn of(snapshot: &Snapshot, asked: &Asked<'_>) -> Self {
        let mut found = Self {
            route: None,
            clusters: Vec::new(),
            status: None,
            location: None,
            misses: Vec::new(),
        };
        let input = match (&asked.head, asked.input()) {
            (Ok(_), Some(input)) => input,
            (Err(error), _) => {
                found.status = Some(error.reason().status(error.detail()));
                return found;
            }
            (Ok(_), None) => return found,
        };
        let routes = &snapshot.routes;
        let ix = routes.find(&input);
        for (other, miss) in routes.misses(&input, ix) {
            if let Some(other) = routes.route(other) {
                found.misses.push((other.name.to_string(), miss.as_str()));
            }
        }
        match ix.and_then(|ix| routes.route(ix)) {
            None => found.status = Some(Reason::NoRoute.row().status),
            Some(route) => match route.admits(input.head) {
                Ok(()) => found.act(snapshot, route, asked),
                Err(error) => {
                    found.route = Some(route.name.to_string());
                    found.status = Some(error.reason().status(error.detail()));
                }
            },
        }
        found
    }

    fn act(&mut self, snapshot: &Snapshot, route: &Route, asked: &Asked<'_>) {
        self.route = Some(route.name.to_string());
        let name = |ix: usize| {
            let cluster = snapshot.clusters.get(ix);
            cluster.map(|cluster| cluster.name.to_string())
        };
        match &route.action {
            Action::Cluster(ix) => self.clusters.extend(name(ix.index())),
            Action::Split(split) => {
                let parts = split.clusters().filter_map(|ix| name(ix.index()));
                self.clusters.extend(parts);
            }
            Action::Respond(reply) => self.status = Some(reply.status()),
            Action::Redirect(redirect) => {
                self.status = Some(redirect.status);
                // A question names its host.
                let location = |head| redirect.location(head, asked.scheme.into(), None).ok();
                let location = asked.head.as_ref().ok().and_then(location);
                let location = location.unwrap_or_default();
                self.location = Some(String::from_utf8_lossy(&location).into_owned());
            }
        }
    }

    /// Where it is not as expected: the span of what was, and what that was.
    fn compare(&self, expect: &Expect) -> Result<(), (crate::config::Span, String)> {
        let route = self.route.as_deref().unwrap_or(NO_ROUTE);
        if let Some(wanted) = &expect.route
            && wanted.value != route
        {
            return Err((wanted.span, "expected this route".to_owned()));
        }
        if let Some(wanted) = &expect.cluster
            && !self.clusters.contains(&wanted.value)
        {
            return Err((wanted.span, "expected this cluster".to_owned()));
        }
        if let Some(wanted) = expect.status
            && self.status != Some(wanted.value)
        {
            return Err((wanted.span, "expected this status".to_owned()));
        }
        if let Some(wanted) = &expect.location
            && self.location.as_ref() != Some(&wanted.value)
        {
            return Err((wanted.span, "expected this location".to_owned()));
        }
        Ok(())
    }

    /// What comes of it, for people.
    fn told(&self) -> String {
        let mut told = match &self.route {
            Some(route) => format!("finds route `{route}`"),
            None => "finds no route".to_owned(),
        };
        let mut more = |text: String| {
            told.push_str(", ");
            told.push_str(&text);
        };
        if !self.clusters.is_empty() {
            more(format!("goes to `{}`", self.clusters.join("` or `")));
        }
        if let Some(status) = self.status {
            more(format!("gets {status}"));
        }
        if let Some(location) = &self.location {
            more(format!("is sent to `{}`", location.escape_debug()));
        }
        told
    }

    /// Why the route that was expected does not take it.
    fn missed(&self, route: &str) -> Option<String> {
        let (_, why) = self.misses.iter().find(|(name, _)| name == route)?;
        Some(format!("route `{route}`: {why}"))
    }
}
