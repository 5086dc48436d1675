//! Which keys may stand on a listener of which protocol.

use crate::base::CidrSet;
use crate::config::raw::http2::Http2;
use crate::config::raw::listener::{Listener, Protocol, ProxyProtocol};
use crate::config::raw::timeouts::{ListenerLimits, ListenerTimeouts};
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};

const HTTP: u8 = 1;
const TCP: u8 = 2;
const UDP: u8 = 4;

/// One key: on which protocols it may stand, and where it stands here.
type Key = (&'static str, u8, Option<Span>);

/// Where a key stands.
fn at<T>(key: Option<&Spanned<T>>) -> Option<Span> {
    key.map(|key| key.span)
}

/// The keys that not every protocol has. Taken apart field by field, so that a new key has to find its row here to be built.
fn keys(raw: &Listener) -> Vec<Key> {
    let Listener {
        name: _,
        bind: _,
        unix,
        protocol: _,
        h2c,
        proxy_protocol,
        half_close,
        trusted_proxies,
        forwarding_headers,
        identity_headers,
        path_policy,
        error_pages,
        timeouts,
        limits,
        http2,
        tls,
        socket,
        cluster,
        split,
        split_key,
        filters,
        sni,
        tcp,
        udp,
    } = raw;
    let mut keys = vec![
        ("unix", HTTP | TCP, at(unix.as_ref())),
        ("h2c", HTTP, at(h2c.as_ref())),
        ("half_close", HTTP, at(half_close.as_ref())),
        (
            "proxy_protocol",
            HTTP | TCP | UDP,
            at(proxy_protocol.as_ref()),
        ),
        (
            "trusted_proxies",
            HTTP | TCP | UDP,
            at(trusted_proxies.as_ref()),
        ),
        ("forwarding_headers", HTTP, at(forwarding_headers.as_ref())),
        ("identity_headers", HTTP, at(identity_headers.as_ref())),
        ("path_policy", HTTP, at(path_policy.as_ref())),
        ("error_pages", HTTP, at(error_pages.as_ref())),
        ("tls", HTTP | TCP, at(tls.as_ref())),
        ("socket", HTTP | TCP, at(socket.as_ref())),
        ("cluster", TCP | UDP, at(cluster.as_ref())),
        ("split", TCP | UDP, at(split.as_ref())),
        ("split_key", TCP | UDP, at(split_key.as_ref())),
        (
            "filters",
            TCP | UDP,
            filters.first().map(|first| first.span),
        ),
        ("sni", TCP, at(sni.as_ref())),
        ("tcp", TCP, at(tcp.as_ref())),
        ("udp", UDP, at(udp.as_ref())),
    ];
    keys.extend(timeouts_of(timeouts));
    keys.extend(limits_of(limits));
    keys.extend(http2_of(http2));
    keys
}

fn timeouts_of(raw: &ListenerTimeouts) -> [Key; 9] {
    let ListenerTimeouts {
        preface,
        first_byte,
        handshake,
        header,
        idle,
        body,
        write,
        age,
        linger,
    } = raw;
    [
        ("timeouts.preface", HTTP | TCP, at(preface.as_ref())),
        ("timeouts.first_byte", HTTP | TCP, at(first_byte.as_ref())),
        ("timeouts.handshake", HTTP | TCP, at(handshake.as_ref())),
        ("timeouts.header", HTTP, at(header.as_ref())),
        ("timeouts.idle", HTTP, at(idle.as_ref())),
        ("timeouts.body", HTTP, at(body.as_ref())),
        ("timeouts.write", HTTP, at(write.as_ref())),
        ("timeouts.age", HTTP, at(age.as_ref())),
        ("timeouts.linger", HTTP, at(linger.as_ref())),
    ]
}

fn limits_of(raw: &ListenerLimits) -> [Key; 16] {
    let ListenerLimits {
        request_line,
        headers,
        header_count,
        header_name,
        trailers,
        trailer_count,
        chunk_extension,
        chunk_extensions,
        connections_per_client,
        handshakes,
        requests_per_connection,
        body_rate,
        write_rate,
        unsent,
        skip,
        linger,
    } = raw;
    let per_client = at(connections_per_client.as_ref());
    let requests = at(requests_per_connection.as_ref());
    [
        ("limits.request_line", HTTP, at(request_line.as_ref())),
        ("limits.headers", HTTP, at(headers.as_ref())),
        ("limits.header_count", HTTP, at(header_count.as_ref())),
        ("limits.header_name", HTTP, at(header_name.as_ref())),
        ("limits.trailers", HTTP, at(trailers.as_ref())),
        ("limits.trailer_count", HTTP, at(trailer_count.as_ref())),
        ("limits.chunk_extension", HTTP, at(chunk_extension.as_ref())),
        (
            "limits.chunk_extensions",
            HTTP,
            at(chunk_extensions.as_ref()),
        ),
        ("limits.connections_per_client", HTTP | TCP, per_client),
        ("limits.handshakes", HTTP | TCP, at(handshakes.as_ref())),
        ("limits.requests_per_connection", HTTP, requests),
        ("limits.body_rate", HTTP, at(body_rate.as_ref())),
        ("limits.write_rate", HTTP, at(write_rate.as_ref())),
        ("limits.unsent", HTTP | TCP, at(unsent.as_ref())),
        ("limits.skip", HTTP, at(skip.as_ref())),
        ("limits.linger", HTTP, at(linger.as_ref())),
    ]
}

fn http2_of(raw: &Http2) -> [Key; 14] {
    let Http2 {
        streams,
        stream_window,
        connection_window,
        header_table,
        continuations,
        resets,
        resets_total,
        faults,
        pings,
        settings,
        priorities,
        empty_data,
        window_updates,
        websockets,
    } = raw;
    [
        ("http2.streams", HTTP, at(streams.as_ref())),
        ("http2.stream_window", HTTP, at(stream_window.as_ref())),
        (
            "http2.connection_window",
            HTTP,
            at(connection_window.as_ref()),
        ),
        ("http2.header_table", HTTP, at(header_table.as_ref())),
        ("http2.continuations", HTTP, at(continuations.as_ref())),
        ("http2.resets", HTTP, at(resets.as_ref())),
        ("http2.resets_total", HTTP, at(resets_total.as_ref())),
        ("http2.faults", HTTP, at(faults.as_ref())),
        ("http2.pings", HTTP, at(pings.as_ref())),
        ("http2.settings", HTTP, at(settings.as_ref())),
        ("http2.priorities", HTTP, at(priorities.as_ref())),
        ("http2.empty_data", HTTP, at(empty_data.as_ref())),
        ("http2.window_updates", HTTP, at(window_updates.as_ref())),
        ("http2.websockets", HTTP, at(websockets.as_ref())),
    ]
}

/// Reports keys that do not belong to the protocol.
pub(super) fn check(raw: &Listener, diagnostics: &mut Diagnostics) {
    let (protocol, word) = match raw.protocol.value {
        Protocol::Http => (HTTP, "http"),
        Protocol::Tcp => (TCP, "tcp"),
        Protocol::Udp => (UDP, "udp"),
    };
    for (name, on, span) in keys(raw) {
        if let Some(span) = span.filter(|_| on & protocol == 0) {
            let diagnostic = Diagnostic::error(
                Code::NotOnProtocol,
                span,
                format!("`{name}` cannot stand on a listener for {word}"),
            )
            .also(raw.protocol.span, "the protocol");
            diagnostics.push(if protocol == HTTP && name == "cluster" {
                diagnostic.hint("http listeners find their cluster by `[[routes]]`")
            } else {
                diagnostic
            });
        }
    }
    match raw.protocol.value {
        Protocol::Http => check_http(raw, diagnostics),
        Protocol::Tcp => check_tcp(raw, diagnostics),
        Protocol::Udp => check_ways(raw, diagnostics),
    }
}

/// A header that nobody may send is a mistake: `require` would close every connection, `accept` carry it to the endpoint.
pub(super) fn check_trust(raw: &Listener, trusted: &CidrSet, diagnostics: &mut Diagnostics) {
    let given = raw.proxy_protocol.as_ref();
    if let Some(given) = given.filter(|it| it.value != ProxyProtocol::Off && trusted.is_empty()) {
        let message = "`proxy_protocol` stands without `trusted_proxies`";
        let diagnostic = Diagnostic::error(Code::Conflict, given.span, message)
            .label("nobody may send such a header")
            .hint("name the proxies in front: `trusted_proxies = [\"10.0.0.0/8\"]`");
        diagnostics.push(match &raw.trusted_proxies {
            Some(empty) => diagnostic.also(empty.span, "no network"),
            None => diagnostic,
        });
    }
}

fn check_http(raw: &Listener, diagnostics: &mut Diagnostics) {
    if let (Some(h2c), Some(tls)) = (&raw.h2c, &raw.tls) {
        diagnostics.push(
            Diagnostic::error(Code::Conflict, h2c.span, "`h2c` stands beside `tls`")
                .label("HTTP/2 without TLS")
                .also(tls.span, "TLS")
                .hint("what is spoken inside is said by `tls.alpn`"),
        );
    }
}

/// Where to is said once.
fn check_ways(raw: &Listener, diagnostics: &mut Diagnostics) {
    let conflict = |span, message: &str| Diagnostic::error(Code::Conflict, span, message);
    match (&raw.split, &raw.split_key) {
        (Some(split), _) => {
            for (key, span) in [
                ("cluster", at(raw.cluster.as_ref())),
                ("sni", at(raw.sni.as_ref())),
            ] {
                if let Some(span) = span {
                    let message = format!("`split` stands beside `{key}`");
                    diagnostics.push(conflict(split.span, &message).also(span, "the other"));
                }
            }
        }
        (None, Some(key)) => diagnostics.push(
            conflict(key.span, "`split_key` stands without `split`")
                .label("there is nothing to keep a client on"),
        ),
        (None, None) => {}
    }
}

fn check_tcp(raw: &Listener, diagnostics: &mut Diagnostics) {
    check_ways(raw, diagnostics);
    if let (Some(sni), Some(tls)) = (&raw.sni, &raw.tls) {
        diagnostics.push(
            Diagnostic::error(Code::Conflict, sni.span, "`sni` stands beside `tls`")
                .label("chooses without decrypting")
                .also(tls.span, "decrypts")
                .hint("write two listeners: one that passes TLS through, and one that ends it"),
        );
    }
}
