//! llhttp and h11, in a process of their own.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::root;

/// What a peer makes of the first request of an input.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(untagged)]
pub enum Verdict {
    /// It is not one.
    Refused { refused: String },
    /// Its end is not there.
    Partial { partial: bool },
    /// It is this.
    Taken(Message),
}

/// A request; bytes as chars.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Message {
    pub method: String,
    pub target: String,
    pub version: String,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Verdicts {
    pub llhttp: Verdict,
    pub h11: Verdict,
}

/// Where `scripts/tools.sh` puts Python's packages.
pub fn python() -> PathBuf {
    let tools = std::env::var_os("TIDEGATE_TOOLS").map(PathBuf::from);
    let cache = || {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache");
        cache.unwrap_or_else(home).join("tidegate")
    };
    tools.unwrap_or_else(cache).join("python/bin/python")
}

/// Asks both for each input.
pub fn ask(inputs: &[Vec<u8>]) -> Vec<Verdicts> {
    let python = python();
    let mut child = Command::new(&python)
        .arg(root("tests/wire/peers.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; `make tools` installs it", python.display()));
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = String::new();
    for input in inputs {
        for byte in input {
            write!(lines, "{byte:02x}").unwrap();
        }
        lines.push('\n');
    }
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = BufReader::new(child.stdout.take().unwrap());
    let verdicts: Vec<Verdicts> = output
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(verdicts.len(), inputs.len());
    verdicts
}
