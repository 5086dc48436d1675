use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::Queue;
use super::sink::Test;
use super::*;
use crate::base::{ClusterName, Detail, ListenerName, Phase, Reason, RouteName, clock};
use crate::message::head::Text;
use crate::message::{self, Known, Method, RequestHead, Span};
use crate::metrics::{ExchangeCells, Hub};

/// One worker with a journal and a writer that writes to a test's sink.
struct Rig {
    hub: Arc<Hub>,
    writer: LogWriter,
    sink: Test,
    journal: Rc<Journal>,
    facts: Rc<ConnectionFacts>,
    cells: Arc<ExchangeCells>,
}

fn rig(plan: Arc<AccessLog>, max_queued: usize) -> Rig {
    let hub = Hub::new(1);
    let writer = LogWriter::with_queue(Queue::new(Arc::clone(&hub), max_queued)).unwrap();
    let sink = Test::default();
    writer.switch(sink.sink());
    let journal = Journal::new(writer.handle());
    journal.configure(plan);
    let peer: SocketAddr = "192.0.2.7:4711".parse().unwrap();
    Rig {
        cells: hub.exchange(0, "web", "-"),
        facts: ConnectionFacts::new(ListenerName::parse("web").unwrap(), peer.into()),
        hub,
        writer,
        sink,
        journal,
    }
}

impl Rig {
    fn open(&self, at: Instant) -> Record {
        let head = self.journal.take_head();
        Record::open(
            &self.journal,
            &self.facts,
            head,
            Arc::clone(&self.cells),
            at,
        )
    }

    /// Writes everything and gives what each file has.
    fn finish(self) -> (Vec<String>, Arc<Hub>) {
        self.journal.flush();
        drop(self.writer);
        (self.sink.files(), self.hub)
    }
}

fn plan(format: Format) -> Arc<AccessLog> {
    AccessLog::new(Output::Stdout, format, 1.0, &[], &[])
}

fn all_fields(format: Format, redact: &[Field]) -> Arc<AccessLog> {
    AccessLog::new(Output::Stdout, format, 1.0, Field::ALL, redact)
}

/// Fills a head as a codec would, with whatever bytes the test wants in its values.
fn request(head: &mut RequestHead, path: &[u8], query: &[u8], agent: &[u8]) {
    let put = |bytes: &mut Vec<u8>, text: &[u8]| {
        let start = bytes.len();
        bytes.extend_from_slice(text);
        Span::new(start, bytes.len())
    };
    head.clear();
    head.method = Method::Get;
    head.method_token = put(&mut head.bytes, b"GET");
    head.path = Text::Raw(put(&mut head.bytes, path));
    head.query = Text::Raw(put(&mut head.bytes, query));
    head.host = Text::Raw(put(&mut head.bytes, b"shop.example.com"));
    let name = put(&mut head.bytes, b"user-agent");
    let value = put(&mut head.bytes, agent);
    head.fields.push(message::Field {
        name,
        value,
        line_end: value.end,
        known: Known::UserAgent,
    });
}

/// Puts the id of a trusted peer into a head.
fn named(head: &mut RequestHead, id: &[u8]) {
    head.fields.retain(|field| field.known != Known::XRequestId);
    let start = head.bytes.len();
    head.bytes.extend_from_slice(id);
    head.fields.push(message::Field {
        name: Span::new(start, start),
        value: Span::new(start, head.bytes.len()),
        line_end: 0,
        known: Known::XRequestId,
    });
}

fn complete(record: &mut Record, at: Instant) {
    record.status(200);
    record.phase(Phase::Last);
    record.end(Reason::Completed, Detail::None, at);
}

/// A file of the test's own, removed at its end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str) -> Self {
        let file = format!("tidegate-record-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(file);
        let _ = fs::remove_file(&path);
        Self(path)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

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
        "tls_cipher": null, "sni": null, "tls_client_subject": null, "tls_client_serial": null,
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
fn a_record_that_nobody_ends_says_client_abort_and_where() {
    let rig = rig(plan(Format::Json), 1 << 20);
    let mut record = rig.open(clock::now());
    record.phase(Phase::Connect);
    drop(record);
    let (files, _) = rig.finish();
    let line: serde_json::Value = serde_json::from_str(&files[0]).unwrap();
    assert_eq!(line["reason"], "client_abort");
    assert_eq!(line["phase"], "connect");
    assert_eq!(line["status"], 499);
    assert_eq!(line["side"], "downstream");
    assert_eq!(line["method"], serde_json::Value::Null);
}

#[test]
fn a_record_dropped_by_a_panic_says_internal() {
    let rig = rig(plan(Format::Json), 1 << 20);
    let record = rig.open(clock::now());
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _record = record;
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    let (files, hub) = rig.finish();
    let line: serde_json::Value = serde_json::from_str(&files[0]).unwrap();
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&"internal".into(), &500.into())
    );
    let metrics = String::from_utf8(hub.render()).unwrap();
    assert!(metrics.contains("terminations_total{route=\"-\",reason=\"internal\"} 1"));
}

