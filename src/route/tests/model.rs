//! The table against a model that looks at every route.

use super::*;

/// The rules of precedence, word by word.
fn model(rules: &[Rule], key: &Key<'_>) -> Option<usize> {
    let host = str::from_utf8(key.host).unwrap();
    let path = str::from_utf8(key.path).unwrap();
    let rank = |rule: &Rule| {
        let by_host = rule.hosts.iter().filter_map(|pattern| match pattern {
            HostPattern::Exact(name) => (**name == *host).then_some(usize::MAX),
            HostPattern::Below(domain) => {
                (host.ends_with(&**domain)).then_some(domain.matches('.').count())
            }
        });
        let by_host = if rule.hosts.is_empty() {
            Some(0)
        } else {
            by_host.max()
        };
        let by_path = match &rule.path {
            PathMatch::Exact(text) => (**text == *path.as_bytes()).then_some(usize::MAX),
            PathMatch::Prefix(text) => {
                let text = str::from_utf8(text).unwrap();
                (text.is_empty() || path == text || path.starts_with(&format!("{text}/")))
                    .then_some(2 + text.len())
            }
            PathMatch::Regex(regex) => regex.is_match(path.as_bytes()).then_some(1),
            PathMatch::Any => Some(0),
        };
        let Evidence::Request(head, client, _) = key.evidence else {
            unreachable!("a request is asked for")
        };
        let asked = &rule.demands;
        let fields = asked.fields.iter().all(|demand| {
            head.fields().iter().any(|field| {
                let same = head.name(field).eq_ignore_ascii_case(&demand.name);
                same && match &demand.wanted {
                    Wanted::Exactly(value) => **value == *head.value(field),
                    Wanted::Like(regex) => regex.is_match(head.value(field)),
                }
            })
        });
        let query = str::from_utf8(head.query().unwrap_or_default()).unwrap();
        let values = asked.values.iter().all(|demand| {
            let pair = format!("k={}", str::from_utf8(&demand.value).unwrap());
            query.split('&').find(|pair| pair.starts_with("k=")) == Some(&pair)
        });
        let clients = asked.clients.iter().all(|set| set.contains(client));
        let demands = (
            asked.fields.len(),
            asked.values.len() + asked.clients.iter().len(),
        );
        let by_method =
            rule.methods.is_any() || rule.methods.iter().any(|(_, token)| token == key.token);
        let by_listener = rule.listeners.contains(key.listener);
        let met = by_method && by_listener && fields && values && clients;
        met.then(|| {
            let methods = !rule.methods.is_any();
            Some((rule.priority, by_host?, by_path?, methods, demands))
        })?
    };
    let ranked = rules
        .iter()
        .enumerate()
        .filter_map(|(at, rule)| Some((rank(rule)?, at)));
    ranked
        .max_by_key(|&(rank, at)| (rank, std::cmp::Reverse(at)))
        .map(|(_, at)| at)
}

