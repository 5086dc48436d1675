//! Which bytes of a file no snippet may show.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// The keys whose values are secrets, wherever they stand: read before any table is given its type, so
/// that an error in the same line does not show them.
const SECRET_KEYS: [&str; 3] = ["password", "token", "url"];

/// The texts under secret keys.
pub(super) fn secrets(table: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    walk(table, &mut ranges);
    ranges
}

/// The rest of every line that begins a secret, for a text that could not be read.
pub(super) fn secret_lines(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end_matches(['\r', '\n']).len();
        let value = SECRET_KEYS
            .iter()
            .filter_map(|key| line.find(key).map(|at| at + key.len()))
            .filter_map(|at| Some(at + line.get(at..)?.find('=')? + 1))
            .min();
        if let Some(value) = value {
            ranges.push(start + value..end);
        }
        start += line.len();
    }
    ranges
}

// The parser bounds how deep tables may nest, so this recursion is bounded too.
fn walk(table: &DeTable<'_>, ranges: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let secret = SECRET_KEYS.contains(&key.get_ref().as_ref());
        match value.get_ref() {
            DeValue::Table(inner) => walk(inner, ranges),
            DeValue::Array(items) => {
                for item in items {
                    if let DeValue::Table(inner) = item.get_ref() {
                        walk(inner, ranges);
                    }
                }
            }
            _ if secret => ranges.push(value.span()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_of_the_language_stands_under_a_masked_key() {
        let raw = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/raw");
        for entry in std::fs::read_dir(raw).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for line in text.lines().filter(|line| line.contains("Spanned<Secret>")) {
                let key = line.trim().trim_start_matches("pub ");
                let (key, _) = key.split_once(':').unwrap();
                // A zone may come from the environment as a secret may, and may be seen.
                assert!(SECRET_KEYS.contains(&key) || key == "zone", "{key}");
            }
        }
    }

    #[test]
    fn a_broken_line_is_masked_to_its_end() {
        let text = "[admin]\ntoken = \"abc\nbind = 1\n";
        assert_eq!(secret_lines(text).first(), Some(&(15..20)));
    }
}
