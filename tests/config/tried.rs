//! What the page promises of a key is tried: its default is what happens without it, its range is what is taken.
//!
//! The full sample is changed at one key and compiled again.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tidegate::base::hash::HashKey;
use tidegate::base::{ClusterName, ListenerName};
use tidegate::config::{Color, parse};
use tidegate::listener::AdminSpec;
use tidegate::record::AccessLog;
use tidegate::{cluster, dns, filter, limiter, listener, route, tls};

use super::certs;
use super::language::{Item, Range, Step, Table, Use, index, inner, read, uses};
use super::root;

#[test]
fn a_default_is_what_happens_without_the_key() {
    let tables = read();
    let sample = sample();
    let mut tried = 0;
    let mut faults = Vec::new();
    for (found, item) in keys(&tables, &sample) {
        let Some(literal) = item.default.as_deref().and_then(literal) else {
            continue;
        };
        let written = changed(&sample, &found.path, Some(value(item, literal)));
        let absent = changed(&sample, &found.path, None);
        let name = &found.name;
        match (compiled(&written), compiled(&absent)) {
            (Ok(written), Ok(absent)) if written == absent => tried += 1,
            (Ok(_), Ok(_)) => faults.push(format!("{name}: `{literal}` is not the default")),
            (Err(shown), _) | (_, Err(shown)) => faults.push(format!("{name}: {shown}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(tried > 40, "only {tried} defaults were tried");
}

#[test]
fn a_range_is_what_is_taken() {
    let tables = read();
    let sample = sample();
    let mut tried = 0;
    let mut faults = Vec::new();
    for (found, item) in keys(&tables, &sample) {
        let Some(range) = &item.range else {
            continue;
        };
        let (good, bad) = ends(range);
        let taken = |literal: &String| {
            let changed = changed(&sample, &found.path, Some(value(item, literal)));
            compiled(&changed).is_ok()
        };
        let name = &found.name;
        tried += 1;
        faults.extend(
            good.iter()
                .filter(|end| !taken(end))
                .map(|end| format!("{name}: `{end}` is refused")),
        );
        faults.extend(
            bad.iter()
                .filter(|end| taken(end))
                .map(|end| format!("{name}: `{end}` is taken")),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(tried > 15, "only {tried} ranges were tried");
}

fn sample() -> toml::Table {
    let text = std::fs::read_to_string(root("config/full.toml")).unwrap();
    text.parse().unwrap()
}

/// The keys of the sample, each with what the page says.
fn keys<'a>(tables: &'a [Table], sample: &toml::Table) -> Vec<(Use, &'a Item)> {
    let index = index(tables);
    uses(tables, sample)
        .into_iter()
        .filter_map(|found| {
            let (table, key) = found.name.split_once('.')?;
            let item = index
                .get(table)?
                .items
                .iter()
                .find(|item| item.name == key)?;
            let key = matches!(found.path.last(), Some(Step::Key(last)) if last == key);
            (key && !item.rust.is_empty()).then_some((found, item))
        })
        .collect()
}

/// A default that is written as a literal, all of it.
fn literal(default: &str) -> Option<&str> {
    let inside = default.strip_prefix('`')?.strip_suffix('`')?;
    Some(inside)
}

/// A literal of the page as a value of TOML.
fn value(item: &Item, literal: &str) -> toml::Value {
    const NUMBERS: &[&str] = &["u8", "u16", "u32", "u64", "i32", "Percent", "Workers"];
    if item.rust.contains("Vec<") {
        let words = literal.split("`, `");
        return toml::Value::Array(
            words
                .map(|word| toml::Value::String(word.to_owned()))
                .collect(),
        );
    }
    let inner = inner(&item.rust);
    match (inner, literal.parse::<i64>()) {
        ("bool", _) => toml::Value::Boolean(literal == "true"),
        ("Ratio", _) => toml::Value::Float(literal.parse().unwrap()),
        (kind, Ok(number)) if NUMBERS.contains(&kind) => toml::Value::Integer(number),
        _ => toml::Value::String(literal.to_owned()),
    }
}

/// Literals at the ends of a range, and literals just outside of it.
fn ends(range: &Range) -> (Vec<String>, Vec<String>) {
    match range {
        Range::Between(low, high) => {
            let outside = [moved(low, -1), moved(high, 1)];
            (
                vec![low.clone(), high.clone()],
                outside.into_iter().flatten().collect(),
            )
        }
        Range::AtLeast(low) => (vec![low.clone()], moved(low, -1).into_iter().collect()),
        Range::Above(low) => (moved(low, 1).into_iter().collect(), vec![low.clone()]),
    }
}

/// The next smaller or larger value of the same kind, when there is one.
fn moved(literal: &str, by: i64) -> Option<String> {
    let digits = literal.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: i64 = digits.parse().unwrap();
    let (number, unit) = match &literal[digits.len()..] {
        "KiB" => (number << 10, "B"),
        "MiB" => (number << 20, "B"),
        unit => (number, unit),
    };
    let number = number + by;
    (number >= 0).then(|| format!("{number}{unit}"))
}

/// The sample with another value at one place, or without it.
fn changed(sample: &toml::Table, path: &[Step], value: Option<toml::Value>) -> String {
    let mut root = toml::Value::Table(sample.clone());
    let (last, way) = path.split_last().unwrap();
    let mut at = &mut root;
    for step in way {
        at = match step {
            Step::Key(key) => at.get_mut(key.as_str()).unwrap(),
            Step::At(index) => at.get_mut(*index).unwrap(),
        };
    }
    let (Step::Key(key), Some(table)) = (last, at.as_table_mut()) else {
        panic!("{path:?} does not end in a key");
    };
    match value {
        Some(value) => drop(table.insert(key.clone(), value)),
        None => drop(table.remove(key)),
    }
    toml::to_string(&root).unwrap()
}

/// Where the files stand that the sample names.
fn folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let text = std::fs::read_to_string(root("config/full.toml")).unwrap();
        certs::folder(&root("config"), &text)
    });
    &FOLDER
}

/// What a configuration compiles to, as a text; its errors when it is refused.
fn compiled(text: &str) -> Result<String, String> {
    let mut loaded = parse(&folder().join("tried.toml"), text)
        .map_err(|found| found.render_text(Color::Never))?;
    let (raw, found) = (&loaded.raw, &mut loaded.diagnostics);
    let admin = raw
        .admin
        .as_ref()
        .map(|admin| AdminSpec::compile(admin, found));
    let access_log = AccessLog::compile(&raw.log.access, found);
    let dns = dns::compile(&raw.dns, found);
    let live = cluster::Live::new();
    let mut clusters = Vec::new();
    let mut names = Vec::new();
    for (name, cluster) in raw.clusters.iter() {
        let name = ClusterName::parse(name).unwrap();
        clusters.push(cluster::compile(
            &name,
            cluster,
            &raw.defaults.cluster,
            &site(),
            &live,
            found,
        ));
        names.push(name);
    }
    let listener_names: Vec<ListenerName> = raw
        .listeners
        .iter()
        .map(|listener| ListenerName::parse(&listener.name).unwrap())
        .collect();
    let kept = limiter::Live::default();
    let limiters = limiter::compile(raw, &kept, found);
    let files = tidegate::config::Beside::default();
    let filters = filter::Live::default();
    let pages = filter::pages::compile(raw, &names, &filters, &files, found);
    let parts = filter::Parts {
        limiters: &limiters,
        live: &kept,
        files: &files,
        kept: &filters,
        clusters: &names,
        passwords: filter::Terms::compile(&raw.runtime.passwords, found),
    };
    let known = route::Clusters {
        names: &names,
        hash: HashKey::from_seed("tidegate"),
    };
    let ground = tls::Ground {
        live: &tls::Live::default(),
        common: &tls::Common::default(),
    };
    let listeners = listener::compile(raw, known, parts, ground, found);
    let routes = route::compile(raw, &listener_names, known, parts, found);
    if found.has_errors() {
        return Err(found.render_text(Color::Never));
    }
    let routes = routes.unwrap();
    let routes = routes.routes();
    Ok(format!(
        "{admin:?}{listeners:?}{access_log:?}{dns:?}{clusters:?}{routes:?}{pages:?}"
    ))
}

/// An instance with a secret, as one has that signs cookies.
fn site() -> cluster::Site {
    cluster::Site {
        secret: Some(tidegate::base::secret::Secret::from_text(
            b"a secret of this test",
        )),
        ..cluster::Site::new(None)
    }
}
