//! What is wrong in a cluster is told, all of it, at its place.

use super::*;

#[test]
fn a_wrong_default_is_told_once() {
    let text = "[defaults.cluster]\ntimeouts = { connect = '0s' }\n[clusters.a]\n\
        endpoints = ['127.0.0.1:1']\n[clusters.b]\nendpoints = ['127.0.0.1:1']";
    let (clusters, diagnostics) = compile_all(text, &Site::new(None), &Live::new());
    assert!(clusters.iter().all(Option::is_none));
    assert_eq!(diagnostics.lines().count(), 1);
}

#[test]
fn all_errors_are_told_at_once_and_where() {
    let (lines, text) = refusals(
        "endpoints = [
            '127.0.0.1',
            'http://127.0.0.1:80/x',
            '/run/app.sock',
            'localhost',
            '127.0.0.1:0',
            { address = '127.0.0.1:1', weight = 0 },
            { address = '127.0.0.1:2', weight = 1001 },
            { address = '127.0.0.1:3', backup = true, tier = 2 },
            '127.0.0.1:4',
            { address = '127.0.0.1:4', weight = 2 },
        ]
        timeouts = { response = '0s' }",
    );
    let wanted = [
        "t.toml:3:13: error[C0205]: `127.0.0.1` is not the address of an endpoint",
        "t.toml:4:13: error[C0205]: `http://127.0.0.1:80/x` is not the address of an endpoint",
        "t.toml:5:13: error[C0205]: `/run/app.sock` is not the address of an endpoint",
        "t.toml:6:13: error[C0205]: `localhost` is not the address of an endpoint",
        "t.toml:7:13: error[C0205]: `127.0.0.1:0` is not the address of an endpoint",
        "t.toml:8:49: error[C0208]: weight 0 is not in 1-1000",
        "t.toml:9:49: error[C0208]: weight 1001 is not in 1-1000",
        "t.toml:10:62: error[C0217]: `tier` and `backup` cannot stand together",
        "t.toml:12:13: error[C0207]: endpoint `127.0.0.1:4` stands twice in cluster `c`",
        "t.toml:14:33: error[C0107]: `response` must be longer than 0s",
    ];
    assert_eq!(lines, wanted);
    for hint in [
        "add the port: \"127.0.0.1:80\"",
        "write the address alone: \"127.0.0.1:80\"",
        "for a unix socket write \"unix:/run/app.sock\"",
        "port 0 cannot be connected to",
        "for an endpoint that gets nothing new write state",
    ] {
        assert!(text.contains(hint), "{hint}: {text}");
    }
}

#[test]
fn nonsense_is_refused() {
    for (lines, message) in [
        ("endpoints = []", "C0216]: cluster `c` has no endpoints"),
        (
            "retry = { attempts = 9 }",
            "C0107]: 9 attempts are too many",
        ),
        (
            "retry = { methods = ['get'] }",
            "C0212]: `get` is not a method",
        ),
        (
            "retry = { methods = ['CONNECT'] }",
            "C0212]: `CONNECT` is not a method",
        ),
        (
            "retry = { backoff = { base = '2s', max = '1s' } }",
            "C0217]: `max` is shorter",
        ),
        (
            "retry = { replay_buffer = '17MiB' }",
            "C0107]: the replay buffer is too large",
        ),
        (
            "bulkhead = { idle_timeout = '0s' }",
            "C0107]: `idle_timeout` must be longer",
        ),
        (
            "bulkhead = { queue = { timeout = '0s' } }",
            "C0107]: `queue.timeout` must be longer",
        ),
        (
            "health = { check = 'tcp', interval = '0s' }",
            "C0107]: `interval` must be longer",
        ),
        (
            "health = { check = 'tcp', timeout = '0s' }",
            "C0107]: `timeout` must be longer",
        ),
        (
            "health = { check = 'tcp', rise = 0 }",
            "C0107]: `rise` must be at least 1",
        ),
        (
            "health = { check = { http = { path = 'x' } } }",
            "C0211]: `x` is not a path",
        ),
        (
            "health = { check = { http = { path = '/a b' } } }",
            "C0211]: `/a b` is not a path",
        ),
        (
            "health = { check = { http = { host = 'a b' } } }",
            "C0210]: `a b` is not a host",
        ),
        (
            "health = { check = { http = { status = [] } } }",
            "C0216]: no status can ever pass",
        ),
        (
            "health = { check = { http = { body_contains = '' } } }",
            "C0107]: every body contains",
        ),
    ] {
        let endpoints = if lines.starts_with("endpoints") {
            ""
        } else {
            ONE
        };
        let (said, _) = refusals(&format!("{endpoints}{lines}"));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(message), "{said:?}");
    }
}

#[test]
fn the_tour_is_refused_only_for_its_certificates() {
    let site = Site {
        secret: Some(Secret::from_text(b"of this test")),
        ..Site::new(None)
    };
    let (_, diagnostics) = compile_all(TOUR, &site, &Live::new());
    // Its certificates stand on no machine.
    let other = |item: &&config::Diagnostic| item.code() != config::Code::BadCertificate;
    assert!(
        diagnostics.iter().find(other).is_none(),
        "{}",
        diagnostics.render_text(Color::Never)
    );
}
