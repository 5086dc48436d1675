//! What the interface shows.

use super::*;

#[test]
fn metrics_and_status_show_what_runs() {
    with_admin(&loopback(), None, applied, |rig| async move {
        let metrics = rig.ask("GET /metrics", "").await;
        assert_eq!(metrics.status, 200);
        assert!(
            metrics
                .head
                .contains("content-type: text/plain; version=0.0.4")
        );
        assert!(metrics.head.contains("x-content-type-options: nosniff"));
        for line in [
            "tidegate_upstream_endpoints{cluster=\"app\",state=\"healthy\"} 2\n",
            "tidegate_upstream_endpoints{cluster=\"app\",state=\"disabled\"} 0\n",
            "tidegate_upstream_endpoint_weight{cluster=\"app\",endpoint=\"127.0.0.1:9002\"} 1\n",
            "tidegate_runtime_workers 2\n",
        ] {
            assert!(metrics.body.contains(line), "{line}");
        }

        let endpoint = {
            let running = rig.context.running.borrow();
            Arc::clone(running.clusters[0].set.iter().next().unwrap())
        };
        endpoint.state.set_admin(Admin::Disabled);
        let slot = ConnectionSlot::take(&endpoint.state, 0);
        rig.context.hub.cluster(0, "app").idle.set(2);
        let open = rig.ask("GET /metrics", "").await.body;
        let line = "tidegate_upstream_connections_active{cluster=\"app\",protocol=\"h1\"} 3\n";
        assert!(open.contains(line), "{open}");
        drop(slot);
        let status = rig.ask("GET /api/v1/status", "").await;
        assert!(status.head.contains("content-type: application/json"));
        let mut status = status.json();
        status["uptime_seconds"] = 0.into();
        let endpoint = |address: &str, state: &str, why: &str| {
            serde_json::json!({
                "address": address, "name": null, "weight": 1, "configured_weight": 1, "tier": 0,
                "state": state, "why": why, "available": state == "healthy",
                "in_flight": 0, "connections": 0, "ejections": 0, "ejected_for_seconds": null,
                "override": null, "zone": null, "response_seconds": null, "last_probe": null,
            })
        };
        let expected = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": 0,
            "maintenance": [],
            "not_ready": ["starting"],
            "overload": { "level": "normal", "memory_bytes": 0, "memory_limit_bytes": 1_u64 << 30 },
            "configuration": {
                "epoch": 7, "hash": "c0ffee",
                "last_load": { "result": "ok", "at": 1_700_000_000.0, "message": null },
            },
            "listeners": [{ "name": "web", "addresses": ["127.0.0.1:8080"] }],
            "clusters": [{
                "name": "app", "balancer": "least_request",
                "endpoints": [
                    endpoint("127.0.0.1:9001", "disabled", "the file says so"),
                    endpoint("127.0.0.1:9002", "healthy", "nothing speaks against it"),
                ],
            }],
        });
        assert_eq!(status, expected);
    });
}

#[test]
fn readiness_says_why_not() {
    with_admin(&loopback(), None, applied, |rig| async move {
        let readiness = Arc::clone(&rig.context.readiness);
        assert_eq!(rig.ask("GET /live", "").await.status, 200);
        let starting = rig.ask("GET /ready", "").await;
        assert_eq!(
            (starting.status, &*starting.body),
            (503, "not ready: starting\n")
        );
        readiness.unblock(Readiness::STARTING);
        assert_eq!(rig.ask("GET /ready", "").await.status, 200);
        readiness.block(Readiness::DRAINING);
        readiness.block(Readiness::DRAINING);
        let draining = rig.ask("GET /ready", "").await;
        assert_eq!(
            (draining.status, &*draining.body),
            (503, "not ready: draining\n")
        );
        assert_eq!(rig.ask("GET /live", "").await.status, 200);
    });
}
