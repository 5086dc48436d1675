//! Who may ask, and who may change something.
//!
//! A page in a browser on this machine can send requests to loopback. What it cannot do is choose the Host
//! of a name that it rebound to 127.0.0.1, leave out Origin on a POST, or know the token.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode};

use crate::listener::admin::{Exposure, Token};

/// Paths that other machines may ask for under any name, once the interface can be reached by them:
/// scrapers and probes come by service names, and there is nothing to rebind.
const OPEN_PATHS: &[&str] = &["/metrics", "/live", "/ready"];

/// The rules of one listening address.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) exposure: Exposure,
    pub(super) token: Option<Token>,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// The Host is a name that is not ours.
    Host,
    /// Another site's page asks.
    Origin,
    /// A change without the token.
    Token,
}

impl Refusal {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Host => "the Host of this request is neither a loopback name nor this address\n",
            Self::Origin => "requests of other origins are refused\n",
            Self::Token => "a change needs `Authorization: Bearer` with the configured token\n",
        }
    }
}

impl Guard {
    /// Judges one request that came in at `local` (`None`: a unix socket).
    pub(super) fn admit(&self, request: &Parts, local: Option<SocketAddr>) -> Result<(), Refusal> {
        let is_change = !matches!(request.method, Method::GET | Method::HEAD);
        if self.exposure == Exposure::Unix {
            return Ok(());
        }
        let is_open =
            self.exposure == Exposure::Network && OPEN_PATHS.contains(&request.uri.path());
        let local = local.map(|addr| addr.ip().to_canonical());
        if !is_open && !names_us(request, local) {
            return Err(Refusal::Host);
        }
        if !is_same_origin(&request.headers) {
            return Err(Refusal::Origin);
        }
        match &self.token {
            Some(token) if is_change && !carries(&request.headers, token) => Err(Refusal::Token),
            None if is_change && self.exposure == Exposure::Network => Err(Refusal::Token),
            _ => Ok(()),
        }
    }
}

/// Whether every name that the request gives its server is ours. A request without any is not a browser's.
fn names_us(request: &Parts, local: Option<IpAddr>) -> bool {
    let target = request.uri.authority().map(Authority::as_str);
    let mut hosts = request.headers.get_all(HOST).iter();
    target.is_none_or(|authority| is_ours(authority, local))
        && hosts.all(|host| host.to_str().is_ok_and(|host| is_ours(host, local)))
}

fn is_ours(authority: &str, local: Option<IpAddr>) -> bool {
    let host = match authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
        Some(_) => return false,
        None => authority
            .split_once(':')
            .map_or(authority, |(host, _)| host),
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        let address = address.to_canonical();
        return address.is_loopback() || Some(address) == local;
    }
    // RFC 6761, 6.3: `localhost` and what is below it never leave the machine.
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether a page asks that this interface has served itself, or no page at all.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    headers.get_all(ORIGIN).iter().all(|origin| {
        let authority = origin.to_str().ok().and_then(|o| o.strip_prefix("http://"));
        match (authority, host) {
            (Some(authority), Some(host)) => authority.eq_ignore_ascii_case(host),
            _ => false,
        }
    })
}

fn carries(headers: &HeaderMap, token: &Token) -> bool {
    let Some(given) = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes) else {
        return false;
    };
    let Some((scheme, given)) = given.split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && token.matches(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    const LOCAL: &str = "10.0.0.5:9901";

    fn judge(exposure: Exposure, token: Option<&str>, request: &str) -> Result<(), Refusal> {
        let mut lines = request.lines();
        let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
        let mut builder = Request::builder().method(method).uri(path);
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            builder = builder.header(name, value.trim());
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        let guard = Guard {
            exposure,
            token: token.map(Token::new),
        };
        guard.admit(&parts, Some(LOCAL.parse().unwrap()))
    }

    #[test]
    fn only_our_own_names_pass() {
        for host in [
            "localhost",
            "LOCALHOST:9901",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1:9901",
            "127.8.8.8",
            "[::1]:9901",
            "[::ffff:127.0.0.1]",
            "10.0.0.5:9901",
        ] {
            let request = format!("GET /metrics\nHost: {host}");
            assert_eq!(judge(Exposure::Loopback, None, &request), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "10.0.0.6",
            "[::1]evil",
            "[::2]",
            "",
        ] {
            let request = format!("GET /metrics\nHost: {host}");
            let refused = Err(Refusal::Host);
            assert_eq!(judge(Exposure::Loopback, None, &request), refused, "{host}");
        }
        let two = "GET /metrics\nHost: localhost\nHost: evil.example";
        assert_eq!(judge(Exposure::Loopback, None, two), Err(Refusal::Host));
        let absolute = "GET http://evil.example/metrics\nHost: localhost";
        assert_eq!(
            judge(Exposure::Loopback, None, absolute),
            Err(Refusal::Host)
        );
    }

    #[test]
    fn on_the_network_scrapers_come_by_any_name_but_the_api_does_not() {
        let scrape = "GET /metrics\nHost: proxy.monitoring.svc";
        assert_eq!(judge(Exposure::Network, None, scrape), Ok(()));
        let status = "GET /api/v1/status\nHost: proxy.monitoring.svc";
        assert_eq!(judge(Exposure::Network, None, status), Err(Refusal::Host));
    }

    #[test]
    fn other_origins_are_refused() {
        let request =
            |origin: &str| format!("POST /api/v1/reload\nHost: localhost:9901\nOrigin: {origin}");
        let judge = |origin: &str| judge(Exposure::Loopback, None, &request(origin));
        assert_eq!(judge("http://localhost:9901"), Ok(()));
        for origin in [
            "null",
            "http://localhost:3000",
            "https://localhost:9901",
            "http://evil.example",
        ] {
            assert_eq!(judge(origin), Err(Refusal::Origin), "{origin}");
        }
    }

    #[test]
    fn a_change_needs_the_token_where_there_is_one() {
        const TOKEN: &str = "0123456789abcdef";
        let change = "POST /api/v1/reload\nHost: 10.0.0.5";
        let network = |request: &str| judge(Exposure::Network, Some(TOKEN), request);
        assert_eq!(network(change), Err(Refusal::Token));
        assert_eq!(judge(Exposure::Network, None, change), Err(Refusal::Token));
        assert_eq!(judge(Exposure::Loopback, None, change), Ok(()));
        assert_eq!(
            judge(Exposure::Loopback, Some(TOKEN), change),
            Err(Refusal::Token)
        );
        assert_eq!(judge(Exposure::Unix, Some(TOKEN), change), Ok(()));
        assert_eq!(
            network(&format!("{change}\nAuthorization: Bearer {TOKEN}")),
            Ok(())
        );
        assert_eq!(
            network(&format!("{change}\nAuthorization: bearer {TOKEN}")),
            Ok(())
        );
        for wrong in [
            "Bearer ",
            "Bearer 0123456789abcdeg",
            "Basic 0123456789abcdef",
            "B",
        ] {
            let request = format!("{change}\nAuthorization: {wrong}");
            assert_eq!(network(&request), Err(Refusal::Token), "{wrong}");
        }
        assert_eq!(network("GET /api/v1/status\nHost: 10.0.0.5"), Ok(()));
    }
}
