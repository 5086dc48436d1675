//! The table of endings: the only place that knows a failure's status, label, side and who is to blame.
//!
//! A [`Reason`] says why an exchange (or a connection before its first exchange) ended the way it did; a
//! [`Phase`] says when; a [`Detail`] says what exactly. All three are closed lists: they are log fields and
//! metric labels, so nothing that a peer sends can make a new value.

use super::detail::Detail;

/// Whose doing an ending is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    /// The client or its network.
    Downstream,
    /// The endpoint or its network.
    Upstream,
    /// Ourselves: a decision of the configuration, a limit, a drain.
    Local,
}

impl Side {
    /// The log field's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
            Self::Local => "local",
        }
    }
}

/// What may be done after an attempt ended so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// Never: trying again would be wrong or useless.
    Never,
    /// Nothing was written: any method may go to another endpoint.
    OtherEndpoint,
    /// Something was written but nothing came back: an idempotent, replayable request may try again.
    IfIdempotent,
    /// Only where the configuration lists it.
    IfConfigured,
}

/// Whether an endpoint's record suffers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// The endpoint had no part in it.
    Nobody,
    /// The endpoint failed.
    Endpoint,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Log value and metric label.
    pub label: &'static str,
    /// Status of the answer that we make; 0: there is no answer to make, the connection closes.
    pub status: u16,
    /// Whose doing it is.
    pub side: Side,
    /// Whether the endpoint is to blame.
    pub blame: Blame,
    /// What may be tried next.
    pub retry: Retry,
}

