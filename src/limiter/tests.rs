//! Which limit holds for whom.

use std::net::IpAddr;

use super::*;
use crate::config::{Color, parse};
use crate::http1::request;
use crate::limit::Algorithm;
use crate::message::RequestHead;

const SECOND: u64 = 1_000_000;
const START: u64 = 1_790_000_040 * SECOND;

/// The limiters of a text; all that is wrong with them as an error.
fn compiled(text: &str, live: &Live) -> Result<Vec<Arc<Limiter>>, String> {
    let path = std::path::Path::new("test.toml");
    let mut loaded = parse(path, text).map_err(|found| found.render_text(Color::Never))?;
    let limiters = compile(&loaded.raw, live, &mut loaded.diagnostics);
    if loaded.diagnostics.has_errors() {
        return Err(loaded.diagnostics.render_text(Color::Never));
    }
    Ok(limiters.into_vec())
}

fn limiter(keys: &str) -> Arc<Limiter> {
    let text = format!("[limiters.l]\n{keys}");
    let limiters = compiled(&text, &Live::default()).unwrap();
    Arc::clone(&limiters[0])
}

fn head(target: &str, fields: &str) -> RequestHead {
    let mut head = RequestHead::default();
    let text = format!("GET {target} HTTP/1.1\r\nhost: a.example\r\n{fields}\r\n");
    let limits = request::HeadLimits {
        request_line: 8192,
        headers: 8192,
        count: 100,
        name: 256,
        path: crate::message::path::Policy::DEFAULT,
        own: crate::message::forwarded::Proto::Http,
    };
    request::parse(text.as_bytes(), &limits, &mut head).unwrap();
    head
}

/// How many of 2000 requests pass.
fn passes(limiter: &Limiter, client: &str, fields: &str, now: u64) -> usize {
    let client: IpAddr = client.parse().unwrap();
    let head = head("/api/v1/x", fields);
    let input = KeyInput::received(&head, client, "r");
    (0..2000)
        .filter(|_| match limiter.ask(&input, 1, now) {
            Asked::Ruled(ruling) => ruling.decision.outcome == Outcome::Pass,
            _ => false,
        })
        .count()
}

/// Whether its number was made before or not, a client is one.
#[test]
fn a_client_whose_number_is_known_is_the_same_client() {
    let keys = "algorithm = \"fixed_window\"\nkey = \"client_ip\"\nrate = 10\nper = \"1h\"";
    let tier = "\ntiers = [{ value = \"192.0.2.0/24\", rate = 10 }]";
    let head = head("/", "");
    for keys in [keys.to_owned(), format!("{keys}{tier}")] {
        let limiter = limiter(&keys);
        for text in ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8::1"] {
            let client: IpAddr = text.parse().unwrap();
            let input = || KeyInput::received(&head, client, "r");
            let known = Some(key::of_client(client));
            let passes = |known| {
                let ruling = limiter.decide(known, input, 1, START);
                ruling.decision.outcome == Outcome::Pass
            };
            assert!(
                (0..10).all(|n| passes(known.filter(|_| n % 2 == 0))),
                "{text}"
            );
            assert!(!passes(known) && !passes(None), "{text}");
        }
    }
}

const PLANS: &str = "algorithm = \"sliding_window\"\nkey = \"header:x-api-key\"\nrate = 50\nper = \"1m\"\n\
    tiers = [\n\
    { header = \"x-plan\", value = \"free\", rate = 100 },\n\
    { header = \"x-plan\", value = \"paid\", rate = 1000 },\n\
    { value = \"k-internal\", rate = 1500 },\n]";

#[test]
fn plans_have_their_own_numbers() {
    let limiter = limiter(PLANS);
    let of = |fields: &str| passes(&limiter, "192.0.2.1", fields, START);
    assert_eq!(of("x-api-key: a\r\nx-plan: free\r\n"), 100);
    assert_eq!(of("x-api-key: b\r\nx-plan: paid\r\n"), 1000);
    assert_eq!(of("x-api-key: c\r\n"), 50);
    assert_eq!(of("x-api-key: d\r\nx-plan: unheard-of\r\n"), 50);
    assert_eq!(of("x-api-key: k-internal\r\n"), 1500);
    assert_eq!(of("x-api-key: a\r\nx-plan: free\r\n"), 0, "spent");
    assert_eq!(
        of("x-api-key: a\r\nx-plan: paid\r\n"),
        1000,
        "a new plan counts apart"
    );
    assert_eq!(of(""), 50, "without a key all are one");
    assert_eq!(passes(&limiter, "192.0.2.2", "", START), 0);
    assert_eq!(limiter.capacity(), 50);
}

