//! The shape of the source, held by a test: the order of rooms, the length of files, one home each.
//!
//! The order is that of `src/lib.rs`. A rule that hinders good code is changed here, openly, with its
//! reason in `docs/architecture.md`; it is never worked around.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this whole program is a test"
)]

#[path = "support/source.rs"]
mod source;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use source::{Source, sources};

const MAX_PRODUCTION_LINES: usize = 400;

/// Files that may hold `unsafe`: a system call that no safe crate wraps.
const UNSAFE_FILES: &[&str] = &[
    "net/batch.rs",
    "net/bundle/ring.rs",
    "net/owed.rs",
    "server/pages.rs",
];

/// What is written in one place only.
struct OneHome {
    thing: &'static str,
    /// Any of these in code (comments and strings left out, or strings only: see `within`).
    needles: &'static [&'static str],
    within: Within,
    /// Paths below `src/` that may hold it: a file, or a folder ending in `/`.
    homes: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Within {
    Code,
    Strings,
}

const ONE_HOME: &[OneHome] = &[
    OneHome {
        thing: "clock reads",
        needles: &["Instant::now", "SystemTime::now"],
        within: Within::Code,
        homes: &["base/clock.rs"],
    },
    OneHome {
        thing: "metric names",
        needles: &["tidegate_"],
        within: Within::Strings,
        homes: &["metrics/names.rs"],
    },
    OneHome {
        thing: "socket options",
        needles: &[
            "setsockopt",
            "set_nodelay",
            "set_tcp_nodelay",
            "set_linger",
            "set_keepalive",
            "set_tcp_keepalive",
            "set_reuse_port",
            "set_reuse_address",
            "set_only_v6",
        ],
        within: Within::Code,
        homes: &["net/socket.rs"],
    },
    OneHome {
        thing: "bare sockets",
        needles: &["socket2::"],
        within: Within::Code,
        homes: &["net/"],
    },
    OneHome {
        thing: "spawning of tasks",
        needles: &[
            "tokio::spawn",
            "spawn_local(",
            "spawn_blocking(",
            "JoinSet",
            "FuturesUnordered",
        ],
        within: Within::Code,
        homes: &["task/"],
    },
    OneHome {
        thing: "lists of hop-by-hop fields",
        needles: &["proxy-connection"],
        within: Within::Strings,
        homes: &["message/"],
    },
    OneHome {
        thing: "printing",
        needles: &["println!", "print!", "eprintln!", "eprint!"],
        within: Within::Code,
        homes: &["cli/", "main.rs"],
    },
];

#[test]
fn a_room_imports_only_rooms_above_it() {
    let rooms = rooms();
    let mut faults = String::new();
    for source in sources("src") {
        let Some(here) = rooms.iter().position(|room| *room == source.room()) else {
            continue;
        };
        for (line, used) in source.rooms_used() {
            match rooms.iter().position(|room| *room == used) {
                None => writeln!(faults, "{}:{line}: no room `{used}`", source.path).unwrap(),
                Some(there) if there > here => writeln!(
                    faults,
                    "{}:{line}: `{}` must not know `{used}`, which stands below it",
                    source.path, rooms[here]
                )
                .unwrap(),
                Some(_) => {}
            }
        }
    }
    assert!(
        faults.is_empty(),
        "edges that point down src/lib.rs:\n{faults}"
    );
}

#[test]
fn the_page_has_the_rooms_in_the_order_of_the_map() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let (_, table) = page.split_once("| room | turns").unwrap();
    let shown: Vec<&str> = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| ")?.split(' ').next())
        .collect();
    assert_eq!(shown, rooms(), "the rooms of docs/architecture.md");
}

#[test]
fn rooms_are_named_by_crate_paths() {
    let mut faults = String::new();
    for source in sources("src") {
        for line in source.climbs_out_of_its_room() {
            writeln!(faults, "{}:{line}", source.path).unwrap();
        }
    }
    assert!(
        faults.is_empty(),
        "`super` leaves the room here; write `crate::room`, so that the order can be checked:\n{faults}"
    );
}

#[test]
fn every_folder_of_src_is_a_room_of_the_map() {
    let rooms = rooms();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let known = match name.as_str() {
            "lib.rs" | "main.rs" => true,
            _ => entry.path().is_dir() && rooms.contains(&name),
        };
        assert!(known, "src/{name} is not a room of src/lib.rs");
    }
}

#[test]
fn no_file_has_more_than_400_production_lines() {
    let mut faults = String::new();
    for source in sources("src") {
        let lines = source.production_lines();
        if lines > MAX_PRODUCTION_LINES {
            writeln!(faults, "{}: {lines}", source.path).unwrap();
        }
    }
    assert!(faults.is_empty(), "split by concept:\n{faults}");
}

#[test]
fn every_room_says_what_it_is() {
    let mut faults = String::new();
    for source in sources("src") {
        if source.path.ends_with("/mod.rs") && !source.text.starts_with("//! ") {
            writeln!(faults, "{}", source.path).unwrap();
        }
    }
    assert!(faults.is_empty(), "a mod.rs opens with //! docs:\n{faults}");
}

