//! One function for each target: it panics when something does not hold.

use std::path::Path;

use tidegate::config::{self, Color};
use tidegate::http1::body::{BodyReader, More};
use tidegate::http1::limits::{BodyLimits, ResponseLimits};
use tidegate::http1::request::{HeadLimits, Progress};
use tidegate::http1::response::Persist;
use tidegate::http1::trailers::Trailers;
use tidegate::http1::write::{self, Forwarding, ResponsePlan};
use tidegate::http1::{chunked as chunks, request, response as responses};
use tidegate::message::forwarded::{Headers, Proto, Trust};
use tidegate::message::path::{self as paths, Canonical, Empty, Policy, Rule};
use tidegate::message::{BodyLength, Edits, Expect, Known, Method, RequestHead, Upgrade, Version};
use tidegate::net::preface::{self as prefaces, Carrier, Progress as Said};
use tidegate::net::quic::{Header, Id};
use tidegate::snapshot::{self, Live, Purpose};
use tidegate::tls::hello::{self as hellos, Looked};

use super::model::{self, Verdict};

/// The defaults of a listener.
pub const LIMITS: HeadLimits = HeadLimits {
    request_line: 8 << 10,
    headers: 32 << 10,
    count: 100,
    name: 256,
    path: Policy::DEFAULT,
    own: Proto::Http,
};

/// Every policy of paths.
pub fn policies() -> impl Iterator<Item = Policy> {
    (0..24u8).map(policy)
}

/// The policy of a number.
pub fn policy(number: u8) -> Policy {
    let rule = |bit: u8| {
        if number & bit == 0 {
            Rule::Keep
        } else {
            Rule::Refuse
        }
    };
    Policy {
        dot_segments: rule(1),
        encoded_slash: rule(2),
        parameters: rule(4),
        empty_segments: [Empty::Keep, Empty::Merge, Empty::Refuse][usize::from(number / 8 % 3)],
    }
}

/// A request head is read as the model reads it, and what is written of it is read as the same.
pub fn head(input: &[u8]) {
    head_within(input, &LIMITS);
    let narrow = HeadLimits {
        request_line: 64,
        headers: 256,
        count: 4,
        name: 256,
        path: policy(input.first().copied().unwrap_or_default() % 24),
        own: Proto::Http,
    };
    head_within(input, &narrow);
}

/// [`head`] under these limits. Whether it was accepted.
pub fn head_within(input: &[u8], limits: &HeadLimits) -> bool {
    let mut head = RequestHead::default();
    let parsed = request::parse(input, limits, &mut head);
    let expected = model::head(input, limits);
    match (&parsed, &expected) {
        (Ok(Progress::Complete(used)), Verdict::Accepted(len, model)) => {
            assert_eq!(used, len, "length");
            assert_eq!(&described(&head), model);
            rewritten(&head, limits);
            prefixes(&input[..*used], limits);
            true
        }
        (Err(_), Verdict::Refused(_)) | (Err(_) | Ok(Progress::Partial), Verdict::Unfinished) => {
            false
        }
        _ => panic!(
            "{parsed:?} where the model says {expected:?}\n{}",
            input.escape_ascii()
        ),
    }
}

