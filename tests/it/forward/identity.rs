//! Who says who the client is: forwarding and identity fields, of strangers and of trusted proxies.

use crate::support::{Origin, Proxy, Received, Setup};

struct Bed {
    origin: Origin,
    proxy: Proxy,
    sent: usize,
}

impl Bed {
    fn new(listener: &str, route: &str) -> Self {
        let origin = Origin::start();
        let proxy = Setup::new()
            .cluster("app", &[crate::support::endpoint(origin.addr())], "")
            .route("all", &format!("cluster = \"app\"\n{route}"))
            .listener(listener)
            .start();
        let sent = 0;
        Self {
            origin,
            proxy,
            sent,
        }
    }

    /// What the origin gets of a GET with these lines.
    #[track_caller]
    fn seen(&mut self, lines: &str) -> Received {
        let mut client = self.proxy.client();
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: test.example:8080\r\n{lines}\r\n"
        ));
        client.response().is(200);
        self.sent += 1;
        self.origin.wait(self.sent)
    }

    #[track_caller]
    fn status(&self, lines: &str) -> u16 {
        let mut client = self.proxy.client();
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: test.example\r\n{lines}\r\n"
        ));
        client.response().status
    }
}

const EVERY: &str = "forwarding_headers = [\"x-forwarded-for\", \"x-forwarded-proto\", \"x-forwarded-host\", \
                     \"x-real-ip\", \"forwarded\"]\n";
const TRUSTING: &str = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n";
const LIES: &str = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
                    X-Forwarded-Port: 9999\r\nX-Forwarded-Prefix: /evil\r\nx-forwarded-user: evil\r\n\
                    X-Forwarded-Client-Cert: evil\r\nForwarded: for=9.9.9.9;host=evil\r\nX-Real-IP: 9.9.9.9\r\n\
                    X_Real_IP: 9.9.9.9\r\nX_FORWARDED_PREFIX: /evil\r\nX-Forwarded_Ssl: evil\r\n";

/// E-116: the whole family is ours, whatever comes after `X-Forwarded-`.
#[test]
fn a_stranger_is_never_quoted() {
    for keys in ["", EVERY, "forwarding_headers = []\n"] {
        let mut bed = Bed::new(keys, "");
        let seen = bed.seen(LIES);
        let raw = String::from_utf8(seen.head.raw).unwrap();
        for lie in ["9.9.9.9", "evil", "9999", "https"] {
            assert!(!raw.contains(lie), "{keys}: {raw}");
        }
    }
}

