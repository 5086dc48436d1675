//! What filters write, and what they may not.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;

use super::template::{Moment, Value};
use super::*;
use crate::base::{Reason, clock};
use crate::config::{Diagnostics, Span, Spanned};
use crate::message::forwarded::Proto;
use crate::message::{BodyLength, Known};

fn changes(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> Changes {
    let pairs = |pairs: &[(&str, &str)]| {
        let boxed = pairs
            .iter()
            .map(|&(name, value)| (name.into(), made(value)));
        boxed.collect()
    };
    let remove: Vec<_> = remove.iter().map(|&name| name.into()).collect();
    Changes::new(&remove, pairs(set), pairs(add), Vec::new())
}

fn made(value: &str) -> Value {
    try_made(value, Moment::Response).unwrap()
}

fn try_made(value: &str, moment: Moment) -> Result<Value, String> {
    let mut diagnostics = Diagnostics::default();
    let raw = Spanned::new(value.to_owned(), Span::default());
    Value::compile(&raw, moment, &mut diagnostics)
        .ok_or_else(|| diagnostics.lines().collect::<Vec<_>>().join("\n"))
}

fn facts() -> Facts<'static> {
    Facts {
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        now: clock::now(),
        said: Said::Text {
            name: "id-1",
            listener: "web",
            route: "api",
            cluster: "app",
            scheme: Proto::Https,
        },
    }
}

fn text(edits: &Edits) -> String {
    let lines: Vec<u8> = edits.lines().collect::<Vec<_>>().concat();
    String::from_utf8(lines).unwrap()
}

fn chain() -> FilterChain {
    FilterChain::new(vec![
        Filter::RequestHeaders(RequestHeaders::new(changes(
            &["x-gone"],
            &[("x-a", "1")],
            &[],
        ))),
        Filter::ResponseHeaders(ResponseHeaders::new(changes(
            &[],
            &[("server", "outer")],
            &[],
        ))),
        Filter::RequestHeaders(RequestHeaders::new(changes(
            &[],
            &[("X-A", "2")],
            &[("x-b", "3")],
        ))),
        Filter::ResponseHeaders(ResponseHeaders::new(changes(
            &["x-powered-by"],
            &[("Server", "inner")],
            &[],
        ))),
    ])
}

#[test]
fn requests_walk_the_chain_in_order() {
    let mut edits = Edits::default();
    let verdict = chain().on_request(&mut RequestView {
        head: &RequestHead::default(),
        facts: &facts(),
        edits: &mut edits,
        kept: &mut Kept::default(),
        progress: &mut Progress::default(),
    });
    assert!(matches!(verdict, Verdict::Continue));
    assert_eq!(text(&edits), "X-A: 2\r\nx-b: 3\r\n");
    assert!(edits.drops(b"x-gone") && edits.drops(b"x-a") && !edits.drops(b"x-b"));
    assert!(!edits.drops(b"server"));
}

#[test]
fn responses_walk_it_backwards_and_so_do_our_own_answers() {
    let fields = [
        (b"retry-after".as_slice(), b"120".as_slice()),
        (b"server", b"x"),
    ];
    let reply = Reply::new(
        503,
        Reason::LocalReply,
        fields,
        Bytes::from_static(b"later\n"),
    );
    let head = reply.head();
    let mut edits = Edits::default();
    chain().on_response(&mut ResponseView {
        status: reply.status(),
        head: &head,
        request: &RequestHead::default(),
        facts: &facts(),
        edits: &mut edits,
        kept: &Kept::default(),
        step: 0,
    });
    assert_eq!(text(&edits), "server: outer\r\n");
    let kept: Vec<_> = head
        .fields
        .iter()
        .filter(|field| !edits.drops(head.name(field)))
        .map(|field| head.value(field))
        .collect();
    assert_eq!(kept, [b"120"]);
}

#[test]
fn a_reply_is_a_head_like_any_other() {
    let fields = [(b"Retry-After".as_slice(), b"120".as_slice()), (b"x", b"")];
    let reply = Reply::new(
        503,
        Reason::LocalReply,
        fields,
        Bytes::from_static(b"later\n"),
    );
    assert_eq!(&reply.lines()[..], b"Retry-After: 120\r\nx: \r\n");
    let head = reply.head();
    assert_eq!(head.first(Known::RetryAfter), Some(&b"120"[..]));
    assert_eq!(head.body, BodyLength::Exact(6));
    let ends: Vec<_> = head.fields.iter().map(|field| field.line_end).collect();
    assert_eq!(ends, [18, 23]);
}

