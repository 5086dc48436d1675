//! Which keys may stand on a listener of which protocol, and which of them this build has.

use crate::config::raw::listener::{Listener, Protocol};
use crate::config::{Code, Diagnostic, Diagnostics, Span};

const HTTP: u8 = 1;
const TCP: u8 = 2;
const UDP: u8 = 4;

/// One key that not every protocol has.
struct Key {
    name: &'static str,
    /// On which protocols it may stand.
    on: u8,
    span: fn(&Listener) -> Option<Span>,
}

const KEYS: [Key; 26] = [
    Key {
        name: "h2c",
        on: HTTP,
        span: |raw| raw.h2c.as_ref().map(|it| it.span),
    },
    Key {
        name: "half_close",
        on: HTTP,
        span: |raw| raw.half_close.as_ref().map(|it| it.span),
    },
    Key {
        name: "proxy_protocol",
        on: HTTP | TCP,
        span: |raw| raw.proxy_protocol.as_ref().map(|it| it.span),
    },
    Key {
        name: "trusted_proxies",
        on: HTTP | TCP,
        span: |raw| raw.trusted_proxies.as_ref().map(|it| it.span),
    },
    Key {
        name: "forwarding_headers",
        on: HTTP,
        span: |raw| raw.forwarding_headers.as_ref().map(|it| it.span),
    },
    Key {
        name: "identity_headers",
        on: HTTP,
        span: |raw| raw.identity_headers.as_ref().map(|it| it.span),
    },
    Key {
        name: "path_policy",
        on: HTTP,
        span: |raw| raw.path_policy.as_ref().map(|it| it.span),
    },
    Key {
        name: "tls",
        on: HTTP | TCP,
        span: |raw| raw.tls.as_ref().map(|it| it.span),
    },
    Key {
        name: "cluster",
        on: TCP | UDP,
        span: |raw| raw.cluster.as_ref().map(|it| it.span),
    },
    Key {
        name: "sni",
        on: TCP,
        span: |raw| raw.sni.as_ref().map(|it| it.span),
    },
    Key {
        name: "tcp",
        on: TCP,
        span: |raw| raw.tcp.as_ref().map(|it| it.span),
    },
    Key {
        name: "udp",
        on: UDP,
        span: |raw| raw.udp.as_ref().map(|it| it.span),
    },
    Key {
        name: "timeouts.header",
        on: HTTP,
        span: |raw| raw.timeouts.header.map(|it| it.span),
    },
    Key {
        name: "timeouts.idle",
        on: HTTP,
        span: |raw| raw.timeouts.idle.map(|it| it.span),
    },
    Key {
        name: "timeouts.body",
        on: HTTP,
        span: |raw| raw.timeouts.body.map(|it| it.span),
    },
    Key {
        name: "timeouts.write",
        on: HTTP,
        span: |raw| raw.timeouts.write.map(|it| it.span),
    },
    Key {
        name: "timeouts.age",
        on: HTTP,
        span: |raw| raw.timeouts.age.map(|it| it.span),
    },
    Key {
        name: "timeouts.linger",
        on: HTTP,
        span: |raw| raw.timeouts.linger.map(|it| it.span),
    },
    Key {
        name: "limits.request_line",
        on: HTTP,
        span: |raw| raw.limits.request_line.map(|it| it.span),
    },
    Key {
        name: "limits.headers",
        on: HTTP,
        span: |raw| raw.limits.headers.map(|it| it.span),
    },
    Key {
        name: "limits.header_count",
        on: HTTP,
        span: |raw| raw.limits.header_count.map(|it| it.span),
    },
    Key {
        name: "limits.requests_per_connection",
        on: HTTP,
        span: |raw| raw.limits.requests_per_connection.map(|it| it.span),
    },
    Key {
        name: "limits.body_rate",
        on: HTTP,
        span: |raw| raw.limits.body_rate.map(|it| it.span),
    },
    Key {
        name: "limits.write_rate",
        on: HTTP,
        span: |raw| raw.limits.write_rate.map(|it| it.span),
    },
    Key {
        name: "limits.skip",
        on: HTTP,
        span: |raw| raw.limits.skip.map(|it| it.span),
    },
    Key {
        name: "limits.linger",
        on: HTTP,
        span: |raw| raw.limits.linger.map(|it| it.span),
    },
];

/// Reports keys that do not belong to the protocol, and whatever this build does not have.
pub(super) fn check(raw: &Listener, diagnostics: &mut Diagnostics) {
    let (protocol, word) = match raw.protocol.value {
        Protocol::Http => (HTTP, "http"),
        Protocol::Tcp => (TCP, "tcp"),
        Protocol::Udp => (UDP, "udp"),
    };
    for key in &KEYS {
        if let Some(span) = (key.span)(raw).filter(|_| key.on & protocol == 0) {
            let diagnostic = Diagnostic::error(
                Code::NotOnProtocol,
                span,
                format!("`{}` cannot stand on a listener for {word}", key.name),
            )
            .also(raw.protocol.span, "the protocol");
            diagnostics.push(if protocol == HTTP && key.name == "cluster" {
                diagnostic.hint("http listeners find their cluster by `[[routes]]`")
            } else {
                diagnostic
            });
        }
    }
    if raw.protocol.value == Protocol::Tcp {
        check_tcp(raw, diagnostics);
    }
}

fn check_tcp(raw: &Listener, diagnostics: &mut Diagnostics) {
    if let (Some(sni), Some(tls)) = (&raw.sni, &raw.tls) {
        diagnostics.push(
            Diagnostic::error(Code::Conflict, sni.span, "`sni` stands beside `tls`")
                .label("chooses without decrypting")
                .also(tls.span, "decrypts")
                .hint("write two listeners: one that passes TLS through, and one that ends it"),
        );
    }
}
