//! Every diagnostic has an input, and its whole output is held by a snapshot.

use tidegate::config::Code;

use super::{check, compare, files, root};

/// Codes that no file alone can bring about, with the reason.
const NOT_BY_A_FILE: &[(Code, &str)] = &[
    (
        Code::RestartOnly,
        "needs a running process and a second configuration",
    ),
    (
        Code::CertificateTime,
        "needs a certificate, and the repository has none: tests/it/tls has it",
    ),
];

#[test]
fn refusals_are_rendered_as_committed() {
    let directory = root("tests/config/err");
    let mut faults = Vec::new();
    for path in files(&directory, ".toml") {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let output = check(&directory, &["-c", &name]);
        let shown = String::from_utf8(output.stderr).unwrap();
        let code = name.split('-').next().unwrap();
        if output.status.code() != Some(2) || !output.stdout.is_empty() {
            faults.push(format!(
                "{name}: {:?}, not refused:\n{shown}",
                output.status
            ));
        }
        if !shown.contains(&format!("[{code}]")) {
            faults.push(format!("{name}: {code} is not in\n{shown}"));
        }
        faults.extend(compare(&path.with_extension("stderr"), &shown).err());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn warnings_are_rendered_as_committed_and_stop_nothing() {
    let directory = root("tests/config/ok");
    let mut faults = Vec::new();
    for path in files(&directory, ".toml") {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let output = check(&directory, &["-c", &name]);
        let shown = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
        if output.status.code() != Some(0) {
            faults.push(format!("{name}: {:?}:\n{shown}", output.status));
        }
        faults.extend(compare(&path.with_extension("out"), &shown).err());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_code_has_an_input() {
    let mut shown = String::new();
    for (directory, ending) in [("tests/config/err", ".stderr"), ("tests/config/ok", ".out")] {
        for path in files(&root(directory), ending) {
            shown.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    let missing: Vec<&str> = Code::ALL
        .iter()
        .filter(|code| !NOT_BY_A_FILE.iter().any(|(exempt, _)| exempt == *code))
        .map(|code| code.as_str())
        .filter(|code| !shown.contains(&format!("[{code}]")))
        .collect();
    assert!(missing.is_empty(), "no input for {missing:?}");
}

#[test]
fn codes_are_unique_and_in_order() {
    let texts: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert!(texts.is_sorted_by(|a, b| a < b), "{texts:?}");
}

#[test]
fn tools_get_one_object() {
    let directory = root("tests/config/err");
    let output = check(&directory, &["--json", "-c", "C0102-unknown-key.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stderr.is_empty());
    let shown = String::from_utf8(output.stdout).unwrap();
    let object: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(object["diagnostics"][0]["at"]["line"], 2);
    compare(&directory.join("C0102-unknown-key.json"), &shown).unwrap();
}

#[test]
fn a_missing_file_is_refused_with_its_name() {
    let directory = root("tests/config/err");
    let output = check(&directory, &["-c", "no-such-file.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(
        shown.contains("error[C0001]: cannot read `no-such-file.toml`"),
        "{shown}"
    );
    let output = check(&directory, &[]);
    let shown = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        shown.starts_with("no -c FILE given: reading `tidegate.toml`"),
        "{shown}"
    );
}

#[test]
fn bad_usage_is_2() {
    assert_eq!(
        check(&root("."), &["--no-such-flag"]).status.code(),
        Some(2)
    );
}
