//! What is remembered of a token.

use super::*;

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

/// A reload reads the file anew and asks for the same again.
#[test]
fn keys_and_tokens_outlive_a_configuration() {
    let (signer, other) = (
        secret("a", "HS256", SECRET.to_vec()),
        secret("b", "HS256", SECRET.to_vec()),
    );
    let live = Live::default();
    let whose = |algorithms: &[Algorithm]| Whose {
        filter: (RouteName::parse("r").unwrap(), 0),
        most: 160,
        algorithms: algorithms.into(),
    };
    let compiled = |signer: &Signer, algorithms: &[Algorithm]| {
        let keys = live.keys(set(&[signer]));
        (keys, live.tokens(&whose(algorithms)))
    };
    let (keys, cache) = compiled(&signer, &[]);
    let claims = json!({"sub": "ann", "exp": NOW.as_secs() + 60});
    let token = token(&json!({"alg": "HS256", "kid": "a"}), &claims, &signer.sign);
    let opened = open(token.as_bytes(), &keys, &policy()).unwrap();
    cache.note(token.as_bytes(), Arc::new(opened), NOW);
    let knows = |(keys, cache): (Arc<KeySet>, Arc<Cache>)| {
        cache.find(token.as_bytes(), keys.id()).is_some()
    };
    assert!(knows(compiled(&signer, &[])));
    assert!(!knows(compiled(&other, &[])), "other keys");
    assert!(
        !knows(compiled(&signer, &[Algorithm::Es256])),
        "other algorithms"
    );
    drop((keys, cache));
    assert!(!knows(compiled(&signer, &[])), "nobody held them");
}
