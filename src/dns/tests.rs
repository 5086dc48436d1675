use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::answer::{Failure, Finding, Lack, Service, Verdict, judge, pause, targets};
use super::book::{Change, Entry};
use super::*;
use crate::base::clock::{self, Instant};
use crate::config::{self, Diagnostics};
use crate::metrics::DnsOutcome;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn target(addr: &str) -> Target {
    Target {
        tier: 0,
        addr: ip(addr),
        port: None,
        weight: None,
    }
}

fn finding(addrs: &[&str], ttl: u64) -> Finding {
    Finding {
        targets: addrs.iter().map(|addr| target(addr)).collect(),
        ttl: Duration::from_secs(ttl),
        lack: None,
    }
}

fn failure(outcome: DnsOutcome) -> Failure {
    Failure {
        outcome,
        text: outcome.as_str().to_owned(),
    }
}

fn good(
    found: Finding,
    last: Option<&Answer>,
    settings: &Settings,
    now: Instant,
) -> (Answer, DnsOutcome) {
    match judge(Ok(found), last, settings, now) {
        Verdict::Good(answer, outcome) => (answer, outcome),
        Verdict::Kept(failure) => panic!("{failure:?}"),
    }
}

fn kept(found: Result<Finding, Failure>, last: Option<&Answer>, settings: &Settings) -> DnsOutcome {
    match judge(found, last, settings, clock::now()) {
        Verdict::Good(answer, _) => panic!("{answer:?}"),
        Verdict::Kept(failure) => failure.outcome,
    }
}

#[test]
fn names_and_slips_in_addresses_are_told_apart() {
    let host = |name: &str| Query::Host(name.into());
    let long = "a".repeat(64);
    for (text, wanted) in [
        ("app.internal:80", Some((host("app.internal"), Some(80)))),
        ("App.Internal.:80", Some((host("app.internal."), Some(80)))),
        ("localhost:9001", Some((host("localhost"), Some(9001)))),
        ("my_app-1:1", Some((host("my_app-1"), Some(1)))),
        (
            "srv:_http._tcp.App",
            Some((Query::Srv("_http._tcp.app".into()), None)),
        ),
        ("app.internal", None),
        ("app.internal:0", None),
        ("app.internal:+1", None),
        ("app.internal:65536", None),
        ("app..internal:80", None),
        (".app:80", None),
        ("10.0.0:80", None),
        ("10.0.0.256:80", None),
        ("http://app:80", None),
        ("app/x:80", None),
        ("srv:", None),
        (&format!("{long}:80"), None),
        (&format!("{}b:80", "a.".repeat(130)), None),
    ] {
        assert_eq!(Query::parse(text), wanted, "{text}");
    }
    assert_eq!(Query::Srv("_a._tcp.b".into()).to_string(), "srv:_a._tcp.b");
}

#[test]
fn an_answer_is_sorted_without_doubles_and_its_ttl_bounded() {
    let settings = Settings::default();
    let now = clock::now();
    let found = finding(&["10.0.0.2", "::1", "10.0.0.1", "10.0.0.2"], 600);
    let (answer, outcome) = good(found, None, &settings, now);
    let addrs: Vec<_> = answer.targets.iter().map(|target| target.addr).collect();
    assert_eq!(addrs, [ip("10.0.0.1"), ip("10.0.0.2"), ip("::1")]);
    assert_eq!(
        (answer.ttl, answer.at, outcome),
        (Duration::from_mins(1), now, DnsOutcome::Ok)
    );
    let (answer, _) = good(finding(&["10.0.0.1"], 0), None, &settings, now);
    assert_eq!(answer.ttl, Duration::from_secs(1));

    let few = Settings {
        max_addresses: 2,
        ..settings
    };
    let (answer, outcome) = good(
        finding(&["10.0.0.3", "10.0.0.2", "10.0.0.1"], 1),
        None,
        &few,
        now,
    );
    assert_eq!((answer.targets.len(), outcome), (2, DnsOutcome::Truncated));
}

