//! The answer, for people and for tools.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Candidates, Chosen, Explanation, Outcome};
use crate::base::Error;

impl Explanation {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(text, "{}", format!("{key:10}{value}").trim_end());
        };
        line("request", &format!("{} from {}", self.asked, self.client));
        line("listener", &self.listener);
        match &self.outcome {
            Outcome::Refused(error) => {
                line("refused", &format!("{} {error}", status(error)));
            }
            Outcome::Routed {
                route,
                filters,
                action,
            } => {
                line("route", route);
                line("filters", &filters.join(", "));
                match action {
                    Chosen::Redirect { status, location } => {
                        line("action", &format!("redirect {status} to {location}"));
                    }
                    Chosen::Respond(status) => line("action", &format!("respond {status}")),
                    Chosen::Cluster {
                        split,
                        candidates: found,
                    } => {
                        for (cluster, share) in split {
                            line("split", &format!("{cluster}  {:.0} %", share * 100.0));
                        }
                        line(
                            "cluster",
                            &format!("{} ({})", found.cluster, found.balancer),
                        );
                        for one in &found.endpoints {
                            let told = match one.share {
                                Ok(share) => format!("{:.0} % of picks", share * 100.0),
                                Err(why) => format!("left out: {why}"),
                            };
                            let (weight, tier) = (one.weight, one.tier);
                            let zone = one.zone.as_deref();
                            let zone =
                                zone.map_or_else(String::new, |zone| format!("  zone {zone}"));
                            line(
                                "",
                                &format!(
                                    "{}  weight {weight}  tier {tier}{zone}  {told}",
                                    one.address
                                ),
                            );
                        }
                        for name in &found.names {
                            line("", &format!("{name}  a name, which is not asked for here"));
                        }
                        line(
                            "choice",
                            found
                                .choice
                                .as_deref()
                                .unwrap_or("none: 503, or 502 without any endpoint"),
                        );
                    }
                }
            }
        }
        for (route, miss) in &self.misses {
            line("not", &format!("{route}: {}", miss.as_str()));
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let misses = self.misses.iter();
        let misses = misses.map(|(route, miss)| json!({ "route": route, "why": miss.as_str() }));
        let mut object = json!({
            "request": self.asked,
            "client": self.client.to_string(),
            "listener": self.listener,
            "other_routes": misses.collect::<Vec<_>>(),
        });
        let more = match &self.outcome {
            Outcome::Refused(error) => json!({ "refused": {
                "status": status(error),
                "reason": error.reason().as_str(),
                "detail": error.detail().as_str(),
            }}),
            Outcome::Routed {
                route,
                filters,
                action,
            } => {
                let action = match action {
                    Chosen::Redirect { status, location } => {
                        json!({ "redirect": { "status": status, "location": location } })
                    }
                    Chosen::Respond(status) => json!({ "respond": { "status": status } }),
                    Chosen::Cluster { split, candidates } => {
                        let split: serde_json::Map<_, _> = split
                            .iter()
                            .map(|(name, share)| (name.clone(), json!(share)))
                            .collect();
                        let mut action = json!({ "cluster": candidates.json() });
                        if let (Some(action), false) = (action.as_object_mut(), split.is_empty()) {
                            action.insert("split".to_owned(), split.into());
                        }
                        action
                    }
                };
                json!({ "route": route, "filters": filters, "action": action })
            }
        };
        if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
            object.extend(more);
        }
        object
    }
}

impl Candidates {
    fn json(&self) -> Value {
        let endpoints = self.endpoints.iter().map(|one| {
            json!({
                "address": one.address,
                "weight": one.weight,
                "tier": one.tier,
                "zone": one.zone,
                "share": one.share.ok(),
                "left_out": one.share.err(),
            })
        });
        json!({
            "name": self.cluster,
            "balancer": self.balancer,
            "endpoints": endpoints.collect::<Vec<_>>(),
            "names": self.names,
            "choice": self.choice,
        })
    }
}

fn status(error: &Error) -> u16 {
    error.reason().status(error.detail())
}
