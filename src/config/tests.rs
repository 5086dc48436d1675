use std::path::Path;

use super::raw::Balancer;
use super::*;

fn read(text: &str) -> Result<Loaded, String> {
    parse(Path::new("t.toml"), text).map_err(|diagnostics| diagnostics.render_text(Color::Never))
}

#[test]
fn a_choice_is_a_word_or_a_table_with_one_key() {
    let word = read("[clusters.a]\nendpoints = []\nbalancer = \"ring_hash\"").unwrap();
    let table =
        read("[clusters.a]\nendpoints = []\nbalancer = { ring_hash = { vnodes = 3 } }").unwrap();
    let unit = read("[clusters.a]\nendpoints = []\nbalancer = { random = {} }").unwrap();
    let balancer = |loaded: &Loaded| {
        let cluster = loaded.raw.clusters.find("a").unwrap();
        cluster.balancer.clone().unwrap().value.0
    };
    assert!(matches!(balancer(&word), Balancer::RingHash(ring) if ring.vnodes.is_none()));
    assert!(matches!(balancer(&table), Balancer::RingHash(ring) if *ring.vnodes.unwrap() == 3));
    assert_eq!(balancer(&unit), Balancer::Random);
    let two = "[clusters.a]\nendpoints = []\nbalancer = { random = {}, maglev = {} }";
    assert!(read(two).unwrap_err().contains("C0106"));
}

#[test]
fn one_error_a_table_is_reported_not_one_a_file() {
    let text = "[runtime]\nworker = 1\n[[routes]]\nname = 5\n[[routes]]\nnam = 5\n[clusters.a]\nendpoints = 1";
    let shown = read(text).unwrap_err();
    for place in ["t.toml:2:1", "t.toml:4:8", "t.toml:6:1", "t.toml:8:13"] {
        assert!(shown.contains(place), "{place} in {shown}");
    }
}

#[test]
fn a_literal_secret_is_masked_wherever_its_line_is_shown() {
    let text = "admin = { token = \"hunter2\", bindd = \"x\" }";
    let shown = read(text).unwrap_err();
    assert!(
        shown.contains("bindd") && !shown.contains("hunter2"),
        "{shown}"
    );
    let loaded = read("admin = { token = \"hunter2\" }").unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn directories_that_a_pattern_matches_are_watched_though_they_are_empty() {
    let dir = std::env::temp_dir().join(format!("tidegate-patterns-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("sites/a/conf")).unwrap();
    std::fs::create_dir_all(dir.join("tree/x/y")).unwrap();
    std::fs::write(dir.join("sites/file"), "").unwrap();
    let main = dir.join("main.toml");
    let text = "include = [\"sites/*/conf/*.toml\", \"tree/**/*.toml\", \"plain/[\"]\n";
    std::fs::write(&main, text.replace(", \"plain/[\"", "")).unwrap();
    let watched = load(&main).unwrap().watch;
    for path in [
        "sites",
        "sites/a",
        "sites/a/conf",
        "tree",
        "tree/x",
        "tree/x/y",
    ] {
        assert!(watched.contains(&dir.join(path)), "{path}: {watched:?}");
    }
    assert!(!watched.contains(&dir.join("sites/file")));
    std::fs::write(&main, text).unwrap();
    assert!(load(&main).is_err(), "a bad pattern");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn an_include_adds_to_the_main_file_and_clashes_show_both_places() {
    let dir = std::env::temp_dir().join(format!("tidegate-include-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("conf.d")).unwrap();
    let main = dir.join("main.toml");
    std::fs::write(
        &main,
        "include = [\"conf.d/*.toml\"]\n[clusters.a]\nendpoints = []\n",
    )
    .unwrap();
    std::fs::write(dir.join("conf.d/b.toml"), "[clusters.b]\nendpoints = []\n").unwrap();
    // What editors leave there while somebody types.
    std::os::unix::fs::symlink("user@host.1:2", dir.join("conf.d/.#b.toml")).unwrap();
    std::fs::write(dir.join("conf.d/.b.toml"), "[clusters.b]\n").unwrap();
    let loaded = load(&main).unwrap();
    assert_eq!(loaded.raw.clusters.names().collect::<Vec<_>>(), ["a", "b"]);
    assert!(loaded.watch.contains(&dir.join("conf.d")));
    assert!(!loaded.diagnostics.has_errors());

    std::fs::write(dir.join("conf.d/c.toml"), "[clusters.a]\nendpoints = []\n").unwrap();
    let shown = load(&main).unwrap().diagnostics.render_text(Color::Never);
    assert!(
        shown.contains("conf.d/c.toml:1:11") && shown.contains("main.toml:2:11"),
        "{shown}"
    );

    std::fs::write(dir.join("conf.d/c.toml"), "[runtime]\nworkers = 1\n").unwrap();
    let shown = load(&main).unwrap_err().render_text(Color::Never);
    assert!(shown.contains("C0005"), "{shown}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_whole_language_has_a_shape_built_or_not() {
    let tour = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/shape/tour.toml");
    let loaded = load(Path::new(tour)).map_err(|found| found.render_text(Color::Never));
    let loaded = loaded.unwrap();
    assert_eq!(loaded.raw.routes.len(), 7);
    assert_eq!(loaded.raw.clusters.find("api").unwrap().endpoints.len(), 4);
}

#[test]
fn durations_and_sizes_have_a_unit_and_a_bound() {
    let duration = |text: &str| {
        let loaded = read(&format!("[runtime]\ndrain_timeout = \"{text}\""))?;
        Ok::<_, String>(loaded.raw.runtime.drain_timeout.unwrap().as_millis())
    };
    for (text, ms) in [
        ("250ms", 250),
        ("5s", 5000),
        ("1m", 60_000),
        ("1h", 3_600_000),
        ("0s", 0),
    ] {
        assert_eq!(duration(text), Ok(ms));
    }
    for text in [
        "",
        "5",
        "s",
        "-1s",
        "1.5s",
        "5 s",
        "1d",
        "8761h",
        "99999999999999999999s",
    ] {
        assert!(duration(text).unwrap_err().contains("C0108"), "{text}");
    }
    let size = |text: &str| {
        let loaded = read(&format!(
            "[defaults.route]\nlimits = {{ body = \"{text}\" }}"
        ))?;
        Ok::<_, String>(loaded.raw.defaults.route.limits.body.unwrap().bytes())
    };
    for (text, bytes) in [
        ("0B", 0),
        ("64KiB", 65_536),
        ("10MiB", 10 << 20),
        ("1GiB", 1 << 30),
    ] {
        assert_eq!(size(text), Ok(bytes));
    }
    for text in ["", "64", "KiB", "1KB", "1.5MiB", "99999999999999GiB"] {
        assert!(size(text).unwrap_err().contains("C0109"), "{text}");
    }
}

#[test]
fn a_file_that_is_wrong_in_every_line_is_answered_shortly() {
    let text = "[[routes]]\nname = 1\n".repeat(20_000);
    let found = parse(Path::new("t.toml"), &text).unwrap_err();
    assert_eq!(found.count(Severity::Error), 20_000);
    assert_eq!(found.iter().count(), 500);
    assert!(found.render_text(Color::Never).contains("and 19500 more"));
}
