//! Precedence by example.

use super::*;

#[test]
fn host_before_path_before_method_before_order() {
    let table = table(vec![
        rule(&[], prefix("/"), &[]),
        rule(&["*.example.com"], exact("/v1"), &[]),
        rule(&["*.b.example.com"], prefix("/"), &[]),
        rule(&["a.b.example.com"], prefix("/v1"), &[]),
        rule(&["a.b.example.com"], prefix("/v1/"), &["GET", "PURGE"]),
        rule(&["a.b.example.com"], exact("/v1"), &[]),
        rule(&["a.b.example.com"], prefix("/v1/x"), &[]),
        rule(&["a.b.example.com"], prefix("/v1"), &["GET"]),
    ]);
    for (method, host, path, expected) in [
        ("GET", "a.b.example.com", "/v1", 5),
        ("GET", "a.b.example.com", "/v1/", 4),
        ("PURGE", "a.b.example.com", "/v1/y", 4),
        ("POST", "a.b.example.com", "/v1/y", 3),
        ("GET", "a.b.example.com", "/v1/x", 6),
        ("GET", "a.b.example.com", "/v1/x/y", 6),
        ("GET", "a.b.example.com", "/v1/xy", 4),
        ("GET", "a.b.example.com", "/v1x", 2),
        ("GET", "c.b.example.com", "/v1", 2),
        ("GET", "d.c.b.example.com", "/v1", 2),
        ("GET", "c.example.com", "/v1", 1),
        ("GET", "c.example.com", "/v1/", 0),
        ("GET", "example.com", "/v1", 0),
        ("GET", "xexample.com", "/v1", 0),
        ("OPTIONS", "example.com", "*", 0),
        ("GET", "", "/", 0),
    ] {
        assert_eq!(
            find(&table, method, host, path),
            Some(expected),
            "{method} {host}{path}"
        );
    }
}

#[test]
fn priority_comes_first_and_nothing_may_match() {
    let mut urgent = rule(&[], prefix("/admin"), &[]);
    urgent.priority = 1;
    let mut late = rule(&["a.example"], exact("/admin"), &[]);
    late.priority = -1;
    let table = table(vec![
        rule(&["a.example"], exact("/admin"), &[]),
        late,
        urgent,
    ]);
    assert_eq!(find(&table, "GET", "a.example", "/admin"), Some(2));
    assert_eq!(find(&table, "GET", "a.example", "/"), None);
    assert_eq!(find(&RouteTable::default(), "GET", "a.example", "/"), None);
    let lost = find_unreachable(&table, 1);
    let lost: Vec<_> = lost
        .iter()
        .map(|lost| (lost.route.0, lost.behind.0))
        .collect();
    assert_eq!(lost, [(0, 2), (1, 2)]);
}

#[test]
fn more_conditions_win_and_every_one_must_be_met() {
    let with = |demands: Demands| Rule {
        demands,
        ..rule(&[], PathMatch::Any, &[])
    };
    let one = |text: &str| Wanted::Exactly(text.as_bytes().into());
    let mut both = asks_field("x-a", one("1"));
    both.fields
        .extend(asks_field("x-b", Wanted::Like(whole("b+"))).fields);
    let table = table(vec![
        with(Demands::default()),
        with(asks_value(KeySource::Query("q".into()), "a b")),
        with(asks_value(KeySource::Cookie("c".into()), "1")),
        with(asks_field("x-a", one("1"))),
        with(both),
        rule(&[], regex("/r/[0-9]+"), &[]),
        Rule {
            demands: asks_field("x-a", one("1")),
            ..rule(&[], prefix("/"), &["PUT"])
        },
    ]);
    let find = |head: &RequestHead| {
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let input = RouteInput {
            listener: 0,
            head,
            client,
            server_name: None,
        };
        table.find(&input).map(|route| route.0)
    };
    let get = |target: &str| head("GET", "a.example", target);
    assert_eq!(find(&get("/")), Some(0));
    assert_eq!(find(&get("/?q=a+b")), Some(1));
    assert_eq!(find(&get("/?q=a%20b&q=x")), Some(1));
    assert_eq!(find(&get("/?q=x&q=a+b")), Some(0), "the first of the name");
    assert_eq!(find(&get("/").with_field("Cookie", "d=2; c=1")), Some(2));
    assert_eq!(
        find(&get("/?q=a+b").with_field("Cookie", "c=1")),
        Some(1),
        "order in the file"
    );
    assert_eq!(
        find(&get("/?q=a+b").with_field("X-A", "1")),
        Some(3),
        "fields first"
    );
    assert_eq!(find(&get("/").with_field("x-a", "11")), Some(0));
    let two = get("/").with_field("x-a", "0").with_field("x-a", "1");
    assert_eq!(find(&two), Some(3), "any field of the name");
    assert_eq!(find(&two.with_field("x-b", "bb")), Some(4));
    assert_eq!(
        find(&get("/r/12")),
        Some(5),
        "a path asked for, if by expression"
    );
    assert_eq!(find(&get("/r/12/")), Some(0), "from end to end");
    assert_eq!(find(&head("PUT", "a", "/").with_field("x-a", "1")), Some(6));
}
