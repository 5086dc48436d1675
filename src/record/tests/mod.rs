mod line;
mod output;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::queue::Queue;
use super::sink::Test;
use super::*;
use crate::base::clock::{self, Instant};
use crate::base::{ClusterName, Detail, ListenerName, Phase, Reason, RouteName};
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
        care: message::Care::Usual,
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
        care: message::Care::Usual,
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
