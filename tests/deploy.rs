//! What is shipped for operators is true: every metric that `deploy/` and `docs/` name exists, the
//! alert rules load and fire as meant, the dashboard is JSON and asks for labels that its metrics have.

#![expect(clippy::unwrap_used, reason = "this whole program is a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate::metrics::names::{self, Kind, Metric};

#[test]
fn every_metric_that_is_named_exists() {
    let mut unknown = BTreeSet::new();
    let mut seen = 0;
    for folder in ["deploy", "docs", "README.md", "CHANGELOG.md"] {
        for path in files(&root().join(folder)) {
            for name in metric_names(&fs::read_to_string(&path).unwrap()) {
                seen += 1;
                if metric(&name).is_none() {
                    unknown.insert(format!("{}: {name}", path.display()));
                }
            }
        }
    }
    assert!(seen > 20, "the names are found: {seen}");
    assert!(unknown.is_empty(), "no such metric:\n{unknown:#?}");
}

#[test]
fn the_dashboard_asks_for_labels_that_its_metrics_have() {
    let text = fs::read_to_string(root().join("deploy/grafana/tidegate.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut checked = 0;
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().unwrap();
            for (name, labels) in selectors(expr) {
                let metric = metric(&name).expect("checked by the other test");
                for label in labels {
                    let known = ["instance", "job", "le"].contains(&label.as_str())
                        || metric.labels.contains(&label.as_str());
                    assert!(known, "{name} has no label {label}: {expr}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 30, "labels are found: {checked}");
}

#[test]
fn the_alert_rules_load_and_fire_as_meant() {
    let folder = root().join("deploy/prometheus");
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
        ["check", "config", "scrape.yml"],
    ] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(&folder)
            .output()
            .expect("promtool comes with Debian's package prometheus: scripts/tools.sh");
        assert!(
            output.status.success(),
            "promtool {arguments:?}:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// The metric of this name, or the histogram that a `_bucket`, `_sum` or `_count` belongs to.
fn metric(name: &str) -> Option<&'static Metric> {
    let find = |name: &str| {
        names::ALL
            .iter()
            .copied()
            .find(|metric| metric.name == name)
    };
    find(name).or_else(|| {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))?;
        find(base).filter(|metric| metric.kind == Kind::Histogram)
    })
}

/// Words that begin as our metrics do. A word that ends in `_` or `*` stands for a family.
fn metric_names(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '*')
        .filter(|word| word.starts_with("tidegate_") && !word.ends_with(['*', '_']))
        .map(str::to_owned)
        .collect()
}

/// Each metric of an expression that has a selector, with the labels that the selector names.
fn selectors(expr: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in expr.match_indices("tidegate_") {
        let rest = expr.get(at..).unwrap_or_default();
        let Some((name, rest)) = rest.split_once('{') else {
            continue;
        };
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let inside = rest.split_once('}').map_or(rest, |(inside, _)| inside);
        let labels = inside
            .split(',')
            .filter_map(|pair| pair.split(['=', '!']).next())
            .map(|label| label.trim().to_owned())
            .collect();
        found.push((name.to_owned(), labels));
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder, or the file itself.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return vec![path.to_owned()];
    };
    entries
        .flat_map(|entry| files(&entry.unwrap().path()))
        .collect()
}
