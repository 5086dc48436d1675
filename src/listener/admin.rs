//! `[admin]` → where the interface for operators listens and what a change must carry. It is compiled here,
//! beside the other addresses that the process listens on; `admin` serves it.

use std::fmt;
use std::hint;
use std::net::SocketAddr;

use super::address::{CRAMPED, CRAMPED_WHY};
use crate::base::ListenAddr;
use crate::base::addr::AddrError;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned, raw};
use crate::net::unix;

/// Where the interface listens when nothing is said.
pub(super) const DEFAULT_BIND: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9901);

/// Shortest token: shorter ones can be guessed.
const MIN_TOKEN: usize = 16;

/// The compiled table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdminSpec {
    /// Where it listens.
    pub bind: ListenAddr,
    /// What a change must carry; `None` only on loopback and on a unix socket.
    pub token: Option<Token>,
}

/// Who can reach the interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exposure {
    /// The owner of the socket's file.
    Unix,
    /// Every program of this machine, browsers included.
    Loopback,
    /// Other machines.
    Network,
}

impl Exposure {
    /// Who can reach it at this address.
    pub fn of(bind: &ListenAddr) -> Self {
        match bind {
            ListenAddr::Unix(_) => Self::Unix,
            ListenAddr::Inet(addr) if addr.ip().to_canonical().is_loopback() => Self::Loopback,
            ListenAddr::Inet(_) => Self::Network,
        }
    }
}

/// What a change must carry. Never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct Token(Box<[u8]>);

impl Token {
    /// A token of this text.
    pub fn new(text: &str) -> Self {
        Self(text.as_bytes().into())
    }

    /// Whether `given` is the token; the time does not tell how much of it is right.
    pub fn matches(&self, given: &[u8]) -> bool {
        let pairs = self.0.iter().zip(given);
        let differing = pairs.fold(0, |bits, (a, b)| hint::black_box(bits | (a ^ b)));
        hint::black_box(differing) == 0 && self.0.len() == given.len()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl AdminSpec {
    /// Compiles the table. Binds nothing.
    pub fn compile(raw: &Spanned<raw::Admin>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let bind = match &raw.bind {
            None => Some(ListenAddr::Inet(DEFAULT_BIND)),
            Some(text) => compile_bind(text, diagnostics),
        };
        let token = match &raw.token {
            None => Some(None),
            Some(secret) => compile_token(secret, diagnostics).map(Some),
        };
        let (bind, token) = (bind?, token?);
        if Exposure::of(&bind) == Exposure::Network && token.is_none() {
            let span = raw.bind.as_ref().map_or(raw.span, |bind| bind.span);
            diagnostics.push(
                Diagnostic::error(
                    Code::MissingKey,
                    span,
                    format!("`{bind}` can be reached from other machines, and there is no `token`"),
                )
                .label("not a loopback address")
                .note("whoever reaches the admin interface can reload the configuration")
                .hint(
                    "set `token = { file = \"…\" }`, or bind to `127.0.0.1:9901` or `unix:/path`",
                ),
            );
            return None;
        }
        Some(Self { bind, token })
    }
}

fn compile_bind(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<ListenAddr> {
    let error = match ListenAddr::parse(&text.value) {
        Ok(ListenAddr::Unix(path)) if !unix::fits(&path) => None,
        Ok(addr) => return Some(addr),
        Err(error) => Some(error),
    };
    let found = text.value.escape_debug();
    let message = format!("`{found}` is not an address to listen on");
    let diagnostic = Diagnostic::error(Code::BadAddress, text.span, message);
    let Some(error) = error else {
        diagnostics.push(diagnostic.label(CRAMPED).hint(CRAMPED_WHY));
        return None;
    };
    let diagnostic = diagnostic.label(error.to_string());
    let port_alone = text.value.trim_start_matches(':');
    diagnostics.push(match port_alone.parse::<u16>() {
        Ok(port) if error == AddrError::Shape => {
            diagnostic.hint(format!("did you mean `127.0.0.1:{port}`?"))
        }
        _ => diagnostic,
    });
    None
}

fn compile_token(
    secret: &Spanned<crate::config::types::Secret>,
    diagnostics: &mut Diagnostics,
) -> Option<Token> {
    match secret.resolve() {
        Ok(text) if text.len() < MIN_TOKEN => {
            diagnostics.push(
                Diagnostic::error(
                    Code::BadSecret,
                    secret.span,
                    format!(
                        "the token has {} bytes, at least {MIN_TOKEN} are needed",
                        text.len()
                    ),
                )
                .hint("make one with `openssl rand -hex 32`"),
            );
            None
        }
        Ok(text) => Some(Token::new(&text)),
        Err(error) => {
            let message = format!("the token cannot be had: {error}");
            diagnostics.push(Diagnostic::error(
                Code::SecretUnavailable,
                secret.span,
                message,
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn compile(table: &str) -> Result<AdminSpec, String> {
        let text = format!("[admin]\n{table}\n");
        let loaded = parse(std::path::Path::new("test.toml"), &text).expect("shape");
        let mut diagnostics = loaded.diagnostics;
        let spec = AdminSpec::compile(&loaded.raw.admin.expect("table"), &mut diagnostics);
        spec.ok_or_else(|| {
            let texts: Vec<_> = diagnostics.iter().map(|d| d.message().to_owned()).collect();
            texts.join("; ")
        })
    }

    #[test]
    fn loopback_and_unix_need_no_token() {
        assert_eq!(compile("").unwrap().bind, ListenAddr::Inet(DEFAULT_BIND));
        for (bind, exposure) in [
            ("127.0.0.2:0", Exposure::Loopback),
            ("[::1]:9901", Exposure::Loopback),
            ("unix:/run/tidegate.sock", Exposure::Unix),
        ] {
            let spec = compile(&format!("bind = \"{bind}\"")).unwrap();
            assert_eq!(spec.bind.to_string(), bind);
            assert_eq!(Exposure::of(&spec.bind), exposure);
        }
    }

    #[test]
    fn the_network_needs_one() {
        let open = compile("bind = \"0.0.0.0:9901\"").unwrap_err();
        assert!(open.contains("there is no `token`"), "{open}");
        let short = compile("bind = \"0.0.0.0:9901\"\ntoken = \"short\"").unwrap_err();
        assert!(
            short.contains("at least 16") && !short.contains("`short`"),
            "{short}"
        );
        let spec = compile("bind = \"[::]:9901\"\ntoken = \"0123456789abcdef\"").unwrap();
        assert!(!format!("{spec:?}").contains("0123456789abcdef"));
        let missing = compile("token = { file = \"/nonexistent/token\" }").unwrap_err();
        assert!(missing.contains("cannot be had"), "{missing}");
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        for bind in ["localhost:9901", ":9901", "unix:relative", ""] {
            let error = compile(&format!("bind = \"{bind}\"")).unwrap_err();
            assert!(error.contains("is not an address to listen on"), "{error}");
        }
    }

    #[test]
    fn a_token_matches_itself_alone() {
        let token = Token::new("0123456789abcdef");
        assert!(token.matches(b"0123456789abcdef"));
        for wrong in [
            b"".as_slice(),
            b"0123456789abcde",
            b"0123456789abcdef0",
            b"0123456789abcdeF",
        ] {
            assert!(!token.matches(wrong));
        }
    }
}
