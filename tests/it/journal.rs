//! The process's own log, for programs: all that it says is lines of JSON, the first and the last included.

use crate::support::proxy::binary;
use crate::support::{Origin, Setup};
use serde_json::Value;

#[test]
fn what_a_start_says_is_json_where_the_log_is() {
    let origin = Origin::start();
    let mut setup = Setup::over(&[origin.addr()]).cluster("idle", &["\"127.0.0.1:9\"".into()], "");
    setup.web = origin.addr();
    let text = setup
        .text()
        .replace("[log]\n", "[log]\nformat = \"json\"\n");
    std::fs::write(setup.config_path(), text).unwrap();
    let mut command = binary();
    command.args(["run", "-c"]).arg(setup.config_path());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?} of\n{said}")))
        .collect();
    let has = |level: &str, part: &str| {
        lines.iter().any(|line| {
            let message = line["message"].as_str().unwrap_or_default();
            line["level"] == level && message.contains(part)
        })
    };
    assert!(has("WARN", "`idle`"), "the warning of a cluster: {said}");
    let taken = origin.addr().to_string();
    assert!(has("ERROR", &taken), "why it did not start: {said}");
}
