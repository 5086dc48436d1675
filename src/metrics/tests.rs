use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use super::*;
use crate::base::{Detail, Reason};
use crate::message::Method;
use crate::message::trailer::Dropped;

fn text(hub: &Hub) -> String {
    String::from_utf8(hub.render()).unwrap()
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .map(|value| value.parse().unwrap())
}

fn finish(cells: &ExchangeCells, method: Method, status: u16) {
    cells.finish(
        method,
        status,
        Reason::Completed,
        Duration::from_millis(2),
        10,
        100,
    );
}

fn busy_session(session: &SessionCells) {
    session.finish(Reason::Completed, Duration::from_secs(1), 10, 20);
    session.datagrams.received.inc();
    session.datagrams.sent.inc();
    session.datagrams.lost(Lost::Send);
    session.connection_ids.met(IdEvent::Learned);
}

/// A hub in which every cell has counted something.
fn busy() -> std::sync::Arc<Hub> {
    let hub = Hub::new(2);
    for worker in 0..2 {
        let http2 = &hub.listener(worker, "web", PROTOCOL).http2;
        http2.error(Scope::Stream, 1);
        let cells = hub.exchange(worker, "web", "api");
        cells.active.inc();
        finish(&cells, Method::Get, 200);
        finish(&cells, Method::Post, 418);
        cells.finish(
            Method::Other,
            499,
            Reason::ClientAbort,
            Duration::from_secs(11),
            0,
            0,
        );
        cells.trailers_dropped(Dropped {
            unlisted: 1,
            forbidden: 2,
        });
        for step in Step::ALL {
            cells.observe_step(step, Duration::from_millis(1));
        }
        let cluster = hub.cluster(worker, "app");
        cluster.active.inc();
        cluster.reused.inc();
        cluster.responded(200, Duration::from_millis(1));
        cluster.failed(Duration::from_millis(1));
        cluster.connected(Duration::from_micros(90));
        cluster.connected_http2(Duration::from_micros(90));
        cluster.waited(Duration::from_micros(10));
        cluster.connect_failed(Reason::ConnectRefused);
        cluster.retried(Reason::ConnectRefused, RetryResult::Success);
        cluster.retry_denied(Detail::BudgetEmpty);
        cluster.rejected(Reason::NoEndpoint);
        cluster.called(Outcome::None);
        busy_session(&hub.session(worker, "db", "db"));
        let listener = hub.listener(worker, "web", PROTOCOL);
        listener.shook_hands(Handshake::default(), Duration::from_millis(2));
        listener.accepted.inc();
        listener.active.inc();
        listener.lasted(Duration::from_secs(1));
        listener.rejected(Reason::ConnLimit, Detail::Client);
    }
    let process = hub.process();
    process.reloaded(ReloadResult::Ok);
    process.config_hash("c0ffee");
    process.access_log_dropped("file", 3);
    let health = process.health("app");
    health.checked(CheckResult::Pass, Duration::from_millis(1));
    health.became_unhealthy(TransitionCause::Active);
    let dns = process.dns("app.internal");
    dns.resolved(DnsOutcome::Ok, Duration::from_millis(1));
    dns.changed();
    health.ejected(EjectionCause::Latency, Ejection::Capped);
    health.breaker(BreakerState::Open);
    hub.register(Box::new(|scrape| {
        scrape.gauge(&names::DNS_ADDRESSES, &["app.internal"], 2.0);
        scrape.gauge(&names::DNS_AGE, &["app.internal"], 2.0);
        scrape.gauge(&names::UPSTREAM_ENDPOINTS, &["app", "healthy"], 3.0);
        scrape.gauge(&names::PANIC_ACTIVE, &["app"], 0.0);
        scrape.gauge(&names::UPSTREAM_ENDPOINT_OVERRIDES, &["app"], 1.0);
        scrape.gauge(&names::BREAKER_STATE, &["app", "open"], 1.0);
        for metric in [
            &names::UPSTREAM_ENDPOINT_HEALTHY,
            &names::UPSTREAM_ENDPOINT_WEIGHT,
            &names::UPSTREAM_ENDPOINT_REQUESTS_ACTIVE,
            &names::UPSTREAM_ENDPOINT_CONNECTIONS_ACTIVE,
            &names::UPSTREAM_ENDPOINT_EWMA,
        ] {
            scrape.gauge(metric, &["app", "127.0.0.1:9001"], 1.0);
        }
        scrape.add(&names::LOG_DROPPED, &[], 1);
        scrape.add(&names::RATELIMIT_DECISIONS, &["l", "allow"], 1);
        scrape.add(&names::RATELIMIT_STORE_REQUESTS, &["redis", "ok"], 1);
        scrape.gauge(&names::RATELIMIT_STORE_UP, &["redis"], 1.0);
        scrape.gauge(&names::RATELIMIT_KEYS, &["l"], 1.0);
        scrape.add(&names::RATELIMIT_EVICTIONS, &["l"], 0);
        scrape.add(&names::JWKS_FETCHES, &["https://a/", "ok"], 1);
        scrape.gauge(&names::JWKS_AGE, &["https://a/"], 1.0);
        scrape.gauge(&names::MAINTENANCE, &["route", "shop"], 1.0);
        scrape.add(&names::BANDWIDTH_WAITS, &["dl", "upload"], 1);
        scrape.add(&names::ERROR_PAGES, &["site", "own"], 1);
        scrape.add(&names::AUTH_DECISIONS, &["api", "forward_auth", "allow"], 1);
        scrape.add(&names::PASSWORD_HASHES, &["right"], 1);
        scrape.gauge(&names::PASSWORDS_WAITING, &[], 1.0);
        for metric in [&names::MEMORY, &names::MEMORY_LIMIT, &names::OVERLOAD_LEVEL] {
            scrape.gauge(metric, &[], 1.0);
        }
        scrape.add(&names::OVERLOADS, &["tight"], 1);
        scrape.gauge(&names::TLS_CERTIFICATE_NOT_AFTER, &["web", "a.pem"], 1.0);
        scrape.gauge(&names::TLS_OWN_NOT_AFTER, &["app", "b.pem"], 1.0);
        scrape.gauge(&names::TLS_STAPLE_NEXT_UPDATE, &["web", "a.pem"], 1.0);
        scrape.gauge(&names::TLS_LISTS_NEXT_UPDATE, &["web"], 1.0);
        scrape.add(&names::TLS_RENEWALS, &["web", "ok"], 1);
        scrape.gauge(&names::RUNTIME_TASKS, &[], 1.0);
        scrape.add(&names::RUNTIME_TASK_PANICS, &[], 0);
        scrape.gauge(&names::RUNTIME_RINGS, &[], 2.0);
    }));
    hub
}

