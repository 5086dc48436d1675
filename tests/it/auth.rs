//! Users with passwords, programs with keys.

use crate::support::{Client, Origin, Proxy, Reload, Setup, eventually};

/// Of `open sesame`, cheap.
const ANN: &str = "$2y$04$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokYOm";
/// Of `open sesame`, at the cost that is usual.
const SLOW: &str = "$2y$10$KBCwKxOzLha2MUDgW0PjXeKjhSm5G9iNt1vmDOvxb4Fo3YrKjugmG";
/// Of `hunter2`.
const BOB: &str =
    "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$RImIjsyxaIflNWFI1IH5rOtwoBK9E4w1E8aTF6j+8ew";
/// SHA-256 of `key-1`.
const KEY: &str = "be2974546978e3739e6d6da85c4be9f334ce32df2b9fd4b6ff1b55c0d57e9d44";

fn over(origin: &Origin, filter: &str, file: &str) -> (Setup, Proxy) {
    let setup = Setup::over(&[origin.addr()])
        .without_routes()
        .route("open", "path = \"/open\"\ncluster = \"app\"")
        .route("all", &format!("cluster = \"app\"\nfilters = [{filter}]"));
    std::fs::write(setup.dir.file("secrets"), file).unwrap();
    let proxy = setup.start();
    (setup, proxy)
}

fn ask(client: &mut Client, fields: &str) -> crate::support::Response {
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.response()
}

fn basic(credentials: &str) -> String {
    format!("Authorization: Basic {}\r\n", base64(credentials))
}

fn base64(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            if place > chunk.len() {
                out.push('=');
            } else {
                out.push(char::from(
                    ALPHABET[(bits >> (18 - 6 * place) & 63) as usize],
                ));
            }
        }
    }
    out
}

#[test]
fn users_come_in_by_their_password() {
    let origin = Origin::start();
    let filter = "{ basic_auth = { users_file = \"secrets\", realm = \"inner\", user_header = \"x-user\" } }";
    let (_setup, proxy) = over(&origin, filter, &format!("ann:{ANN}\nbob:{BOB}\n"));
    let mut client = proxy.client();
    for (fields, status) in [
        (String::new(), 401),
        (basic("ann:open sesame"), 200),
        (basic("ann:open sesame"), 200),
        (basic("bob:hunter2"), 200),
        (basic("bob:hunter"), 401),
        (basic("bob:hunter"), 401),
        (basic("eve:open sesame"), 401),
        (basic("ann"), 401),
        (basic(":"), 401),
        ("Authorization: Basic %%%\r\n".to_owned(), 401),
        ("Authorization: Bearer x\r\n".to_owned(), 401),
        (basic(&format!("ann:{}", "x".repeat(2000))), 401),
        // Nobody can say which of two an endpoint would read.
        (basic("ann:open sesame") + &basic("bob:hunter2"), 401),
    ] {
        let response = ask(
            &mut client,
            &format!("X-User: root\r\nx_user: root\r\n{fields}"),
        );
        assert_eq!(response.status, status, "{fields}");
        if status == 401 {
            let challenge = response.one("www-authenticate");
            assert_eq!(challenge, Some("Basic realm=\"inner\", charset=\"UTF-8\""));
        }
    }
    let seen: Vec<_> = origin.requests();
    let users: Vec<_> = seen
        .iter()
        .map(|seen| seen.one("x-user").unwrap())
        .collect();
    assert_eq!(users, ["ann", "ann", "bob"]);
    assert!(
        seen.iter()
            .all(|seen| !seen.head.has("authorization") && !seen.head.has("x_user"))
    );
    let refused = proxy.wait_line("a refusal", |line| line["status"] == 401);
    assert_eq!(refused["reason"], "unauthorized");
}

#[test]
fn another_password_in_the_file_holds_without_a_restart() {
    let origin = Origin::start();
    let filter = "{ basic_auth = { users_file = \"secrets\", credentials = \"forward\" } }";
    let (setup, proxy) = over(&origin, filter, &format!("ann:{ANN}\n"));
    let mut client = proxy.client();
    assert_eq!(ask(&mut client, &basic("ann:open sesame")).status, 200);
    assert!(origin.wait(1).head.has("authorization"));
    std::fs::write(setup.dir.file("secrets"), format!("ann:{BOB}\n")).unwrap();
    eventually("the new one holds", || {
        (ask(&mut client, &basic("ann:hunter2")).status == 200).then_some(())
    });
    assert_eq!(ask(&mut client, &basic("ann:open sesame")).status, 401);
}

