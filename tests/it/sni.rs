//! Routes by the server name of the handshake.

use std::sync::Arc;

use crate::support::Setup;
use crate::support::tls::{Authority, ask, connect};

#[test]
fn a_route_is_found_by_the_name_of_the_handshake() {
    let authority = Authority::new("ca");
    let setup = Setup::new();
    let issued = authority.issue(&["a.example", "b.example", "x.wild.example", "wild.example"]);
    let certificate = issued.write(&setup.dir, "all");
    let said = |name: &str| format!("respond = {{ status = 200, body = \"{name}\" }}");
    let setup = setup
        .listener(&format!("[listeners.tls]\ncertificates = [{certificate}]"))
        .route("rest", &said("rest"))
        .route(
            "named",
            &format!("sni = [\"A.example\"]\n{}", said("named")),
        )
        .route(
            "below",
            &format!("sni = [\"*.wild.example\"]\n{}", said("below")),
        )
        .tail(
            "[[tests]]\nrequest = \"https://a.example/\"\nexpect = { route = \"named\" }\n\
             [[tests]]\nrequest = \"http://a.example/\"\nexpect = { route = \"rest\" }\n\
             [[tests]]\nrequest = \"https://192.0.2.1/\"\nexpect = { route = \"rest\" }",
        );
    let proxy = setup.start();
    let config = Arc::new(authority.client());
    for (name, host, route) in [
        ("a.example", "a.example", "named"),
        // The certificate is good for both, so the connection is too; the name of the handshake is what it was.
        ("a.example", "b.example", "named"),
        ("b.example", "a.example", "rest"),
        ("x.wild.example", "x.wild.example", "below"),
        ("wild.example", "x.wild.example", "rest"),
    ] {
        let mut secure = connect(proxy.web, name, &config).expect("a handshake");
        let answer = ask(&mut secure, "GET", "/", host);
        assert!(answer.ends_with(route), "{name} {host}: {answer}");
    }
}
