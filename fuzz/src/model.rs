//! The rules of the wire once more: slow, obvious, on whole texts and lists. Written from the rules in
//! `docs/reliability.md` and not from the code in `src/`, so that a slip shows as a difference.

use std::net::Ipv6Addr;

use tidegate::http1::request::HeadLimits;
use tidegate::message::path::{Empty, Policy, Rule};

/// What a text is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict<T> {
    /// Its end is not there.
    Unfinished,
    /// It may not pass, and why.
    Refused(&'static str),
    /// So many bytes are this.
    Accepted(usize, T),
}

/// How long a body is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes.
    Exact(u64),
    /// In chunks.
    Chunked,
}

/// A request head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Head {
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    pub authority: String,
    pub host: String,
    pub body: Body,
    pub fields: Vec<(String, Vec<u8>)>,
    pub http10: bool,
    pub close: bool,
    pub keep_alive: bool,
    pub waits: bool,
    pub websocket: bool,
}

const TOKEN: &str = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| TOKEN.as_bytes().contains(byte))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    (0..text.len()).find(|&at| text[at..].starts_with(what))
}

/// The text between separators.
fn split(text: &[u8], separator: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![];
    let mut rest = text;
    while let Some(at) = find(rest, separator) {
        parts.push(rest[..at].to_vec());
        rest = &rest[at + separator.len()..];
    }
    parts.push(rest.to_vec());
    parts
}

/// Without spaces and tabs around it.
fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let Some(start) = text.iter().position(|byte| !blank(byte)) else {
        return b"";
    };
    let end = text.iter().rposition(|byte| !blank(byte)).unwrap_or(start);
    &text[start..=end]
}

/// Only the text of ASCII without anything invisible.
fn visible(text: &[u8]) -> Option<String> {
    let all = text.iter().all(|byte| (0x21..=0x7e).contains(byte));
    all.then(|| text.iter().copied().map(char::from).collect())
}

/// A request head.
pub fn head(input: &[u8], limits: &HeadLimits) -> Verdict<Head> {
    let mut text = input;
    let mut blank = 0;
    while text.starts_with(b"\r\n") {
        text = &text[2..];
        blank += 1;
    }
    if blank > 2 {
        return Verdict::Refused("blank lines");
    }
    let Some(end) = find(text, b"\r\n\r\n") else {
        return Verdict::Unfinished;
    };
    match whole_head(&text[..end], limits) {
        Ok(head) => Verdict::Accepted(2 * blank + end + 4, head),
        Err(why) => Verdict::Refused(why),
    }
}

fn whole_head(text: &[u8], limits: &HeadLimits) -> Result<Head, &'static str> {
    let lines = split(text, b"\r\n");
    if text_has_stray_end(&lines) {
        return Err("line end");
    }
    let (line, lines) = lines.split_first().ok_or("empty")?;
    let parts = split(line, b" ");
    let [method, target, version] = parts.as_slice() else {
        return Err("request line");
    };
    let http10 = match version.as_slice() {
        b"HTTP/1.0" => true,
        b"HTTP/1.1" => false,
        _ => return Err("version"),
    };
    if !is_token(method) || method.len() > 32 {
        return Err("method");
    }
    if line.len() > limits.request_line {
        return Err("long line");
    }
    let bytes: usize = lines.iter().map(|line| line.len() + 2).sum();
    if bytes > limits.headers || lines.len() > limits.count {
        return Err("large head");
    }
    let mut fields = vec![];
    for line in lines {
        fields.push(field(line)?);
    }
    decide(method, target, http10, fields, limits)
}

fn text_has_stray_end(lines: &[Vec<u8>]) -> bool {
    lines
        .iter()
        .any(|line| line.contains(&b'\r') || line.contains(&b'\n'))
}

/// `name: value`.
fn field(line: &[u8]) -> Result<(String, Vec<u8>), &'static str> {
    let colon = find(line, b":").ok_or("no colon")?;
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    if !is_token(name) || name.len() > 256 {
        return Err("name");
    }
    if value
        .iter()
        .any(|&byte| byte != b'\t' && (byte < b' ' || byte == 0x7f))
    {
        return Err("value");
    }
    let name: String = name.iter().copied().map(char::from).collect();
    Ok((name, value.to_vec()))
}

/// All values of a field.
fn values<'a>(fields: &'a [(String, Vec<u8>)], name: &str) -> Vec<&'a [u8]> {
    fields
        .iter()
        .filter(|(have, _)| have.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_slice())
        .collect()
}

/// The elements of a list, in lower case.
fn list(value: &[u8]) -> Vec<Vec<u8>> {
    split(value, b",")
        .iter()
        .map(|element| trim(element).to_ascii_lowercase())
        .filter(|element| !element.is_empty())
        .collect()
}

/// What Connection may not name.
const STAYS: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "cookie",
    "authorization",
    "cache-control",
    "x-request-id",
    "content-type",
];

