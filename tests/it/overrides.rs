//! What an operator says of endpoints while the process runs: states, weights, for a while or for good.

use crate::support::load::{Shape, Style};
use crate::support::{Answer, Gate, Origin, Proxy, Reload, Setup, eventually, weighted};
use serde_json::{Value, json};

fn path(origin: &Origin) -> String {
    format!("/api/v1/clusters/app/endpoints/{}", origin.addr())
}

#[track_caller]
fn put(proxy: &Proxy, origin: &Origin, body: &Value) -> Value {
    let (status, json) = proxy.order("PUT", &path(origin), &body.to_string());
    assert_eq!(status, 200, "{json}");
    json
}

fn names(proxy: &Proxy) -> String {
    let mut client = proxy.client();
    (0..20).map(|_| client.get("/").is(200).text()).collect()
}

/// Nothing new goes to an endpoint that drains; what is under way there finishes; its idle connections close.
#[test]
fn a_draining_endpoint_runs_empty() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let one = Origin::answering(move |request| match request.target.as_str() {
        "/held" => Answer::ok("held").held(&inside),
        _ => Answer::ok("1"),
    });
    let two = Origin::named("2");
    let proxy = Setup::over_with(&[one.addr(), two.addr()], "balancer = \"round_robin\"").start();
    assert!(names(&proxy).contains('1'));
    let mut held = Vec::new();
    while one
        .requests()
        .iter()
        .all(|request| request.target != "/held")
    {
        let mut client = proxy.client();
        client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
        let sent = held.len() + 1;
        let arrived = || {
            let of = |origin: &Origin| {
                origin
                    .requests()
                    .iter()
                    .filter(|r| r.target == "/held")
                    .count()
            };
            of(&one) + of(&two)
        };
        eventually("it arrives", || (arrived() >= sent).then_some(()));
        held.push(client);
    }
    for state in ["drain", "disabled"] {
        let shown = put(&proxy, &one, &json!({ "state": state }));
        assert_eq!(shown["available"], false, "{shown}");
        assert_eq!(shown["why"], "an operator said so");
        assert_eq!(names(&proxy), "2".repeat(20), "{state}");
        // The one that is at work is all that is left.
        eventually("idle connections close", || {
            (one.open_connections() == 1).then_some(())
        });
    }
    gate.open();
    for client in &mut held {
        client.response().is(200);
    }
    eventually("the last one closes", || {
        (one.open_connections() == 0).then_some(())
    });
    let (status, shown) = proxy.order("DELETE", &path(&one), "");
    assert_eq!((status, &shown["state"]), (200, &"healthy".into()));
    assert!(names(&proxy).contains('1'));
}

/// All drained is the same as none there: 503, and no panic.
#[test]
fn nothing_serves_when_an_operator_has_disabled_everything() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()]).start();
    put(&proxy, &origin, &json!({ "state": "drain" }));
    proxy.get("/").is(503);
    assert_eq!(proxy.wait_log(1)[0]["reason"], "no_endpoint");
    put(&proxy, &origin, &json!({ "state": "ready" }));
    proxy.get("/").is(200);
}

/// A weight that was said decides shares exactly, from the answer to the order on, on every worker; under load no
/// request is lost to it.
#[test]
fn weights_change_under_load() {
    let origins: Vec<_> = (0..2)
        .map(|_| {
            Origin::plan()
                .counts_only()
                .respond(|request| Answer::ok(request.target.clone()))
                .start()
        })
        .collect();
    let list: Vec<_> = origins
        .iter()
        .map(|origin| weighted(origin.addr(), 1))
        .collect();
    let proxy = Setup::new()
        .cluster("app", &list, "balancer = \"round_robin\"")
        .route("all", "cluster = \"app\"")
        .start();
    let load = Shape::gets(4, Style::KeepAlive).start(proxy.web);
    for weight in (1..=20).cycle().take(60) {
        put(&proxy, &origins[0], &json!({ "weight": weight }));
    }
    let shown = put(&proxy, &origins[0], &json!({ "weight": 4 }));
    assert_eq!(
        (&shown["weight"], &shown["configured_weight"]),
        (&4.into(), &1.into())
    );
    load.everybody();
    let counts = || origins.iter().map(Origin::count).collect::<Vec<_>>();
    let before = counts();
    load.more(2000);
    let tally = load.stop();
    tally.all_good();
    let after = counts();
    let (one, two) = (after[0] - before[0], after[1] - before[1]);
    let share = one as f64 / (one + two) as f64;
    assert!((share - 0.8).abs() < 0.03, "{one} and {two}");
    let weight = proxy.metric(
        "tidegate_upstream_endpoint_weight",
        &[("endpoint", &origins[0].addr().to_string())],
    );
    assert_eq!(weight, 4.0);
}