/// Hashing takes its time on purpose. Who guesses waits in a short line, and nobody else waits behind.
#[test]
fn guesses_hold_up_nobody_else() {
    let origin = Origin::start();
    let filter = "{ basic_auth = { users_file = \"secrets\" } }";
    let (_setup, proxy) = over(&origin, filter, &format!("ann:{SLOW}\n"));
    let mut ann = proxy.client();
    assert_eq!(ask(&mut ann, &basic("ann:open sesame")).status, 200);
    let mut guessing: Vec<Client> = (0..40)
        .map(|guess| {
            let mut client = proxy.client();
            let fields = basic(&format!("ann:{guess}"));
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
            client
        })
        .collect();
    // She is known, and others need no password: both are served while guesses wait.
    for _ in 0..20 {
        assert_eq!(ask(&mut ann, &basic("ann:open sesame")).status, 200);
        assert_eq!(proxy.get("/open").status, 200);
    }
    let mut refused = 0;
    for client in &mut guessing {
        match client.response().status {
            401 => {}
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(
        refused >= 20,
        "all but those in the line and after it: {refused}"
    );
    let line = proxy.wait_line("a refusal", |line| line["status"] == 429);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"rate_limited".into(), &"hashing".into())
    );
}

/// What hashing may take is the operator's to say, and a reload may say something else.
#[test]
fn the_line_of_passwords_is_as_long_as_the_file_says() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()])
        .without_routes()
        .tail("[runtime.passwords]\nat_once = 1\nwaiting = 1")
        .route(
            "all",
            "cluster = \"app\"\nfilters = [{ basic_auth = { users_file = \"secrets\" } }]",
        );
    std::fs::write(
        setup.dir.file("secrets"),
        format!("ann:{SLOW}\nbob:{BOB}\n"),
    )
    .unwrap();
    let proxy = setup.start();
    let guesses = |from: u32, full: u16| {
        let mut clients: Vec<Client> = (from..from + 4).map(|_| proxy.client()).collect();
        for (guess, client) in (from..).zip(&mut clients) {
            let fields = basic(&format!("ann:{guess}"));
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        }
        let statuses: Vec<u16> = clients.iter_mut().map(|it| it.response().status).collect();
        assert!(
            statuses.contains(&401) && statuses.contains(&full),
            "{statuses:?}"
        );
        assert!(
            statuses.iter().all(|it| [401, full].contains(it)),
            "{statuses:?}"
        );
    };
    let counted = |result| proxy.metric("tidegate_password_hashes_total", &[("result", result)]);
    guesses(0, 503);
    let (wrong, full) = (counted("wrong"), counted("full"));
    assert!(
        full >= 1.0 && (wrong + full - 4.0).abs() < 0.5,
        "{wrong} {full}"
    );
    let other = setup.replace("waiting = 1", "waiting_per_client = 1");
    assert_eq!(proxy.reload(&other), Reload::Done);
    guesses(10, 429);
    assert!(counted("client_full") >= 1.0);
    assert!(proxy.metric("tidegate_passwords_waiting", &[]) < 0.5);
    // A hash that costs more than it may is no part of a configuration.
    let cheaper = other.replace("at_once", "argon2_memory = \"32KiB\"\nat_once");
    assert_eq!(proxy.reload(&cheaper), Reload::Refused);
    proxy.wait_output("runtime.passwords.argon2_memory");
}

#[test]
fn programs_come_in_by_their_key() {
    let origin = Origin::start();
    let filter = "{ api_key = { keys_file = \"secrets\", user_header = \"x-consumer\" } }";
    let (setup, proxy) = over(&origin, filter, &format!("# shop\nshop:{KEY}\n"));
    let mut client = proxy.client();
    for (fields, status, detail) in [
        ("", 401, None),
        ("X-Api-Key: key-1\r\n", 200, None),
        ("X-Api-Key: key-2\r\n", 401, Some("unknown")),
        ("X-Api-Key: \r\n", 401, Some("unknown")),
    ] {
        let response = ask(&mut client, &format!("X-Consumer: root\r\n{fields}"));
        assert_eq!(response.status, status, "{fields}");
        if status == 401 {
            assert!(response.head.has("www-authenticate"));
            let told = response.text().contains("(unknown)");
            assert_eq!(told, detail.is_some(), "{fields}");
        }
    }
    let seen = origin.wait(1);
    assert_eq!(seen.one("x-consumer"), Some("shop"));
    assert!(!seen.head.has("x-api-key"));
    assert_eq!(origin.count(), 1);

    let log = std::fs::read_to_string(setup.log_path()).unwrap();
    assert!(!log.contains("key-"), "no secret in the log");
}