#[test]
fn what_could_not_be_asked_for_is_what_it_was() {
    let settings = Settings::default();
    let now = clock::now();
    let (last, _) = good(finding(&["10.0.0.1", "::1"], 5), None, &settings, now);
    for (lack, found, wanted) in [
        (Lack::V6, "10.0.0.2", ["10.0.0.2", "::1"]),
        (Lack::V4, "::2", ["10.0.0.1", "::2"]),
    ] {
        let found = Finding {
            lack: Some((lack, failure(DnsOutcome::Timeout))),
            ..finding(&[found], 5)
        };
        let (answer, outcome) = good(found.clone(), Some(&last), &settings, now);
        let addrs: Vec<_> = answer.targets.iter().map(|target| target.addr).collect();
        assert_eq!(
            (addrs, outcome),
            (wanted.map(ip).to_vec(), DnsOutcome::Partial)
        );
        let (first, _) = good(found, None, &settings, now);
        assert_eq!(
            first.targets.len(),
            1,
            "at first a part is better than nothing"
        );
    }
    let found = Finding {
        lack: Some((Lack::Host, failure(DnsOutcome::Refused))),
        ..finding(&["10.0.0.2"], 5)
    };
    assert_eq!(kept(Ok(found), Some(&last), &settings), DnsOutcome::Refused);
}

#[test]
fn addresses_that_are_denied_are_as_if_they_were_not_there() {
    let deny = ["127.0.0.0/8", "::1"].map(|net| CidrSet::parse_entry(net).unwrap());
    let settings = Settings {
        deny: CidrSet::new(&deny),
        ..Settings::default()
    };
    let (answer, _) = good(
        finding(&["127.0.0.1", "10.0.0.1"], 5),
        None,
        &settings,
        clock::now(),
    );
    assert_eq!(answer.targets, [target("10.0.0.1")]);
    let rebound = finding(&["127.0.0.1", "::1"], 5);
    assert_eq!(
        kept(Ok(rebound), Some(&answer), &settings),
        DnsOutcome::Denied
    );
    assert_eq!(
        kept(Ok(finding(&[], 5)), Some(&answer), &settings),
        DnsOutcome::Empty
    );
}

#[test]
fn services_become_tiers_and_weights() {
    let service = |priority, weight, addr: &str| Service {
        priority,
        weight,
        port: 80,
        addrs: vec![ip(addr)],
    };
    let shown = |services: &[Service]| -> Vec<(u8, Option<u32>)> {
        let targets = targets(services);
        targets
            .iter()
            .map(|target| (target.tier, target.weight))
            .collect()
    };
    let few = [
        service(10, 0, "10.0.0.1"),
        service(10, 3, "10.0.0.2"),
        service(7, 1, "10.0.0.3"),
    ];
    assert_eq!(shown(&few), [(1, Some(1)), (1, Some(3)), (0, Some(1))]);
    let large = [
        service(0, 65_535, "10.0.0.1"),
        service(0, 6_553, "10.0.0.2"),
        service(0, 1, "10.0.0.3"),
    ];
    assert_eq!(
        shown(&large),
        [(0, Some(1000)), (0, Some(99)), (0, Some(1))]
    );
}

