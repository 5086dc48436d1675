//! What a head that is not served was about, as far as can be told: for the log alone. Who reads of a refusal asks first
//! which request it was.

use crate::message::head::Text;
use crate::message::hops::is_token;
use crate::message::method::MAX_METHOD;
use crate::message::{Method, RequestHead, Span, Version};

/// As much of a head is looked at, in bytes: what it asks for stands at its beginning, and who is refused shall not fill the log.
const MOST: usize = 2048;

/// Names what stands in `input`, which begins with a head that was refused or never came whole, where `head` has no
/// name for it. What cannot be told stays unknown: a method that is no token, and of a target or a Host what is behind a byte
/// that is no visible ASCII. Nothing may be served by what is found.
#[cold]
pub fn glimpse(input: &[u8], head: &mut RequestHead) {
    if head.bytes.is_empty() {
        let blank = input.iter().take_while(|byte| b"\r\n".contains(byte));
        let rest = input.iter().skip(blank.count()).take(MOST);
        head.bytes.extend(rest);
        // Theirs are places in all of it.
        head.fields.clear();
    }
    let bytes = head.bytes.get(..MOST).unwrap_or(&head.bytes);
    let first = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let Some(method) = memchr::memchr(b' ', first) else {
        return;
    };
    let token = first.get(..method).unwrap_or_default();
    let is_method = (1..=MAX_METHOD).contains(&method) && token.iter().all(|&byte| is_token(byte));
    if !is_method {
        return;
    }
    if head.method_token.is_empty() {
        head.version = match first.trim_ascii_end() {
            [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'] => Version::Http10,
            _ => Version::Http11,
        };
        head.method = Method::of(token);
        head.method_token = Span::new(0, method);
    }
    let target = visible(first, method + 1);
    let (path, query) = split(first, target);
    let host = host(bytes, first.len() + 1);
    if matches!(head.path, Text::Absent) {
        (head.path, head.query) = (path, query);
    }
    if matches!(head.host, Text::Absent) {
        head.host = host;
    }
}

/// What begins there, up to what is no visible ASCII.
fn visible(bytes: &[u8], start: usize) -> Span {
    let rest = bytes.get(start..).unwrap_or_default();
    let len = rest.iter().take_while(|byte| byte.is_ascii_graphic());
    Span::new(start, start + len.count())
}

fn text(span: Span) -> Text {
    match span.len() {
        0 => Text::Absent,
        _ => Text::Raw(span),
    }
}

/// The path and the query of a target.
fn split(line: &[u8], target: Span) -> (Text, Text) {
    let bytes = target.of(line);
    let start = target.start as usize;
    match memchr::memchr(b'?', bytes) {
        Some(at) => (
            text(Span::new(start, start + at)),
            text(Span::new(start + at + 1, target.end as usize)),
        ),
        None => (text(target), Text::Absent),
    }
}

/// The first Host of the lines that begin there.
fn host(bytes: &[u8], mut start: usize) -> Text {
    const NAME: &[u8] = b"host:";
    while let Some(rest) = bytes.get(start..).filter(|rest| !rest.is_empty()) {
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let is_host = line
            .get(..NAME.len())
            .is_some_and(|name| name.eq_ignore_ascii_case(NAME));
        if is_host {
            let blank = line
                .iter()
                .skip(NAME.len())
                .take_while(|byte| b" \t".contains(byte));
            return text(visible(bytes, start + NAME.len() + blank.count()));
        }
        start += line.len() + 1;
    }
    Text::Absent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(input: &[u8]) -> [String; 4] {
        let mut head = RequestHead::default();
        glimpse(input, &mut head);
        let query = head.query().unwrap_or_default().to_vec();
        [
            head.method_token().to_vec(),
            head.path().to_vec(),
            query,
            head.host().to_vec(),
        ]
        .map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn what_can_be_told_is_told() {
        let whole =
            b"\r\nPUT /a?b=1 HTTP/1.1\r\nBad Name: 1\r\nHOST: \tshop.example:81 \r\n\r\nHost: x";
        assert_eq!(seen(whole), ["PUT", "/a", "b=1", "shop.example:81"]);
        assert_eq!(seen(b"GET /part"), ["GET", "/part", "", ""]);
        assert_eq!(
            seen(b"GET  /twice HTTP/1.1\r\nHost: h\r\n"),
            ["GET", "", "", "h"]
        );
        assert_eq!(seen(b"GET /nul\0l HTTP/1.1\n"), ["GET", "/nul", "", ""]);
        assert_eq!(seen(b"GET"), ["", "", "", ""]);
        assert_eq!(seen(b"\x16\x03\x01 \n"), ["", "", "", ""]);
        assert_eq!(seen(b""), ["", "", "", ""]);
    }

    #[test]
    fn what_is_known_stays() {
        let mut head = RequestHead::default();
        head.bytes
            .extend(b"GET http://a/%41?q HTTP/1.1\r\nHost: a\r\n");
        head.method_token = Span::new(0, 3);
        head.path = Text::Raw(Span::new(12, 13));
        glimpse(b"PUT /else HTTP/1.0\r\n", &mut head);
        assert_eq!(
            (head.method_token(), head.path(), head.host()),
            (&b"GET"[..], &b"/"[..], &b"a"[..])
        );
        assert_eq!(head.query(), None);
    }

    #[test]
    fn it_is_short() {
        let long = [b"GET /".to_vec(), vec![b'x'; 9000]].concat();
        let mut head = RequestHead::default();
        glimpse(&long, &mut head);
        assert_eq!(head.path().len(), MOST - 4);
        head.clear();
        head.bytes = long;
        glimpse(b"", &mut head);
        assert_eq!(head.path().len(), MOST - 4);
    }

    #[test]
    fn whatever_comes_is_looked_at() {
        let mut rng = fastrand::Rng::with_seed(4);
        for _ in 0..20_000 {
            let from = b"GET / HTTP/1.1\r\nHost: \t\0\xff:?x\n";
            let bytes: Vec<u8> = (0..rng.usize(..90))
                .map(|_| *rng.choice(from).unwrap())
                .collect();
            let mut head = RequestHead::default();
            glimpse(&bytes, &mut head);
            let visible = |text: &[u8]| text.iter().all(u8::is_ascii_graphic);
            assert!(visible(head.path()) && visible(head.host()) && visible(head.method_token()));
        }
    }
}
