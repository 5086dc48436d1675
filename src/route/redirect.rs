//! Redirects.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::base::{Detail, Error, Reason};
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
    /// The answer to this request, which came by this scheme; `here` as for [`Redirect::location`].
    pub fn reply(
        &self,
        head: &RequestHead,
        asked: Scheme,
        here: Option<SocketAddr>,
    ) -> Result<Reply, Error> {
        let location = self.location(head, asked, here)?;
        let fields = [(b"location".as_slice(), location.as_slice())];
        let body = Bytes::new();
        Ok(Reply::new(self.status, Reason::LocalReply, fields, body))
    }

    /// The URL. Each part comes from the configuration or from the canonical head, both of which were validated byte by byte,
    /// and nothing is decoded on the way (E-040). It is always a whole one: a path alone would lead nowhere else where only
    /// scheme or port change. So of a request that names no host (HTTP/1.0) it has the address that it came to, `here`.
    pub fn location(
        &self,
        head: &RequestHead,
        asked: Scheme,
        here: Option<SocketAddr>,
    ) -> Result<Vec<u8>, Error> {
        let scheme = self.scheme.unwrap_or(asked);
        let named = self.named(head, asked, here)?;
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
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(scheme.as_str().as_bytes());
        out.extend_from_slice(b"://");
        out.extend_from_slice(&named.host);
        match self.port {
            Some(port) if port == scheme.default_port() => {}
            Some(port) => write_port(port, &mut out),
            None if self.host.is_none() && scheme == asked => out.extend_from_slice(&named.port),
            None => {}
        }
        out.extend_from_slice(path);
        if let (Query::Keep, Some(query)) = (self.query, head.query()) {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        Ok(out)
    }

    /// The new host, or who was asked.
    fn named<'a>(
        &'a self,
        head: &'a RequestHead,
        asked: Scheme,
        here: Option<SocketAddr>,
    ) -> Result<Named<'a>, Error> {
        let host = match &self.host {
            Some(host) => host.as_bytes(),
            None => head.host(),
        };
        if !host.is_empty() {
            let port = head.authority().strip_prefix(head.host());
            return Ok(Named {
                host: host.into(),
                port: port.unwrap_or_default().into(),
            });
        }
        let here = here.ok_or_else(|| Error::new(Reason::BadRequest, Detail::Host))?;
        let host = match here.ip().to_canonical() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let mut port = Vec::new();
        if here.port() != asked.default_port() {
            write_port(here.port(), &mut port);
        }
        Ok(Named {
            host: host.into_bytes().into(),
            port: port.into(),
        })
    }
}

/// Where a redirect leads.
struct Named<'a> {
    host: Cow<'a, [u8]>,
    /// Of whom was asked, with its colon.
    port: Cow<'a, [u8]>,
}

fn write_port(port: u16, out: &mut Vec<u8>) {
    out.push(b':');
    out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
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

    const HERE: &str = "192.0.2.1:8080";

    fn location(redirect: &Redirect, authority: &str, target: &str) -> String {
        location_at(redirect, authority, target, HERE)
    }

    fn location_at(redirect: &Redirect, authority: &str, target: &str, here: &str) -> String {
        let (head, here) = (head("GET", authority, target), here.parse().unwrap());
        let reply = redirect.reply(&head, Scheme::Http, Some(here)).unwrap();
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
            (
                &prefix,
                "",
                "/old//evil.example",
                "https://192.0.2.1//evil.example",
            ),
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
            (
                &https,
                "",
                "//evil.example/",
                "https://192.0.2.1//evil.example/",
            ),
        ] {
            assert_eq!(location(redirect, authority, target), expected);
        }
    }

    #[test]
    fn who_names_no_host_is_sent_to_the_address_that_it_came_to() {
        let https = Redirect {
            scheme: Some(Scheme::Https),
            ..KEEP
        };
        let port = Redirect {
            port: Some(8443),
            ..KEEP
        };
        let host = Redirect {
            host: Some("b.example".into()),
            ..KEEP
        };
        for (redirect, here, expected) in [
            (&https, HERE, "https://192.0.2.1/x?y"),
            (&port, HERE, "http://192.0.2.1:8443/x?y"),
            (&KEEP, HERE, "http://192.0.2.1:8080/x?y"),
            (&KEEP, "192.0.2.1:80", "http://192.0.2.1/x?y"),
            (&KEEP, "[::ffff:192.0.2.1]:80", "http://192.0.2.1/x?y"),
            (&KEEP, "[fe80::1%3]:81", "http://[fe80::1]:81/x?y"),
            (&host, HERE, "http://b.example/x?y"),
        ] {
            assert_eq!(location_at(redirect, "", "/x?y", here), expected);
        }
        // A unix socket has no address.
        let nameless = head("GET", "", "/x");
        assert!(host.reply(&nameless, Scheme::Http, None).is_ok());
        let refused = https.reply(&nameless, Scheme::Http, None).unwrap_err();
        assert_eq!(
            (refused.reason(), refused.detail()),
            (Reason::BadRequest, Detail::Host)
        );
    }
}