#[test]
fn the_last_good_answer_outlives_every_failure() {
    let settings = Settings::default();
    let entry = Entry::new(Query::Host("app".into()));
    assert!(entry.claim() && !entry.claim(), "kept once");
    let now = clock::now();
    let later = now + Duration::from_hours(1);
    let first = entry.conclude(Ok(finding(&["10.0.0.1", "10.0.0.2"], 5)), &settings, now);
    assert_eq!(first.change, Change::Other { came: 2, went: 0 });
    assert_eq!(entry.generation(), 1);
    for (number, outcome) in [
        (1, DnsOutcome::NoName),
        (2, DnsOutcome::Empty),
        (4, DnsOutcome::Refused),
        (8, DnsOutcome::Timeout),
        (16, DnsOutcome::Error),
        (30, DnsOutcome::Timeout),
    ] {
        let concluded = entry.conclude(Err(failure(outcome)), &settings, later);
        assert_eq!(concluded.change, Change::Same);
        assert_eq!(concluded.wait, Duration::from_secs(number), "{outcome:?}");
    }
    let standing = entry.standing(later);
    assert_eq!(standing.good.unwrap().targets.len(), 2);
    assert_eq!(
        (standing.outcome, standing.age),
        (Some(DnsOutcome::Timeout), Duration::from_hours(1))
    );
    assert_eq!(entry.generation(), 1);

    let again = entry.conclude(Ok(finding(&["10.0.0.2", "10.0.0.1"], 9)), &settings, later);
    assert_eq!(
        (again.change, again.wait),
        (Change::Same, Duration::from_secs(9))
    );
    let moved = entry.conclude(Ok(finding(&["10.0.0.2", "10.0.0.3"], 9)), &settings, later);
    assert_eq!(moved.change, Change::Other { came: 1, went: 1 });
    assert_eq!(entry.standing(later).age, Duration::ZERO);
    assert_eq!(pause(40, &settings), Duration::from_secs(30));
}

#[test]
fn one_name_is_one_entry_for_as_long_as_it_is_held() {
    let book = Book::default();
    let query = Query::Host("app".into());
    let (one, two) = (book.entry(&query), book.entry(&query));
    assert!(std::sync::Arc::ptr_eq(&one, &two));
    assert_eq!(book.entries().len(), 1);
    drop((one, two));
    book.sweep();
    assert!(book.entries().is_empty());
}

fn compiled(lines: &str) -> (Option<Settings>, Vec<String>) {
    let loaded = config::parse(Path::new("t.toml"), &format!("[dns]\n{lines}")).unwrap();
    let mut diagnostics = Diagnostics::new(loaded.diagnostics.files().clone());
    let settings = compile(&loaded.raw.dns, &mut diagnostics);
    (settings, diagnostics.lines().collect())
}

#[test]
fn the_table_is_read_or_refused() {
    let (settings, _) = compiled("");
    assert_eq!(settings, Some(Settings::default()));
    let (settings, said) = compiled(
        "servers = ['10.0.0.53', '[::1]:5353']\ntimeout = '1s'\nattempts = 3\nmin_ttl = '5s'\nmax_ttl = '1h'\n\
         family = 'ipv4'\ndeny = ['127.0.0.0/8']\nmax_addresses = 9",
    );
    let settings = settings.unwrap_or_else(|| panic!("{said:?}"));
    let servers = ["10.0.0.53:53", "[::1]:5353"].map(|addr| addr.parse().unwrap());
    assert_eq!(settings.servers, servers);
    assert_eq!((settings.attempts, settings.family), (3, Family::V4));
    assert_eq!(
        (settings.min_ttl.as_secs(), settings.max_ttl.as_secs()),
        (5, 3600)
    );
    assert!(settings.deny.contains(ip("127.0.0.9")) && settings.max_addresses == 9);
    for (line, wanted) in [
        (
            "servers = ['dns.internal']",
            "C0205]: `dns.internal` is not the address",
        ),
        ("servers = ['10.0.0.1:0']", "C0205]: `10.0.0.1:0` is not"),
        ("timeout = '0s'", "C0107]: `timeout` must be longer"),
        ("attempts = 0", "C0107]: `attempts` = 0 is not in 1-10"),
        ("attempts = 11", "C0107]: `attempts` = 11"),
        ("min_ttl = '0s'", "C0107]: `min_ttl` must be longer"),
        (
            "min_ttl = '2m'",
            "C0217]: `min_ttl` is longer than `max_ttl`",
        ),
        ("max_ttl = '500ms'", "C0217]: `min_ttl` is longer"),
        ("deny = ['10']", "C0209]: `10` is not a network"),
        ("max_addresses = 0", "C0107]: `max_addresses` = 0"),
    ] {
        let (settings, said) = compiled(line);
        assert!(settings.is_none(), "{line}");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(wanted), "{said:?}");
    }
}
