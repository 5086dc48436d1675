//! The language, read from the source that accepts it: every table, key and choice with its comment.

use std::collections::{BTreeMap, BTreeSet};

use super::root;

/// Words at the end of a comment that say how a key stands in this build.
const AT_START: &str = "Read at start.";

/// The files of `src/config/raw` in the order in which a reader meets them.
const ORDER: &[&str] = &[
    "mod",
    "runtime",
    "admin",
    "secret",
    "log",
    "dns",
    "defaults",
    "listener",
    "http2",
    "path",
    "timeouts",
    "socket",
    "tls",
    "route",
    "filter",
    "access",
    "error_pages",
    "route_test",
    "cluster",
    "endpoint",
    "balancer",
    "health",
    "bulkhead",
    "retry",
    "outlier",
    "limiter",
    "store",
];

/// A struct or an enum of `config::raw`.
pub struct Table {
    pub name: String,
    pub about: String,
    pub kind: Kind,
    pub items: Vec<Item>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A TOML table: its items are keys.
    Keys,
    /// A choice: its items are words.
    Words,
}

/// A key of a table or a word of a choice.
pub struct Item {
    pub name: String,
    /// The Rust type; of a word, the type of its settings.
    pub rust: String,
    pub meaning: String,
    pub default: Option<String>,
    pub range: Option<Range>,
    pub read: Read,
}

/// The values that a key takes, as literals without quotes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Range {
    Between(String, String),
    Above(String),
    AtLeast(String),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Read {
    AtReload,
    AtStart,
}

/// All tables and choices.
pub fn read() -> Vec<Table> {
    let directory = root("src/config/raw");
    let mut tables = Vec::new();
    for name in ORDER {
        let path = directory.join(format!("{name}.rs"));
        scan(&std::fs::read_to_string(path).unwrap(), &mut tables);
    }
    let files = super::files(&directory, ".rs").len();
    assert_eq!(
        files,
        ORDER.len(),
        "a file of config::raw is not in the order of the page"
    );
    tables
}

fn scan(text: &str, tables: &mut Vec<Table>) {
    let mut about: Vec<&str> = Vec::new();
    let mut rename = None;
    let mut open: Option<Table> = None;
    for line in text.lines() {
        let bare = line.trim();
        if let Some(comment) = bare.strip_prefix("///") {
            about.push(comment.trim());
        } else if let Some(rest) = bare.strip_prefix("#[serde(rename = \"") {
            rename = rest.split('"').next().map(str::to_owned);
        } else if bare.starts_with("#[") || bare.starts_with("// ") || bare.is_empty() {
        } else if bare == "}" && line.starts_with('}') {
            tables.extend(open.take());
            about.clear();
        } else if let Some((kind, name)) = opening(line) {
            let table = Table {
                name: name.to_owned(),
                about: std::mem::take(&mut about).join(" "),
                kind,
                items: Vec::new(),
            };
            // A one-line struct has no keys.
            if bare.ends_with("{}") {
                tables.push(table);
            } else {
                open = Some(table);
            }
        } else {
            if let Some(table) = &mut open {
                table
                    .items
                    .extend(item(bare, table.kind, &about, rename.take()));
            }
            about.clear();
        }
    }
}

fn opening(line: &str) -> Option<(Kind, &str)> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let (kind, rest) = match line.split_once(' ')? {
        ("struct", rest) => (Kind::Keys, rest),
        ("enum", rest) => (Kind::Words, rest),
        _ => return None,
    };
    let name = rest.split([' ', '{', '<', '(', ';']).next()?;
    rest.contains('{').then_some((kind, name))
}

fn item(line: &str, kind: Kind, about: &[&str], rename: Option<String>) -> Option<Item> {
    let line = line.trim_end_matches(',');
    let (name, rust) = match kind {
        Kind::Keys => line.strip_prefix("pub ")?.split_once(": ")?,
        Kind::Words => match line.split_once('(') {
            Some((name, rest)) => (name, rest.trim_end_matches(')')),
            None => (line, ""),
        },
    };
    let name = match kind {
        Kind::Keys => name.to_owned(),
        Kind::Words => rename.unwrap_or_else(|| snake(name)),
    };
    let mut text = about.join(" ");
    let mut take = |words: &str| -> bool {
        let found = text.contains(words);
        let without = text.replace(words, "");
        without.trim().clone_into(&mut text);
        found
    };
    let read = if take(AT_START) {
        Read::AtStart
    } else {
        Read::AtReload
    };
    let range = range(&mut text);
    let (meaning, default) = match text.rsplit_once("Default: ") {
        Some((meaning, default)) => (
            meaning.trim(),
            Some(default.trim_end_matches('.').to_owned()),
        ),
        None => (text.trim(), None),
    };
    Some(Item {
        name,
        rust: rust.to_owned(),
        meaning: meaning.trim_end_matches('.').to_owned(),
        default,
        range,
        read,
    })
}