/// What was found right goes no further, and still tells clients apart: the limit is that of the key, of the user or of the token.
#[test]
fn a_credential_that_was_taken_out_is_still_a_key() {
    /// SHA-256 of `key-2`.
    const OTHER: &str = "7c36b0a9dedde119c75165957c6c9c187e65df1ee5db87c4c58ad503ad88cbe3";
    let (ann, bob) = (basic("ann:open sesame"), basic("bob:hunter2"));
    let keys = ("X-Api-Key: key-1\r\n", "X-Api-Key: key-2\r\n");
    for (filter, file, field, (one, other)) in [
        (
            "api_key = { keys_file = \"secrets\" }",
            format!("one:{KEY}\nother:{OTHER}\n"),
            "x-api-key",
            keys,
        ),
        (
            "basic_auth = { users_file = \"secrets\" }",
            format!("ann:{ANN}\nbob:{BOB}\n"),
            "authorization",
            (&*ann, &*bob),
        ),
    ] {
        let origin = Origin::start();
        let setup = Setup::over(&[origin.addr()])
            .without_routes()
            .route("all", &format!("cluster = \"app\"\nfilters = [{{ {filter} }}, {{ rate_limit = {{ limiter = \"l\" }} }}]"))
            .tail(&format!("[limiters.l]\nkey = \"header:{field}\"\nrate = 1\nper = \"1h\""));
        std::fs::write(setup.dir.file("secrets"), file).unwrap();
        let proxy = setup.start();
        let mut client = proxy.client();
        let statuses = [one, other, one, other].map(|fields| ask(&mut client, fields).status);
        assert_eq!(statuses, [200, 200, 429, 429], "{field}");
        assert!(!origin.wait(1).head.has(field), "it goes no further");
    }
}

/// A key with bytes that a query cannot hold as they are, such as one in base64, stands there encoded.
#[test]
fn a_key_in_the_query_is_compared_decoded() {
    /// SHA-256 of `a+b/c=`.
    const ODD: &str = "1ba61f0004d46ba7d54e7954dc74e64c8610511a1d4f25ecb7a221c60c1a4576";
    let origin = Origin::start();
    let filter = "{ api_key = { keys_file = \"secrets\", from = \"query:k\" } }";
    let (_setup, proxy) = over(&origin, filter, &format!("shop:{KEY}\nodd:{ODD}\n"));
    for (query, status) in [
        ("k=a%2Bb%2Fc%3D", 200),
        ("x=1&%6b=a%2bb/c=&y=2", 200),
        ("k=%6bey-1", 200),
        // As forms are written, a plus is a blank.
        ("k=a+b/c=", 401),
        ("k=a%252Bb%252Fc%253D", 401),
        ("k=key-1%00", 401),
        ("k=key-1%", 401),
    ] {
        assert_eq!(proxy.get(&format!("/?{query}")).status, status, "{query}");
    }
}

/// What stood in a cookie or in the query goes no further either, and what stood beside it does.
#[test]
fn a_key_is_taken_out_of_cookies_and_queries() {
    for (from, asked, wanted) in [
        (
            "query:key",
            "GET /a?x=1&key=key-1&%6bey=key-9&y=2 HTTP/1.1\r\nHost: a\r\n\r\n",
            ("/a?x=1&y=2", None),
        ),
        (
            "query:key",
            "GET /a?key=key-1 HTTP/1.1\r\nHost: a\r\n\r\n",
            ("/a", None),
        ),
        (
            "cookie:key",
            "GET /a?key=x HTTP/1.1\r\nHost: a\r\nCookie: a=b; key=key-1;c=d\r\nCookie: key=2\r\n\r\n",
            ("/a?key=x", Some("a=b; c=d")),
        ),
        (
            "cookie:key",
            "GET /a HTTP/1.1\r\nHost: a\r\nCookie: key=key-1\r\n\r\n",
            ("/a", None),
        ),
    ] {
        let origin = Origin::start();
        let filter = format!("{{ api_key = {{ keys_file = \"secrets\", from = \"{from}\" }} }}");
        let (_setup, proxy) = over(&origin, &filter, &format!("shop:{KEY}\n"));
        let mut client = proxy.client();
        client.send(asked);
        assert_eq!(client.response().status, 200, "{asked}");
        let seen = origin.wait(1);
        assert_eq!(seen.target, wanted.0, "{asked}");
        assert_eq!(seen.head.one("cookie"), wanted.1, "{asked}");
    }
}