/// F-25: ten thousand routes on two thousand hosts, and what the model says of requests to them: a million at full scale.
#[test]
fn a_large_table_agrees_with_the_model() {
    let mut chance = fastrand::Rng::with_seed(25);
    let host = |chance: &mut fastrand::Rng| {
        let tenant = chance.u32(..2_000);
        match chance.u32(..4) {
            0 => format!("*.t{tenant}.example.com"),
            _ => format!("t{tenant}.example.com"),
        }
    };
    let path = |chance: &mut fastrand::Rng| {
        let depth = chance.u32(..4);
        let segment = |_| format!("/{}", char::from(chance.u8(b'a'..=b'c')));
        let path: Vec<_> = (0..depth).map(segment).collect();
        if path.is_empty() {
            "/".to_owned()
        } else {
            path.concat()
        }
    };
    let rules: Vec<Rule> = (0..10_000)
        .map(|_| {
            let (host, path) = (host(&mut chance), path(&mut chance));
            let of = match chance.u32(..3) {
                0 => exact(&path),
                _ => prefix(&path),
            };
            let methods = &METHODS[..chance.usize(..3)];
            rule(&[&host], of, methods)
        })
        .collect();
    let table = table(rules.clone());
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut found = 0;
    let mut near: HashMap<String, (Vec<Rule>, Vec<usize>)> = HashMap::new();
    let requests = scaled(10_000, 1_000_000);
    for _ in 0..requests {
        let (mut name, path) = (host(&mut chance).replace('*', "any"), path(&mut chance));
        if chance.u32(..8) == 0 {
            name.insert_str(0, "deep.");
        }
        let token = METHODS[chance.usize(..METHODS.len())];
        let asked = head(token, &name, &path);
        let key = Key {
            listener: 0,
            host: name.as_bytes(),
            path: path.as_bytes(),
            pattern: None,
            method: Method::of(token.as_bytes()),
            token: token.as_bytes(),
            evidence: Evidence::Request(&asked, client, None),
        };
        let ours = table.find_key(&key).map(RouteIx::index);
        // The model looks at each rule; those for other hosts once for each name, not for each request.
        let near = near.entry(name.clone()).or_insert_with(|| {
            let of = |rule: &Rule| match rule.hosts.first() {
                Some(HostPattern::Exact(host)) => **host == *name,
                Some(HostPattern::Below(domain)) => name.ends_with(&**domain),
                None => true,
            };
            let all = rules.iter().enumerate().filter(|(_, rule)| of(rule));
            let (places, near): (Vec<_>, Vec<_>) = all.map(|(at, rule)| (at, rule.clone())).unzip();
            (near, places)
        });
        let wanted = model(&near.0, &key).map(|at| near.1[at]);
        assert_eq!(ours, wanted, "{token} {name}{path}");
        found += u32::from(ours.is_some());
    }
    let some = requests / 5..requests;
    assert!(some.contains(&found), "both are tried: {found}");
}

const HOSTS: [&str; 7] = [
    "a.x", "b.a.x", "c.b.a.x", "*.x", "*.a.x", "*.b.a.x", "[::1]",
];
const PATHS: [&str; 10] = [
    "/", "/a", "/a/", "/a/b", "/a/b/c", "/a!", "/a!/b", "/ab", "//", "/a//b",
];
const METHODS: [&str; 3] = ["GET", "POST", "PURGE"];

fn any_rule() -> impl Strategy<Value = Rule> {
    (
        prop_oneof![6 => Just(0), 1 => -1..=1],
        prop::collection::vec(prop::sample::select(&HOSTS[..]), 0..3),
        any_path(),
        prop::collection::vec(prop::sample::select(&METHODS[..]), 0..3),
        prop_oneof![
            3 => Just(ListenerSet::All),
            1 => prop::sample::subsequence(vec![0, 1, 70], 1..3).prop_map(|set| ListenerSet::of(&set)),
        ],
        any_demands(),
    )
        .prop_map(|(priority, hosts, path, methods, listeners, demands)| Rule {
            priority,
            listeners,
            demands,
            ..rule(&hosts, path, &methods)
        })
}

fn any_path() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        3 => prop::sample::select(&PATHS[..]).prop_map(exact),
        5 => prop::sample::select(&PATHS[..]).prop_map(prefix),
        1 => prop::sample::select(&PATTERNS[..]).prop_map(regex),
        1 => Just(PathMatch::Any),
    ]
}

const PATTERNS: [&str; 4] = ["/a/.", "/.*", "/a(/b)*", "/ab?"];
const VALUES: [&str; 2] = ["1", "2"];

