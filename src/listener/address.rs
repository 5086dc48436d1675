//! Addresses to listen on, and whether two of them get in each other's way.

use std::net::{IpAddr, SocketAddr};

use crate::base::ListenAddr;
use crate::base::addr::AddrError;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::net::bind::Transport;
use crate::net::unix;

/// Whether two sockets of one kind cannot listen on both: the same port, and the same address or one that stands for
/// all of its family. IPv6 sockets take IPv6 alone, so the families never meet. Port 0 is never taken.
pub fn overlaps(a: &ListenAddr, b: &ListenAddr) -> bool {
    let (ListenAddr::Inet(a), ListenAddr::Inet(b)) = (a, b) else {
        return a == b;
    };
    a.port() == b.port()
        && a.port() != 0
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

/// Every address so far, to find the second claim to one.
#[derive(Debug, Default)]
pub(super) struct Claims(Vec<Claim>);

#[derive(Debug)]
struct Claim {
    transport: Transport,
    addr: ListenAddr,
    span: Span,
    who: String,
}

impl Claims {
    /// Notes that `who` listens on an address; reports whoever was there before.
    pub(super) fn claim(
        &mut self,
        transport: Transport,
        addr: ListenAddr,
        span: Span,
        who: &str,
        diagnostics: &mut Diagnostics,
    ) {
        // Datagram sockets live in a world of their own.
        let meets = |claim: &&Claim| claim.transport == transport && overlaps(&claim.addr, &addr);
        if let Some(first) = self.0.iter().find(meets) {
            let message = match (first.addr == addr, first.who == who) {
                (true, true) => format!("{who} listens on {addr} twice"),
                (true, false) => format!("{who} listens on {addr}, but so does {}", first.who),
                (false, _) => format!(
                    "{who} listens on {addr}, which {} takes with {}",
                    first.who, first.addr
                ),
            };
            let diagnostic =
                Diagnostic::error(Code::AddressTaken, span, message).label("this address is taken");
            diagnostics.push(if first.span.is_somewhere() {
                diagnostic.also(first.span, "taken here")
            } else {
                diagnostic
            });
        }
        self.0.push(Claim {
            transport,
            addr,
            span,
            who: who.to_owned(),
        });
    }
}

/// A unix socket whose directory has no room for the one that it is made in.
pub(super) const CRAMPED: &str = "the path of its directory is too long";
pub(super) const CRAMPED_WHY: &str = "the socket is made as `.tg01234567/s` in that directory, and the path of a unix socket has at most 107 bytes";

/// Parses one entry of `bind`.
pub(super) fn parse(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<ListenAddr> {
    let bad = |label: &str| {
        Diagnostic::error(
            Code::BadAddress,
            text.span,
            format!("`{}` is not an address to listen on", text.escape_debug()),
        )
        .label(label)
    };
    let problem = match ListenAddr::parse(text) {
        Ok(ListenAddr::Inet(SocketAddr::V6(v6))) if v6.ip().to_ipv4_mapped().is_some() => {
            bad("an IPv4 address in IPv6 form: IPv6 sockets take IPv6 alone")
                .hint("write the IPv4 address")
        }
        Ok(ListenAddr::Inet(SocketAddr::V6(v6))) if v6.scope_id() != 0 => {
            bad("scopes are not supported")
        }
        Ok(ListenAddr::Unix(path)) if !unix::fits(&path) => bad(CRAMPED).hint(CRAMPED_WHY),
        Ok(addr) => return Some(addr),
        Err(error @ AddrError::Shape) => bad(&error.to_string()).hint(hint(text)),
        Err(error) => bad(&error.to_string()),
    };
    diagnostics.push(problem);
    None
}

fn hint(text: &str) -> String {
    let behind = |any: &str| text.strip_prefix(any);
    let port = behind("*:").or_else(|| behind(":")).unwrap_or(text);
    if port.parse::<u16>().is_ok() {
        return format!(
            "write \"0.0.0.0:{port}\" for every IPv4 address, \"[::]:{port}\" for every IPv6 one"
        );
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(addr)) => format!("say the port: \"{addr}:80\""),
        Ok(IpAddr::V6(addr)) => format!("say the port: \"[{addr}]:80\""),
        Err(_) => {
            "names are not looked up here: write the address, as in \"127.0.0.1:8080\"".to_owned()
        }
    }
}
