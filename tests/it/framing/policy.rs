//! `path_policy`: what listeners and routes make of paths that origins read differently (E-110).

use crate::support::{Origin, Proxy, Setup, endpoint};

/// What comes of a GET: the path as the origin got it, or the status of the refusal.
fn sent(proxy: &Proxy, origin: &Origin, path: &str) -> Result<String, u16> {
    let before = origin.count();
    let response = proxy.get(path);
    if response.status == 200 {
        return Ok(origin.wait(before + 1).target);
    }
    assert_eq!(origin.count(), before, "{path} was refused and forwarded");
    Err(response.status)
}

/// What a policy makes other than the default.
type Other = (&'static str, Result<&'static str, u16>);

const ROWS: [(&str, &str); 14] = [
    ("/a/b", "/a/b"),
    ("/a/../b", "/b"),
    ("/a/%2E/b", "/a/b"),
    ("/a//b", "/a//b"),
    ("//", "//"),
    ("/a//../b", "/a/b"),
    ("/a%2fb", "/a%2Fb"),
    ("/a;p=1/b", "/a;p=1/b"),
    ("/a%3Bp", "/a%3Bp"),
    ("/.well-known/x", "/.well-known/x"),
    ("/a/", "/a/"),
    ("/%7Ea", "/~a"),
    ("/a%252Fb", "/a%252Fb"),
    ("/?a//../%2f;b", "/?a//../%2f;b"),
];

#[test]
fn a_listener_keeps_merges_or_refuses() {
    let origin = Origin::start();
    let under = |policy: &str| {
        Setup::over(&[origin.addr()])
            .listener(&format!("path_policy = {{ {policy} }}"))
            .start()
    };
    let policies: [(&str, &[Other]); 6] = [
        ("", &[]),
        (
            "double_slash = \"merge\"",
            &[
                ("/a//b", Ok("/a/b")),
                ("//", Ok("/")),
                ("/a//../b", Ok("/b")),
            ],
        ),
        (
            "double_slash = \"refuse\"",
            &[
                ("/a//b", Err(400)),
                ("//", Err(400)),
                ("/a//../b", Err(400)),
            ],
        ),
        (
            "dot_segments = \"refuse\"",
            &[
                ("/a/../b", Err(400)),
                ("/a/%2E/b", Err(400)),
                ("/a//../b", Err(400)),
            ],
        ),
        ("encoded_slash = \"refuse\"", &[("/a%2fb", Err(400))]),
        (
            "parameters = \"refuse\"",
            &[("/a;p=1/b", Err(400)), ("/a%3Bp", Err(400))],
        ),
    ];
    for (policy, others) in policies {
        let proxy = under(policy);
        for (path, default) in ROWS {
            let other = others.iter().find(|(of, _)| *of == path);
            let expected = other.map_or(Ok(default), |(_, result)| *result);
            assert_eq!(
                sent(&proxy, &origin, path)
                    .as_deref()
                    .map_err(|status| *status),
                expected,
                "{policy}: {path}"
            );
        }
        for never in ["/%00", "/a%5cb", "/a\\b", "/..", "/a/..;/b", "/a/..%2fb"] {
            assert_eq!(sent(&proxy, &origin, never), Err(400), "{policy}: {never}");
        }
    }
}

/// A route refuses what its listener lets through, the neighbour does not.
#[test]
fn a_route_may_be_stricter() {
    let origin = Origin::start();
    let proxy = Setup::new()
        .cluster("app", &[endpoint(origin.addr())], "")
        .route(
            "admin",
            "path_prefix = \"/admin\"\ncluster = \"app\"\npath_policy = { dot_segments = \"refuse\", double_slash = \
             \"refuse\", encoded_slash = \"refuse\", parameters = \"refuse\" }",
        )
        .route("all", "cluster = \"app\"")
        .start();
    for path in [
        "/admin//x",
        "/x/../admin/",
        "/admin/%2e/x",
        "/admin/a%2Fb",
        "/admin/;x",
        "/admin/%3bx",
    ] {
        assert_eq!(sent(&proxy, &origin, path), Err(400), "{path}");
        let line = proxy.wait_line("a refusal", |line| line["status"] == 400);
        assert_eq!(
            (&line["route"], &line["detail"]),
            (&"admin".into(), &"path".into())
        );
    }
    for path in ["/admin/x", "/open//x", "/open/a%2Fb", "/open/;x"] {
        assert_eq!(sent(&proxy, &origin, path).as_deref(), Ok(path));
    }
    assert_eq!(
        sent(&proxy, &origin, "/admin/../open").as_deref(),
        Ok("/open")
    );
    assert!(proxy.get("/admin//x").is(400).closes());
}