#[test]
fn a_tier_of_addresses_is_a_network() {
    let limiter = limiter(
        "key = \"client_ip\"\nrate = 1\ntiers = [{ value = \"10.0.0.0/8\", rate = 3, burst = 7 }]",
    );
    assert_eq!(passes(&limiter, "10.1.2.3", "", START), 7);
    assert_eq!(passes(&limiter, "192.0.2.1", "", START), 1);
    assert_eq!(passes(&limiter, "2001:db8::1", "", START), 1);
    assert_eq!(
        passes(&limiter, "2001:db8::2", "", START),
        0,
        "of the same /64"
    );
}

#[test]
fn a_reload_keeps_what_was_counted_and_asks_it_anew() {
    let live = Live::default();
    let of = |rate: u32, algorithm: &str| {
        let text = format!(
            "[limiters.l]\nkey = \"global\"\nrate = {rate}\nper = \"1h\"\nalgorithm = \"{algorithm}\""
        );
        Arc::clone(&compiled(&text, &live).unwrap()[0])
    };
    let first = of(100, "fixed_window");
    assert_eq!(passes(&first, "192.0.2.1", "", START), 100);
    let second = of(120, "fixed_window");
    drop(first);
    assert_eq!(passes(&second, "192.0.2.1", "", START), 20);
    assert_eq!(second.state().tally().allow, 120);
    let third = of(120, "token_bucket");
    assert_eq!(
        passes(&third, "192.0.2.1", "", START),
        120,
        "another algorithm begins anew"
    );
    drop((second, third));
    assert_eq!(passes(&of(5, "fixed_window"), "192.0.2.1", "", START), 5);
    live.sweep();
}

#[test]
fn who_is_over_is_listed_without_its_secrets() {
    let limiter = limiter("key = [\"client_ip\", \"header:x-api-key\"]\nrate = 1\nper = \"1h\"");
    passes(&limiter, "192.0.2.1", "x-api-key: sk-0123456789\r\n", START);
    passes(&limiter, "192.0.2.2", "", START);
    passes(&limiter, "192.0.2.2", "", START);
    let top = limiter.state().top();
    let shown: Vec<_> = top
        .iter()
        .map(|place| (&*place.label, place.count))
        .collect();
    assert_eq!(
        shown,
        [("192.0.2.2, -", 3999), ("192.0.2.1, sk-012…", 1999)]
    );
}

#[test]
fn who_is_over_is_listed_once_whoever_refused() {
    let live = Live::default();
    let of = |store: &str| {
        let text = format!(
            "[limiters.l]\nkey = \"header:x-k\"\nrate = 1\nper = \"1h\"\ntiers = [{{ value = \"paid\", rate = 2 }}]\n{store}"
        );
        Arc::clone(&compiled(&text, &live).unwrap()[0])
    };
    let alone = of("");
    let shared = of("store = \"redis\"\n[stores.redis]\nurl = \"redis://127.0.0.1:1\"\n");
    for (key, spent) in [("ann", 1), ("paid", 2)] {
        let fields = format!("x-k: {key}\r\n");
        // Without a store, and by this process while the store does not answer.
        assert_eq!(passes(&alone, "192.0.2.1", &fields, START), spent);
        assert_eq!(passes(&shared, "192.0.2.1", &fields, START), spent);
        let head = head("/", &fields);
        let input = KeyInput::received(&head, "192.0.2.1".parse().unwrap(), "r");
        // By the store, and by what it has said before.
        let answer = Decision {
            outcome: Outcome::Deny(SECOND),
            remaining: 0,
            reset: SECOND,
        };
        shared.answered(&input, 1, START, Some(answer));
        shared.ask(&input, 1, START);
    }
    let top = shared.state().top();
    let listed: Vec<_> = top
        .iter()
        .map(|place| (&*place.label, place.count))
        .collect();
    assert_eq!(listed, [("ann", 4000), ("paid", 3998)]);
}

