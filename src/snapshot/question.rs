//! A request as people write it, `GET https://host/path`, read as a listener would read it.

use std::fmt::{self, Write};
use std::net::IpAddr;

use super::Snapshot;
use crate::base::Error;
use crate::http1::request::{Progress, parse};
use crate::listener::{ListenerSpec, Serves};
use crate::message::RequestHead;
use crate::message::forwarded::{self, Proto, Trust};
use crate::route::RouteInput;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// `GET https://host/path`, or the URL alone.
    pub request: &'a str,
    /// `name: value`.
    pub headers: &'a [String],
    /// The peer of the connection.
    pub client: IpAddr,
    /// The listener; else the one with the port of the URL, else the first.
    pub listener: Option<&'a str>,
}

/// Why a question cannot be asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotAsked {
    /// What it says of the request.
    Request(&'static str),
    /// There is no such listener for http.
    Listener(String),
    /// There is none at all.
    NoListener,
}

impl fmt::Display for NotAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(why) => f.write_str(why),
            Self::Listener(name) => write!(f, "no listener `{}` for http", name.escape_debug()),
            Self::NoListener => f.write_str("there is no listener for http"),
        }
    }
}

/// A question that was understood.
#[derive(Debug)]
pub struct Asked<'s> {
    /// The request line that was meant.
    pub text: String,
    /// The listener that takes it, with its position.
    pub listener: (usize, &'s ListenerSpec),
    /// The head as the listener reads it, or why it refuses it.
    pub head: Result<RequestHead, Error>,
    /// Who asks, behind trusted proxies.
    pub client: IpAddr,
    /// By which scheme, behind trusted proxies.
    pub scheme: Proto,
    /// The name that a client asks for in its handshake: that of the URL, where it is one of TLS.
    pub server_name: Option<String>,
}

impl Asked<'_> {
    /// What a route is found by; `None`: the head was refused.
    pub fn input(&self) -> Option<RouteInput<'_>> {
        Some(RouteInput {
            listener: self.listener.0,
            head: self.head.as_ref().ok()?,
            client: self.client,
            server_name: self.server_name.as_deref().map(str::as_bytes),
        })
    }
}

impl Question<'_> {
    /// Reads the question as one to this configuration, or says why it cannot be asked.
    pub fn put<'s>(&self, snapshot: &'s Snapshot) -> Result<Asked<'s>, NotAsked> {
        let (method, url) = match self.request.split_once(' ') {
            Some((method, url)) => (method, url.trim()),
            None => ("GET", self.request),
        };
        let known = [("https://", Proto::Https), ("http://", Proto::Http)];
        let (rest, own) = known
            .iter()
            .find_map(|(prefix, proto)| Some((url.strip_prefix(prefix)?, *proto)))
            .ok_or(NotAsked::Request("a request is `GET https://host/path`"))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let listener = find_listener(snapshot, authority, own, self.listener)?;
        let path = if path.is_empty() { "/" } else { path };
        let text = written(method, authority, path, self.headers);
        let mut head = RequestHead::default();
        let head = match parse(text.as_bytes(), &listener.1.head(), &mut head) {
            Ok(Progress::Complete(_)) => Ok(head),
            Ok(Progress::Partial) => return Err(NotAsked::Request("the request is not whole")),
            Err(error) => Err(error),
        };
        let trust = forwarded::trust(self.client, &listener.1.trusted);
        let (mut client, mut scheme) = (self.client, own);
        let mut head = head;
        if let Ok(head) = &mut head {
            if trust == Trust::Proxy {
                client = forwarded::client(self.client, head, &listener.1.trusted);
                scheme = forwarded::proto(head, trust, own);
            }
            forwarded::disbelieve(head, trust, &listener.1.identity);
        }
        let named = || {
            let host = str::from_utf8(head.as_ref().ok()?.host()).ok()?;
            let address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
            (!address && !host.is_empty()).then(|| host.to_owned())
        };
        Ok(Asked {
            server_name: match own {
                Proto::Http => None,
                Proto::Https => named(),
            },
            text: format!("{method} {url}"),
            listener,
            head,
            client,
            scheme,
        })
    }
}

/// The request as it would arrive.
fn written(method: &str, authority: &str, path: &str, headers: &[String]) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    let names_host = |line: &String| line.to_ascii_lowercase().starts_with("host:");
    if !headers.iter().any(names_host) {
        // Writing to a String cannot fail.
        let _ = write!(text, "Host: {authority}\r\n");
    }
    for line in headers {
        let _ = write!(text, "{line}\r\n");
    }
    text.push_str("\r\n");
    text
}

fn find_listener<'s>(
    snapshot: &'s Snapshot,
    authority: &str,
    scheme: Proto,
    wanted: Option<&str>,
) -> Result<(usize, &'s ListenerSpec), NotAsked> {
    let all = snapshot.listeners.iter().map(|spec| &**spec).enumerate();
    // Only requests can be asked about.
    let mut listeners = all.filter(|(_, spec)| spec.serves == Serves::Http);
    if let Some(wanted) = wanted {
        let found = listeners.find(|(_, spec)| spec.name.as_str() == wanted);
        return found.ok_or_else(|| NotAsked::Listener(wanted.to_owned()));
    }
    let port = authority
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    let port: u16 = port.unwrap_or(match scheme {
        Proto::Http => 80,
        Proto::Https => 443,
    });
    let on_port = |(_, spec): &(usize, &ListenerSpec)| {
        spec.binds.iter().any(|bind| bind.port() == Some(port))
    };
    let mut again = listeners.clone();
    let found = listeners.find(on_port).or_else(|| again.next());
    found.ok_or(NotAsked::NoListener)
}
