//! `docs/configuration.md` is made from the source, and what it promises is tried.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::language::{Item, Kind, Range, Read, Table, index, inner, reached, read, used};
use super::{compare, root};

#[test]
fn the_page_is_what_the_source_says() {
    compare(&root("docs/configuration.md"), &page(&read())).unwrap();
}

#[test]
fn every_key_has_a_meaning() {
    for table in read() {
        for item in &table.items {
            assert!(!item.meaning.is_empty(), "{}.{}", table.name, item.name);
        }
    }
}

#[test]
fn the_full_sample_holds_every_key() {
    let tables = read();
    let sample = std::fs::read_to_string(root("config/full.toml")).unwrap();
    let found = used(&tables, &sample);
    let mut missing = Vec::new();
    let reached = reached(&tables);
    for table in tables.iter().filter(|table| table.kind == Kind::Keys) {
        // Includes and secrets have samples of their own.
        if !reached.contains(&table.name)
            || ["SecretSource", "Nothing"].contains(&table.name.as_str())
        {
            continue;
        }
        for item in &table.items {
            let name = format!("{}.{}", table.name, item.name);
            if name != "Config.include" && !found.contains(&name) {
                missing.push(name);
            }
        }
    }
    assert!(
        missing.is_empty(),
        "config/full.toml does not show {missing:?}"
    );
}

