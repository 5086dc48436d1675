//! Inputs that are nearly right: put together from pieces, then sometimes damaged in a byte or two.

/// A seeded source of inputs.
pub struct Pieces {
    rng: fastrand::Rng,
}

const METHODS: &[&str] = &[
    "GET", "GET", "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT",
    "FOO", "get", "M-SEARCH",
];
const AUTHORITIES: &[&str] = &[
    "a.example",
    "a.example",
    "a.example",
    "A.Example.",
    "a.example:80",
    "a.example:080",
    "b.example:8080",
    "127.0.0.1",
    "[::1]",
    "[0:0::1]:80",
    "[::1%25eth0]",
    "a_b-c",
    "u@a.example",
    "a,b",
    "",
    "a:0",
    "a..b",
    "a:99999",
];
const SEGMENTS: &[&str] = &[
    "a",
    "b",
    "index.html",
    "",
    ".",
    "..",
    "...",
    "%2e",
    "%2E%2e",
    ".%2e",
    "a;p=1",
    "..;x",
    ".%3bx",
    "%2F",
    "a%2fb",
    "..%2fx",
    "%41",
    "%7e",
    "%c3%a9",
    "%25",
    "%252e",
    "{x}",
    "[1]",
    "a|b",
    "~",
    "@a:b",
    "!$&'()*+,=",
];
const BAD_SEGMENTS: &[&str] = &[
    "%00", "%5C", "\\", "%", "%4", "%zz", "#", "\u{e9}", "a b", "\u{7f}",
];
const FIELDS: &[&str] = &[
    "Content-Length: 0",
    "Content-Length: 5",
    "content-length: 007",
    "Transfer-Encoding: chunked",
    "transfer-encoding:\tChunked ",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: close, X-Hop",
    "X-Hop: 1",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Upgrade: h2c, WebSocket",
    "Expect: 100-continue",
    "Accept: */*",
    "Cookie: a=b; c=d",
    "X:",
    "X: a\tb",
    "User-Agent: x y z",
    "X-Forwarded-For: 1.2.3.4",
    "X_Forwarded_For: 1.2.3.4",
    "Forwarded: for=1.2.3.4",
    "X-Real-IP: 1.2.3.4",
    "x-forwarded-user: me",
    "TE: trailers",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: close",
    "Referer: http://a/",
    "a!#$%&'*+.^_`|~b: c",
];
const BAD_FIELDS: &[&str] = &[
    "Content-Length: +5",
    "Content-Length: 5, 5",
    "Content-Length:",
    "Content-Length : 5",
    "Content-Length: 0x5",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding:",
    " fold: x",
    "\tfold",
    ": x",
    "no colon",
    "Expect: 200-ok",
    "Connection: host",
    "Connection: x-forwarded-for",
    "Connection: a b",
    "Host: a.example",
    "X: \u{0}",
    "X: \rY: z",
    "a b: c",
    "X\u{e9}: y",
];
/// Bytes that parsers differ on.
const BYTES: &[u8] = b"\r\n\r\n\t  :;,\0\x0b\x0c\x7f\x80\xff%./\\?#@[]0a_";

impl Pieces {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.rng.usize(..from.len())]
    }

    /// Once in so many times.
    fn once_in(&mut self, times: u32) -> bool {
        self.rng.u32(..times) == 0
    }

    /// Changes, adds or takes away a byte or two, once in a while.
    fn damage(&mut self, text: &mut Vec<u8>) {
        if !self.once_in(3) {
            return;
        }
        for _ in 0..self.rng.usize(1..3) {
            if text.is_empty() {
                return;
            }
            let at = self.rng.usize(..text.len());
            let byte = BYTES[self.rng.usize(..BYTES.len())];
            match self.rng.u32(..4) {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                2 => drop(text.remove(at)),
                _ => text.truncate(at),
            }
        }
    }

    /// A path, raw.
    pub fn path(&mut self) -> Vec<u8> {
        let mut path = String::new();
        for _ in 0..self.rng.usize(1..6) {
            path.push('/');
            path.push_str(self.pick(SEGMENTS));
            if self.once_in(40) {
                path.push_str(self.pick(BAD_SEGMENTS));
            }
        }
        let mut path = path.into_bytes();
        if self.once_in(4) {
            self.damage(&mut path);
        }
        path
    }

    /// A request head.
    pub fn head(&mut self) -> Vec<u8> {
        let mut head = vec![];
        while self.once_in(12) {
            head.extend_from_slice(b"\r\n");
        }
        let authority = self.pick(AUTHORITIES);
        head.extend_from_slice(self.pick(METHODS).as_bytes());
        head.push(b' ');
        match self.rng.u32(..12) {
            0 => head.push(b'*'),
            1 | 2 => {
                head.extend_from_slice(
                    self.pick(&["http://", "HTTP://", "https://", "http:/"])
                        .as_bytes(),
                );
                let other = self.pick(AUTHORITIES);
                head.extend_from_slice(if self.once_in(3) { other } else { authority }.as_bytes());
            }
            _ => head.push(b'/'),
        }
        if !self.once_in(3) {
            if head.ends_with(b"/") {
                head.pop();
            }
            head.extend(self.path());
        }
        if self.once_in(3) {
            head.extend_from_slice(self.pick(&["?", "?q=1", "?a=/../%zz", "?x?y"]).as_bytes());
        }
        head.extend_from_slice(
            self.pick(&[" HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.0"])
                .as_bytes(),
        );
        head.extend_from_slice(b"\r\n");
        if !self.once_in(15) {
            let name = self.pick(&["Host: ", "host:", "HOST:\t"]);
            head.extend_from_slice(format!("{name}{authority}\r\n").as_bytes());
        }
        for _ in 0..self.rng.usize(..5) {
            let bad = self.once_in(25);
            head.extend_from_slice(self.pick(if bad { BAD_FIELDS } else { FIELDS }).as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        if self.once_in(6) {
            head.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        }
        if self.once_in(3) {
            self.damage(&mut head);
        }
        head
    }

    /// A chunked body, behind a byte that says how it is cut into reads.
    pub fn chunked(&mut self) -> Vec<u8> {
        let mut body = vec![self.rng.u8(..)];
        for _ in 0..self.rng.usize(..4) {
            let len = self.rng.usize(1..40);
            let zeros = "0".repeat(self.rng.usize(..3));
            let extension = self.pick(&["", "", "", ";a", ";a=b;c=\"d\"", "; x=y", ";"]);
            body.extend_from_slice(format!("{zeros}{len:x}{extension}\r\n").as_bytes());
            body.extend((0..len).map(|_| BYTES[self.rng.usize(..BYTES.len())]));
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(self.pick(&["0\r\n", "0\r\n", "00;x\r\n"]).as_bytes());
        for _ in 0..self.rng.usize(..3) {
            let lines = [
                "Server-Timing: db\r\n",
                "X: y\r\n",
                "Host: x\r\n",
                "ETag:\r\n",
                "no colon\r\n",
            ];
            body.extend_from_slice(self.pick(&lines).as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        if self.once_in(6) {
            body.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        }
        let mut rest = body.split_off(1);
        self.damage(&mut rest);
        self.damage(&mut rest);
        body.extend(rest);
        body
    }
}
