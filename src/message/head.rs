//! Request and response heads.

use super::authority::{self, Form};
use super::field::{Care, Field, Known, Span};
use super::framing::BodyLength;
use super::hops::Hops;
use super::method::{Method, Version};
use super::path::{self, Canonical, Policy};
use crate::base::Detail;

/// A text that stands in the received bytes or, where it had to be changed, in a buffer beside them.
#[derive(Clone, Copy, Debug, Default)]
pub enum Text {
    /// As received.
    Raw(Span),
    /// Made canonical.
    Made(Span),
    /// Not there.
    #[default]
    Absent,
}

/// What the client waits for before it sends its body.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Expect {
    /// Nothing: the body follows at once.
    #[default]
    Nothing,
    /// A `100 Continue` (RFC 9110, 10.1.1).
    Continue,
}

/// The protocol that a client asks to change to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Upgrade {
    /// None, or one that is not carried: the request is answered as a plain one.
    #[default]
    None,
    /// RFC 6455.
    WebSocket,
}

/// One request head. Its buffers are reused from exchange to exchange.
#[derive(Debug)]
pub struct RequestHead {
    /// The head as received, request line to the empty line.
    pub(crate) bytes: Vec<u8>,
    /// Texts that differ from what was received.
    pub(crate) made: Vec<u8>,
    /// The fields in the order of their arrival.
    pub(crate) fields: Vec<Field>,
    pub(crate) method: Method,
    pub(crate) method_token: Span,
    pub(crate) version: Version,
    pub(crate) path: Text,
    /// The path as received; empty for `*` and where an absolute target has none.
    pub(crate) raw_path: Span,
    pub(crate) query: Text,
    pub(crate) authority: Text,
    pub(crate) host: Text,
    pub(crate) body: BodyLength,
    pub(crate) hops: Hops,
    pub(crate) expect: Expect,
    pub(crate) upgrade: Upgrade,
}

impl Default for RequestHead {
    fn default() -> Self {
        Self::NONE
    }
}

impl RequestHead {
    /// One of which nothing is known.
    pub const NONE: Self = Self {
        bytes: Vec::new(),
        made: Vec::new(),
        fields: Vec::new(),
        method: Method::Other,
        method_token: Span { start: 0, end: 0 },
        version: Version::Http11,
        path: Text::Absent,
        raw_path: Span { start: 0, end: 0 },
        query: Text::Absent,
        authority: Text::Absent,
        host: Text::Absent,
        body: BodyLength::None,
        hops: Hops {
            close: false,
            keep_alive: false,
            upgrade: false,
            named: false,
        },
        expect: Expect::Nothing,
        upgrade: Upgrade::None,
    };