#[test]
fn workers_are_summed() {
    let text = text(&busy());
    let requests = |method: &str, code: u16| {
        let series = format!(
            "tidegate_requests_total{{listener=\"web\",route=\"api\",method=\"{method}\",code=\"{code}\"}}"
        );
        value(&text, &series)
    };
    assert_eq!(requests("GET", 200), Some(2.0));
    assert_eq!(requests("POST", 418), Some(2.0));
    assert_eq!(requests("_OTHER", 499), Some(2.0));
    for (series, expected) in [
        ("tidegate_requests_active{listener=\"web\"}", 2.0),
        (
            "tidegate_request_terminations_total{route=\"api\",reason=\"completed\"}",
            4.0,
        ),
        (
            "tidegate_request_duration_seconds_bucket{listener=\"web\",route=\"api\",class=\"4xx\",le=\"10\"}",
            2.0,
        ),
        (
            "tidegate_request_duration_seconds_count{listener=\"web\",route=\"api\",class=\"4xx\"}",
            4.0,
        ),
        (
            "tidegate_response_body_bytes_total{listener=\"web\",route=\"api\"}",
            400.0,
        ),
        (
            "tidegate_trailers_dropped_total{listener=\"web\",route=\"api\",cause=\"forbidden\"}",
            4.0,
        ),
        (
            "tidegate_upstream_requests_total{cluster=\"app\",code=\"none\"}",
            2.0,
        ),
        (
            "tidegate_connections_rejected_total{listener=\"web\",reason=\"conn_limit\",detail=\"client\"}",
            2.0,
        ),
        (
            "tidegate_upstream_retries_total{cluster=\"app\",reason=\"connect_refused\",result=\"success\"}",
            2.0,
        ),
        ("tidegate_accesslog_dropped_total{sink=\"file\"}", 3.0),
        ("tidegate_runtime_workers", 2.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}");
    }
}

#[test]
fn every_metric_of_the_table_is_rendered_with_its_help() {
    let text = text(&busy());
    for metric in names::ALL {
        let help = format!("# HELP {} {}\n", metric.name, metric.help);
        assert!(text.contains(&help), "{}", metric.name);
        let kind = format!("# TYPE {} {}\n", metric.name, metric.kind.as_str());
        assert!(text.contains(&kind), "{}", metric.name);
    }
    let known: HashSet<_> = names::ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(known.len(), names::ALL.len(), "a name stands twice");
}

#[test]
fn the_same_labels_give_the_same_cells() {
    let hub = Hub::new(1);
    finish(&hub.exchange(0, "web", "api"), Method::Get, 200);
    finish(&hub.exchange(0, "web", "api"), Method::Get, 200);
    assert!(text(&hub).contains("method=\"GET\",code=\"200\"} 2\n"));
}

#[test]
fn label_sets_over_the_cap_fold_into_other() {
    let hub = Hub::with_max_series(1, 4);
    for route in 0..100 {
        finish(
            &hub.exchange(0, "web", &format!("r{route}")),
            Method::Get,
            200,
        );
    }
    let text = text(&hub);
    let series = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("tidegate_requests_total{"))
            .count()
    };
    assert_eq!(series(&text), 5);
    let other =
        "tidegate_requests_total{listener=\"_other\",route=\"_other\",method=\"GET\",code=\"200\"}";
    assert_eq!(value(&text, other), Some(96.0));
    assert!(value(&text, "tidegate_metrics_series_dropped_total").unwrap() >= 96.0);
    let total: f64 = text
        .lines()
        .filter(|line| line.starts_with("tidegate_requests_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert!((total - 100.0).abs() < f64::EPSILON);
}

#[test]
fn the_documentation_has_exactly_the_metrics_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = fs::read_to_string(path).unwrap();
    let documented: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let expected: Vec<String> = names::ALL
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
            format!(
                "| `{}` | {} | {} | {} |",
                metric.name,
                metric.kind.as_str(),
                labels.join(", "),
                metric.help
            )
        })
        .collect();
    assert_eq!(documented, expected, "docs/metrics.md and metrics/names.rs");
}