#[test]
fn no_file_is_named_after_nothing() {
    const NOTHING: &[&str] = &[
        "backend", "manager", "handler", "util", "utils", "helper", "helpers", "common", "misc",
        "info", "data",
    ];
    for source in sources("src") {
        for part in source.path.trim_end_matches(".rs").split('/') {
            assert!(
                !NOTHING.contains(&part),
                "{}: `{part}` names nothing",
                source.path
            );
        }
    }
}

#[test]
fn one_home_each() {
    let mut faults = String::new();
    for source in sources("src") {
        let inside = source.path.trim_start_matches("src/");
        for rule in ONE_HOME {
            let at_home = rule
                .homes
                .iter()
                .any(|home| inside == *home || (home.ends_with('/') && inside.starts_with(home)));
            if at_home {
                continue;
            }
            let text = match rule.within {
                Within::Code => source.code(),
                Within::Strings => source.strings(),
            };
            for (number, line) in text.lines().enumerate() {
                if rule
                    .needles
                    .iter()
                    .any(|needle| source::holds_word(line, needle))
                {
                    writeln!(
                        faults,
                        "{}:{}: {} live in {:?}",
                        source.path,
                        number + 1,
                        rule.thing,
                        rule.homes
                    )
                    .unwrap();
                }
            }
        }
    }
    assert!(faults.is_empty(), "one home each:\n{faults}");
}

#[test]
fn configuration_is_deserialized_in_one_place() {
    let mut faults = String::new();
    for source in sources("src") {
        let home = source.path.starts_with("src/config/raw")
            || source.path.starts_with("src/config/types")
            || source.path.ends_with("/wire.rs")
            || source.path.contains("/wire/");
        if home {
            continue;
        }
        for line in source.derives("Deserialize") {
            writeln!(faults, "{}:{line}", source.path).unwrap();
        }
    }
    assert!(
        faults.is_empty(),
        "Deserialize is derived under config/raw, config/types and in a room's wire.rs only:\n{faults}"
    );
}

#[test]
fn unsafe_stands_only_where_a_system_call_needs_it() {
    let mut faults = String::new();
    for source in sources("src") {
        let inside = source.path.trim_start_matches("src/");
        let code = source.code();
        let original: Vec<&str> = source.text.lines().collect();
        for (number, line) in code.lines().enumerate() {
            if !line
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|w| w == "unsafe")
            {
                continue;
            }
            let explained = (number.saturating_sub(6)..number)
                .any(|above| original.get(above).is_some_and(|l| l.contains("SAFETY:")));
            if !UNSAFE_FILES.contains(&inside) || !explained {
                writeln!(faults, "{}:{}", source.path, number + 1).unwrap();
            }
        }
    }
    assert!(
        faults.is_empty(),
        "unsafe needs a file listed here and a SAFETY comment:\n{faults}"
    );
}

#[test]
fn nothing_is_unwrapped_outside_of_tests() {
    let mut faults = String::new();
    for source in sources("src") {
        for (number, line) in source.code().lines().enumerate() {
            if line.contains(".unwrap()") {
                writeln!(faults, "{}:{}", source.path, number + 1).unwrap();
            }
        }
    }
    assert!(
        faults.is_empty(),
        "traffic can never panic the process:\n{faults}"
    );
}

#[test]
fn what_is_left_to_do_names_its_issue() {
    let mut faults = String::new();
    for source in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        if source.path == "tests/architecture.rs" {
            continue;
        }
        for (number, line) in source.text.lines().enumerate() {
            for mark in ["TODO", "FIXME", "XXX"] {
                if source::holds_word(line, mark) && !line.contains(&format!("{mark}(#")) {
                    writeln!(faults, "{}:{}: {line}", source.path, number + 1).unwrap();
                }
            }
        }
    }
    assert!(faults.is_empty(), "write TODO(#12), or do it:\n{faults}");
}

/// The rooms, in the order of the map.
fn rooms() -> Vec<String> {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rooms: Vec<String> = map
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    assert!(
        rooms.len() > 10,
        "src/lib.rs declares the rooms, one a line"
    );
    rooms
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_reader_of_sources_sees_what_it_must() {
    let source = Source::new(
        "src/route/table.rs",
        r##"
use crate::base::{name, crate_like};
use crate::{config, filter::{Chain, route}, limit};
/// crate::admin in a comment, and "crate::cli" too
fn f() -> char { let s = "crate::server // no comment"; let r = r#"tidegate_x"#; '"' }
use super::super::cluster;
#[derive(Debug,
    Deserialize)]
struct A<'a>(&'a str);
#[cfg(test)]
mod tests { use crate::cli; }
"##,
    );
    let used: Vec<String> = source
        .rooms_used()
        .into_iter()
        .map(|(_, room)| room)
        .collect();
    assert_eq!(used, ["base", "config", "filter", "limit"]);
    assert_eq!(source.climbs_out_of_its_room(), [6]);
    assert_eq!(source.derives("Deserialize"), [7]);
    assert_eq!(source.production_lines(), 9);
    assert!(source.strings().contains("tidegate_x"));
    assert!(!source.strings().contains("admin"));
    assert!(source.code().contains("'a str"));
}
