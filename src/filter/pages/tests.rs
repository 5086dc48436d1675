use super::compile::pieces;
use super::*;

#[test]
fn what_is_no_variable_stays_as_it_is() {
    let form = |text: &'static str| Form {
        kind: Kind::Html,
        pieces: pieces(&Bytes::from_static(text.as_bytes())),
    };
    let reply = Reply::refusal(Reason::NoEndpoint, Detail::None);
    for (text, shown) in [
        ("", ""),
        ("plain", "plain"),
        ("${status}", "503"),
        (
            "<b>${status} ${phrase}</b> ${reason}: ${request_id}.",
            "<b>503 Service Unavailable</b> no_endpoint: id-1.",
        ),
        (
            "`${name}` ${status ${$${status}${",
            "`${name}` ${status ${$503${",
        ),
    ] {
        assert_eq!(form(text).body(&reply, "id-1"), shown, "{text}");
    }
}

#[test]
fn a_page_changes_the_body_and_nothing_else() {
    let reply = Reply::refusal(Reason::NoEndpoint, Detail::None);
    assert_eq!(reply.wording(), Wording::Short);
    let page = reply.with_page(b"text/html", [], Bytes::from_static(b"<p>"));
    assert_eq!(page.wording(), Wording::Given);
    assert_eq!((page.status(), page.reason()), (503, Reason::NoEndpoint));
    assert_eq!(
        page.lines(),
        "content-type: text/html\r\nretry-after: 1\r\n"
    );
}

#[test]
fn nobody_is_asked_because_there_is_too_much() {
    let asked: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| asks(**reason) && reason.row().status == 503)
        .map(|reason| reason.as_str())
        .collect();
    assert_eq!(
        asked,
        [
            "auth_unavailable",
            "conn_limit",
            "draining",
            "no_endpoint",
            "killed",
            "shutdown"
        ]
    );
    for reason in [
        Reason::RateLimited,
        Reason::BadRequest,
        Reason::BodyTooLarge,
    ] {
        assert!(!asks(reason), "{reason:?}");
    }
    for reason in [Reason::NoRoute, Reason::Denied, Reason::UpstreamReset] {
        assert!(asks(reason), "{reason:?}");
    }
}
