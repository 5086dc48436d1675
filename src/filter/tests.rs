//! What filters write, and what they may not.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;

use super::*;
use crate::base::{Reason, clock};
use crate::message::{BodyLength, Known};

fn changes(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> Changes {
    let pairs = |pairs: &[(&str, &str)]| {
        let boxed = pairs
            .iter()
            .map(|&(name, value)| (name.into(), value.into()));
        boxed.collect()
    };
    Changes {
        remove: remove.iter().map(|&name| name.into()).collect(),
        set: pairs(set),
        add: pairs(add),
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
        edits: &mut edits,
        kept: &mut Kept::default(),
        progress: &mut Progress::default(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        now: clock::now(),
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
