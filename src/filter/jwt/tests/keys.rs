//! Which keys verify what.

use super::*;

#[test]
fn every_algorithm_is_taken_with_its_own_kind_of_key_and_no_other() {
    let pair = Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    let signers = [
        ("RS256", rsa(&pair, "a", &RSA_PKCS1_SHA256)),
        ("RS384", rsa(&pair, "a", &RSA_PKCS1_SHA384)),
        ("RS512", rsa(&pair, "a", &RSA_PKCS1_SHA512)),
        ("PS256", rsa(&pair, "a", &RSA_PSS_SHA256)),
        ("PS384", rsa(&pair, "a", &RSA_PSS_SHA384)),
        ("PS512", rsa(&pair, "a", &RSA_PSS_SHA512)),
        (
            "ES256",
            curve("a", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING, 32),
        ),
        (
            "ES384",
            curve("a", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING, 48),
        ),
        (
            "ES512",
            curve("a", "P-521", &ECDSA_P521_SHA512_FIXED_SIGNING, 66),
        ),
        ("EdDSA", edwards("a")),
        ("HS256", secret("a", "HS256", SECRET.to_vec())),
        ("HS384", secret("a", "HS384", SECRET.to_vec())),
        ("HS512", secret("a", "HS512", SECRET.to_vec())),
    ];
    for (own, signer) in &signers {
        let keys = set(&[signer]);
        for (named, _) in &signers {
            let token = token(&json!({"alg": named, "kid": "a"}), &claims(), &signer.sign);
            let found = verify(token.as_bytes(), &keys, &policy(), NOW);
            let is_rsa = |name: &str| name.starts_with(['R', 'P']);
            let wanted = match () {
                () if own == named => Ok("ann"),
                // The key could be one for it; the signature is not.
                () if is_rsa(own) && is_rsa(named) => Err(Fault::Signature),
                () => Err(Fault::Key),
            };
            let found = found.as_ref().map(|claims| claims.text("sub").unwrap());
            assert_eq!(found.map_err(|fault| *fault), wanted, "{own} as {named}");
        }
    }
}

/// What a public key is of is public: taken for a secret it would let everybody sign (RFC 8725, 2.1).
#[test]
fn what_is_public_is_no_secret() {
    let pair = Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    let signer = rsa(&pair, "a", &RSA_PKCS1_SHA256);
    let keys = set(&[&signer]);
    let (modulus, _) = numbers(&pair);
    for guess in [
        modulus,
        signer.key["n"].as_str().unwrap().as_bytes().to_vec(),
    ] {
        let forger = secret("a", "HS256", guess);
        let token = token(
            &json!({"alg": "HS256", "kid": "a"}),
            &claims(),
            &forger.sign,
        );
        let found = verify(token.as_bytes(), &keys, &policy(), NOW);
        assert_eq!(found, Err(Fault::Key));
    }
}

#[test]
fn keys_are_chosen_by_their_id() {
    let (one, two) = (edwards("one"), edwards("two"));
    let mut nameless = edwards("");
    nameless.key.as_object_mut().unwrap().remove("kid");
    let keys = set(&[&one, &two, &nameless]);
    for (signer, id, wanted) in [
        (&one, json!("one"), None),
        (&one, Value::Null, None),
        (&two, json!("one"), Some(Fault::Signature)),
        (&nameless, json!("one"), None),
        (&nameless, json!("three"), None),
        (&two, json!("three"), Some(Fault::Signature)),
    ] {
        let header = json!({"alg": "EdDSA", "kid": id});
        let text = token(&header, &claims(), &signer.sign);
        let found = verify(text.as_bytes(), &keys, &policy(), NOW);
        assert_eq!(found.err(), wanted, "{header}");
    }
    let text = token(&json!({"alg": "EdDSA", "kid": "x"}), &claims(), &one.sign);
    let found = verify(text.as_bytes(), &set(&[&one]), &policy(), NOW);
    assert_eq!(found, Err(Fault::Key), "it may be a new one");
}

#[test]
fn a_set_says_what_is_wrong_with_it_or_is_passed_over() {
    let good = edwards("a").key;
    let other = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let parse = |key: &Value, origin| {
        let text = json!({"keys": [key, good]}).to_string();
        KeySet::parse(text.as_bytes(), origin)
    };
    for (key, why) in [
        (
            json!({"kty": "oct", "k": encoded(SECRET)}),
            "says its `alg`",
        ),
        (
            json!({"kty": "oct", "alg": "HS512", "k": encoded([1; 63])}),
            "as long as",
        ),
        (
            json!({"kty": "oct", "alg": "RS256", "k": encoded(SECRET)}),
            "says its `alg`",
        ),
        (
            json!({"kty": "RSA", "n": encoded([255; 128]), "e": "AQAB"}),
            "2048",
        ),
        (
            json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
            "unknown",
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
            "point",
        ),
        (other("alg", json!("RS256")), "another kind"),
        (other("alg", json!("ES256K")), "unknown `alg`"),
        (other("x", json!("!")), "base64url"),
    ] {
        let found = parse(&key, Origin::File).unwrap_err();
        assert!(found.contains(why), "{key}: {found}");
        assert!(parse(&key, Origin::Network).is_ok(), "{key}");
    }
    assert!(parse(&other("use", json!("enc")), Origin::File).is_ok());
    let secret = json!({"keys": [secret("a", "HS256", SECRET.to_vec()).key]}).to_string();
    assert!(KeySet::parse(secret.as_bytes(), Origin::File).is_ok());
    let found = KeySet::parse(secret.as_bytes(), Origin::Network);
    assert!(found.is_err(), "whoever asks can read it there");
    for text in ["", "[]", "{}", "{\"keys\": []}", "{\"keys\": {}}"] {
        assert!(
            KeySet::parse(text.as_bytes(), Origin::Network).is_err(),
            "{text}"
        );
    }
}