#[test]
fn shadow_counts_and_lets_go() {
    let limiter = limiter("key = \"global\"\nrate = 1\nper = \"1h\"\non_limit = \"shadow\"");
    assert_eq!(limiter.over(), Over::Shadow);
    passes(&limiter, "192.0.2.1", "", START);
    let tally = limiter.state().tally();
    assert_eq!((tally.allow, tally.deny, tally.shadow_deny), (1, 0, 1999));
}

#[test]
fn policies_are_told_in_the_words_of_the_draft() {
    let told = |keys: &str| {
        let limiter = limiter(keys);
        policy(&limiter, 0)
    };
    assert_eq!(
        told("key = \"path\"\nrate = 100\nburst = 200"),
        "\"l\";q=200;w=2"
    );
    let window = "algorithm = \"fixed_window\"\nkey = \"path\"\nrate = 7\n";
    assert_eq!(told(&format!("{window}per = \"1m\"")), "\"l\";q=7;w=60");
    assert_eq!(told(&format!("{window}per = \"500ms\"")), "\"l\";q=7");
    let plans = limiter(PLANS);
    assert_eq!(policy(&plans, 2), "\"l\";q=1000;w=60");
    assert_eq!(policy(&plans, 9), policy(&plans, 0));
    assert_eq!(
        plans.rules().base.rule.algorithm(),
        Algorithm::SlidingWindow
    );
}

fn policy(limiter: &Limiter, place: u32) -> String {
    let mut told = String::new();
    limiter.tell(place, |begun| {
        let mut edits = crate::message::Edits::default();
        edits.finish(begun, |out| out.extend_from_slice(b"left"));
        told.push_str(std::str::from_utf8(edits.added()).unwrap());
    });
    let value = told.strip_prefix("ratelimit-policy: ").unwrap();
    let value = value.strip_suffix("\r\nratelimit: \"l\";r=left\r\n");
    value.unwrap().to_owned()
}

#[test]
fn a_word_at_run_time_holds_until_its_time_or_the_file_ends_it() {
    let live = Live::default();
    let of = |keys: &str| {
        let text = format!("[limiters.l]\nkey = \"header:k\"\n{keys}");
        let limiter = Arc::clone(&compiled(&text, &live).unwrap()[0]);
        limiter.settle();
        limiter
    };
    let file = "algorithm = \"fixed_window\"\nrate = 10\nper = \"1h\"";
    let first = of(file);
    let said = |rate| Said {
        rate: Some(rate),
        ..Said::default()
    };
    let passes = |limiter: &Limiter, key: &str, now| {
        passes(limiter, "192.0.2.1", &format!("k: {key}\r\n"), now)
    };
    assert_eq!(passes(&first, "a", START), 10);
    first.put(said(3), Some(START + 10)).unwrap();
    assert_eq!(passes(&first, "b", START), 3);
    assert_eq!(policy(&first, 0), "\"l\";q=3;w=3600");
    assert_eq!(passes(&first, "c", START + 10), 10, "its time is over");
    first.put(said(4), None).unwrap();
    let second = of(file);
    assert_eq!(
        passes(&second, "d", START),
        4,
        "a reload of the same file keeps it"
    );
    let third = of("algorithm = \"fixed_window\"\nrate = 20\nper = \"1h\"");
    assert_eq!(
        passes(&third, "e", START),
        20,
        "the file says something else"
    );
    assert!(third.overlay(START).is_none());
    let wrong = third.put(said(0), None).unwrap_err();
    assert!(wrong[0].contains("not a rate"), "{wrong:?}");
    let burst = Said {
        burst: Some(5),
        ..Said::default()
    };
    assert!(third.put(burst, None).unwrap_err()[0].contains("means nothing"));
    third.put(said(1), None).unwrap();
    third.take_back();
    assert_eq!(passes(&third, "f", START), 20);
}