#[test]
fn framing_hop_and_proxy_fields_cannot_be_configured() {
    use FieldError as E;
    use Place::{Reply, Request, Response};
    for name in [
        "Content-Length",
        "transfer-encoding",
        "connection",
        "Keep-Alive",
        "te",
        "trailer",
        "upgrade",
        "proxy-connection",
        "http2-settings",
    ] {
        for place in [Request, Response, Reply] {
            assert_eq!(check_name(name, place), Err(E::Framing), "{name}");
        }
    }
    for (name, place, expected) in [
        ("host", Request, Err(E::Host)),
        ("X-Forwarded-For", Request, Err(E::Forwarding)),
        ("forwarded", Request, Err(E::Forwarding)),
        ("expect", Request, Err(E::Expect)),
        ("date", Reply, Err(E::Date)),
        ("date", Response, Ok(())),
        ("x-tenant", Request, Ok(())),
        ("set-cookie", Response, Ok(())),
        ("", Request, Err(E::Empty)),
        ("x:y", Request, Err(E::Name(':'))),
        ("x y", Response, Err(E::Name(' '))),
        ("x\r\ny", Reply, Err(E::Name('\r'))),
        ("é", Reply, Err(E::Name('é'))),
    ] {
        assert_eq!(check_name(name, place), expected, "{name}");
    }
}

#[test]
fn values_hold_no_line_end_and_no_control_byte() {
    for c in (0..=0x7f_u8).map(char::from) {
        let allowed = c == '\t' || c == ' ' || c.is_ascii_graphic();
        assert_eq!(check_value(&format!("a{c}b")).is_ok(), allowed, "{c:?}");
    }
    assert_eq!(check_value(""), Ok(()));
    assert_eq!(check_value(" a"), Err(FieldError::Space));
    assert_eq!(check_value("a\t"), Err(FieldError::Space));
    assert_eq!(check_value("\u{560a}"), Err(FieldError::Value('\u{560a}')));
}

#[test]
fn values_are_made_from_the_exchange() {
    let request = RequestHead::default()
        .with_field("X-Plan", "paid")
        .with_field("Cookie", "a=1; side=b")
        .with_field("X-Odd", "a\r\nSet-Cookie: x\u{7f}\ty");
    let facts = facts();
    let sources = Sources {
        request: &request,
        facts: &facts,
        status: Some(404),
    };
    for (value, expected) in [
        ("plain", "plain"),
        ("$5 {a} }", "$5 {a} }"),
        ("${client_ip}", "127.0.0.1"),
        (
            "${scheme}:${listener}/${route}/${cluster}",
            "https:web/api/app",
        ),
        ("<${request_id}>", "<id-1>"),
        ("$${host}", "${host}"),
        ("a$${b}${status}$${", "a${b}404${"),
        ("${header:x-plan}-${cookie:side}", "paid-b"),
        (
            "${header:none}${query:none}${query}${host}${tls.version}",
            "",
        ),
        // No codec lets such a head through; if one did, no line could end here (E-040).
        ("${header:x-odd}", "aSet-Cookie: x\ty"),
    ] {
        let mut out = Vec::new();
        made(value).write(&sources, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{value}");
    }
    for wrong in ["${", "${host", "${hots}", "${header:}", "${global}", "${}"] {
        assert!(try_made(wrong, Moment::Response).is_err(), "{wrong}");
    }
    let early = try_made("${status}", Moment::Request).unwrap_err();
    assert!(early.contains("before an endpoint has answered"), "{early}");
}

#[test]
fn a_field_without_a_value_is_not_written() {
    let changes = changes(&[], &[("x-a", "${header:none}"), ("x-b", "")], &[]);
    let filter = RequestHeaders::new(changes);
    let mut edits = Edits::default();
    filter.on_request(&mut RequestView {
        head: &RequestHead::default(),
        facts: &facts(),
        edits: &mut edits,
        kept: &mut Kept::default(),
        progress: &mut Progress::default(),
    });
    assert_eq!(text(&edits), "x-b: \r\n");
    assert!(edits.drops(b"x-a"), "the client's own is gone all the same");
}
