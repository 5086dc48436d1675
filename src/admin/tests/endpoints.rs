//! What is said of endpoints.

use super::*;

#[test]
fn what_is_said_of_an_endpoint_is_judged_before_it_counts() {
    with_admin(&loopback(), None, applied, |rig| async move {
        let path = "/api/v1/clusters/app/endpoints/127.0.0.1:9001";
        let put = async |path: &str, body: &str| {
            let fields = format!("Content-Length: {}\r\n", body.len());
            let request = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}");
            let stream = TcpStream::connect(rig.tcp()).await.unwrap();
            exchange(stream, &request).await
        };
        for (path, body, status, says) in [
            (path, "", 422, "EOF"),
            (path, "{}", 422, "say a `state`"),
            (path, r#"{"state": "off"}"#, 422, "unknown variant"),
            (path, r#"{"weight": 0}"#, 422, "drain"),
            (path, r#"{"weight": 1001}"#, 422, "1-1000"),
            (path, r#"{"weight": 5, "ttl": "0s"}"#, 422, "longer than 0s"),
            (path, r#"{"weight": 5, "ttl": "5"}"#, 422, "not a duration"),
            (
                path,
                r#"{"state": "disabled", "deadline": "5s"}"#,
                422,
                "stands with",
            ),
            (
                path,
                r#"{"state": "drain", "deadline": "0s"}"#,
                422,
                "longer than 0s",
            ),
            (path, r#"{"weihgt": 5}"#, 422, "unknown field"),
            (
                "/api/v1/clusters/x/endpoints/127.0.0.1:9001",
                "{}",
                404,
                "no cluster `x`",
            ),
            (
                "/api/v1/clusters/app/endpoints/127.0.0.1:9",
                "{}",
                404,
                "no endpoint",
            ),
            (
                "/api/v1/clusters/app/endpoints/here",
                "{}",
                400,
                "expected `IP:port`",
            ),
        ] {
            let answer = put(path, body).await;
            assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
            let error = answer.json()["error"].as_str().unwrap().to_owned();
            assert!(error.contains(says), "{path} {body}: {error}");
        }
        assert_eq!(put(path, &" ".repeat(5000)).await.status, 413);

        let answer = put(path, r#"{"weight": 5, "state": "drain", "ttl": "1h"}"#).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let said = &answer.json()["override"];
        assert_eq!(
            (&said["weight"], &said["state"]),
            (&5.into(), &"drain".into())
        );
        assert!(said["remaining_seconds"].as_f64().unwrap() > 3599.0);
        let metrics = rig.ask("GET /metrics", "").await.body;
        let line = "tidegate_upstream_endpoint_overrides{cluster=\"app\"} 1\n";
        assert!(metrics.contains(line), "{metrics}");
        for _ in 0..2 {
            let answer = rig.ask(&format!("DELETE {path}"), "").await;
            assert_eq!(
                (answer.status, &answer.json()["override"]),
                (200, &serde_json::Value::Null)
            );
        }
        let all = rig.ask("GET /api/v1/clusters", "").await.json();
        let one = rig.ask("GET /api/v1/clusters/app", "").await.json();
        assert_eq!(all["clusters"][0], one);
        let endpoint = rig.ask(&format!("GET {path}"), "").await.json();
        assert_eq!(one["endpoints"][0], endpoint);
    });
}
