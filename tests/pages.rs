//! The pages that are made from the source, or held to it: the closed lists of the access log, and the numbered
//! rules of reliability.
//!
//! `UPDATE=1 cargo test --test pages` writes the lists into `docs/access-log.md` anew.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this whole program is a test"
)]

#[path = "support/source.rs"]
#[expect(dead_code, reason = "shared with tests/architecture.rs")]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tidegate::base::Detail;
use tidegate::base::reason::{Reason, Retry, Side};

const ACCESS_LOG: &str = "docs/access-log.md";
const BEGIN: &str = "<!-- Made from src/base/reason.rs by `UPDATE=1 cargo test --test pages`; edit the comments there. -->\n";
const END: &str = "<!-- Here ends what is made. -->\n";

/// These name reasons to count them or to choose among them, and never make one.
const NEVER_MAKE: &[&str] = &[
    "src/base/reason.rs",
    "src/base/detail.rs",
    "src/cluster/",
    "src/metrics/",
];

#[test]
fn the_lists_of_the_access_log_are_what_the_source_says() {
    let path = root().join(ACCESS_LOG);
    let page = fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let wanted = format!("{head}{BEGIN}{}{END}{tail}", lists());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, wanted).unwrap();
        return;
    }
    assert_eq!(page, wanted, "UPDATE=1 writes {ACCESS_LOG}");
}

#[test]
fn every_rule_that_is_cited_has_its_line() {
    let page = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let (_, rules) = page.split_once("\n## Rules\n").unwrap();
    let listed: Vec<String> = rules
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| ")?.split_once(" |")?.0.to_owned()))
        .filter(|number| is_number(number))
        .collect();
    let known: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), known.len(), "a number has one line");
    let cited = cited(&known);
    let without: Vec<_> = cited
        .iter()
        .filter(|(number, _)| !known.contains(*number))
        .collect();
    assert!(without.is_empty(), "docs/reliability.md lacks {without:?}");
    let idle: Vec<_> = known.iter().filter(|n| !cited.contains_key(*n)).collect();
    assert!(idle.is_empty(), "cited nowhere: {idle:?}");
}

/// The made part of the page.
fn lists() -> String {
    let read = |path| fs::read_to_string(root().join(path)).unwrap();
    let text = read("src/base/reason.rs") + &read("src/base/detail.rs");
    let code = made_code();
    let mut out = String::new();
    out.push_str(
        "\n### `reason`\n\n| reason | status | side | retry | meaning |\n|---|---|---|---|---|\n",
    );
    let docs = documented(between(&text, "\nreasons! {", "\n}"));
    assert_eq!(docs.len(), Reason::COUNT);
    let mut reserved = Vec::new();
    for (reason, (name, meaning)) in Reason::ALL.iter().zip(&docs) {
        let row = reason.row();
        assert_eq!(*name, format!("{reason:?}"), "the table is read in order");
        if !source::holds_word(&code, &format!("Reason::{name}")) {
            reserved.push(row.label);
            continue;
        }
        let status = match (reason, row.status) {
            (Reason::Completed, _) => "the endpoint's".to_owned(),
            (
                Reason::ConnLimit
                | Reason::PrefaceInvalid
                | Reason::PrefaceTimeout
                | Reason::TlsHandshake
                | Reason::TlsNoCertificate,
                _,
            ) => "none".to_owned(),
            (Reason::ClientAbort, status) => format!("{status}, in the log only"),
            (Reason::LocalReply, _) => "as configured".to_owned(),
            (_, status) => status.to_string(),
        };
        let retry = match row.retry {
            Retry::Never => "never",
            Retry::OtherEndpoint => "any method",
            Retry::IfIdempotent => "if idempotent",
            Retry::IfConfigured => "if configured",
        };
        let (label, side) = (row.label, row.side.as_str());
        writeln!(
            out,
            "| `{label}` | {status} | {side} | {retry} | {meaning} |"
        )
        .unwrap();
    }
    leftover(&mut out, &reserved);
    out.push_str("\n### `phase`\n\n| phase | the exchange ended |\n|---|---|\n");
    let labels = labels(between(&text, "impl Phase {", "\n}"));
    let mut reserved = Vec::new();
    for (name, meaning) in documented(between(&text, "pub enum Phase {", "\n}")) {
        let label = labels[name.as_str()];
        if source::holds_word(&code, &format!("Phase::{name}")) {
            writeln!(out, "| `{label}` | {meaning} |").unwrap();
        } else {
            reserved.push(label);
        }
    }
    leftover(&mut out, &reserved);
    out.push_str("\n### `side`\n\n| side | whose doing it was |\n|---|---|\n");
    let sides = [Side::Downstream, Side::Upstream, Side::Local];
    let docs = documented(between(&text, "pub enum Side {", "\n}"));
    assert_eq!(docs.len(), sides.len());
    for (side, (name, meaning)) in sides.iter().zip(&docs) {
        assert_eq!(*name, format!("{side:?}"));
        writeln!(out, "| `{}` | {meaning} |", side.as_str()).unwrap();
    }
    out.push_str("\n### `detail`\n\n| detail | status | meaning |\n|---|---|---|\n");
    let docs = documented(between(&text, "\ndetails! {", "\n}"));
    assert_eq!(docs.len() + 1, Detail::ALL.len());
    let mut reserved = Vec::new();
    for (detail, (name, meaning)) in Detail::ALL.iter().skip(1).zip(&docs) {
        assert_eq!(*name, format!("{detail:?}"));
        if !source::holds_word(&code, &format!("Detail::{name}")) {
            reserved.push(detail.as_str());
            continue;
        }
        let status = match detail.status() {
            0 => "that of the reason".to_owned(),
            status => status.to_string(),
        };
        writeln!(out, "| `{}` | {status} | {meaning} |", detail.as_str()).unwrap();
    }
    leftover(&mut out, &reserved);
    out.push('\n');
    out
}

