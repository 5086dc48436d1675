//! Reads the project's own Rust source well enough to hold rules about it: what is code, what is
//! comment, what is string, and where the tests of a file begin.

use std::fs;
use std::path::{Path, PathBuf};

/// One file: its path from the root of the package, its text, and its production part by kind.
pub struct Source {
    pub path: String,
    pub text: String,
    code: String,
    strings: String,
}

/// Every Rust file below `folder`, in order of path; files that are tests as a whole are left out of
/// `src`.
pub fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join(folder), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let path = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            Source::new(&path, &text)
        })
        .filter(|source| !(source.path.starts_with("src/") && source.is_test_file()))
        .collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let production = text
            .find("#[cfg(test)]")
            .map_or(text, |start| &text[..start]);
        let (code, strings) = split(production);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            strings,
        }
    }

    /// The room this file belongs to: the first folder below `src`.
    pub fn room(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }

    fn is_test_file(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    pub fn production_lines(&self) -> usize {
        self.code.lines().count()
    }

    /// The production part with comments and the inside of strings blanked; lines keep their numbers.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The inside of the strings of the production part alone; lines keep their numbers.
    pub fn strings(&self) -> &str {
        &self.strings
    }

    /// Rooms named by `crate::…` paths, each with its line, groups (`crate::{a, b::c}`) included.
    pub fn rooms_used(&self) -> Vec<(usize, String)> {
        let mut used = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            let before = self.code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let line = line_of(&self.code, at);
            let rest = &self.code[at + "crate::".len()..];
            if let Some(group) = rest.strip_prefix('{') {
                for member in members(group) {
                    used.push((line, first_word(member)));
                }
            } else {
                used.push((line, first_word(rest)));
            }
        }
        used.retain(|(_, room)| !room.is_empty());
        used
    }

    /// Lines where a chain of `super::` reaches the root of the crate.
    pub fn climbs_out_of_its_room(&self) -> Vec<usize> {
        let folders = self.path.split('/').count() - 2;
        let depth = if self.path.ends_with("/mod.rs") {
            folders
        } else {
            folders + 1
        };
        if folders == 0 {
            return Vec::new();
        }
        let chain = "super::".repeat(depth);
        let mut lines: Vec<usize> = self
            .code
            .match_indices(&chain)
            .map(|(at, _)| line_of(&self.code, at))
            .collect();
        lines.dedup();
        lines
    }

    /// Lines where a `derive` names `what`.
    pub fn derives(&self, what: &str) -> Vec<usize> {
        self.code
            .match_indices("derive(")
            .filter(|(at, _)| {
                let list = &self.code[*at..];
                let list = &list[..list.find(')').unwrap_or(list.len())];
                holds_word(list, what)
            })
            .map(|(at, _)| line_of(&self.code, at))
            .collect()
    }
}

/// Whether `needle` stands in `line` and is not the tail of a longer word.
pub fn holds_word(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn first_word(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The members of a use group, at its top level only; `group` starts after the opening brace.
fn members(group: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    members
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    LineComment,
    BlockComment,
    Text,
    RawText { hashes: usize },
}

/// Splits source into (code, strings): two texts of the same lines, blank where the other speaks.
fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut strings) = (String::new(), String::new());
    let mut state = State::Code;
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        let next = chars.get(at + 1).copied();
        // What this character is, how many characters to take, and the state after them.
        let (kind, taken, after) = match state {
            State::Code => match c {
                '/' if next == Some('/') => (State::LineComment, 2, State::LineComment),
                '/' if next == Some('*') => (State::BlockComment, 2, State::BlockComment),
                '"' => match raw_hashes(&chars, at) {
                    Some(hashes) => (State::Code, 1, State::RawText { hashes }),
                    None => (State::Code, 1, State::Text),
                },
                '\'' => (State::Code, char_literal(&chars, at), State::Code),
                _ => (State::Code, 1, State::Code),
            },
            State::LineComment if c == '\n' => (State::Code, 1, State::Code),
            State::BlockComment if c == '*' && next == Some('/') => (state, 2, State::Code),
            State::Text if c == '\\' => (state, 2, state),
            State::Text if c == '"' => (State::Code, 1, State::Code),
            State::RawText { hashes } if c == '"' && closes(&chars, at, hashes) => {
                (State::Code, 1 + hashes, State::Code)
            }
            _ => (state, 1, state),
        };
        for c in &chars[at..chars.len().min(at + taken)] {
            let blank = if *c == '\n' { '\n' } else { ' ' };
            code.push(if kind == State::Code { *c } else { blank });
            let spoken = matches!(kind, State::Text | State::RawText { .. });
            strings.push(if spoken { *c } else { blank });
        }
        at += taken;
        state = after;
    }
    (code, strings)
}

/// The number of hashes when the quote at `at` opens a raw string.
fn raw_hashes(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[..at].iter().rev().take_while(|c| **c == '#').count();
    (chars[..at - hashes].last() == Some(&'r')).then_some(hashes)
}

fn closes(chars: &[char], at: usize, hashes: usize) -> bool {
    (1..=hashes).all(|offset| chars.get(at + offset) == Some(&'#'))
}

/// How long the character literal at `at` is; 1 when it is a lifetime.
fn char_literal(chars: &[char], at: usize) -> usize {
    match chars.get(at + 1) {
        Some('\\') => {
            let end = (at + 3..chars.len()).find(|end| chars[*end] == '\'');
            end.map_or(1, |end| end - at + 1)
        }
        Some(_) if chars.get(at + 2) == Some(&'\'') => 3,
        _ => 1,
    }
}
