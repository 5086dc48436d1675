//! What a token must be to let somebody in.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

/// What a filter does with a token that it does not remember.
fn verify(token: &[u8], keys: &KeySet, policy: &Policy, now: Duration) -> Result<Claims, Fault> {
    let opened = open(token, keys, policy)?;
    opened.holds(policy, now).map(|()| opened.told)
}

const NOW: Duration = Duration::from_secs(1_790_000_000);
const SECRET: &[u8] = &[7; 64];

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Somebody who signs, and the key that tells it.
struct Signer {
    key: Value,
    sign: Sign,
}

fn curve(id: &str, name: &str, with: &'static EcdsaSigningAlgorithm, size: usize) -> Signer {
    let pair = EcdsaKeyPair::generate(with).unwrap();
    let point = pair.public_key().as_ref()[1..].to_vec();
    Signer {
        key: json!({"kty": "EC", "kid": id, "crv": name, "x": encoded(&point[..size]), "y": encoded(&point[size..])}),
        sign: Box::new(move |message| {
            let made = pair.sign(&SystemRandom::new(), message).unwrap();
            made.as_ref().to_vec()
        }),
    }
}

/// Modulus and exponent of a key of 2048 bits, out of its DER (RFC 8017, A.1.1).
fn numbers(pair: &RsaKeyPair) -> (Vec<u8>, Vec<u8>) {
    let der = pair.public_key().as_ref();
    (der[9..265].to_vec(), der[267..].to_vec())
}

fn rsa(pair: &Arc<RsaKeyPair>, id: &str, with: &'static dyn RsaEncoding) -> Signer {
    let (n, e) = numbers(pair);
    let key = json!({"kty": "RSA", "kid": id, "use": "sig", "n": encoded(n), "e": encoded(e)});
    let pair = Arc::clone(pair);
    Signer {
        key,
        sign: Box::new(move |message| {
            let mut made = vec![0; pair.public_modulus_len()];
            pair.sign(with, &SystemRandom::new(), message, &mut made)
                .unwrap();
            made
        }),
    }
}

fn edwards(id: &str) -> Signer {
    let pair = Ed25519KeyPair::generate().unwrap();
    Signer {
        key: json!({"kty": "OKP", "kid": id, "crv": "Ed25519", "x": encoded(pair.public_key())}),
        sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
    }
}

fn secret(id: &str, name: &str, secret: Vec<u8>) -> Signer {
    let with = Algorithm::parse(name).and_then(Algorithm::hmac).unwrap();
    Signer {
        key: json!({"kty": "oct", "kid": id, "alg": name, "k": encoded(&secret)}),
        sign: Box::new(move |message| {
            let key = aws_lc_rs::hmac::Key::new(with, &secret);
            aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
        }),
    }
}

fn set(signers: &[&Signer]) -> KeySet {
    let keys: Vec<_> = signers.iter().map(|signer| &signer.key).collect();
    let text = json!({ "keys": keys }).to_string();
    KeySet::parse(text.as_bytes(), Origin::File).unwrap()
}

fn token(header: &Value, claims: &Value, sign: &Sign) -> String {
    let message = format!(
        "{}.{}",
        encoded(header.to_string()),
        encoded(claims.to_string())
    );
    let signature = encoded(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn policy() -> Policy {
    Policy {
        algorithms: [].into(),
        issuers: [].into(),
        audiences: [].into(),
        leeway: Duration::from_secs(30),
        expiry: Expiry::Required,
    }
}

fn claims() -> Value {
    json!({"sub": "ann", "exp": NOW.as_secs() + 60})
}

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

#[test]
fn a_token_is_remembered_for_the_keys_that_found_it_sound() {
    let signer = secret("a", "HS256", SECRET.to_vec());
    let (keys, other) = (set(&[&signer]), set(&[&signer]));
    let header = json!({"alg": "HS256", "kid": "a"});
    let text = |name: &str, until: u64| {
        let claims = json!({"sub": name, "exp": NOW.as_secs() + until});
        token(&header, &claims, &signer.sign)
    };
    let cache = Cache::new(160);
    let note = |text: &str, now| {
        let opened = Arc::new(open(text.as_bytes(), &keys, &policy()).unwrap());
        cache.note(text.as_bytes(), opened, now);
    };
    let ann = text("ann", 60);
    note(&ann, NOW);
    let known = cache.find(ann.as_bytes(), keys.id()).unwrap();
    assert_eq!(known.told.text("sub"), Some("ann"));
    assert_eq!(known.holds(&policy(), NOW), Ok(()));
    let late = NOW + Duration::from_secs(91);
    assert_eq!(
        known.holds(&policy(), late),
        Err(Fault::Time),
        "it is judged"
    );
    assert!(
        cache.find(ann.as_bytes(), other.id()).is_none(),
        "by other keys"
    );
    assert!(cache.find(text("bob", 60).as_bytes(), keys.id()).is_none());
    for at in 0..1000 {
        note(&text(&at.to_string(), 60 + at), NOW);
    }
    assert!((100..=160).contains(&cache.len()), "{}", cache.len());
    let long = text(&"x".repeat(5000), 60);
    note(&long, NOW);
    assert!(cache.find(long.as_bytes(), keys.id()).is_none());
    let none = Cache::new(0);
    none.note(ann.as_bytes(), known, NOW);
    assert!(none.find(ann.as_bytes(), keys.id()).is_none());
}