fn decide(
    method: &[u8],
    target: &[u8],
    http10: bool,
    fields: Vec<(String, Vec<u8>)>,
    limits: &HeadLimits,
) -> Result<Head, &'static str> {
    let hosts = values(&fields, "host");
    if hosts.len() > 1 || (hosts.is_empty() && !http10) {
        return Err("host");
    }
    let body = framing(&fields, http10)?;
    let mut options = vec![];
    for value in values(&fields, "connection") {
        let tokens = list(value);
        if tokens.len() > 32 {
            return Err("connection");
        }
        options.extend(tokens);
    }
    let has = |option: &str| options.iter().any(|have| have == option.as_bytes());
    for option in &options {
        let name = String::from_utf8_lossy(option);
        let identity =
            name.starts_with("x-forwarded-") || name == "forwarded" || name == "x-real-ip";
        if !is_token(option) || identity || STAYS.contains(&&*name) {
            return Err("connection");
        }
    }
    let expects = values(&fields, "expect");
    if expects
        .iter()
        .any(|value| !value.eq_ignore_ascii_case(b"100-continue"))
    {
        return Err("expect");
    }
    let asks_websocket = values(&fields, "upgrade")
        .iter()
        .any(|value| list(value).contains(&b"websocket".to_vec()));
    let websocket = !http10 && has("upgrade") && asks_websocket;
    if websocket && body != Body::None {
        return Err("upgrade");
    }
    let (named, path_and_query) = split_target(method, target)?;
    let authority = match (named, hosts.first()) {
        (Some(named), Some(host)) => {
            let (named, host) = (authority(named)?, authority(host)?);
            if named.host != host.host || named.port.unwrap_or(80) != host.port.unwrap_or(80) {
                return Err("authority");
            }
            Some(named)
        }
        (Some(named), None) => Some(authority(named)?),
        (None, Some(host)) => Some(authority(host)?),
        (None, None) => None,
    };
    let (raw, query) = match find(path_and_query, b"?") {
        Some(at) => (&path_and_query[..at], Some(&path_and_query[at + 1..])),
        None => (path_and_query, None),
    };
    let query = match query {
        Some(query) => Some(
            visible(query)
                .filter(|query| !query.contains('#'))
                .ok_or("query")?,
        ),
        None => None,
    };
    let path = match raw {
        b"*" => "*".to_owned(),
        b"" => "/".to_owned(),
        raw => path(raw, limits.path).ok_or("path")?,
    };
    Ok(Head {
        method: String::from_utf8_lossy(method).into_owned(),
        path,
        query,
        authority: authority.as_ref().map(Authority::text).unwrap_or_default(),
        host: authority
            .map(|authority| authority.host)
            .unwrap_or_default(),
        body,
        http10,
        close: has("close"),
        keep_alive: has("keep-alive"),
        waits: !http10 && !expects.is_empty(),
        websocket,
        fields,
    })
}

fn framing(fields: &[(String, Vec<u8>)], http10: bool) -> Result<Body, &'static str> {
    let lengths = values(fields, "content-length");
    let codings = values(fields, "transfer-encoding");
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Body::None),
        ([length], []) => match decimal(length) {
            Some(0) => Ok(Body::None),
            Some(length) => Ok(Body::Exact(length)),
            None => Err("content-length"),
        },
        ([], [coding]) if !http10 && coding.eq_ignore_ascii_case(b"chunked") => Ok(Body::Chunked),
        _ => Err("framing"),
    }
}

/// 1 to 19 digits.
fn decimal(text: &[u8]) -> Option<u64> {
    let text = visible(text)?;
    let plain = (1..=19).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// The authority of an absolute target, and path with query.
fn split_target<'a>(
    method: &[u8],
    target: &'a [u8],
) -> Result<(Option<&'a [u8]>, &'a [u8]), &'static str> {
    if method == b"CONNECT" {
        return Err("connect");
    }
    if target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS") {
        return Ok((None, target));
    }
    let lower = target.to_ascii_lowercase();
    if !lower.starts_with(b"http://") {
        return Err("target");
    }
    let rest = &target[7..];
    let end = rest
        .iter()
        .position(|byte| b"/?".contains(byte))
        .unwrap_or(rest.len());
    // RFC 9112, 3.2.4: an authority alone, without a path and a query, asks about the server.
    let behind = match &rest[end..] {
        b"" if method == b"OPTIONS" => b"*",
        behind => behind,
    };
    Ok((Some(&rest[..end]), behind))
}

/// Host and port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authority {
    /// In lower case.
    pub host: String,
    /// Where one is given.
    pub port: Option<u16>,
}

impl Authority {
    /// As it is sent on.
    pub fn text(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }
}

/// Host or the authority of a target.
pub fn authority(raw: &[u8]) -> Result<Authority, &'static str> {
    let text = visible(raw).ok_or("authority")?;
    let (host, rest) = if let Some(inside) = text.strip_prefix('[') {
        let (inside, rest) = inside.split_once(']').ok_or("bracket")?;
        let addr: Ipv6Addr = inside.parse().map_err(|_| "address")?;
        (format!("[{addr}]"), rest.to_owned())
    } else {
        let (name, rest) = match text.split_once(':') {
            Some((name, rest)) => (name, format!(":{rest}")),
            None => (text.as_str(), String::new()),
        };
        (
            name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(),
            rest,
        )
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) => {
            let plain =
                (1..=5).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit());
            let port: u32 = if plain {
                digits.parse().map_err(|_| "port")?
            } else {
                0
            };
            match u16::try_from(port) {
                Ok(port @ 1..) => Some(port),
                _ => return Err("port"),
            }
        }
        None if rest.is_empty() => None,
        None => return Err("after host"),
    };
    let is_name = |label: &str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    if !host.starts_with('[') && (host.len() > 253 || !host.split('.').all(is_name)) {
        return Err("name");
    }
    Ok(Authority { host, port })
}

