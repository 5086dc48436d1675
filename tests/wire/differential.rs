//! Our parser against llhttp and h11 on the same bytes: what we take they take for the same, and what we refuse and
//! they take is a list that `docs/wire.md` holds.
//!
//! `UPDATE=1 cargo test --test wire` writes the lists anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use tidegate::base::Detail;
use tidegate::http1::body::{BodyReader, More};
use tidegate::http1::limits::BodyLimits;
use tidegate::http1::request::{Progress, parse};
use tidegate::message::RequestHead;

use super::framing::{self, Expect};
use super::generate::Pieces;
use super::peers::{Message, Verdict, ask};
use super::root;
use super::wire::checks::LIMITS;

const PAGE: &str = "docs/wire.md";
const BEGIN: &str = "<!-- Made by `UPDATE=1 cargo test --test wire`. -->\n";
const END: &str = "<!-- Here ends what is made. -->\n";

/// What we make of the first request of an input.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Ours {
    Refused(&'static str),
    Partial,
    Taken(Message),
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn ours(input: &[u8]) -> Ours {
    let mut head = RequestHead::default();
    let used = match parse(input, &LIMITS, &mut head) {
        Ok(Progress::Complete(used)) => used,
        Ok(Progress::Partial) => return Ours::Partial,
        Err(error) if error.detail() == Detail::None => {
            return Ours::Refused(error.reason().as_str());
        }
        Err(error) => return Ours::Refused(error.detail().as_str()),
    };
    let mut rest = input[used..].to_vec();
    let mut body = BodyReader::new(head.body(), BodyLimits::DEFAULT);
    let len = rest.len();
    let decoded = match body.decode(&mut rest, 0, len) {
        Ok(decoded) if decoded.more == More::Ended => decoded,
        Ok(_) => return Ours::Partial,
        Err(detail) => return Ours::Refused(detail.as_str()),
    };
    if let Err(detail) = body.passing() {
        return Ours::Refused(detail.as_str());
    }
    let line = head.bytes().split(|&byte| byte == b'\r').next().unwrap();
    let mut parts = line.split(|&byte| byte == b' ').skip(1).map(text);
    let (target, version) = (parts.next().unwrap(), parts.next().unwrap());
    Ours::Taken(Message {
        method: text(head.method_token()),
        target,
        version: version.replace("HTTP/", ""),
        fields: head
            .fields()
            .iter()
            .map(|field| {
                (
                    text(head.name(field)).to_ascii_lowercase(),
                    text(head.value(field)),
                )
            })
            .collect(),
        body: text(&rest[..decoded.data]),
    })
}

/// The framing table, and heads with bodies that are nearly right.
fn inputs() -> Vec<Vec<u8>> {
    let mut groups = framing::heads();
    groups.push(framing::bodies());
    let rows = groups.into_iter().flat_map(|group| group.rows);
    let mut inputs: Vec<Vec<u8>> = rows.map(|row| row.bytes).collect();
    let mut pieces = Pieces::new(4);
    for _ in 0..4_000 {
        let mut input = pieces.head();
        input.extend(pieces.chunked().split_off(1));
        inputs.push(input);
    }
    inputs
}

/// The table holds for the parser alone: what it says of a row is what the proxy does with it.
#[test]
fn the_framing_table_holds_for_the_parser() {
    let mut groups = framing::heads();
    groups.push(framing::bodies());
    for group in groups {
        assert!(group.rows.len() >= group.least, "{}", group.name);
        for row in group.rows {
            let mut head = RequestHead::default();
            let parsed = parse(&row.bytes, &LIMITS, &mut head);
            match (&row.expect, parsed) {
                (Expect::Refused { status, detail }, Err(error)) => {
                    let said = error.reason().status(error.detail());
                    assert!(status.contains(&said), "{}: {said}", row.name);
                    let said = error.detail().as_str();
                    assert!(detail.is_empty() || *detail == said, "{}: {said}", row.name);
                }
                (Expect::Forwarded { line, body, field }, Ok(Progress::Complete(_))) => {
                    let query = head.query().map(|query| format!("?{}", text(query)));
                    let (method, path) = (text(head.method_token()), text(head.path()));
                    let query = query.unwrap_or_default();
                    assert_eq!(
                        &format!("{method} {path}{query} HTTP/1.1"),
                        line,
                        "{}",
                        row.name
                    );
                    let Ours::Taken(message) = ours(&row.bytes) else {
                        panic!("{}: {:?}", row.name, ours(&row.bytes));
                    };
                    assert_eq!(message.body, text(body), "{}", row.name);
                    if let Some((name, value)) = field.as_ref().filter(|(name, _)| name != "host") {
                        assert!(
                            message.fields.contains(&(name.clone(), value.clone())),
                            "{}",
                            row.name
                        );
                    }
                }
                // The rest of these has no end, or is refused behind the head.
                (Expect::Refused { .. }, Ok(_)) => {
                    assert!(!matches!(ours(&row.bytes), Ours::Taken(_)), "{}", row.name);
                }
                (expect, parsed) => {
                    panic!("{}: {parsed:?} where the table says {expect:?}", row.name)
                }
            }
        }
    }
}

/// An input for people: in one cell of a table.
fn shown(input: &[u8]) -> String {
    let text = input.escape_ascii().to_string();
    let text: String = match text.char_indices().nth(110) {
        Some((at, _)) => format!("{} …", &text[..at]),
        None => text,
    };
    format!("`{}`", text.replace('|', "\\|").replace('`', "'"))
}

/// An example for each key, the shortest.
#[derive(Default)]
struct Examples(BTreeMap<String, Vec<u8>>);

impl Examples {
    fn add(&mut self, key: String, input: &[u8]) {
        let known = self.0.entry(key).or_insert_with(|| input.to_vec());
        if input.len() < known.len() {
            *known = input.to_vec();
        }
    }

    fn rows(&self) -> String {
        let mut rows = String::new();
        for (key, input) in &self.0 {
            writeln!(rows, "| {key} | {} |", shown(input)).unwrap();
        }
        rows
    }
}

#[test]
fn what_passes_here_passes_there_as_the_same() {
    let inputs = inputs();
    let verdicts = ask(&inputs);
    let mut faults = vec![];
    let (mut stricter, mut looser) = (Examples::default(), Examples::default());
    let (mut taken, mut refused) = (0, 0);
    for (input, theirs) in inputs.iter().zip(&verdicts) {
        let ours = ours(input);
        match &ours {
            Ours::Taken(_) => taken += 1,
            Ours::Refused(_) => refused += 1,
            Ours::Partial => {}
        }
        for (peer, verdict) in [("llhttp", &theirs.llhttp), ("h11", &theirs.h11)] {
            match (&ours, verdict) {
                (Ours::Taken(ours), Verdict::Taken(theirs)) if same(ours, theirs) => {}
                (Ours::Taken(_), Verdict::Refused { refused }) => {
                    looser.add(format!("{peer} | {}", refused.replace('|', "\\|")), input);
                }
                (Ours::Refused(detail), Verdict::Taken(_)) => {
                    stricter.add(format!("`{detail}` | {peer}"), input);
                }
                (Ours::Refused(_), _)
                | (Ours::Partial, Verdict::Partial { .. } | Verdict::Refused { .. }) => {}
                (ours, theirs) => faults.push(format!(
                    "{}\n  here {ours:?}\n  {peer} {theirs:?}",
                    input.escape_ascii()
                )),
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{}:\n{}",
        faults.len(),
        faults[..faults.len().min(20)].join("\n")
    );
    assert!(
        taken > 1000 && refused > 1000,
        "{taken} taken, {refused} refused"
    );
    let lists = format!(
        "\nRefused here, taken there:\n\n| `detail` or `reason` here | taken by | for example |\n|---|---|---|\n{}\n\
         Taken here, refused there:\n\n| refused by | it says | for example |\n|---|---|---|\n{}\n",
        stricter.rows(),
        looser.rows(),
    );
    hold(&lists);
}

/// h11 writes codings in lower case.
fn same(ours: &Message, theirs: &Message) -> bool {
    let plain = |message: &Message| {
        let mut plain = message.clone();
        for (name, value) in &mut plain.fields {
            if name == "transfer-encoding" {
                value.make_ascii_lowercase();
            }
        }
        plain
    };
    plain(ours) == plain(theirs)
}

/// The lists of the page are these; examples may be others.
fn hold(lists: &str) {
    let path = root(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (kept, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{head}{BEGIN}{lists}{END}{tail}")).unwrap();
        return;
    }
    let keys = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|line| line.starts_with('|'));
        rows.filter_map(|row| {
            row.split(" | ")
                .take(2)
                .map(str::to_owned)
                .reduce(|a, b| a + " | " + &b)
        })
        .collect()
    };
    assert_eq!(keys(kept), keys(lists), "{PAGE}");
}