fn any_demands() -> impl Strategy<Value = Demands> {
    let one =
        (0..6_usize, prop::sample::select(&VALUES[..])).prop_map(|(kind, value)| match kind {
            0 => asks_field("x-v", Wanted::Exactly(value.as_bytes().into())),
            1 => asks_field("x-v", Wanted::Like(whole(&format!("[{value}3]")))),
            2 => asks_value(KeySource::Query("k".into()), value),
            3 => Demands {
                clients: Some(CidrSet::new(&[format!("10.0.0.{value}/32")
                    .parse()
                    .unwrap()])),
                ..Demands::default()
            },
            _ => Demands::default(),
        });
    prop::collection::vec(one, 0..3).prop_map(|parts| {
        parts.into_iter().fold(Demands::default(), |mut all, part| {
            all.fields.extend(part.fields);
            all.values.extend(part.values);
            all.clients = part.clients.or(all.clients);
            all
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        // 32 requests each: a million at full scale.
        cases: scaled(256, 31_250),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_table_agrees_with_the_model(
        rules in prop::collection::vec(any_rule(), 0..24),
        requests in prop::collection::vec((
            prop::sample::select(vec![0, 1, 70]),
            prop::sample::select(vec!["a.x", "b.a.x", "c.b.a.x", "d.c.b.a.x", "z.x", "x", "[::1]", ""]),
            prop::sample::select(vec![
                "/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c/d", "/a!", "/a!x", "/a!/b/c", "/ab", "/abc",
                "//", "///", "/a//b", "/a//", "*",
            ]),
            prop::sample::select(vec!["GET", "POST", "PURGE", "PUT", "get"]),
            prop::collection::vec(prop::sample::select(vec!["1", "2", "3"]), 0..3),
            prop::sample::select(vec!["", "?k=1", "?k=2&k=1", "?x=1&k=%32"]),
            0..3_u8,
        ), 32),
    ) {
        let table = table(rules.clone());
        for (listener, host, path, token, values, query, client) in requests {
            // The model reads no escapes.
            let asked = head(token, "", &format!("{path}{}", query.replace("%32", "2")));
            let fields = |head: RequestHead| values.iter().fold(head, |head, value| head.with_field("X-V", value));
            let asked = fields(asked);
            let escaped = fields(head(token, "", &format!("{path}{query}")));
            let client = IpAddr::V4(Ipv4Addr::new(10, 0, 0, client));
            let key = Key {
                listener,
                host: host.as_bytes(),
                path: path.as_bytes(),
                pattern: None,
                method: Method::of(token.as_bytes()),
                token: token.as_bytes(),
                evidence: Evidence::Request(&asked, client, None),
            };
            let same = Key { evidence: Evidence::Request(&escaped, client, None), ..key };
            prop_assert_eq!(table.find_key(&key), table.find_key(&same), "{:?}", key);
            let found = table.find_key(&key).map(RouteIx::index);
            prop_assert_eq!(found, model(&rules, &key), "{:?}", key);
        }
    }

    #[test]
    fn an_unreachable_route_is_never_found_and_every_other_is(
        mut rules in prop::collection::vec(any_rule(), 0..16),
    ) {
        // With them a route that nobody reaches may be missed, so the claim is for the others.
        for rule in &mut rules {
            rule.demands = Demands::default();
            if let PathMatch::Regex(_) = rule.path {
                rule.path = PathMatch::Any;
            }
        }
        let lost = find_unreachable(&table(rules.clone()), 71);
        let lost: Vec<_> = lost.iter().map(|lost| lost.route.index()).collect();
        let hosts = ["a.x", "b.a.x", "c.b.a.x", "d.c.b.a.x", "z.b.a.x", "z.a.x", "z.x", "x", "[::1]"];
        // One of them below no prefix of the rules.
        let paths = PATHS.iter().flat_map(|path| [(*path).to_owned(), format!("{path}/z")]);
        let paths: Vec<_> = paths.chain(["/elsewhere".to_owned()]).collect();
        let mut found = vec![false; rules.len()];
        for host in hosts {
            for path in &paths {
                for token in METHODS.into_iter().chain(["PUT"]) {
                    for listener in [0, 1, 2, 70] {
                        let head = RequestHead::default();
                        let key = Key {
                            listener,
                            host: host.as_bytes(),
                            path: path.as_bytes(),
                            pattern: None,
                            method: Method::of(token.as_bytes()),
                            token: token.as_bytes(),
                            evidence: Evidence::Request(&head, IpAddr::V4(Ipv4Addr::LOCALHOST), None),
                        };
                        if let Some(at) = model(&rules, &key) {
                            found[at] = true;
                        }
                    }
                }
            }
        }
        for (at, found) in found.into_iter().enumerate() {
            prop_assert_eq!(found, !lost.contains(&at), "route {}", at);
        }
    }
}
