use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::cluster::{Backoff, Budget, Methods, RetryOn};
use crate::message::grpc::{Code, Codes};

const CASES: [Case; 9] = [
    Case::NoConnection,
    Case::PooledUntouched,
    Case::PooledDead,
    Case::FreshUntouched,
    Case::Reset,
    Case::ResponseTimeout,
    Case::Status,
    Case::Grpc,
    Case::Final,
];

fn policy() -> RetryPolicy {
    RetryPolicy {
        attempts: 2,
        on: RetryOn {
            connect: true,
            reset: true,
            response_timeout: true,
            statuses: vec![503..=503],
            grpc: Codes::default().with(Code::Unavailable),
        },
        methods: Methods::new([Method::Get, Method::Put]),
        per_try_timeout: None,
        backoff: Backoff {
            base: Duration::ZERO,
            max: Duration::ZERO,
        },
        budget: Budget {
            ratio: 0.2,
            min_per_second: 3.0,
        },
        replay_buffer: 64 << 10,
    }
}

/// A failure that is this case, with all that was sent kept.
fn failure(case: Case) -> Failure {
    let (reason, accepted, reused) = match case {
        Case::NoConnection => (Reason::ConnectRefused, 0, Reused::Fresh),
        Case::PooledUntouched => (Reason::UpstreamReset, 0, Reused::Pooled),
        Case::PooledDead => (Reason::UpstreamReset, 40, Reused::Pooled),
        Case::FreshUntouched => (Reason::UpstreamReset, 0, Reused::Fresh),
        Case::Reset => (Reason::UpstreamReset, 40, Reused::Fresh),
        Case::ResponseTimeout => (Reason::ResponseTimeout, 40, Reused::Fresh),
        Case::Status | Case::Grpc => (Reason::RetriesExhausted, 40, Reused::Fresh),
        Case::Final => (Reason::UpstreamTruncated, 40, Reused::Fresh),
    };
    Failure {
        reason,
        said: match case {
            Case::Status => Some(Said::Status(503)),
            Case::Grpc => Some(Said::Grpc(Code::Unavailable)),
            _ => None,
        },
        accepted,
        reused,
        resendable: true,
    }
}

/// E-201: whatever the configuration lists, a method that it does not call repeatable is sent again only where
/// the kernel took no byte of it, or where the answer itself is a listed status of gRPC.
#[test]
fn a_post_is_sent_again_only_where_nothing_was_taken() {
    for case in CASES {
        let failure = failure(case);
        assert_eq!(Case::of(&failure, &policy()), case);
        for method in [Method::Post, Method::Patch, Method::Other] {
            let decision = decide(&policy(), method, &failure);
            let again = !matches!(decision, Decision::Stop(_));
            let untouched = matches!(
                case,
                Case::NoConnection | Case::PooledUntouched | Case::FreshUntouched
            );
            if case == Case::Grpc {
                assert_eq!(decision, Decision::OtherEndpoint(When::Later));
                continue;
            }
            assert_eq!(again, untouched, "{case:?} {method:?}");
            assert!(!again || failure.accepted == 0, "{case:?}");
            if case != Case::Final && !again {
                assert_eq!(decision, Decision::Stop(Detail::NotIdempotent));
            }
        }
        let decision = decide(&policy(), Method::Get, &failure);
        assert_eq!(decision, case.row().then, "{case:?}");
        let gone = Failure {
            resendable: false,
            ..failure
        };
        let decision = decide(&policy(), Method::Put, &gone);
        let why = match case {
            Case::Final => Detail::None,
            _ => Detail::BodyNotReplayable,
        };
        assert_eq!(decision, Decision::Stop(why), "{case:?}");
    }
}