#[test]
fn an_override_ends_with_its_time() {
    let (one, two) = (Origin::named("1"), Origin::named("2"));
    let proxy = Setup::over_with(&[one.addr(), two.addr()], "balancer = \"round_robin\"").start();
    let shown = put(
        &proxy,
        &one,
        &json!({ "state": "disabled", "ttl": "400ms" }),
    );
    assert!(shown["override"]["remaining_seconds"].as_f64().unwrap() <= 0.4);
    eventually("it serves again", || {
        names(&proxy).contains('1').then_some(())
    });
    let (_, shown) = proxy.order("GET", &path(&one), "");
    assert_eq!(shown["override"], Value::Null);
    proxy.wait_output("override ended");
    for to in ["healthy", "unhealthy"] {
        let labels = [("cluster", "app"), ("to", to), ("cause", "admin")];
        let times = proxy.metric("tidegate_health_transitions_total", &labels);
        assert_eq!(times, 1.0, "{to}");
    }
}

/// Kept over reloads and while the endpoint is away; given up for the field that the file changes.
#[test]
fn an_override_survives_reloads_until_the_file_says_something_else() {
    let (one, two) = (Origin::named("1"), Origin::named("2"));
    let with = |list: &[String]| {
        Setup::new()
            .cluster("app", list, "balancer = \"round_robin\"")
            .route("all", "cluster = \"app\"")
    };
    let (first, second) = (weighted(one.addr(), 1), weighted(two.addr(), 1));
    let setup = with(&[first.clone(), second.clone()]);
    let proxy = setup.start();
    put(&proxy, &one, &json!({ "state": "drain", "weight": 7 }));
    let reload = |list: &[String]| {
        assert_eq!(proxy.reload(&with(list).at(&setup)), Reload::Done);
    };
    reload(&[second.clone(), first.clone()]);
    assert_eq!(names(&proxy), "2".repeat(20), "kept");
    reload(std::slice::from_ref(&second));
    let (_, shown) = proxy.order("GET", "/api/v1/clusters/app", "");
    assert_eq!(
        shown["absent"][0]["address"],
        one.addr().to_string(),
        "{shown}"
    );
    assert_eq!(shown["absent"][0]["override"]["state"], "drain");
    reload(&[first, second.clone()]);
    assert_eq!(names(&proxy), "2".repeat(20), "kept while it was away");

    reload(&[weighted(one.addr(), 2), second.clone()]);
    let (_, shown) = proxy.order("GET", &path(&one), "");
    assert_eq!(
        (&shown["weight"], &shown["state"]),
        (&2.into(), &"draining".into()),
        "the weight is the file's again, the state is not: {shown}"
    );
    let disabled = format!("{{ address = \"{}\", state = \"disabled\" }}", one.addr());
    reload(&[disabled, second]);
    let (_, shown) = proxy.order("GET", &path(&one), "");
    assert_eq!(
        (&shown["state"], &shown["why"]),
        (&"disabled".into(), &"the file says so".into())
    );
    assert_eq!(shown["override"], Value::Null);
    put(&proxy, &one, &json!({ "state": "ready" }));
    assert!(
        names(&proxy).contains('1'),
        "an operator wins over the file"
    );
}