#[test]
fn the_index_of_filters_has_each_with_its_page() {
    let index = std::fs::read_to_string(root("docs/filters/README.md")).unwrap();
    let tables = read();
    let filters = tables.iter().find(|table| table.name == "Filter").unwrap();
    let missing: Vec<&str> = filters
        .items
        .iter()
        .map(|item| item.name.as_str())
        .filter(|name| !index.contains(&format!("| [`{name}`](")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/filters/README.md lacks {missing:?}"
    );
}

#[test]
fn the_keys_marked_start_are_those_that_a_reload_refuses() {
    let marked: BTreeSet<String> = read()
        .iter()
        .flat_map(|table| {
            let place = title(table).trim_matches(['`', '[', ']']).to_owned();
            let at_start = |item: &&Item| item.read == Read::AtStart;
            let name = move |item: &Item| format!("{place}.{}", item.name);
            table.items.iter().filter(at_start).map(name)
        })
        .collect();
    let source = std::fs::read_to_string(root("src/snapshot/settings.rs")).unwrap();
    let refused: BTreeSet<String> = source
        .split("restart_only(\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    assert!(!refused.is_empty());
    assert_eq!(
        marked, refused,
        "`Read at start.` in src/config/raw, and restart_only(…) in src/snapshot/settings.rs"
    );
}

const HEAD: &str = "\
# Configuration

<!-- Made from src/config/raw by `UPDATE=1 cargo test --test config`; edit the comments there. -->

A configuration is one TOML file, and the files that it includes. `tidegate check -c FILE` says what is wrong with it,
with line, column and what to write instead, and what would run; it binds nothing. Of a table with unknown keys, wrong
types or wrong words it tells the first fault; what values mean and name is looked at once all tables can be read.

```toml
[[listeners]]
name = \"web\"
bind = [\"127.0.0.1:8080\"]
protocol = \"http\"

[[routes]]
name = \"all\"
cluster = \"app\"

[clusters.app]
endpoints = [\"127.0.0.1:9001\", \"127.0.0.1:9002\"]
```

Every key that this build knows stands in [`config/full.toml`](../config/full.toml). Unknown keys, wrong types and
names of things that do not exist are errors, never ignored.

## Values

| type | written |
|---|---|
| duration | a whole number and a unit: `\"250ms\"`, `\"5s\"`, `\"1m\"`, `\"1h\"`; at most `\"8760h\"`. A bare number is refused |
| size | a whole number and a unit: `\"512B\"`, `\"64KiB\"`, `\"10MiB\"`, `\"1GiB\"`, powers of 1024 |
| share | `0.0` to `1.0` |
| percent | a whole number, `0` to `100` |
| network | `\"10.0.0.0/8\"`, `\"::1/128\"` or a bare address |
| status | `200`, `\"200\"` or a range such as `\"200-299\"` |
| path | of a file; a relative one is meant from the configuration file that names it |
| secret | `\"text\"`, `{ env = \"NAME\" }` or `{ file = \"path\" }`; it is never shown, in no message and no status |
| choice | a word (its defaults), or a table with one key (its settings): `\"stdout\"`, `{ file = { path = \"…\" } }` |
| name | letters, digits, `-`, `_` and `.`, at most 64 |

## Reload

A changed file (SIGHUP, a change on disk, or `POST /api/v1/reload`) is read, compiled and prepared as a whole, and
takes the place of the old one only if all of that succeeds; a refused file changes nothing. Every key takes
effect at reload, but for those marked *start*: a reload that changes one of these is refused with a message.
";

/// The page.
fn page(tables: &[Table]) -> String {
    let reached = reached(tables);
    let mut page = HEAD.to_owned();
    page.push_str("\n## Keys\n");
    for table in tables {
        let shown = reached.contains(&table.name) && !table.items.is_empty();
        // These are told by "Values" and by the type of their key.
        let told = ["SecretSource", "Workers", "RetryOn"].contains(&table.name.as_str());
        let choice = table.kind == Kind::Keys || table.items.len() > 1;
        if shown && choice && !told {
            section(&mut page, table, tables);
        }
    }
    page
}

/// The first sentence of the comment.
fn title(table: &Table) -> &str {
    let end = table
        .about
        .find(['.', ';', ':'])
        .map_or(table.about.len(), |at| {
            // A dot inside backticks is part of a name.
            let inside = table.about[..at].matches('`').count() % 2 == 1;
            if inside {
                let rest = &table.about[at..];
                let close = rest.find('`').unwrap_or(0);
                let after = &rest[close..];
                at + close + after.find(['.', ';', ':']).unwrap_or(after.len())
            } else {
                at
            }
        });
    &table.about[..end]
}

fn section(page: &mut String, table: &Table, tables: &[Table]) {
    let title = title(table);
    let rest = table.about[title.len()..]
        .trim_start_matches(['.', ';', ':'])
        .trim();
    writeln!(page, "\n### {title}\n").unwrap();
    if !rest.is_empty() {
        let mut chars = rest.chars();
        let first = chars.next().unwrap().to_uppercase();
        writeln!(page, "{first}{}\n", chars.as_str()).unwrap();
    }
    match table.kind {
        Kind::Keys => {
            page.push_str(
                "| key | type | default | takes effect | meaning |\n|---|---|---|---|---|\n",
            );
            for item in &table.items {
                let default = item
                    .default
                    .clone()
                    .unwrap_or_else(|| absent(item).to_owned());
                let read = match item.read {
                    Read::AtReload => "reload",
                    Read::AtStart => "*start*",
                };
                let kind = kind(&item.rust, tables) + &taken(item);
                let (name, meaning) = (&item.name, &item.meaning);
                writeln!(
                    page,
                    "| `{name}` | {kind} | {default} | {read} | {meaning} |"
                )
                .unwrap();
            }
        }
        Kind::Words => {
            page.push_str("| word | settings | meaning |\n|---|---|---|\n");
            for item in &table.items {
                let settings = index(tables)
                    .get(item.rust.as_str())
                    .map(|table| table.items.len());
                let settings = match settings {
                    None | Some(0) => "none",
                    Some(_) => "a table, below",
                };
                writeln!(page, "| `{}` | {settings} | {} |", item.name, item.meaning).unwrap();
            }
        }
    }
}

/// The range of a key, as an addition to its type.
fn taken(item: &Item) -> String {
    match &item.range {
        None => String::new(),
        Some(Range::Between(low, high)) => format!(", `{low}` to `{high}`"),
        Some(Range::Above(low)) => format!(", above `{low}`"),
        Some(Range::AtLeast(low)) => format!(", at least `{low}`"),
    }
}

/// What stands for a default that the comment does not name.
fn absent(item: &Item) -> &'static str {
    if item.rust.starts_with("Spanned<") {
        "required"
    } else if item.rust.starts_with("Option<") {
        "not set"
    } else {
        "empty"
    }
}

/// A Rust type in the words of the page.
fn kind(rust: &str, tables: &[Table]) -> String {
    let index = index(tables);
    let one = match inner(rust) {
        "String" => "text",
        "FilePath" => "path",
        "Duration" => "duration",
        "ByteSize" => "size",
        "Percent" => "percent",
        "Ratio" => "share",
        "Secret" => "secret",
        "OwnText" => "text or `{ env = \"NAME\" }`",
        "StatusRange" => "status",
        "bool" => "`true` or `false`",
        "u8" | "u16" | "u32" | "u64" => "number",
        "i32" => "number, also below 0",
        "f64" => "decimal number",
        "Workers" => "`\"auto\"` or number",
        "RetryOn" => "`connect`, `reset`, `response_timeout`, status or `grpc_…`",
        "Endpoint" => "address or table",
        name => match index.get(name).map(|table| (table.kind, *table)) {
            Some((Kind::Keys, _)) => "table",
            Some((Kind::Words, table)) => return words(rust, table),
            None => panic!("no words for the type {name}"),
        },
    };
    if rust.starts_with("Named<") {
        format!("table of {one}s")
    } else if rust.contains("OneOrMany<") {
        format!("{one} or array of {one}s")
    } else if rust.contains("Vec<") {
        format!("array: {one}")
    } else {
        one.to_owned()
    }
}

fn words(rust: &str, table: &Table) -> String {
    let words: Vec<String> = table
        .items
        .iter()
        .map(|item| format!("`{}`", item.name))
        .collect();
    let words = words.join(" ");
    if rust.contains("Vec<") {
        format!("array of choices: {words}")
    } else {
        format!("choice: {words}")
    }
}