/// What is not listed is not tried again, except that a dead pooled connection says nothing about the endpoint.
#[test]
fn what_is_not_listed_is_left() {
    let mut policy = policy();
    policy.on = RetryOn {
        connect: false,
        reset: false,
        response_timeout: false,
        statuses: Vec::new(),
        grpc: Codes::default(),
    };
    for case in CASES {
        let decision = decide(&policy, Method::Get, &failure(case));
        let wanted = match case {
            Case::PooledUntouched | Case::PooledDead => Decision::FreshConnection,
            _ => Decision::Stop(Detail::None),
        };
        assert_eq!(decision, wanted, "{case:?}");
    }
    // Without `connect`, a new connection that was closed before it took a byte is a reset.
    policy.on.reset = true;
    let decision = decide(&policy, Method::Get, &failure(Case::FreshUntouched));
    assert_eq!(decision, Decision::OtherEndpoint(When::AtOnce));
    let decision = decide(&policy, Method::Post, &failure(Case::FreshUntouched));
    assert_eq!(decision, Decision::Stop(Detail::NotIdempotent));
}

/// Every reason falls under a row, and what has no row of its own is final.
#[test]
fn every_reason_has_its_row() {
    for &reason in Reason::ALL {
        let failure = Failure {
            reason,
            ..failure(Case::Final)
        };
        let case = Case::of(&failure, &policy());
        assert_eq!(
            case == Case::Final,
            reason.row().retry == Retry::Never,
            "{reason:?}"
        );
    }
}

const PAGE: &str = "docs/reliability.md";
const BEGIN: &str = "<!-- Made from src/exchange/retry/mod.rs by `UPDATE=1 cargo test --lib exchange::retry`. -->\n";
const END: &str = "<!-- Here ends what is made. -->\n";

/// The table of the page is the table of the code.
#[test]
fn the_page_shows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let wanted = format!("{head}{BEGIN}{}{END}{tail}", table());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, wanted).unwrap();
        return;
    }
    assert!(
        page == wanted,
        "UPDATE=1 writes {PAGE}; its table should be\n{}",
        table()
    );
}

fn table() -> String {
    let mut out = String::from(
        "\n| | an attempt ended | is tried again | if `on` has | where | costs |\n|---|---|---|---|---|---|\n",
    );
    for (number, case) in (1..).zip(CASES) {
        let row = case.row();
        let ended = told(case);
        let who = match row.who {
            Who::Any if row.on == On::Said => "any method, if all that was sent is kept",
            Who::Any => "any method: nothing was written",
            Who::Repeatable => "a method of `methods`, if all that was sent is kept",
            Who::Nobody => "never",
        };
        let on = match row.on {
            On::Always if row.who == Who::Nobody => "–",
            On::Always => "(always)",
            On::Connect => "`connect`",
            On::Reset => "`reset`",
            On::ResponseTimeout => "`response_timeout`",
            On::Said => "the status",
        };
        let (place, costs) = match row.then {
            Decision::FreshConnection => ("the same endpoint, a new connection, once", "nothing"),
            Decision::OtherEndpoint(When::AtOnce) => {
                ("another endpoint, at once", "a try and budget")
            }
            Decision::OtherEndpoint(When::Later) => {
                ("another endpoint, after a pause", "a try and budget")
            }
            Decision::Stop(_) => ("–", "–"),
        };
        writeln!(
            out,
            "| {number} | {ended} | {who} | {on} | {place} | {costs} |"
        )
        .unwrap();
    }
    out.push('\n');
    out
}

fn told(case: Case) -> &'static str {
    match case {
        Case::NoConnection => "no connection: `connect_refused`, `connect_timeout`",
        Case::PooledUntouched => {
            "a pooled connection was closed before any byte of an answer, and the kernel had taken no byte of the \
             request"
        }
        Case::PooledDead => "the same, but bytes had been taken",
        Case::FreshUntouched => "a new connection was closed before the kernel took a byte",
        Case::Reset => {
            "`upstream_reset`: closed after bytes were taken, before any byte of an answer"
        }
        Case::ResponseTimeout => {
            "`response_timeout`, by `timeouts.response` or `retry.per_try_timeout`"
        }
        Case::Status => "an answer with a listed status",
        Case::Grpc => "an answer that is nothing but a listed status of gRPC, in its head",
        Case::Final => {
            "the answer had begun (`upstream_truncated`, `upstream_idle`) or broke the protocol (`upstream_protocol`)"
        }
    }
}
