//! Tokens: who is let in, what the endpoint is told, and where keys come from.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::tls::Authority;
use crate::support::tls_origin::{Front, server};
use crate::support::{Answer, Origin, Proxy, Response, Setup, eventually};

struct Signer(&'static str, Ed25519KeyPair);

impl Signer {
    fn new(id: &'static str) -> Self {
        Self(id, Ed25519KeyPair::generate().unwrap())
    }

    fn key(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": self.0, "x": URL_SAFE_NO_PAD.encode(self.1.public_key())})
    }

    fn token(&self, claims: &Value) -> String {
        let mut claims = claims.clone();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        if claims["exp"].is_null() {
            claims["exp"] = (now.unwrap().as_secs() + 600).into();
        }
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": self.0});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.1.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

fn set(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.key()).collect();
    json!({ "keys": keys }).to_string()
}

fn over(origin: &Origin, filters: &str) -> Setup {
    Setup::over(&[origin.addr()])
        .without_routes()
        .route("all", &format!("cluster = \"app\"\nfilters = [{filters}]"))
}

fn ask(proxy: &Proxy, fields: &str) -> Response {
    let mut client = proxy.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.response()
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn a_token_lets_in_and_its_claims_go_to_the_endpoint() {
    let origin = Origin::start();
    let (ours, stranger) = (Signer::new("a"), Signer::new("a"));
    let setup = over(
        &origin,
        "{ jwt = { keys_file = \"jwks.json\", issuer = \"https://id.example\", audience = [\"shop\", \"api\"], realm = \"inner\", \
         claim_headers = { \"x-user\" = \"sub\", \"x-org\" = \"org.id\", \"x-name\" = \"name\" } } }",
    );
    std::fs::write(setup.dir.file("jwks.json"), set(&[&ours])).unwrap();
    // Each worker takes new keys by itself.
    let setup = setup.workers(1);
    let proxy = setup.start();
    let claims = json!({"iss": "https://id.example", "aud": "shop", "sub": "ann", "org": {"id": 7}, "name": "Änn\r\nX-Evil: 1"});
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        bearer(&ours.token(&claims))
    };
    let good = bearer(&ours.token(&claims));
    for (fields, detail) in [
        (good.clone(), None),
        (String::new(), Some("")),
        (bearer("x"), Some("token")),
        (good.replace("Bearer", "Basic"), Some("")),
        (good.clone() + &good, Some("")),
        (bearer(&stranger.token(&claims)), Some("signature")),
        (with("exp", json!(1)), Some("token_time")),
        (with("iss", json!("https://evil.example")), Some("issuer")),
        (with("aud", json!("bank")), Some("audience")),
    ] {
        let spoofed = "X-User: root\r\nx_user: root\r\nX-Org: root\r\nX-Name: root\r\n";
        let response = ask(&proxy, &format!("{spoofed}{fields}"));
        let Some(detail) = detail else {
            response.is(200);
            continue;
        };
        response.is(401);
        let challenge = response.one("www-authenticate").unwrap();
        let told = match detail {
            "" => "Bearer realm=\"inner\"".to_owned(),
            _ => "Bearer realm=\"inner\", error=\"invalid_token\"".to_owned(),
        };
        assert_eq!(challenge, told, "{fields}");
        if !detail.is_empty() {
            let line = proxy.wait_line(detail, |line| line["detail"] == detail);
            assert_eq!(line["reason"], "unauthorized");
        }
    }
    assert_eq!(origin.count(), 1);
    let seen = origin.wait(1);
    assert_eq!(
        (seen.one("x-user"), seen.one("x-org")),
        (Some("ann"), Some("7"))
    );
    for absent in ["authorization", "x_user", "x-name", "x-evil"] {
        assert!(!seen.head.has(absent), "{absent}");
    }
    let labels = |decision| [("route", "all"), ("filter", "jwt"), ("decision", decision)];
    let metric = "tidegate_auth_decisions_total";
    assert_eq!(proxy.metric(metric, &labels("allow")), 1.0);
    assert_eq!(proxy.metric(metric, &labels("refuse")), 8.0);
    let log = std::fs::read_to_string(setup.log_path()).unwrap();
    assert!(!log.contains(&good[22..40]), "no token in the log");
    // Another key in the file holds without a restart.
    std::fs::write(setup.dir.file("jwks.json"), set(&[&stranger])).unwrap();
    eventually("the new key holds", || {
        (ask(&proxy, &bearer(&stranger.token(&claims))).status == 200).then_some(())
    });
    ask(&proxy, &good).is(401);
}

/// A field's value has no blanks around it (RFC 9110, 5.5): without them it would be somebody else's name.
#[test]
fn a_claim_with_blanks_around_it_is_told_to_nobody() {
    let origin = Origin::start();
    let ours = Signer::new("a");
    let filter =
        "{ jwt = { keys_file = \"jwks.json\", claim_headers = { \"x-user\" = \"sub\" } } }";
    let setup = over(&origin, filter);
    std::fs::write(setup.dir.file("jwks.json"), set(&[&ours])).unwrap();
    let proxy = setup.start();
    for (sub, told) in [
        (json!("admin"), Some("admin")),
        (json!("an admin"), Some("an admin")),
        (json!([" admin", "x"]), None),
        (json!(" admin"), None),
        (json!("admin "), None),
        (json!("\tadmin"), None),
        (json!("admin\n"), None),
        (json!(" "), None),
        (json!(""), None),
    ] {
        let fields = bearer(&ours.token(&json!({ "sub": sub })));
        ask(&proxy, &format!("X-User: root\r\n{fields}")).is(200);
        let seen = origin.requests().pop().unwrap();
        assert_eq!(seen.one("x-user"), told, "{sub}");
    }
}

#[test]
fn a_token_in_the_query_is_read_decoded() {
    let origin = Origin::start();
    let ours = Signer::new("a");
    let filter = "{ jwt = { keys_file = \"jwks.json\", from = \"query:tk\" } }";
    let setup = over(&origin, filter);
    std::fs::write(setup.dir.file("jwks.json"), set(&[&ours])).unwrap();
    let proxy = setup.start();
    let token = ours.token(&json!({}));
    for (written, status) in [
        (token.clone(), 200),
        (token.replace('.', "%2E"), 200),
        (token.replace('.', "%2e").replacen('e', "%65", 1), 200),
        (token.replace('.', "%252E"), 401),
    ] {
        let response = proxy.get(&format!("/?x=1&tk={written}&y=2"));
        assert_eq!(response.status, status, "{written}");
    }
    assert_eq!(origin.wait(3).target, "/?x=1&y=2");
}

/// Keys come from a URL, are there again when a new one is named, and stay when nobody brings others.
#[test]
fn keys_are_fetched_and_the_last_good_ones_stay() {
    let origin = Origin::start();
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let answer = Arc::new(Mutex::new(Answer::status(503)));
    let told = Arc::clone(&answer);
    let issuer = Origin::answering(move |_| told.lock().unwrap().clone());
    let say = |with: Answer| *answer.lock().unwrap() = with;
    let url = format!("http://{}/keys?x=1", issuer.addr());
    let filter = format!(
        "{{ jwt = {{ keys_url = \"{url}\", keys_refresh = \"100ms\", credentials = \"forward\" }} }}"
    );
    let setup = over(&origin, &filter);
    let proxy = setup.start();
    let (by_old, by_new) = (
        bearer(&old.token(&json!({}))),
        bearer(&new.token(&json!({}))),
    );

    let unknown = ask(&proxy, &by_old);
    unknown.is(503);
    assert!(unknown.text().contains("auth_unavailable"));
    assert_eq!(issuer.wait(1).target, "/keys?x=1");

    say(Answer::ok(set(&[&old])));
    eventually("keys are there", || {
        (ask(&proxy, &by_old).status == 200).then_some(())
    });
    assert!(origin.wait(1).head.has("authorization"));
    ask(&proxy, &by_new).is(401);

    say(Answer::ok(set(&[&new])));
    eventually("keys were changed", || {
        (ask(&proxy, &by_new).status == 200).then_some(())
    });
    ask(&proxy, &by_old).is(401);

    let errors = || {
        let labels = [("url", &*url), ("result", "error")];
        proxy.metric("tidegate_jwks_fetches_total", &labels)
    };
    for broken in [
        Answer::status(500),
        Answer::ok("{}"),
        Answer::ok(vec![b' '; 2 << 20]),
        Answer::status(302).field("Location", "/other"),
    ] {
        say(broken);
        let before = errors();
        eventually("a fetch that failed", || {
            (errors() > before + 1.0).then_some(())
        });
        ask(&proxy, &by_new).is(200);
    }
    let other = filter.replace("100ms", "200ms");
    let there = over(&origin, &other).at(&setup);
    assert_eq!(
        proxy.reload(&there.tail("# other")),
        crate::support::Reload::Done
    );
    ask(&proxy, &by_new).is(200);
    assert!(proxy.metric("tidegate_jwks_last_good_age_seconds", &[("url", &url)]) > 0.0);
}

#[test]
fn keys_over_tls_are_of_whom_they_are_said_to_be() {
    let origin = Origin::start();
    let (ours, ca, other) = (
        Signer::new("a"),
        Authority::new("ca"),
        Authority::new("other"),
    );
    let keys = set(&[&ours]);
    let issuer = Origin::answering(move |_| Answer::ok(keys.clone()));
    let shown = server(&ca.issue(&["localhost"]));
    let secure = Front::over(issuer.addr(), shown);
    let port = secure.addr().port();
    let good = bearer(&ours.token(&json!({})));
    for (authority, served) in [(&ca, true), (&other, false)] {
        let url = format!("https://localhost:{port}/keys");
        let filter = format!(
            "{{ jwt = {{ keys_url = \"{url}\", keys_ca = \"ca.pem\", keys_refresh = \"50ms\" }} }}"
        );
        let setup = over(&origin, &filter);
        std::fs::write(setup.dir.file("ca.pem"), authority.pem()).unwrap();
        let proxy = setup.start();
        let result = if served { "ok" } else { "error" };
        proxy.wait_metric(
            "tidegate_jwks_fetches_total",
            &[("url", &url), ("result", result)],
            |count| count > 0.0,
        );
        assert_eq!(ask(&proxy, &good).status, if served { 200 } else { 503 });
    }
    assert_eq!(
        issuer.wait(1).one("host"),
        Some(&*format!("localhost:{port}"))
    );
}

/// A name that nobody knows is worth one more look, not one for each token.
#[test]
fn unknown_keys_do_not_make_us_ask_for_each() {
    let origin = Origin::start();
    let (ours, other) = (Signer::new("a"), Signer::new("b"));
    let keys = set(&[&ours]);
    let issuer = Origin::answering(move |_| Answer::ok(keys.clone()));
    let filter = format!(
        "{{ jwt = {{ keys_url = \"http://{}/\", keys_refresh = \"1h\" }} }}",
        issuer.addr()
    );
    let proxy = over(&origin, &filter).start();
    let good = bearer(&ours.token(&json!({})));
    eventually("keys are there", || {
        (ask(&proxy, &good).status == 200).then_some(())
    });
    for _ in 0..20 {
        ask(&proxy, &bearer(&other.token(&json!({})))).is(401);
    }
    issuer.wait(2);
    ask(&proxy, &good).is(200);
    assert_eq!(issuer.count(), 2);
}

/// Who has a token by a key that is newer than ours is not turned away for that: whoever comes meanwhile waits for the keys.
#[test]
fn a_new_key_holds_for_the_first_who_names_it() {
    let origin = Origin::start();
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let (keys, slow) = (
        Arc::new(Mutex::new(set(&[&old]))),
        Duration::from_millis(300),
    );
    let told = Arc::clone(&keys);
    let issuer = Origin::answering(move |_| {
        std::thread::sleep(slow);
        Answer::ok(told.lock().unwrap().clone())
    });
    let url = format!("http://{}/", issuer.addr());
    let filter = format!("{{ jwt = {{ keys_url = \"{url}\", keys_refresh = \"1h\" }} }}");
    let proxy = over(&origin, &filter).start();
    let by_old = bearer(&old.token(&json!({})));
    eventually("keys are there", || {
        (ask(&proxy, &by_old).status == 200).then_some(())
    });
    *keys.lock().unwrap() = set(&[&old, &new]);
    let by_new = bearer(&new.token(&json!({})));
    let mut clients: Vec<_> = (0..8).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{by_new}\r\n"));
    }
    // Nobody else waits for them.
    ask(&proxy, &by_old).is(200);
    for client in &mut clients {
        client.response().is(200);
    }
    assert_eq!(issuer.count(), 2);
    let labels = [("route", "all"), ("filter", "jwt"), ("decision", "refuse")];
    assert_eq!(proxy.metric("tidegate_auth_decisions_total", &labels), 0.0);
}

#[test]
fn limits_are_by_what_a_token_says() {
    let origin = Origin::start();
    let ours = Signer::new("a");
    let setup = over(
        &origin,
        "{ jwt = { keys_file = \"jwks.json\" } }, { rate_limit = { limiter = \"plans\" } }",
    )
    .tail(
        "[limiters.plans]\nkey = \"claim:sub\"\nrate = 2\nper = \"1h\"\nalgorithm = \"fixed_window\"\n\
         tiers = [{ claim = \"plan\", value = \"paid\", rate = 4 }]",
    );
    std::fs::write(setup.dir.file("jwks.json"), set(&[&ours])).unwrap();
    let proxy = setup.start();
    let passes = |claims: &Value| {
        let fields = bearer(&ours.token(claims));
        let asked = (0..6).map(|_| ask(&proxy, &format!("{fields}plan: paid\r\n")).status);
        asked.filter(|status| *status == 200).count()
    };
    assert_eq!(passes(&json!({"sub": "ann"})), 2);
    assert_eq!(passes(&json!({"sub": "bob", "plan": "paid"})), 4);
    assert_eq!(passes(&json!({"sub": "eve"})), 2);
}
