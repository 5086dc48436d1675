//! `unix` of a listener → who may connect to its unix sockets.

use crate::base::ListenAddr;
use crate::config::raw::listener::{Listener, Protocol};
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
use crate::net::unix::{self, Access};

/// Who may connect to those of `binds` that are unix sockets.
pub(super) fn access(
    raw: &Listener,
    binds: &[ListenAddr],
    diagnostics: &mut Diagnostics,
) -> Access {
    let file = |bind: &ListenAddr| matches!(bind, ListenAddr::Unix(_));
    if let (Protocol::Udp, Some(at)) = (&raw.protocol.value, binds.iter().position(file)) {
        let span = raw.bind.get(at).map_or(raw.bind.span, |bind| bind.span);
        let message = "a unix socket cannot stand on a listener for udp";
        diagnostics.push(
            Diagnostic::error(Code::NotOnProtocol, span, message)
                .label("carries byte streams")
                .also(raw.protocol.span, "the protocol"),
        );
    }
    let Some(given) = &raw.unix else {
        return Access::OWN;
    };
    if !binds.is_empty() && !binds.iter().any(file) {
        diagnostics.push(
            Diagnostic::error(
                Code::Conflict,
                given.span,
                "`unix` stands without a unix socket",
            )
            .label("for whom?")
            .also(raw.bind.span, "no `unix:/path` among these"),
        );
    }
    let mode = given
        .mode
        .as_ref()
        .and_then(|mode| mode_of(mode, diagnostics));
    let mut id = |name: &Option<Spanned<String>>, kind, find: fn(&str) -> Option<u32>| {
        name.as_ref()
            .and_then(|name| id_of(name, kind, find, diagnostics))
    };
    Access {
        mode: mode.unwrap_or(Access::OWN.mode),
        owner: id(&given.owner, "user", unix::user),
        group: id(&given.group, "group", unix::group),
    }
}

fn mode_of(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<u32> {
    // Digits alone: `from_str_radix` takes a sign, too.
    let octal = text.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(&text.value, 8).ok();
    let mode = mode.filter(|mode| octal && *mode <= 0o777);
    if mode.is_none() {
        let message = format!("`{}` is not a mode of a file", text.escape_debug());
        diagnostics.push(
            Diagnostic::error(Code::BadValue, text.span, message)
                .label("expected three octal digits")
                .hint("`600` for the owner alone, `660` for the group, too, `666` for everybody"),
        );
    }
    mode
}

fn id_of(
    name: &Spanned<String>,
    kind: &str,
    find: fn(&str) -> Option<u32>,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    let id = name.parse().ok().or_else(|| find(&name.value));
    // To chown(2) it says that nothing changes.
    let id = id.filter(|id| *id != u32::MAX);
    if id.is_none() {
        let message = format!("there is no {kind} `{}`", name.escape_debug());
        diagnostics.push(Diagnostic::error(Code::BadValue, name.span, message));
    }
    id
}