    /// Forgets everything but the allocations.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.made.clear();
        self.fields.clear();
        self.method = Method::Other;
        self.method_token = Span::default();
        self.version = Version::Http11;
        self.path = Text::Absent;
        self.raw_path = Span::default();
        self.query = Text::Absent;
        self.authority = Text::Absent;
        self.host = Text::Absent;
        self.body = BodyLength::None;
        self.hops = Hops::default();
        self.expect = Expect::Nothing;
        self.upgrade = Upgrade::None;
    }

    /// Bytes that its buffers take.
    pub fn weight(&self) -> usize {
        self.bytes.capacity() + self.made.capacity() + self.fields.capacity() * size_of::<Field>()
    }

    /// Splits a target in `bytes` into path and query, and makes the path canonical. Without a path it is the root's
    /// (RFC 9110, 4.2.3).
    pub(crate) fn set_path_and_query(
        &mut self,
        target: Span,
        policy: Policy,
    ) -> Result<(), Detail> {
        let text = target.of(&self.bytes);
        let path_len = memchr::memchr(b'?', text).unwrap_or(text.len());
        let path_end = target.start as usize + path_len;
        if path_len < text.len() {
            let query = Span::new(path_end + 1, target.end as usize);
            path::check_query(query.of(&self.bytes)).map_err(|_| Detail::Target)?;
            self.query = Text::Raw(query);
        }
        self.raw_path = Span::new(target.start as usize, path_end);
        let from = self.made.len();
        self.path = match self.raw_path.of(&self.bytes) {
            [] => {
                self.made.push(b'/');
                Text::Made(Span::new(from, self.made.len()))
            }
            raw => match path::canonicalise(raw, policy, &mut self.made)? {
                Canonical::AsIs => Text::Raw(self.raw_path),
                Canonical::Made => Text::Made(Span::new(from, self.made.len())),
            },
        };
        Ok(())
    }

    /// The target is `*`: the server as a whole.
    pub(crate) fn set_asterisk(&mut self, target: Span) {
        self.path = Text::Raw(target);
    }

    /// The same where the target says so by an authority and nothing else (RFC 9112, 3.2.4).
    pub(crate) fn make_asterisk(&mut self) {
        let from = self.made.len();
        self.made.push(b'*');
        self.path = Text::Made(Span::new(from, self.made.len()));
    }

    /// Makes the authority in `bytes` canonical.
    pub(crate) fn set_authority(&mut self, span: Span) -> Result<(), Detail> {
        let raw = span.of(&self.bytes);
        let parsed = authority::parse(raw)?;
        if parsed.form == Form::Canonical {
            let start = span.start;
            self.authority = Text::Raw(span);
            self.host = Text::Raw(Span {
                start: start + parsed.host.start,
                end: start + parsed.host.end,
            });
        } else {
            let made = parsed.make(raw, &mut self.made);
            self.authority = Text::Made(made.authority);
            self.host = Text::Made(made.host);
        }
        Ok(())
    }

    fn text(&self, text: Text) -> &[u8] {
        match text {
            Text::Raw(span) => span.of(&self.bytes),
            Text::Made(span) => span.of(&self.made),
            Text::Absent => &[],
        }
    }

    /// The head as received; empty before anything was parsed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as it was written.
    pub fn method_token(&self) -> &[u8] {
        self.method_token.of(&self.bytes)
    }

    /// The version of the protocol.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The canonical path, without the query. Begins with `/`, or is `*` (OPTIONS).
    pub fn path(&self) -> &[u8] {
        self.text(self.path)
    }

    /// Whether the path as it was received may stand under a stricter policy than the listener's.
    pub fn path_allowed(&self, policy: Policy) -> bool {
        match self.raw_path.of(&self.bytes) {
            [] => true,
            raw => path::canonicalise(raw, policy, &mut Vec::new()).is_ok(),
        }
    }

    /// What stands after `?`, as received; `None` without a `?`.
    pub fn query(&self) -> Option<&[u8]> {
        match self.query {
            Text::Absent => None,
            text => Some(self.text(text)),
        }
    }

    /// The authority as the endpoint gets it in Host: host in lower case, with port if one was given.
    pub fn authority(&self) -> &[u8] {
        self.text(self.authority)
    }

    /// The host for matching: lower case, no port, no trailing dot. Empty for an HTTP/1.0 request
    /// without Host.
    pub fn host(&self) -> &[u8] {
        self.text(self.host)
    }

    /// How long the body is.
    pub fn body(&self) -> BodyLength {
        self.body
    }

    /// What its Connection fields say.
    pub fn hops(&self) -> Hops {
        self.hops
    }

    /// Whether the client waits before it sends its body.
    pub fn expect(&self) -> Expect {
        self.expect
    }

    /// The protocol that the client asks to change to.
    pub fn upgrade(&self) -> Upgrade {
        self.upgrade
    }

    /// The fields in the order of their arrival.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Bytes of the fields, as lines of HTTP/1.
    pub fn fields_len(&self) -> u64 {
        let line = |field: &Field| field.name.len() + field.value.len() + ": \r\n".len();
        self.fields.iter().map(|field| line(field) as u64).sum()
    }

    /// A field's name as received.
    pub fn name(&self, field: &Field) -> &[u8] {
        field.name.of(&self.bytes)
    }

    /// A field's value.
    pub fn value(&self, field: &Field) -> &[u8] {
        field.value.of(&self.bytes)
    }

    /// Whether any field may be remembered by nobody.
    pub fn has_guarded(&self) -> bool {
        self.fields.iter().any(Field::is_guarded)
    }

    /// Whether a field of this name, in any case, may be remembered by nobody.
    pub fn guards(&self, name: &[u8]) -> bool {
        let mut guarded = self.fields.iter().filter(|field| field.is_guarded());
        guarded.any(|field| self.name(field).eq_ignore_ascii_case(name))
    }

    /// Fields of the names that `other` wants remembered by nobody are remembered by nobody.
    pub fn guard_as(&mut self, other: &Self) {
        if other.has_guarded() {
            for field in &mut self.fields {
                if other.guards(field.name.of(&self.bytes)) {
                    field.care = Care::NeverIndexed;
                }
            }
        }
    }

    /// The first value of a known field.
    pub fn first(&self, known: Known) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|field| field.known == known)
            .map(|field| self.value(field))
    }

    /// Every value of a field, by name in any case.
    pub fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |field| self.name(field).eq_ignore_ascii_case(name))
            .map(|field| self.value(field))
    }
}

/// One response head, borrowed from the buffer that it was read into.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The head as received.
    pub bytes: &'a [u8],
    /// The fields in the order of their arrival.
    pub fields: &'a [Field],
    /// 100-999.
    pub status: u16,
    /// The reason phrase as received; often empty.
    pub phrase: Span,
    /// The version of the endpoint's protocol.
    pub version: Version,
    /// How long the body is.
    pub body: BodyLength,
    /// What its Connection fields say.
    pub hops: Hops,
}

impl<'a> ResponseHead<'a> {
    /// One of these fields, with a body that is there as a whole.
    pub fn whole(status: u16, bytes: &'a [u8], fields: &'a [Field], body: &[u8]) -> Self {
        Self {
            bytes,
            fields,
            status,
            phrase: Span::default(),
            version: Version::Http11,
            body: BodyLength::Exact(body.len() as u64),
            hops: Hops::default(),
        }
    }

    /// A field's name as received.
    pub fn name(&self, field: &Field) -> &'a [u8] {
        field.name.of(self.bytes)
    }

    /// A field's value.
    pub fn value(&self, field: &Field) -> &'a [u8] {
        field.value.of(self.bytes)
    }

    /// Every value of a field, by name in any case.
    pub fn values<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let (bytes, fields) = (self.bytes, self.fields);
        fields
            .iter()
            .filter(move |field| field.name.of(bytes).eq_ignore_ascii_case(name))
            .map(move |field| field.value.of(bytes))
    }

    /// The first value of a known field.
    pub fn first(&self, known: Known) -> Option<&'a [u8]> {
        self.fields
            .iter()
            .find(|field| field.known == known)
            .map(|field| self.value(field))
    }
}

#[cfg(test)]
impl RequestHead {
    /// The same with one more field, as a codec would have read it.
    pub(crate) fn with_field(mut self, name: &str, value: &str) -> Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value.as_bytes());
        self.fields.push(Field {
            name: Span::new(start, middle),
            value: Span::new(middle, self.bytes.len()),
            line_end: 0,
            known: Known::of(name.as_bytes()),
            care: Care::Usual,
        });
        self
    }
}
