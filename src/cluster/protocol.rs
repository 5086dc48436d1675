//! `protocol` of a cluster → [`Protocol`].

use std::time::Duration;

use super::compile::positive;
use crate::config::raw::cluster::UpstreamProtocol;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned, raw, types};
use crate::http1::limits::ResponseLimits;
use crate::upstream::Protocol;
use crate::upstream::spec::Http2;

const STREAMS: u32 = 100;
const MAX_STREAMS: u32 = 1000;
const WINDOW: u32 = 64 << 10;
const MIN_WINDOW: u32 = 16 << 10;
const MAX_WINDOW: u32 = 16 << 20;
/// RFC 7301, 3.1.
const MAX_ALPN: usize = 255;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn compile(
    raw: &raw::Cluster,
    limits: &ResponseLimits,
    diagnostics: &mut Diagnostics,
) -> Option<Protocol> {
    match raw.protocol.as_ref().map(|protocol| &protocol.value.0) {
        None | Some(UpstreamProtocol::Http1) => Some(Protocol::Http1),
        Some(UpstreamProtocol::Http2(raw)) => http2(raw, limits, diagnostics).map(Protocol::Http2),
        Some(UpstreamProtocol::Auto(own)) => {
            let settings = http2(own, limits, diagnostics);
            if raw.tls.is_none() {
                let span = raw.protocol.as_ref().map(|protocol| protocol.span);
                let text = "`auto` stands without `tls`";
                diagnostics.push(
                    Diagnostic::error(Code::Conflict, span.unwrap_or_default(), text)
                        .label("nothing is agreed upon there")
                        .hint("write `http1` or `http2`, whichever the endpoints speak"),
                );
                return None;
            }
            settings.map(Protocol::Either)
        }
    }
}

/// Refuses to offer by ALPN what would not be spoken: an endpoint that agreed to it would not understand us.
pub(super) fn offered(
    tls: &raw::tls::ClusterTls,
    protocol: Protocol,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    let mut sound = Some(());
    for name in tls.alpn.iter().flat_map(|list| list.value.iter()) {
        let (label, hint) = match protocol {
            Protocol::Either(_) => (
                "the cluster speaks what is agreed upon",
                "leave `alpn` away: h2 and http/1.1 are offered",
            ),
            Protocol::Http2(_) if name.value != "h2" => (
                "the cluster speaks HTTP/2",
                "leave `alpn` away: h2 is offered",
            ),
            Protocol::Http1 if name.value == "h2" => (
                "the cluster does not speak HTTP/2",
                "write protocol = \"http2\" in the cluster",
            ),
            Protocol::Http1 if name.value.len() > MAX_ALPN => {
                ("too long", "a name of ALPN has at most 255 bytes")
            }
            _ => continue,
        };
        let text = format!("`{}` cannot be offered", name.value.escape_debug());
        diagnostics.push(
            Diagnostic::error(Code::Conflict, name.span, text)
                .label(label)
                .hint(hint),
        );
        sound = None;
    }
    sound
}

fn http2(
    raw: &raw::ClusterHttp2,
    limits: &ResponseLimits,
    diagnostics: &mut Diagnostics,
) -> Option<Http2> {
    let streams = streams(raw.streams, diagnostics);
    let window = window(raw.window, diagnostics);
    let timeout = positive(raw.ping_timeout, PING_TIMEOUT, "ping_timeout", diagnostics);
    Some(Http2 {
        streams: streams?,
        window: window?,
        head: u32::try_from(limits.headers + 32 * limits.header_count).unwrap_or(u32::MAX),
        ping_interval: raw.ping_interval.map_or(PING_INTERVAL, |raw| raw.get()),
        ping_timeout: timeout?,
    })
}

fn streams(raw: Option<Spanned<u32>>, diagnostics: &mut Diagnostics) -> Option<u32> {
    let Some(raw) = raw else {
        return Some(STREAMS);
    };
    if (1..=MAX_STREAMS).contains(&raw.value) {
        return Some(raw.value);
    }
    let text = format!("{} is not in 1-{MAX_STREAMS}", raw.value);
    diagnostics.push(
        Diagnostic::error(Code::BadValue, raw.span, text)
            .hint("with more requests at once each worker makes another connection"),
    );
    None
}

fn window(raw: Option<Spanned<types::ByteSize>>, diagnostics: &mut Diagnostics) -> Option<u32> {
    let Some(raw) = raw else {
        return Some(WINDOW);
    };
    let size = u32::try_from(raw.value.bytes()).unwrap_or(u32::MAX);
    if (MIN_WINDOW..=MAX_WINDOW).contains(&size) {
        return Some(size);
    }
    diagnostics.push(
        Diagnostic::error(
            Code::BadValue,
            raw.span,
            "`window` is out of its range".to_owned(),
        )
        .note("allowed are 16KiB to 16MiB: one client that does not read makes us hold as much"),
    );
    None
}