#[test]
fn the_first_reason_stays() {
    let rig = rig(plan(Format::Json), 1 << 20);
    let now = clock::now();
    let mut record = rig.open(now);
    record.end(Reason::ClientAbort, Detail::Reset, now);
    record.end(Reason::ResponseTimeout, Detail::None, now);
    record.end(Reason::Completed, Detail::None, now);
    assert_eq!(record.reason(), Reason::ResponseTimeout);
    drop(record);
    let (files, _) = rig.finish();
    assert!(files[0].contains("\"status\":504,\"reason\":\"response_timeout\""));
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

#[test]
fn sampling_leaves_out_successes_only() {
    let plan = AccessLog::new(Output::Stdout, Format::Json, 0.0, &[Field::Reason], &[]);
    let rig = rig(plan, 1 << 20);
    for reason in [Reason::Completed, Reason::LocalReply, Reason::NoRoute] {
        let now = clock::now();
        rig.open(now).end(reason, Detail::None, now);
    }
    let mut failed = rig.open(clock::now());
    failed.status(500);
    failed.end(Reason::Completed, Detail::None, clock::now());
    drop(failed);
    let (files, _) = rig.finish();
    assert_eq!(
        files[0],
        "{\"reason\":\"no_route\"}\n{\"reason\":\"completed\"}\n"
    );
}

#[test]
fn what_does_not_fit_is_dropped_and_counted_exactly() {
    let rig = rig(plan(Format::Json), 200_000);
    rig.sink.stall(true);
    let total = 5_000;
    for _ in 0..total {
        drop(rig.open(clock::now()));
    }
    rig.journal.flush();
    let dropped = rig.hub.process().access_log_drops();
    assert!(dropped > 0, "nothing was dropped");
    rig.sink.stall(false);
    let (files, hub) = rig.finish();
    assert_eq!(hub.process().access_log_drops(), dropped);
    assert_eq!(files[0].lines().count() as u64 + dropped, total);
    for line in files[0].lines() {
        assert!(
            line.starts_with("{\"time\"") && line.ends_with('}'),
            "{line}"
        );
    }
}

#[test]
fn a_full_disk_tears_no_line_and_loses_none_when_it_has_room_again() {
    let rig = rig(plan(Format::Json), 1 << 20);
    rig.sink.room(Some(1_000));
    rig.sink.step(77);
    for _ in 0..100 {
        drop(rig.open(clock::now()));
    }
    rig.journal.flush();
    rig.sink.wait_for_writes(14);
    rig.sink.room(None);
    let (files, hub) = rig.finish();
    assert_eq!(hub.process().access_log_drops(), 0);
    assert_eq!(files[0].lines().count(), 100);
    for line in files[0].lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn an_output_that_stays_full_loses_the_rest_and_says_how_much() {
    let rig = rig(plan(Format::Json), 1 << 20);
    rig.sink.room(Some(1_000));
    for _ in 0..100 {
        drop(rig.open(clock::now()));
    }
    let (files, hub) = rig.finish();
    let whole = files[0].bytes().filter(|byte| *byte == b'\n').count();
    assert_eq!(whole as u64 + hub.process().access_log_drops(), 100);
}

#[test]
fn reopening_loses_nothing() {
    let (file, rotated) = (TempFile::new("live"), TempFile::new("rotated"));
    let output = Output::File(file.0.clone());
    let log = AccessLog::new(output.clone(), Format::Json, 1.0, &[Field::RequestId], &[]);
    let rig = rig(log, 1 << 20);
    rig.writer.switch(Sink::open(&output).unwrap());
    for _ in 0..50 {
        drop(rig.open(clock::now()));
    }
    rig.journal.flush();
    fs::rename(&file.0, &rotated.0).unwrap();
    rig.writer.reopen();
    for _ in 0..70 {
        drop(rig.open(clock::now()));
    }
    rig.finish();
    assert_eq!(rotated.text().lines().count(), 50);
    assert_eq!(file.text().lines().count(), 70);
}

#[test]
fn no_line_is_glued_to_a_torn_one() {
    let file = TempFile::new("torn");
    fs::write(&file.0, "{\"request_id\":\"ab").unwrap();
    let output = Output::File(file.0.clone());
    let log = AccessLog::new(output.clone(), Format::Json, 1.0, &[Field::Reason], &[]);
    let rig = rig(log, 1 << 20);
    rig.writer.switch(Sink::open(&output).unwrap());
    drop(rig.open(clock::now()));
    rig.finish();
    let expected = "{\"request_id\":\"ab\n{\"reason\":\"client_abort\"}\n";
    assert_eq!(file.text(), expected);
}

#[test]
fn heads_come_back_empty_with_their_buffers() {
    let rig = rig(plan(Format::Json), 1 << 20);
    request(rig.open(clock::now()).head_mut(), b"/", b"", b"x");
    let head = rig.journal.take_head();
    assert!(head.bytes().is_empty() && head.fields().is_empty());
    assert!(head.bytes.capacity() > 0);
}

#[test]
fn the_documentation_has_exactly_the_fields_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/access-log.md");
    let page = fs::read_to_string(path).unwrap();
    let (_, rest) = page.split_once("## Fields").unwrap();
    let table = rest.split("\n## ").next().unwrap();
    let documented: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let expected: Vec<&str> = Field::ALL.iter().map(|field| field.as_str()).collect();
    assert_eq!(
        documented, expected,
        "docs/access-log.md and record/plan.rs"
    );
}
