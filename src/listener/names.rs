//! `sni` of a tcp listener: server names and protocols of a client hello → clusters.

use std::collections::HashMap;

use super::serves::who;
use crate::base::ClusterName;
use crate::cluster::{ClusterIx, find_cluster};
use crate::config::raw::{self, listener::SniRule};
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::route::HostPattern;
use crate::tls::hello::Asked;

/// Where connections go by what their client hello asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerNames {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Rule {
    hosts: Vec<HostPattern>,
    /// Protocols of which the client must offer one; empty: any client.
    alpn: Vec<Box<[u8]>>,
    cluster: ClusterIx,
}

impl ServerNames {
    /// The cluster of the rule that fits best: an exact name before a wildcard, of wildcards the longer one, then a rule that
    /// asks for a protocol before one that does not, then the order of the file.
    pub fn find(&self, asked: &Asked) -> Option<ClusterIx> {
        let name = asked.server_name.as_deref()?;
        let rank = |rule: &Rule| {
            let offered = |wanted: &[u8]| asked.alpn().any(|it| it == wanted);
            if !rule.alpn.is_empty() && !rule.alpn.iter().any(|it| offered(it)) {
                return None;
            }
            let fits = rule.hosts.iter().filter_map(|host| fit(host, name)).max()?;
            Some((fits, !rule.alpn.is_empty()))
        };
        let mut best = None;
        for rule in &self.rules {
            if let Some(rank) = rank(rule)
                && best.is_none_or(|(highest, _)| rank > highest)
            {
                best = Some((rank, rule.cluster));
            }
        }
        best.map(|(_, cluster)| cluster)
    }

    /// The clusters of all rules; one may come more than once.
    pub(super) fn clusters(&self) -> impl Iterator<Item = ClusterIx> {
        self.rules.iter().map(|rule| rule.cluster)
    }

    pub(super) fn compile(
        raw: &raw::Listener,
        rules: &Spanned<Vec<Spanned<SniRule>>>,
        clusters: &[ClusterName],
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        if rules.is_empty() {
            diagnostics.push(
                Diagnostic::error(Code::Empty, rules.span, "`sni` is empty")
                    .hint("leave it out: then everything goes to `cluster`"),
            );
            return None;
        }
        let mut seen = HashMap::new();
        let mut compiled = Vec::with_capacity(rules.len());
        for rule in &rules.value {
            compiled.push(compile_rule(raw, rule, clusters, &mut seen, diagnostics));
        }
        let rules = compiled.into_iter().collect::<Option<_>>()?;
        Some(Self { rules })
    }
}

/// How well a host fits a name: whether it is exact, and how much of the name it says. `None`: not at all.
fn fit(host: &HostPattern, name: &[u8]) -> Option<(bool, usize)> {
    match host {
        HostPattern::Exact(exact) => (exact.as_bytes() == name).then_some((true, name.len())),
        HostPattern::Below(domain) => {
            let below = name.len() > domain.len() && name.ends_with(domain.as_bytes());
            below.then_some((false, domain.len()))
        }
    }
}

/// What tells two rules apart: a host, and the protocols asked for.
type Place = (HostPattern, Vec<Box<[u8]>>);

fn compile_rule(
    raw: &raw::Listener,
    rule: &SniRule,
    clusters: &[ClusterName],
    seen: &mut HashMap<Place, Span>,
    diagnostics: &mut Diagnostics,
) -> Option<Rule> {
    let cluster = find_cluster(&who(raw), &rule.cluster, clusters, diagnostics);
    let alpn = alpn(rule, diagnostics);
    if rule.hosts.is_empty() {
        diagnostics.push(
            Diagnostic::error(Code::Empty, rule.hosts.span, "`hosts` is empty")
                .hint("what no rule names goes to the `cluster` of the listener"),
        );
        return None;
    }
    let mut hosts = Vec::with_capacity(rule.hosts.len());
    for text in &rule.hosts.value {
        match HostPattern::parse(text) {
            Ok(host) => {
                if let Some(alpn) = &alpn
                    && let Some(first) = seen.insert((host.clone(), alpn.clone()), text.span)
                {
                    let message = format!("`{}` stands in two rules", text.escape_debug());
                    diagnostics.push(
                        Diagnostic::error(Code::Conflict, text.span, message)
                            .label("this one never applies")
                            .also(first, "first here"),
                    );
                }
                hosts.push(host);
            }
            Err(error) => {
                let message = format!("`{}` is not a server name", text.escape_debug());
                diagnostics.push(
                    Diagnostic::error(Code::BadHost, text.span, message).label(error.to_string()),
                );
            }
        }
    }
    (hosts.len() == rule.hosts.len()).then_some(())?;
    Some(Rule {
        hosts,
        alpn: alpn?,
        cluster: cluster?,
    })
}

fn alpn(rule: &SniRule, diagnostics: &mut Diagnostics) -> Option<Vec<Box<[u8]>>> {
    let mut protocols = Vec::new();
    for text in rule.alpn.iter().flat_map(|list| &list.value) {
        if text.is_empty() || text.len() > 255 {
            let message = "a protocol of ALPN has 1 to 255 bytes";
            diagnostics.push(Diagnostic::error(Code::BadValue, text.span, message));
            return None;
        }
        protocols.push(text.as_bytes().into());
    }
    Some(protocols)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::hello::tests::asking;

    fn rule(hosts: &[&str], alpn: &[&str], cluster: u32) -> Rule {
        Rule {
            hosts: hosts
                .iter()
                .map(|it| HostPattern::parse(it).unwrap())
                .collect(),
            alpn: alpn.iter().map(|it| it.as_bytes().into()).collect(),
            cluster: ClusterIx(cluster),
        }
    }

    #[test]
    fn the_rule_that_says_most_applies() {
        let names = ServerNames {
            rules: vec![
                rule(&["*.example.com"], &[], 0),
                rule(&["*.eu.example.com", "example.org"], &[], 1),
                rule(&["db.eu.example.com"], &[], 2),
                rule(&["*.example.com"], &["h2"], 3),
                rule(&["late.example.com"], &[], 4),
                rule(&["late.example.com"], &[], 5),
            ],
        };
        for (name, alpn, cluster) in [
            ("a.example.com", &[][..], Some(0)),
            ("a.b.example.com", &["http/1.1"], Some(0)),
            ("a.eu.example.com", &["h2"], Some(1)),
            ("db.eu.example.com", &["h2"], Some(2)),
            ("DB.eu.example.com", &[], Some(2)),
            ("a.example.com", &["http/1.1", "h2"], Some(3)),
            ("late.example.com", &[], Some(4)),
            ("example.org", &[], Some(1)),
            ("example.com", &[], None),
            ("xexample.com", &[], None),
        ] {
            let found = names.find(&asking(Some(name), alpn));
            assert_eq!(found, cluster.map(ClusterIx), "{name}");
        }
        assert_eq!(names.find(&asking(None, &["h2"])), None);
    }
}