/// A path, made canonical.
pub fn path(raw: &[u8], policy: Policy) -> Option<String> {
    let text = escapes(raw)?;
    if policy.encoded_slash == Rule::Refuse && text.contains("%2F") {
        return None;
    }
    if policy.parameters == Rule::Refuse && (text.contains(';') || text.contains("%3B")) {
        return None;
    }
    let text = match policy.empty_segments {
        Empty::Refuse if text.contains("//") => return None,
        Empty::Keep | Empty::Refuse => text,
        Empty::Merge => {
            let mut text = text;
            while text.contains("//") {
                text = text.replace("//", "/");
            }
            text
        }
    };
    let segments: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
    let mut kept = vec![];
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if policy.dot_segments == Rule::Refuse {
                    return None;
                }
                if *segment == ".." {
                    kept.pop()?;
                }
                if last {
                    kept.push("");
                }
            }
            other if is_disguised(other) => return None,
            other => kept.push(other),
        }
    }
    Some(format!("/{}", kept.join("/")))
}

/// Escapes of unreserved characters decoded, all others in capitals, what must be escaped escaped.
fn escapes(raw: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        let (byte, escaped) = if byte == b'%' {
            let pair = [bytes.next()?, bytes.next()?];
            if !pair.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            (
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?,
                true,
            )
        } else {
            (byte, false)
        };
        let c = char::from(byte);
        let unreserved = c.is_ascii_alphanumeric() || "-._~".contains(c);
        match (escaped, byte) {
            (_, b'\\') | (true, 0) => return None,
            (true, _) if !unreserved => escape(byte, &mut text),
            (true, _) => text.push(c),
            (false, _) if "\"<>[]^`{|}".contains(c) => escape(byte, &mut text),
            (false, _) if unreserved || "!$&'()*+,;=:@/".contains(c) => text.push(c),
            (false, _) => return None,
        }
    }
    Some(text)
}

fn escape(byte: u8, text: &mut String) {
    let digits = "0123456789ABCDEF".as_bytes();
    for byte in [
        b'%',
        digits[usize::from(byte / 16)],
        digits[usize::from(byte % 16)],
    ] {
        text.push(char::from(byte));
    }
}

/// A dot segment to an origin that cuts parameters or decodes `%2F` first.
fn is_disguised(segment: &str) -> bool {
    segment
        .split("%2F")
        .map(|part| part.replace("%3B", ";"))
        .any(|part| matches!(part.split(';').next(), Some("." | "..")))
}

/// Data and trailer lines of a chunked body.
pub fn chunked(input: &[u8]) -> Verdict<(Vec<u8>, Vec<u8>)> {
    let mut at = 0;
    let mut data = vec![];
    let mut extensions = 0;
    loop {
        let Some(end) = find(&input[at..], b"\r\n") else {
            return Verdict::Unfinished;
        };
        let line = &input[at..at + end];
        at += end + 2;
        let (digits, extension) = match find(line, b";") {
            Some(semicolon) => (&line[..semicolon], Some(&line[semicolon + 1..])),
            None => (line, None),
        };
        if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Verdict::Refused("size");
        }
        if let Some(extension) = extension {
            extensions += extension.len();
            let bad = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
            if extension.len() > 256 || extensions > 16 * 1024 || extension.iter().any(bad) {
                return Verdict::Refused("extension");
            }
        }
        let digits: String = digits.iter().copied().map(char::from).collect();
        let size = u64::from_str_radix(&digits, 16).unwrap_or(u64::MAX);
        if size == 0 {
            break;
        }
        let left = (input.len() - at) as u64;
        if left < size || left - size < 2 {
            return Verdict::Unfinished;
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        data.extend_from_slice(&input[at..at + size]);
        at += size;
        if !input[at..].starts_with(b"\r\n") {
            return Verdict::Refused("after data");
        }
        at += 2;
    }
    let mut trailers = vec![];
    loop {
        let Some(end) = find(&input[at..], b"\r\n") else {
            return Verdict::Unfinished;
        };
        let line = &input[at..at + end];
        at += end + 2;
        if line.is_empty() {
            return Verdict::Accepted(at, (data, trailers));
        }
        let bad = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        if line[0] <= b' ' || line[0] >= 0x7f || line.iter().any(bad) {
            return Verdict::Refused("trailer");
        }
        trailers.extend_from_slice(line);
        trailers.extend_from_slice(b"\r\n");
        if trailers.len() > 4 * 1024 {
            return Verdict::Refused("trailers");
        }
    }
}