#[test]
fn forwarding_fields_are_written_as_asked_for() {
    let mut bed = Bed::new("", "");
    let seen = bed.seen("");
    assert_eq!(seen.one("x-forwarded-for"), Some("127.0.0.1"));
    assert!(!seen.head.has("forwarded") && !seen.head.has("x-real-ip"));

    let mut bed = Bed::new(EVERY, "");
    let seen = bed.seen(LIES);
    assert_eq!(seen.one("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.one("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.one("x-forwarded-host"), Some("test.example:8080"));
    assert_eq!(seen.one("x-real-ip"), Some("127.0.0.1"));
    let forwarded = "for=127.0.0.1;host=\"test.example:8080\";proto=http";
    assert_eq!(seen.one("forwarded"), Some(forwarded));

    let mut bed = Bed::new("forwarding_headers = [\"x-real-ip\"]\n", "");
    let seen = bed.seen("");
    assert!(!seen.head.has("x-forwarded-for") && seen.head.has("x-real-ip"));
}

/// A trusted chain goes on with its peer; the client is the rightmost address that is not trusted.
#[test]
fn a_trusted_chain_goes_on() {
    let mut bed = Bed::new(&format!("{TRUSTING}{EVERY}"), "");
    let seen = bed.seen(
        "X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\nX-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 9.9.9.9\r\n\
         Forwarded: for=203.0.113.7\r\nForwarded: for=10.0.0.1;proto=https\r\nX-Forwarded-Prefix: /app\r\n",
    );
    assert_eq!(
        seen.one("x-forwarded-for"),
        Some("1.1.1.1, 203.0.113.7, 10.0.0.1, 127.0.0.1")
    );
    assert_eq!(seen.one("x-real-ip"), Some("203.0.113.7"));
    assert_eq!(
        seen.one("forwarded"),
        Some(
            "for=203.0.113.7, for=10.0.0.1;proto=https, \
             for=127.0.0.1;host=\"test.example:8080\";proto=http"
        )
    );
    assert_eq!(seen.one("x-forwarded-prefix"), Some("/app"));
    // What we do not write passes as a trusted proxy wrote it.
    let mut bed = Bed::new(&format!("{TRUSTING}forwarding_headers = []"), "");
    let seen = bed.seen("X-Forwarded-For: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\n");
    assert_eq!(seen.one("x-forwarded-for"), Some("1.1.1.1"));
    assert_eq!(seen.one("forwarded"), Some("for=1.1.1.1"));
}

/// Fields by which a proxy in front says who the user is.
#[test]
fn identity_fields_are_believed_of_trusted_proxies_alone() {
    const IDENTITY: &str = "identity_headers = [\"X-User\", \"x-client-cert\"]\n";
    const SAID: &str = "x-user: root\r\nX_User: root\r\nX-Client_Cert: root\r\nX-Users: me\r\n";
    let mut bed = Bed::new(IDENTITY, "");
    let raw = String::from_utf8(bed.seen(SAID).head.raw).unwrap();
    assert!(
        !raw.contains("root") && raw.contains("X-Users: me"),
        "{raw}"
    );

    let mut bed = Bed::new(&format!("{TRUSTING}{IDENTITY}"), "");
    let seen = bed.seen(SAID);
    assert_eq!(seen.one("x-user"), Some("root"));
    let raw = String::from_utf8(seen.head.raw).unwrap();
    assert_eq!(raw.matches("root").count(), 1, "aliases: {raw}");
    // E-115: nor can Connection take it away on the last hop.
    let seen = bed.seen("X-User: root\r\nX-Hop: 1\r\nConnection: x-user, x-hop\r\n");
    assert_eq!(seen.one("x-user"), Some("root"));
    assert!(!seen.head.has("x-hop"));
}

/// E-116: what a stranger says of itself is gone before anything goes by it, not only before the endpoint.
#[test]
fn what_strangers_say_of_themselves_decides_nothing() {
    const SAID: &str = "X-User: root\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nClient-Cert: :AAAA:\r\n";
    const LISTENER: &str = "identity_headers = [\"x-user\", \"client-cert\"]\n";
    let ask = |listener: &str, path: &str, lines: &str| {
        let origin = Origin::start();
        let respond =
            |keys: &str| format!("{keys}\nrespond = {{ status = 200, body = \"taken\" }}");
        let told = "path = \"/told\"\nrespond = { status = 200, body = \"none\" }\n\
            filters = [{ response_headers = { set = { x-told = \"${header:x-user}|${header:x-forwarded-proto}|${header:x-forwarded-for}|${header:x-real-ip}|${header:client-cert}\" } } }]";
        let proxy = Setup::over(&[origin.addr()])
            .route("user", &respond("path = \"/user\"\nheaders = { x-user = \"root\" }"))
            .route("proto", &respond("path = \"/proto\"\nheaders = { x-forwarded-proto = \"https\" }"))
            .route("told", told)
            .route("limited", "path = \"/limited\"\ncluster = \"app\"\nfilters = [{ rate_limit = { limiter = \"l\" } }]")
            .tail("[limiters.l]\nkey = \"header:x-user\"\nrate = 1\nper = \"1h\"")
            .listener(listener)
            .start();
        let mut client = proxy.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        let first = client.response();
        let limited = (0..3).map(|user| {
            client.send(format!(
                "GET /limited HTTP/1.1\r\nHost: a\r\nX-User: u{user}\r\n\r\n"
            ));
            client.response().status
        });
        let limited: Vec<_> = limited.collect();
        (first, limited)
    };
    for path in ["/user", "/proto"] {
        assert_ne!(ask(LISTENER, path, SAID).0.text(), "taken", "{path}");
        let believed = ask(&format!("{TRUSTING}{LISTENER}"), path, SAID).0;
        assert_eq!(believed.text(), "taken", "{path}");
    }
    // Without the field the client's address is the key: who invents one gets no bucket of its own.
    let (told, limited) = ask(LISTENER, "/told", SAID);
    assert_eq!(
        (told.one("x-told"), limited),
        (Some("||||"), vec![200, 429, 429])
    );
    let (told, _) = ask(&format!("{TRUSTING}{LISTENER}"), "/told", SAID);
    assert_eq!(
        told.one("x-told"),
        Some("root|https|6.6.6.6|6.6.6.6|:AAAA:")
    );
    // A certificate is believed only where it is named.
    let (told, _) = ask(TRUSTING, "/told", SAID);
    assert_eq!(told.one("x-told"), Some("root|https|6.6.6.6|6.6.6.6|"));
}

/// E-114, E-115: what a filter sets stands alone, whatever the client says of it.
#[test]
fn what_a_filter_sets_cannot_be_forged_or_removed() {
    let filters = "filters = [{ request_headers = { set = { \"x-tenant\" = \"acme\" }, remove = [\"x-internal\"] } }]";
    let mut bed = Bed::new("", filters);
    let seen = bed.seen(
        "X-Tenant: evil\r\nX_Tenant: evil\r\nx-tenant: evil\r\nX_Internal: evil\r\nConnection: x-tenant, close\r\n",
    );
    assert_eq!(seen.one("x-tenant"), Some("acme"));
    let raw = String::from_utf8(seen.head.raw).unwrap();
    assert!(!raw.contains("evil"), "{raw}");
    for name in [
        "X-Forwarded-For",
        "x-forwarded-user",
        "Forwarded",
        "X-Real-IP",
        "Host",
        "Cookie",
    ] {
        assert_eq!(
            bed.status(&format!("Connection: {name}\r\n")),
            400,
            "{name}"
        );
    }
}

/// RFC 9110, 7.6.2: OPTIONS and TRACE go so many steps and no further, other methods as far as they go.
#[test]
fn what_may_be_passed_on_so_often_is_counted_down() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .route(
            "any",
            "methods = [\"TRACE\", \"OPTIONS\", \"GET\"]\ncluster = \"app\"",
        )
        .start();
    let ask = |method: &str, fields: &str| {
        let mut client = proxy.client();
        client.send(format!("{method} /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        client.response_to(method)
    };
    let mut count = 0;
    for (method, sent, seen) in [
        ("OPTIONS", "2", "1"),
        ("TRACE", "1", "0"),
        ("OPTIONS", "010", "9"),
        ("GET", "0", "0"),
        ("OPTIONS", "-1", "-1"),
        ("OPTIONS", "0, 0", "0, 0"),
        ("OPTIONS", "99999999999999999999", "99999999999999999999"),
    ] {
        ask(method, &format!("Max-Forwards: {sent}\r\n")).is(200);
        count += 1;
        let request = origin.wait(count);
        assert_eq!(request.one("max-forwards"), Some(seen), "{method} {sent}");
    }
    let answer = ask("OPTIONS", "Max-Forwards: 0\r\n");
    assert!(answer.is(200).body.is_empty());
    assert_eq!(answer.one("content-length"), Some("0"));
    ask("TRACE", "Max-Forwards: 0\r\n").is(405);
    for reason in ["local_reply", "bad_request"] {
        proxy.wait_line(reason, |line| line["reason"] == reason);
    }
    assert_eq!(origin.count(), count);
}

/// TRACE tells the client what was added on the way: only where a route asks for it.
#[test]
fn trace_is_served_only_where_it_is_listed() {
    let origin = Origin::start();
    let proxy = Setup::new()
        .cluster("app", &[crate::support::endpoint(origin.addr())], "")
        .route(
            "traced",
            "path = \"/traced\"\nmethods = [\"TRACE\"]\ncluster = \"app\"",
        )
        .route("all", "cluster = \"app\"")
        .start();
    let refused = proxy.client().method("TRACE", "/", b"");
    assert_eq!(
        refused
            .is(405)
            .one("allow")
            .map(|allow| allow.contains("TRACE")),
        Some(false)
    );
    proxy.client().method("TRACE", "/traced", b"").is(200);
    assert_eq!(origin.count(), 1);
    let line = proxy.wait_line("the refusal", |line| line["status"] == 405);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"bad_request".into(), &"trace".into())
    );
}