macro_rules! reasons {
    ($( $(#[$doc:meta])* $name:ident = $label:literal, $status:literal, $side:ident, $blame:ident, $retry:ident; )*) => {
        /// Why an exchange ended the way it did.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[repr(u8)]
        pub enum Reason { $( $(#[$doc])* $name, )* }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            /// This reason's row.
            pub const fn row(self) -> &'static Row {
                match self {
                    $( Self::$name => &Row {
                        label: $label, status: $status, side: Side::$side,
                        blame: Blame::$blame, retry: Retry::$retry,
                    }, )*
                }
            }
        }
    };
}

reasons! {
    /// The response was passed on in full.
    Completed = "completed", 0, Local, Nobody, Never;
    /// We answered ourselves, as configured: a redirect, a fixed response.
    LocalReply = "local_reply", 0, Local, Nobody, Never;
    /// The client went away first.
    ClientAbort = "client_abort", 499, Downstream, Nobody, Never;
    /// The head did not arrive in time.
    HeaderTimeout = "header_timeout", 408, Downstream, Nobody, Never;
    /// The body stalled, or the client stopped reading.
    BodyTimeout = "body_timeout", 408, Downstream, Nobody, Never;
    /// The client broke the protocol after its head was accepted.
    ClientProtocol = "client_protocol", 400, Downstream, Nobody, Never;
    /// The head is not one that may be passed on.
    BadRequest = "bad_request", 400, Downstream, Nobody, Never;
    /// The request line is over its limit.
    UriTooLong = "uri_too_long", 414, Downstream, Nobody, Never;
    /// The head is over its limit, in bytes or in fields.
    HeadersTooLarge = "headers_too_large", 431, Downstream, Nobody, Never;
    /// The body is over the route's limit.
    BodyTooLarge = "body_too_large", 413, Downstream, Nobody, Never;
    /// No PROXY protocol header where one must stand, or a malformed one.
    PrefaceInvalid = "preface_invalid", 0, Downstream, Nobody, Never;
    /// The PROXY protocol header did not arrive in time.
    PrefaceTimeout = "preface_timeout", 0, Downstream, Nobody, Never;
    /// The TLS handshake failed.
    TlsHandshake = "tls_handshake", 0, Downstream, Nobody, Never;
    /// No certificate for the name that was asked for.
    TlsNoCertificate = "tls_no_certificate", 0, Downstream, Nobody, Never;
    /// No route matches.
    NoRoute = "no_route", 404, Local, Nobody, Never;
    /// The authority does not belong to this connection.
    Misdirected = "misdirected", 421, Downstream, Nobody, Never;
    /// No valid credentials.
    Unauthorized = "unauthorized", 401, Local, Nobody, Never;
    /// Refused by an access rule.
    Denied = "denied", 403, Local, Nobody, Never;
    /// An operator has taken it out of service for now.
    Maintenance = "maintenance", 503, Local, Nobody, Never;
    /// Who is to say whether a request may go on does not say so.
    AuthUnavailable = "auth_unavailable", 503, Local, Nobody, Never;
    /// Over a rate limit.
    RateLimited = "rate_limited", 429, Local, Nobody, Never;
    /// Over a cap of connections: closed at accept, or as a handshake's place goes to another.
    ConnLimit = "conn_limit", 503, Local, Nobody, Never;
    /// We ran out of local ports, file descriptors or memory.
    Overloaded = "overloaded", 503, Local, Nobody, Never;
    /// The process or the listener is on its way out.
    Draining = "draining", 503, Local, Nobody, Never;
    /// There is no place, and as many wait for one as may.
    QueueFull = "queue_full", 503, Local, Nobody, Never;
    /// Waited for a place for too long.
    QueueTimeout = "queue_timeout", 503, Local, Nobody, Never;
    /// The cluster fails as a whole, and its breaker is open.
    BreakerOpen = "breaker_open", 503, Local, Nobody, Never;
    /// No endpoint is available.
    NoEndpoint = "no_endpoint", 503, Local, Nobody, Never;
    /// The endpoint's name did not resolve.
    DnsFailed = "dns_failed", 502, Upstream, Endpoint, OtherEndpoint;
    /// The connection was refused, or there is no way to the endpoint.
    ConnectRefused = "connect_refused", 502, Upstream, Endpoint, OtherEndpoint;
    /// The connection was not made in time.
    ConnectTimeout = "connect_timeout", 504, Upstream, Endpoint, OtherEndpoint;
    /// The TLS handshake with the endpoint failed.
    UpstreamTls = "upstream_tls", 502, Upstream, Endpoint, OtherEndpoint;
    /// The endpoint closed the connection before a response began.
    UpstreamReset = "upstream_reset", 502, Upstream, Endpoint, IfIdempotent;
    /// The endpoint's answer is not one that may be passed on.
    UpstreamProtocol = "upstream_protocol", 502, Upstream, Endpoint, Never;
    /// No response head in time.
    ResponseTimeout = "response_timeout", 504, Upstream, Endpoint, IfConfigured;
    /// The response ended before its declared end.
    UpstreamTruncated = "upstream_truncated", 502, Upstream, Endpoint, Never;
    /// The response body stalled.
    UpstreamIdle = "upstream_idle", 504, Upstream, Endpoint, Never;
    /// A status that is tried again came, and there was no endpoint left to try.
    RetriesExhausted = "retries_exhausted", 502, Upstream, Endpoint, Never;
    /// The whole exchange took longer than the route allows.
    MaxDuration = "max_duration", 504, Local, Nobody, Never;
    /// Ended by an operator.
    Killed = "killed", 503, Local, Nobody, Never;
    /// The drain ran out of time.
    Shutdown = "shutdown", 503, Local, Nobody, Never;
    /// A fault of ours.
    Internal = "internal", 500, Local, Nobody, Never;
}

impl Reason {
    /// How many reasons there are: the length of a table indexed by [`Reason::index`].
    pub const COUNT: usize = Self::ALL.len();

    /// Log value and metric label.
    pub const fn as_str(self) -> &'static str {
        self.row().label
    }

    /// Whose doing it is.
    pub const fn side(self) -> Side {
        self.row().side
    }

    /// Position in [`Reason::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Status of the answer that we make. What exactly is wrong with a request may have a status of its own
    /// (405, 417, 501, 505); the same fault in an endpoint's answer is the endpoint's.
    pub const fn status(self, detail: Detail) -> u16 {
        match (self, detail.status()) {
            (Self::BadRequest | Self::RateLimited | Self::Denied, exact @ 1..) => exact,
            _ => self.row().status,
        }
    }
}

/// When an exchange ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Phase {
    /// Taking the connection.
    Accept,
    /// Reading a PROXY protocol header.
    Preface,
    /// In the TLS handshake.
    Tls,
    /// Reading the request head.
    Request,
    /// In a filter.
    Filter,
    /// Waiting for a slot.
    Queue,
    /// Connecting to an endpoint.
    Connect,
    /// Request under way, no response head yet.
    Headers,
    /// The response has begun.
    Data,
    /// Everything was passed on.
    Last,
}

impl Phase {
    /// The log field's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Preface => "preface",
            Self::Tls => "tls",
            Self::Request => "request",
            Self::Filter => "filter",
            Self::Queue => "queue",
            Self::Connect => "connect",
            Self::Headers => "headers",
            Self::Data => "data",
            Self::Last => "last",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn labels_are_unique_and_statuses_are_valid() {
        let labels: HashSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(labels.len(), Reason::COUNT);
        let details: HashSet<_> = Detail::ALL.iter().map(|d| d.as_str()).collect();
        assert_eq!(details.len(), Detail::ALL.len());
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            let status = reason.row().status;
            assert!(status == 0 || (400..600).contains(&status), "{reason:?}");
        }
    }

    #[test]
    fn an_exact_status_is_for_the_fault_of_a_request() {
        assert_eq!(Reason::BadRequest.status(Detail::Version), 505);
        assert_eq!(Reason::UpstreamProtocol.status(Detail::Version), 502);
        assert_eq!(Reason::BadRequest.status(Detail::Host), 400);
    }

    #[test]
    fn only_upstream_endings_blame_an_endpoint() {
        for reason in Reason::ALL {
            assert_eq!(
                reason.row().blame == Blame::Endpoint,
                reason.side() == Side::Upstream,
                "{reason:?}"
            );
        }
    }
}