/// Names that are kept for what this build does not have.
fn leftover(out: &mut String, reserved: &[&str]) {
    if reserved.is_empty() {
        return;
    }
    let names: Vec<String> = reserved.iter().map(|label| format!("`{label}`")).collect();
    writeln!(
        out,
        "\nReserved, and never met in this build: {}.",
        names.join(", ")
    )
    .unwrap();
}

/// The code that may make an ending: comments, strings and tests left out.
fn made_code() -> String {
    source::sources("src")
        .iter()
        .filter(|file| !NEVER_MAKE.iter().any(|home| file.path.starts_with(home)))
        .fold(String::new(), |all, file| all + file.code())
}

/// Names and comments of the entries of an enum or of a table.
fn documented(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut about: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("/// ") {
            about.push(comment);
        } else if line.starts_with(|c: char| c.is_ascii_uppercase()) {
            let name = line.split([' ', ',']).next().unwrap().to_owned();
            let meaning = std::mem::take(&mut about).join(" ");
            assert!(!meaning.is_empty(), "{name} has no meaning");
            found.push((name, meaning.trim_end_matches('.').to_owned()));
        }
    }
    found
}

/// `Self::Name => "label"` of a match.
fn labels(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => "))
        .map(|(name, label)| (name, label.trim_matches([',', '"'])))
        .collect()
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap();
    rest.split_once(end).unwrap().0
}

/// Every number that source, tests and lints cite, and one place of each. A range cites what is `known` in it.
fn cited(known: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut files = vec![root().join("clippy.toml")];
    for folder in ["src", "tests"] {
        collect(&root().join(folder), &mut files);
    }
    let mut cited = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", file.display(), number + 1);
            let mut before: Option<(String, &str)> = None;
            for (found, behind) in numbers(line) {
                if let Some((first, gap)) = before {
                    let gap = &gap[..gap.len() - found.len() - behind.len()];
                    if gap == " … " || gap == " to " {
                        for inside in known.range(first..=found.clone()) {
                            cited.insert(inside.clone(), place.clone());
                        }
                    }
                }
                cited.insert(found.clone(), place.clone());
                before = Some((found, behind));
            }
        }
    }
    cited
}

/// The numbers of rules in a line, each with the text behind it.
fn numbers(line: &str) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    let mut last = ' ';
    for (at, c) in line.char_indices() {
        if !last.is_alphanumeric() {
            let word = line[at..]
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                .next()
                .unwrap();
            if is_number(word) {
                found.push((word.to_owned(), &line[at + word.len()..]));
            }
        }
        last = c;
    }
    found
}

/// `E` and three digits, `F` and two digits and perhaps a letter, `INV` and a digit.
fn is_number(word: &str) -> bool {
    let Some((kind, digits)) = word.split_once('-') else {
        return false;
    };
    let plain = digits.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let whole = plain.len() == digits.len();
    let numeric = plain.bytes().all(|byte| byte.is_ascii_digit());
    numeric
        && match kind {
            "E" => plain.len() == 3 && whole,
            "F" => plain.len() == 2 && digits.len() - plain.len() <= 1,
            "INV" => plain.len() == 1 && whole,
            _ => false,
        }
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