/// Takes the sentence `Range: …` out of a comment.
fn range(text: &mut String) -> Option<Range> {
    let start = text.find("Range: ")?;
    let length = text[start..].find("`.")? + 2;
    let sentence: String = text.drain(start..start + length).collect();
    let literals: Vec<String> = sentence
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    match literals.as_slice() {
        [low, high] => Some(Range::Between(low.clone(), high.clone())),
        [low] if sentence.contains("above") => Some(Range::Above(low.clone())),
        [low] => Some(Range::AtLeast(low.clone())),
        _ => panic!("a range has one or two ends: {sentence}"),
    }
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// The tables by name.
pub fn index(tables: &[Table]) -> BTreeMap<&str, &Table> {
    tables
        .iter()
        .map(|table| (table.name.as_str(), table))
        .collect()
}

/// The type that a Rust type of a field is about, without the wrappers.
pub fn inner(rust: &str) -> &str {
    let inside = rust.rsplit('<').next().unwrap();
    inside.trim_end_matches('>').rsplit("::").next().unwrap()
}

/// Names of the tables that can be reached.
pub fn reached(tables: &[Table]) -> BTreeSet<String> {
    let index = index(tables);
    let mut reached = BTreeSet::new();
    let mut open = vec!["Config"];
    while let Some(name) = open.pop() {
        let Some(table) = index.get(name) else {
            continue;
        };
        if reached.insert(name.to_owned()) {
            open.extend(table.items.iter().map(|item| inner(&item.rust)));
        }
    }
    reached
}

/// A key or a word in a configuration.
pub struct Use {
    /// `Table.key`.
    pub name: String,
    /// The way from the root to the value.
    pub path: Vec<Step>,
}

/// One step into a value.
#[derive(Clone, Debug)]
pub enum Step {
    Key(String),
    At(usize),
}

/// The keys and words that a configuration uses, as `Table.key`.
pub fn used(tables: &[Table], text: &str) -> BTreeSet<String> {
    uses(tables, &text.parse().unwrap())
        .into_iter()
        .map(|found| found.name)
        .collect()
}

/// The same, with the way to each.
pub fn uses(tables: &[Table], root: &toml::Table) -> Vec<Use> {
    let mut walk = Walk {
        index: index(tables),
        path: Vec::new(),
        found: Vec::new(),
    };
    walk.value("Config", &toml::Value::Table(root.clone()));
    walk.found
}

struct Walk<'a> {
    index: BTreeMap<&'a str, &'a Table>,
    path: Vec<Step>,
    found: Vec<Use>,
}

impl Walk<'_> {
    fn value(&mut self, name: &str, value: &toml::Value) {
        let Some(table) = self.index.get(name).copied() else {
            return;
        };
        match value {
            toml::Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.step(Step::At(at), name, item);
                }
            }
            toml::Value::Table(entries) => {
                for (key, value) in entries {
                    if let Some(item) = table.items.iter().find(|item| item.name == *key) {
                        self.entry(table, item, value);
                    }
                }
            }
            other => {
                if let Some(word) = other.as_str().filter(|_| table.kind == Kind::Words) {
                    self.note(format!("{name}.{word}"));
                }
            }
        }
    }

    fn entry(&mut self, table: &Table, item: &Item, value: &toml::Value) {
        self.path.push(Step::Key(item.name.clone()));
        self.note(format!("{}.{}", table.name, item.name));
        let inner = inner(&item.rust);
        let named = item.rust.starts_with("Named<") && self.index.contains_key(inner);
        match value {
            toml::Value::Table(names) if named => {
                for (key, value) in names {
                    self.step(Step::Key(key.clone()), inner, value);
                }
            }
            _ => self.value(inner, value),
        }
        self.path.pop();
    }

    fn step(&mut self, step: Step, name: &str, value: &toml::Value) {
        self.path.push(step);
        self.value(name, value);
        self.path.pop();
    }

    fn note(&mut self, name: String) {
        let path = self.path.clone();
        self.found.push(Use { name, path });
    }
}
