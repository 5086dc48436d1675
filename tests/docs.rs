//! What is written for people is true as far as a program can tell: every link in it leads somewhere.

#![expect(clippy::unwrap_used, reason = "this whole program is a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_relative_link_leads_somewhere() {
    let mut dead = BTreeSet::new();
    let mut seen = 0;
    for page in pages() {
        let text = prose(&fs::read_to_string(&page).unwrap());
        for target in targets(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let there = if place.is_empty() {
                file.exists()
            } else {
                headings(&file).contains(place)
            };
            if !there {
                dead.insert(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(seen > 10, "the links are found: {seen}");
    assert!(dead.is_empty(), "dead links:\n{dead:#?}");
}

/// Everything at the top of the project, in `docs`, and beside what is shipped.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/filters", "deploy", "examples"] {
        let Ok(entries) = fs::read_dir(root.join(folder)) else {
            continue;
        };
        let files = entries.map(|entry| entry.unwrap().path());
        pages.extend(files.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    for must in [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "deploy/README.md",
    ] {
        assert!(pages.contains(&root.join(must)), "{must}");
    }
    pages
}

/// The text without its blocks of code.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// What stands behind `](` and, for links by reference, behind `]: ` at the start of a line.
fn targets(text: &str) -> Vec<&str> {
    let inline = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ', '\n']).next());
    let referred = text
        .lines()
        .filter(|line| line.starts_with('['))
        .filter_map(|line| line.split_once("]: ")?.1.split_whitespace().next());
    inline.chain(referred).collect()
}

/// The anchors of a page, as forges derive them from its headings.
fn headings(page: &Path) -> BTreeSet<String> {
    let Ok(text) = fs::read_to_string(page) else {
        return BTreeSet::new();
    };
    prose(&text)
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|title| {
            title
                .trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}
