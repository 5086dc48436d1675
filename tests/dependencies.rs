//! Floors of versions below which a dependency has a fault that traffic could use, and crates that
//! must not come back. The list is the whole check: it asks no database and no network, so its answer is the
//! same everywhere and changes only by a commit.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this whole program is a test"
)]

use std::path::Path;

/// Crate and lowest version that may be locked. A crate that is not locked has nothing to show.
const FLOORS: &[(&str, [u64; 3])] = &[
    ("aws-lc-rs", [1, 13, 0]),
    ("bytes", [1, 11, 1]),
    ("crossbeam-channel", [0, 5, 15]),
    ("h2", [0, 4, 18]),
    ("hickory-proto", [0, 26, 1]),
    ("hickory-resolver", [0, 26, 1]),
    ("http", [1, 4, 2]),
    ("http-body-util", [0, 1, 3]),
    ("httparse", [1, 10, 1]),
    ("hyper", [1, 11, 0]),
    ("hyper-util", [0, 1, 20]),
    ("lru", [0, 18, 2]),
    ("quinn", [0, 11, 9]),
    ("quinn-proto", [0, 11, 16]),
    ("rustls", [0, 23, 43]),
    ("rustls-webpki", [0, 103, 13]),
    ("slab", [0, 4, 11]),
    ("time", [0, 3, 47]),
    ("tonic", [0, 12, 3]),
    ("tungstenite", [0, 20, 1]),
];

/// Unmaintained, or a second way to do what one way does.
const NEVER: &[&str] = &["openssl", "openssl-sys", "native-tls", "rustls-pemfile"];

#[test]
fn locked_versions_are_not_below_their_floors() {
    for (name, version) in locked() {
        let Some((_, floor)) = FLOORS.iter().find(|(floored, _)| *floored == name) else {
            continue;
        };
        assert!(
            numbers(&version) >= *floor,
            "{name} {version} is locked; its floor is {floor:?}"
        );
    }
}

#[test]
fn crates_that_left_stay_away() {
    for (name, version) in locked() {
        assert!(!NEVER.contains(&name.as_str()), "{name} {version} is back");
    }
}

#[test]
fn the_lock_file_is_read() {
    let names: Vec<String> = locked().into_iter().map(|(name, _)| name).collect();
    for needed in ["tidegate", "tokio", "httparse", "hyper"] {
        assert!(names.iter().any(|name| name == needed), "no {needed}");
    }
}

fn locked() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let text =
        |package: &toml::Value, key: &str| package.get(key).unwrap().as_str().unwrap().to_owned();
    lock.get("package")
        .and_then(toml::Value::as_array)
        .unwrap_or_else(|| panic!("Cargo.lock lists packages"))
        .iter()
        .map(|package| (text(package, "name"), text(package, "version")))
        .collect()
}

fn numbers(version: &str) -> [u64; 3] {
    let plain = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = plain.split('.').map(|part| part.parse().unwrap());
    [(); 3].map(|()| parts.next().unwrap_or(0))
}