/// No beginning of a head is taken for a whole one, or refused.
fn prefixes(head: &[u8], limits: &HeadLimits) {
    let mut part = RequestHead::default();
    let step = (head.len() / 16).max(1);
    for len in (0..head.len()).step_by(step).chain([head.len() - 1]) {
        let parsed = request::parse(&head[..len], limits, &mut part);
        assert_eq!(
            parsed.ok(),
            Some(Progress::Partial),
            "{len} of {}",
            head.escape_ascii()
        );
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("ASCII")
}

/// What was read, as the model says it.
fn described(head: &RequestHead) -> model::Head {
    model::Head {
        method: text(head.method_token()),
        path: text(head.path()),
        query: head.query().map(text),
        authority: text(head.authority()),
        host: text(head.host()),
        body: match head.body() {
            BodyLength::None => model::Body::None,
            BodyLength::Exact(length) => model::Body::Exact(length),
            BodyLength::Chunked => model::Body::Chunked,
            BodyLength::UntilClose => panic!("a request is never close-delimited"),
        },
        fields: head
            .fields()
            .iter()
            .map(|field| (text(head.name(field)), head.value(field).to_vec()))
            .collect(),
        http10: head.version() == Version::Http10,
        close: head.hops().close,
        keep_alive: head.hops().keep_alive,
        waits: head.expect() == Expect::Continue,
        websocket: head.upgrade() == Upgrade::WebSocket,
    }
}

/// What an endpoint gets is one head, of the same meaning, with one framing and one Host.
fn rewritten(head: &RequestHead, limits: &HeadLimits) {
    for trust in [Trust::Stranger, Trust::Proxy] {
        let forwarding = Forwarding {
            trust,
            peer: "192.0.2.1",
            client: std::net::IpAddr::from([192, 0, 2, 1]),
            scheme: "http",
            headers: Headers::ALL,
            identity: &[],
            certificate: &[],
        };
        let mut out = vec![];
        write::request(head, &Edits::default(), &forwarding, &mut out);
        // An HTTP/1.0 request without Host has none to send on, which HTTP/1.1 says with an empty one.
        if head.authority().is_empty() {
            continue;
        }
        let limits = HeadLimits {
            request_line: limits.request_line * 4,
            headers: limits.headers * 8,
            count: 200,
            ..*limits
        };
        let mut again = RequestHead::default();
        let parsed = request::parse(&out, &limits, &mut again);
        assert_eq!(
            parsed.ok(),
            Some(Progress::Complete(out.len())),
            "{}",
            out.escape_ascii()
        );
        assert_eq!(again.method_token(), head.method_token());
        assert_eq!(again.path(), head.path());
        assert_eq!(again.query(), head.query());
        assert_eq!(again.authority(), head.authority());
        assert_eq!(again.body(), head.body());
        assert_eq!(again.upgrade(), head.upgrade());
        assert_eq!(again.expect(), Expect::Nothing);
        let count = |known| {
            again
                .fields()
                .iter()
                .filter(|field| field.known == known)
                .count()
        };
        assert_eq!(count(Known::Host), 1);
        assert!(count(Known::ContentLength) + count(Known::TransferEncoding) <= 1);
        assert_eq!(count(Known::XForwardedFor), 1);
        if trust == Trust::Stranger {
            assert_eq!(again.first(Known::XForwardedFor), Some(&b"192.0.2.1"[..]));
            assert_eq!(again.first(Known::XRealIp), Some(&b"192.0.2.1"[..]));
            assert_eq!(count(Known::Forwarded), 1);
        }
    }
}

/// A response head is refused, or written for a client as one whose framing cannot be mistaken.
pub fn response(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else {
        return;
    };
    let method =
        [Method::Get, Method::Head, Method::Post, Method::Connect][usize::from(choice % 4)];
    let mut fields = vec![];
    let Ok(Some(start)) = responses::parse(input, method, &ResponseLimits::DEFAULT, &mut fields)
    else {
        return;
    };
    let head = start.head(input, &fields);
    let bodiless = method == Method::Head || matches!(head.status, 100..=199 | 204 | 304);
    assert!(!bodiless || head.body == BodyLength::None);
    assert!(head.body != BodyLength::UntilClose || start.persist == Persist::Close);
    let body = match head.body {
        BodyLength::UntilClose => BodyLength::Chunked,
        body => body,
    };
    let plan = ResponsePlan {
        body,
        version: Version::Http11,
        persist: Persist::Reuse,
        switching: Upgrade::None,
    };
    let mut out = vec![];
    write::response(&head, &Edits::default(), &plan, &mut out);
    let mut fields = vec![];
    let again = responses::parse(&out, method, &ResponseLimits::DEFAULT, &mut fields);
    let again = again.expect("ours passes").expect("ours is whole");
    assert_eq!(again.len, out.len(), "{}", out.escape_ascii());
    let again = again.head(&out, &fields);
    assert_eq!(again.status, head.status);
    assert_eq!(again.body, body);
    let count = |known| fields.iter().filter(|field| field.known == known).count();
    assert!(count(Known::ContentLength) + count(Known::TransferEncoding) <= 1);
    assert_eq!(count(Known::Connection), 0);
    if matches!(head.status, 100..=199 | 204) {
        assert_eq!(
            count(Known::ContentLength) + count(Known::TransferEncoding),
            0
        );
    }
}

/// A chunked body is read as the model reads it, however it is cut into reads.
pub fn chunked(input: &[u8]) {
    let Some((&step, input)) = input.split_first() else {
        return;
    };
    let whole = decoded(input, input.len().max(1));
    assert_eq!(
        whole,
        decoded(input, usize::from(step % 32) + 1),
        "{}",
        input.escape_ascii()
    );
    let expected = model::chunked(input);
    match (&whole, &expected) {
        (Ok(Some((used, data, section))), Verdict::Accepted(len, (model, lines))) => {
            assert_eq!((used, data, section), (len, model, lines));
            if let Ok(trailers) = Trailers::read(section, 16) {
                again(data, &trailers.lines);
            }
        }
        (Err(()), Verdict::Refused(_)) | (Err(()) | Ok(None), Verdict::Unfinished) => {}
        _ => panic!(
            "{whole:?} where the model says {expected:?}\n{}",
            input.escape_ascii()
        ),
    }
}

type Decoded = Option<(usize, Vec<u8>, Vec<u8>)>;

/// Length, data and trailer lines of a body that comes in pieces of `step` bytes.
fn decoded(input: &[u8], step: usize) -> Result<Decoded, ()> {
    let mut reader = BodyReader::new(BodyLength::Chunked, BodyLimits::DEFAULT);
    let (mut data, mut at) = (vec![], 0);
    for part in input.chunks(step) {
        let mut buf = part.to_vec();
        let decoded = reader.decode(&mut buf, 0, part.len()).map_err(drop)?;
        data.extend_from_slice(&buf[..decoded.data]);
        at += decoded.used;
        if decoded.more == More::Ended {
            return Ok(Some((at, data, reader.trailers().to_vec())));
        }
    }
    Ok(None)
}

/// What we write of a body is that body.
fn again(data: &[u8], kept: &[u8]) {
    let mut out = vec![];
    for piece in data.chunks(7) {
        chunks::encode(piece, &mut out);
    }
    chunks::encode_end(kept, &mut out);
    let read = decoded(&out, 5)
        .expect("ours passes")
        .expect("ours is whole");
    assert_eq!(read, (out.len(), data.to_vec(), kept.to_vec()));
}

/// A path is made canonical as the model makes it, stays as it is then, and never holds what a policy refuses.
pub fn path(input: &[u8]) {
    let Some((&choice, raw)) = input.split_first() else {
        return;
    };
    path_under(raw, policy(choice % 24));
}

/// [`path`] under this policy. What became of it.
pub fn path_under(raw: &[u8], policy: Policy) -> Option<String> {
    let mut out = b"kept".to_vec();
    let canonical = match paths::canonicalise(raw, policy, &mut out) {
        Ok(Canonical::AsIs) => {
            assert_eq!(out, b"kept");
            Some(text(raw))
        }
        Ok(Canonical::Made) => Some(text(&out[4..])),
        Err(_) => {
            assert_eq!(out, b"kept");
            None
        }
    };
    assert_eq!(
        canonical,
        model::path(raw, policy),
        "{} {policy:?}",
        raw.escape_ascii()
    );
    if let Some(once) = &canonical {
        assert!(once.len() <= 3 * raw.len());
        assert!(
            !once
                .split('/')
                .any(|segment| segment == "." || segment == "..")
        );
        assert_eq!(model::path(once.as_bytes(), policy).as_ref(), Some(once));
        let mut out = vec![];
        let twice = paths::canonicalise(once.as_bytes(), policy, &mut out);
        assert!(twice.is_ok(), "{once} is canonical and refused");
        assert!(
            twice == Ok(Canonical::AsIs) || &text(&out) == once,
            "{once}"
        );
        assert!(policy.empty_segments == Empty::Keep || !once.contains("//"));
        assert!(policy.encoded_slash == Rule::Keep || !once.contains("%2F"));
        assert!(policy.parameters == Rule::Keep || !once.contains(';'));
    }
    canonical
}

/// A configuration is compiled or refused, and what is said of it can be shown.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    // Another file is none of this target's business.
    if text.contains("include") || text.contains("file") {
        return;
    }
    let found = match config::parse(Path::new("any.toml"), text) {
        Err(found) => found,
        Ok(mut loaded) => {
            let compiled = snapshot::compile(
                &loaded.raw,
                &loaded.files,
                &Live::default(),
                Purpose::Start,
                &mut loaded.diagnostics,
            );
            assert_eq!(compiled.is_none(), loaded.diagnostics.has_errors());
            loaded.diagnostics
        }
    };
    let _ = found.render_text(Color::Never);
    let _ = found.to_json();
}

