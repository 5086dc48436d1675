//! What one line says.

use super::*;

#[test]
fn a_line_tells_all_that_is_known() {
    let rig = rig(all_fields(Format::Json, &[]), 1 << 20);
    let begin = clock::now();
    let mut record = rig.open(begin);
    request(record.head_mut(), b"/cart", b"a=1", b"probe/1");
    record.client("198.51.100.9".parse().unwrap());
    named(record.head_mut(), b"trace-1");
    record.trust_request_id();
    let cells = rig.hub.exchange(0, "web", "shop");
    record.matched(&RouteName::parse("shop").unwrap(), &cells);
    let cluster = ClusterName::parse("app").unwrap();
    record.attempt(&cluster, "127.0.0.1:9001");
    record.attempt(&cluster, "127.0.0.1:9002");
    record.queued(Duration::from_micros(1_500));
    record.connected(Duration::from_micros(250));
    record.first_byte(begin + Duration::from_millis(4));
    record.request_bytes(10);
    record.response_bytes(20);
    record.response_bytes(22);
    complete(&mut record, begin + Duration::from_micros(7_125));
    drop(record);

    let (files, hub) = rig.finish();
    let line: serde_json::Value = serde_json::from_str(&files[0]).unwrap();
    let expected = serde_json::json!({
        "time": line["time"], "request_id": "trace-1", "client": "198.51.100.9",
        "peer": "192.0.2.7", "listener": "web", "method": "GET", "host": "shop.example.com",
        "path": "/cart", "query": "a=1", "protocol": "HTTP/1.1", "status": 200,
        "reason": "completed", "phase": "last", "side": "local", "detail": null,
        "duration_ms": 7.125, "queue_ms": 1.5, "connect_ms": 0.25, "first_byte_ms": 4.0,
        "bytes_in": 10, "bytes_out": 42, "route": "shop", "cluster": "app",
        "endpoint": "127.0.0.1:9002", "attempts": 2, "tls_version": null,
        "tls_cipher": null, "sni": null, "connection_id": null, "tls_client_subject": null, "tls_client_serial": null,
        "tls_client_fingerprint": null, "user_agent": "probe/1", "referer": null,
    });
    assert_eq!(line, expected);
    assert_eq!(line["time"].as_str().unwrap().len(), 24);
    let metrics = String::from_utf8(hub.render()).unwrap();
    for series in [
        "requests_active{listener=\"web\"} 0",
        "route=\"shop\",method=\"GET\",code=\"200\"} 1",
        "response_body_bytes_total{listener=\"web\",route=\"shop\"} 42",
        "phase_duration_seconds_sum{route=\"shop\",phase=\"first_byte\"} 0.004",
    ] {
        assert!(metrics.contains(series), "{series}");
    }
}

#[test]
fn the_text_format_is_the_time_and_pairs() {
    let rig = rig(plan(Format::Text), 1 << 20);
    let begin = clock::now();
    let mut record = rig.open(begin);
    request(record.head_mut(), b"/a b", b"", b"-");
    complete(&mut record, begin + Duration::from_micros(90));
    let id = record.request_id().to_owned();
    drop(record);
    let (files, _) = rig.finish();
    let (time, rest) = files[0].split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.len() == 24, "{time}");
    assert_eq!(
        rest,
        format!(
            "request_id={id} client=192.0.2.7 peer=192.0.2.7 listener=web method=GET \
             host=shop.example.com path=\"/a b\" query=\"\" protocol=HTTP/1.1 status=200 \
             reason=completed phase=last side=local detail=- duration_ms=0.090 queue_ms=- \
             connect_ms=- first_byte_ms=- bytes_in=0 bytes_out=0 route=- cluster=- endpoint=- \
             attempts=0\n"
        )
    );
    assert!(id.len() == 36 && id.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()));
}

#[test]
fn whatever_a_peer_sends_a_record_is_one_line() {
    for format in [Format::Json, Format::Text] {
        let rig = rig(all_fields(format, &[]), 1 << 24);
        for byte in 0..=255_u8 {
            let mut record = rig.open(clock::now());
            let value = [b'/', byte, b'"', byte, b'}'];
            request(record.head_mut(), &value, &value, &value.repeat(1000));
        }
        let (files, _) = rig.finish();
        let lines: Vec<&str> = files[0].split_terminator('\n').collect();
        assert_eq!(lines.len(), 256);
        for line in lines {
            assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)), "{line}");
            if format == Format::Json {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(object.as_object().unwrap().len(), Field::ALL.len());
            }
        }
    }
}

#[test]
fn redacted_fields_show_a_dash() {
    let hidden = [Field::Client, Field::Query, Field::UserAgent];
    let rig = rig(all_fields(Format::Json, &hidden), 1 << 20);
    request(
        rig.open(clock::now()).head_mut(),
        b"/",
        b"token=secret",
        b"me",
    );
    let (files, _) = rig.finish();
    let line: serde_json::Value = serde_json::from_str(&files[0]).unwrap();
    for field in ["client", "peer", "query", "user_agent"] {
        assert_eq!(line[field], "-", "{field}");
    }
    assert!(!files[0].contains("secret") && !files[0].contains("192.0.2.7"));
}

#[test]
fn a_foreign_request_id_must_be_harmless() {
    let rig = rig(plan(Format::Json), 1 << 20);
    let mut record = rig.open(clock::now());
    let own = record.request_id().to_owned();
    for id in [b"".as_slice(), b"a b", b"a\"b", b"\xff", &[b'a'; 129]] {
        named(record.head_mut(), id);
        record.trust_request_id();
        assert_eq!(record.request_id(), own);
    }
    named(record.head_mut(), &[b'a'; 128]);
    record.trust_request_id();
    assert_eq!(record.request_id().len(), 128);
    assert_ne!(rig.open(clock::now()).request_id(), own);
}
