//! What a token must be, and what is told of it.

use super::*;

#[test]
fn what_is_no_token_is_refused() {
    let signer = secret("a", "HS256", SECRET.to_vec());
    let keys = set(&[&signer]);
    let good = token(&json!({"alg": "HS256"}), &claims(), &signer.sign);
    let parts: Vec<&str> = good.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    let unsigned = |header: Value| format!("{}.{body}.", encoded(header.to_string()));
    let signed = |header: Value| token(&header, &claims(), &signer.sign);
    let other = encoded(json!({"sub": "root", "exp": NOW.as_secs() + 60}).to_string());
    for (text, fault) in [
        (unsigned(json!({"alg": "none"})), Fault::Form),
        (unsigned(json!({"alg": "None"})), Fault::Form),
        (signed(json!({"alg": "none"})), Fault::Form),
        (signed(json!({})), Fault::Form),
        (signed(json!({"alg": ["HS256"]})), Fault::Form),
        (signed(json!({"alg": "hs256"})), Fault::Form),
        (
            signed(json!({"alg": "HS256", "crit": ["exp"], "exp": 1})),
            Fault::Form,
        ),
        (signed(json!({"alg": "HS256", "kid": "b"})), Fault::Key),
        (unsigned(json!({"alg": "HS256"})), Fault::Signature),
        (format!("{head}.{other}.{signature}"), Fault::Signature),
        (
            format!("{head}.{body}.{}", &signature[1..]),
            Fault::Signature,
        ),
        (format!("{head}.{body}.{signature}="), Fault::Form),
        (format!("{head}.{body}.{signature}\n"), Fault::Form),
        (format!("{head}.{body}"), Fault::Form),
        (format!("{head}.{body}.{signature}.x"), Fault::Form),
        (format!("{head}.{body}.{signature}.x.y"), Fault::Form),
        (format!("{body}.{body}.{signature}"), Fault::Form),
        (format!(".{body}.{signature}"), Fault::Form),
        (String::new(), Fault::Form),
        ("a".repeat(20_000), Fault::Form),
    ] {
        let found = verify(text.as_bytes(), &keys, &policy(), NOW);
        assert_eq!(found, Err(fault), "{text}");
    }
    let listed = Policy {
        algorithms: [Algorithm::EdDsa].into(),
        ..policy()
    };
    let found = verify(good.as_bytes(), &keys, &listed, NOW);
    assert_eq!(found, Err(Fault::Form), "not one that is taken");
    assert!(verify(good.as_bytes(), &keys, &policy(), NOW).is_ok());
}

#[test]
fn claims_are_judged_with_clocks_apart() {
    let signer = secret("a", "HS256", SECRET.to_vec());
    let keys = set(&[&signer]);
    let now = NOW.as_secs();
    let strict = Policy {
        issuers: ["https://id.example".into(), "https://old.example".into()].into(),
        audiences: ["shop".into()].into(),
        ..policy()
    };
    let ours = json!({"iss": "https://id.example", "aud": "shop", "exp": now + 60});
    let with = |name: &str, value: Value| {
        let mut claims = ours.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = ours.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    for (claims, wanted) in [
        (ours.clone(), None),
        (with("iss", json!("https://old.example")), None),
        (
            with("iss", json!("https://id.example/")),
            Some(Fault::Issuer),
        ),
        (
            with("iss", json!(["https://id.example"])),
            Some(Fault::Issuer),
        ),
        (without("iss"), Some(Fault::Issuer)),
        (with("aud", json!(["other", "shop"])), None),
        (with("aud", json!(["other"])), Some(Fault::Audience)),
        (with("aud", json!([])), Some(Fault::Audience)),
        (without("aud"), Some(Fault::Audience)),
        (with("exp", json!(now - 29)), None),
        (with("exp", json!(now - 30)), Some(Fault::Time)),
        (with("exp", json!(now as f64 + 0.5)), None),
        (with("exp", json!("never")), Some(Fault::Time)),
        (with("exp", Value::Null), Some(Fault::Time)),
        (without("exp"), Some(Fault::Time)),
        (with("nbf", json!(now + 30)), None),
        (with("nbf", json!(now + 31)), Some(Fault::Time)),
        (with("nbf", json!(false)), Some(Fault::Time)),
    ] {
        let token = token(&json!({"alg": "HS256"}), &claims, &signer.sign);
        let found = verify(token.as_bytes(), &keys, &strict, NOW);
        assert_eq!(found.err(), wanted, "{claims}");
    }
    let endless = Policy {
        expiry: Expiry::Optional,
        ..policy()
    };
    let text = token(&json!({"alg": "HS256"}), &json!({}), &signer.sign);
    assert!(verify(text.as_bytes(), &keys, &endless, NOW).is_ok());
}

#[test]
fn claims_are_told_as_text() {
    let signer = secret("a", "HS256", SECRET.to_vec());
    let claims = json!({
        "exp": NOW.as_secs() + 1, "sub": "ann", "admin": true, "level": 7, "roles": ["a", "b"], "mixed": ["a", 1],
        "org": {"id": "acme", "deep": {"er": "x"}}, "nothing": null, "https://shop.example/plan": "paid",
    });
    let text = token(&json!({"alg": "HS256"}), &claims, &signer.sign);
    let told = verify(text.as_bytes(), &set(&[&signer]), &policy(), NOW).unwrap();
    for (name, value) in [
        ("sub", Some("ann")),
        ("admin", Some("true")),
        ("level", Some("7")),
        ("roles", Some("a,b")),
        ("mixed", None),
        ("org.id", Some("acme")),
        ("org.deep.er", Some("x")),
        ("org", None),
        ("nothing", None),
        ("https://shop.example/plan", Some("paid")),
    ] {
        assert_eq!(told.text(name), value, "{name}");
    }
}