/// What is said of the beginning of a connection changes from "more is needed" to something else once, and never again.
fn decided_once<V: PartialEq + std::fmt::Debug>(
    input: &[u8],
    partial: &V,
    look: impl Fn(&[u8]) -> V,
) {
    let whole = look(input);
    // All lengths of what is short, some of what is long.
    let step = input.len() / 512 + 1;
    for length in (0..input.len()).step_by(step) {
        let seen = look(&input[..length]);
        assert!(
            seen == *partial || seen == whole,
            "{length}: {seen:?}, {whole:?}"
        );
    }
}

/// A header of the PROXY protocol is the same in whatever pieces it comes, and no longer than what is there.
pub fn preface(input: &[u8]) {
    for carrier in [Carrier::Stream, Carrier::Datagram] {
        decided_once(input, &Ok(Said::Partial), |bytes| {
            prefaces::parse(bytes, carrier)
        });
        if let Ok(Said::Whole(said, used)) = prefaces::parse(input, carrier) {
            assert!(used <= input.len() && used <= prefaces::MAX);
            assert_eq!(
                prefaces::parse(&input[..used], carrier),
                Ok(Said::Whole(said, used))
            );
        }
    }
}

/// The same of a TLS client hello.
pub fn hello(input: &[u8]) {
    decided_once(input, &Ok(Looked::Partial), hellos::look);
    if let Ok(Looked::Whole(asked)) = hellos::look(input) {
        let name = asked.server_name.as_deref().unwrap_or(b"a");
        assert!(!name.is_empty() && name.len() < 256 && !name.iter().any(u8::is_ascii_uppercase));
        assert!(asked.alpn().all(|protocol| !protocol.is_empty()));
    }
}

