//! What a key means, and how its parts are kept apart.

use super::*;
use crate::message::field::Span;
use crate::message::head::Text;

/// A head of these fields and this query.
fn head(query: &str, fields: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::default();
    head.bytes.extend_from_slice(query.as_bytes());
    head.query = Text::Raw(Span::new(0, query.len()));
    let add = |head: RequestHead, (name, value): &(&str, &str)| head.with_field(name, value);
    fields.iter().fold(head, add)
}

fn number(spelling: &[&str], head: &RequestHead, client: &str) -> u128 {
    let sources: Vec<_> = spelling
        .iter()
        .map(|text| KeySource::parse(text).unwrap())
        .collect();
    let input = KeyInput::received(head, client.parse().unwrap(), "r");
    joined(HashKey::from_seed("test"), &sources, &input).finish()
}

#[test]
fn what_is_written_is_what_is_shown() {
    for text in [
        "client_ip",
        "client_ip/56",
        "global",
        "route",
        "host",
        "path",
        "header:x-api-key",
        "cookie:cart",
        "query:k",
    ] {
        assert_eq!(KeySource::parse(text).unwrap().to_string(), text);
    }
    for (text, why) in [
        ("ip", KeyError::Unknown),
        ("body:x", KeyError::Unknown),
        ("header:", KeyError::Name),
        ("header:a b", KeyError::Name),
        ("query:", KeyError::Name),
        ("client_ip/0", KeyError::Prefix),
        ("client_ip/129", KeyError::Prefix),
    ] {
        assert_eq!(KeySource::parse(text), Err(why), "{text}");
    }
}

#[test]
fn an_ipv6_client_is_its_network() {
    let none = head("", &[]);
    let of = |key: &str, client: &str| number(&[key], &none, client);
    assert_eq!(
        of("client_ip", "2001:db8::1"),
        of("client_ip", "2001:db8::2:0:0:9")
    );
    assert_ne!(
        of("client_ip/128", "2001:db8::1"),
        of("client_ip/128", "2001:db8::2")
    );
    assert_eq!(
        of("client_ip/56", "2001:db8:0:1::1"),
        of("client_ip/56", "2001:db8:0:ff::1")
    );
    assert_ne!(of("client_ip", "192.0.2.1"), of("client_ip", "192.0.2.2"));
    assert_eq!(
        of("client_ip", "::ffff:192.0.2.1"),
        of("client_ip", "192.0.2.1")
    );
}

#[test]
fn the_first_of_a_name_counts_and_a_missing_one_is_a_value_of_its_own() {
    let of = |key: &str, query: &str, fields: &[(&str, &str)]| {
        number(&[key], &head(query, fields), "192.0.2.1")
    };
    let header = |fields: &[(&str, &str)]| of("header:x-key", "", fields);
    assert_eq!(
        header(&[("X-Key", "a"), ("x-key", "b")]),
        header(&[("x-key", "a")])
    );
    assert_ne!(header(&[]), header(&[("x-key", "")]));
    assert_eq!(header(&[]), header(&[("x-other", "1")]));

    let cookie = |value: &str| of("cookie:id", "", &[("Cookie", value)]);
    assert_eq!(cookie("a=1; id=7 ;b=2"), cookie("id=7"));
    assert_ne!(cookie("xid=7"), cookie("id=7"));
    assert_eq!(
        of("cookie:id", "", &[("cookie", "a=1"), ("cookie", "id=7")]),
        cookie("id=7")
    );
}

#[test]
fn a_parameter_is_compared_as_it_is_meant() {
    let of = |query: &str| number(&["query:key"], &head(query, &[]), "192.0.2.1");
    assert_eq!(of("a=1&key=abc"), of("key=a%62c"));
    assert_eq!(of("k%65y=abc"), of("key=abc"));
    assert_eq!(of("key=a+b"), of("key=a%20b"));
    assert_eq!(of("key=a&key=b"), of("key=a"));
    assert_ne!(of("key=%zz"), of("key=zz"));
    assert_eq!(of("keys=a"), of("other"));
    assert_eq!(of("key"), of("key="));
}

#[test]
fn joined_values_do_not_run_together() {
    let of = |a: &str, b: &str| {
        let head = head("", &[("a", a), ("b", b)]);
        number(&["header:a", "header:b"], &head, "192.0.2.1")
    };
    assert_ne!(of("ab", "c"), of("a", "bc"));
    assert_ne!(of("abc", ""), of("", "abc"));
    assert_eq!(of("a", "b"), of("a", "b"));
}

#[test]
fn a_value_is_shown_without_its_control_bytes() {
    let head = head("", &[("a", "x\u{1b}[2J")]);
    let input = KeyInput::received(&head, "192.0.2.1".parse().unwrap(), "r");
    let source = KeySource::parse("header:a").unwrap();
    assert_eq!(source.read(&input).unwrap().to_string(), r"x\x1b[2J");
    assert!(source.is_private() && !KeySource::Path.is_private());
}
