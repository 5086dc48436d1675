//! `[[tests]]`: what must come of a request is part of the configuration.

use std::process::Command;

use crate::support::{Origin, Reload, Setup};

fn with(setup: &Setup, test: &str) -> Setup {
    setup.clone().tail(&format!("[[tests]]\n{test}\n"))
}

#[test]
fn a_failing_test_refuses_start_and_reload() {
    let origin = Origin::named("app");
    let setup = Setup::over(&[origin.addr()])
        .without_routes()
        .route("api", "path_prefix = \"/api\"\ncluster = \"app\"")
        .route("rest", "redirect = { host = \"b.example\" }");
    let good =
        "request = \"GET http://a.example/api/x\"\nexpect = { route = \"api\", cluster = \"app\" }";
    let bad = "request = \"GET http://a.example/ap\"\nexpect = { route = \"api\" }";

    let proxy = with(&setup, good).start();
    let refused = proxy.reload(&with(&setup, bad));
    assert_eq!(refused, Reload::Refused);
    proxy.wait_output("finds route `rest`");
    assert_eq!(proxy.get("/api").text(), "app", "the one before goes on");

    let wrong = with(&setup, bad);
    wrong.write();
    let started = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["run", "-c"])
        .arg(wrong.config_path())
        .output()
        .unwrap();
    assert_eq!(started.status.code(), Some(2));
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(said.contains("it is for other paths"), "{said}");
}