/// The header of a QUIC packet is that of the bytes that it is made of, and not there while one of them is missing.
pub fn quic(input: &[u8]) {
    let Some(header) = Header::parse(input) else {
        let ids = |at: usize| Some(at + 1 + usize::from(*input.get(at)?));
        let end = ids(5).and_then(ids);
        assert!(input.is_empty() || input[0] >= 0x80 && end.is_none_or(|end| end > input.len()));
        return;
    };
    let learned = header.chosen();
    let Header::Long {
        version,
        kind,
        destination,
        source,
    } = header
    else {
        assert_eq!(header, Header::Short(&input[1..]));
        assert!(input[0] < 0x80 && learned.is_none());
        return;
    };
    let mut again = input[..1].to_vec();
    again.extend(version.to_be_bytes());
    for id in [destination, source] {
        again.push(u8::try_from(id.len()).expect("a byte says how long it is"));
        again.extend(id);
    }
    assert_eq!(again, input[..again.len()]);
    assert_eq!(Header::parse(&again), Some(header));
    assert_eq!(Header::parse(&again[..again.len() - 1]), None);
    let passing = matches!((version, kind), (0, _) | (1, 3) | (0x6b33_43cf, 0));
    let expected = (!passing && (4..=20).contains(&source.len())).then_some(source);
    assert_eq!(learned.as_ref().map(Id::as_bytes), expected);
}
