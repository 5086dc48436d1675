//! Redirects.

use bytes::Bytes;

use crate::base::Reason;
use crate::filter::Reply;
use crate::message::RequestHead;
use crate::message::forwarded::Proto;
use crate::message::prefix::NewPrefix;

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// http
    Http,
    /// https
    Https,
}

impl From<Proto> for Scheme {
    /// The one by which a client asked.
    fn from(asked: Proto) -> Self {
        match asked {
            Proto::Http => Self::Http,
            Proto::Https => Self::Https,
        }
    }
}

impl Scheme {
    /// As it stands before `://`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL that names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// What a redirect does with the query.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Query {
    /// It stands in the new URL as it was asked for.
    #[default]
    Keep,
    /// It is left out.
    Drop,
}

/// What a redirect does with the path. Paths of the configuration are canonical.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum NewPath {
    /// It stands in the new URL as it was asked for.
    #[default]
    Keep,
    /// Another takes its place.
    Whole(Box<[u8]>),
    /// The route's `path_prefix` gives way to another prefix.
    Prefix(NewPrefix),
}

/// Sends the client to another URL. What is `None` stays as it was asked for, but a port is kept only where
/// neither scheme nor host change: it belongs to them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The new scheme.
    pub scheme: Option<Scheme>,
    /// The new host, canonical.
    pub host: Option<Box<str>>,
    /// The new port.
    pub port: Option<u16>,
    /// The new path.
    pub path: NewPath,
    /// What becomes of the query.
    pub query: Query,
}

impl Redirect {
    /// The answer to this request, which came by this scheme.
    pub fn reply(&self, head: &RequestHead, asked: Scheme) -> Reply {
        let mut location = Vec::with_capacity(128);
        self.write_location(head, asked, &mut location);
        let fields = [(b"location".as_slice(), location.as_slice())];
        Reply::new(self.status, Reason::LocalReply, fields, Bytes::new())
    }

    /// Appends the URL. Each part comes from the configuration or from the canonical head, both of which were
    /// validated byte by byte, and nothing is decoded on the way (E-040).
    pub fn write_location(&self, head: &RequestHead, asked: Scheme, out: &mut Vec<u8>) {
        let scheme = self.scheme.unwrap_or(asked);
        let host = self
            .host
            .as_deref()
            .map_or_else(|| head.host(), str::as_bytes);
        let mut replaced = Vec::new();
        let path = match &self.path {
            NewPath::Keep => head.path(),
            NewPath::Whole(path) => path,
            NewPath::Prefix(prefix) => {
                prefix.write(head.path(), &mut replaced);
                &replaced
            }
        };
        let path = match path {
            // `OPTIONS *` asks of the server as a whole: its root is the nearest resource.
            b"*" => b"/",
            path => path,
        };
        if host.is_empty() {
            // An HTTP/1.0 request without Host: all that can be said is the path. `//x` alone would name a host.
            if path.starts_with(b"//") {
                out.extend_from_slice(b"/.");
            }
        } else {
            out.extend_from_slice(scheme.as_str().as_bytes());
            out.extend_from_slice(b"://");
            out.extend_from_slice(host);
            self.write_port(head, asked, scheme, out);
        }
        out.extend_from_slice(path);
        if let (Query::Keep, Some(query)) = (self.query, head.query()) {
            out.push(b'?');
            out.extend_from_slice(query);
        }
    }

    fn write_port(&self, head: &RequestHead, asked: Scheme, scheme: Scheme, out: &mut Vec<u8>) {
        match self.port {
            Some(port) if port == scheme.default_port() => {}
            Some(port) => {
                out.push(b':');
                out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
            }
            None if self.host.is_none() && scheme == asked => {
                let port = head.authority().strip_prefix(head.host());
                out.extend_from_slice(port.unwrap_or_default());
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::head;
    use super::*;

    const KEEP: Redirect = Redirect {
        status: 308,
        scheme: None,
        host: None,
        port: None,
        path: NewPath::Keep,
        query: Query::Keep,
    };

    fn location(redirect: &Redirect, authority: &str, target: &str) -> String {
        let reply = redirect.reply(&head("GET", authority, target), Scheme::Http);
        assert_eq!(reply.status(), redirect.status);
        let line = String::from_utf8(reply.lines().to_vec()).unwrap();
        let value = line.strip_prefix("location: ").unwrap();
        value.strip_suffix("\r\n").unwrap().to_owned()
    }

    #[test]
    fn keeps_what_is_not_told_otherwise() {
        let https = Redirect {
            scheme: Some(Scheme::Https),
            ..KEEP
        };
        let host = Redirect {
            host: Some("b.example".into()),
            ..https.clone()
        };
        let port = Redirect {
            port: Some(8443),
            ..https.clone()
        };
        let default_port = Redirect {
            port: Some(443),
            ..https.clone()
        };
        let path = Redirect {
            path: NewPath::Whole(b"/new".as_slice().into()),
            ..KEEP
        };
        let no_query = Redirect {
            query: Query::Drop,
            ..path.clone()
        };
        let prefix = Redirect {
            path: NewPath::Prefix(NewPrefix::new("/old".len(), b"/")),
            ..https.clone()
        };
        for (redirect, authority, target, expected) in [
            (
                &prefix,
                "a.example",
                "/old//evil?q",
                "https://a.example//evil?q",
            ),
            (&prefix, "", "/old//evil.example", "/.//evil.example"),
            (
                &https,
                "a.example:8080",
                "/x?y=1",
                "https://a.example/x?y=1",
            ),
            (&https, "[::1]:8080", "/", "https://[::1]/"),
            (
                &host,
                "a.example:8080",
                "//evil.example/%0D%0A",
                "https://b.example//evil.example/%0D%0A",
            ),
            (&port, "a.example", "/x?", "https://a.example:8443/x?"),
            (&default_port, "a.example:80", "*", "https://a.example/"),
            (
                &path,
                "a.example:8080",
                "/x?y",
                "http://a.example:8080/new?y",
            ),
            (
                &no_query,
                "a.example:8080",
                "/x?y",
                "http://a.example:8080/new",
            ),
            (&https, "", "//evil.example/", "/.//evil.example/"),
            (&https, "", "/x?y", "/x?y"),
        ] {
            assert_eq!(location(redirect, authority, target), expected);
        }
    }
}
