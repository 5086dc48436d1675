//! What exactly was wrong: the closed list beside the table of endings.

macro_rules! details {
    ($( $(#[$doc:meta])* $name:ident = $label:literal, $status:literal; )*) => {
        /// What exactly was wrong: the second, finer field beside a [`Reason`](super::Reason).
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
        #[repr(u8)]
        pub enum Detail { #[default] /** Nothing finer to say. */ None, $( $(#[$doc])* $name, )* }

        impl Detail {
            /// Every detail.
            pub const ALL: &'static [Self] = &[ Self::None, $( Self::$name, )* ];

            /// The log field's value; empty for [`Detail::None`].
            pub const fn as_str(self) -> &'static str {
                match self { Self::None => "", $( Self::$name => $label, )* }
            }

            /// The status that this detail insists on; 0: the reason's own.
            pub const fn status(self) -> u16 {
                match self { Self::None => 0, $( Self::$name => $status, )* }
            }
        }
    };
}

details! {
    /// A TLS client hello that is malformed or too long.
    ClientHello = "client_hello", 0;
    /// Not one of `trusted_proxies`.
    Untrusted = "untrusted", 0;
    /// Both Content-Length and Transfer-Encoding (E-001).
    FramingConflict = "framing_conflict", 0;
    /// Content-Length is not one plain decimal number (E-008).
    ContentLength = "content_length", 0;
    /// Transfer-Encoding is not exactly `chunked` (E-004).
    TransferEncoding = "transfer_encoding", 0;
    /// A transfer coding that we do not speak.
    TeUnsupported = "te_unsupported", 501;
    /// Malformed chunk (E-013, E-014).
    Chunk = "chunk", 0;
    /// Malformed base64 in a body of gRPC-Web.
    Base64 = "base64", 0;
    /// A body of gRPC-Web that is not messages: an unknown kind, or one that breaks off.
    GrpcMessage = "grpc_message", 0;
    /// Malformed or forbidden trailer section (E-025).
    Trailers = "trailers", 0;
    /// Malformed field name (E-016, E-021, E-022).
    FieldName = "field_name", 0;
    /// A byte that may not stand in a field value (E-020).
    FieldValue = "field_value", 0;
    /// A line that does not end in CRLF (E-018, E-019), or too many blank lines (E-027).
    LineEnd = "line_end", 0;
    /// A line that begins with white space (E-017).
    Folding = "folding", 0;
    /// Malformed request line or status line.
    StartLine = "start_line", 0;
    /// A method that is not a token, or is too long (E-029).
    Method = "method", 0;
    /// CONNECT is not served (E-119).
    Connect = "connect", 405;
    /// TRACE is served only by routes that list it.
    Trace = "trace", 405;
    /// A pseudo-field that is missing, repeated, unknown, out of place, or a scheme other than http and https (E-054).
    PseudoField = "pseudo_field", 0;
    /// The stream, or its connection, broke the rules of HTTP/2.
    Stream = "stream", 0;
    /// Malformed request target (E-030).
    Target = "target", 0;
    /// A path that cannot be made canonical (E-110).
    Path = "path", 0;
    /// Host missing, repeated or malformed (E-046).
    Host = "host", 0;
    /// The target's authority and Host disagree (E-118).
    Authority = "authority", 0;
    /// Not HTTP/1.0 or HTTP/1.1 (E-028).
    Version = "version", 505;
    /// An expectation other than `100-continue` (E-033).
    Expect = "expect", 417;
    /// `Connection` names a field that must stay (E-115).
    Connection = "connection", 0;
    /// An upgrade that cannot be carried (E-078).
    Upgrade = "upgrade", 0;
    /// A WebSocket to endpoints of HTTP/2 that take none, or a CONNECT for another protocol.
    WebSocket = "websocket", 501;
    /// A response with a body where none may stand (E-037).
    Residue = "residue", 0;
    /// More informational responses than allowed (E-038).
    Interim = "interim", 0;
    /// The response head is over its limit (E-044).
    ResponseHead = "response_head", 0;
    /// The peer closed its side in the middle of a message.
    Eof = "eof", 0;
    /// The peer reset the connection.
    Reset = "reset", 0;
    /// The endpoint refused the stream.
    RefusedStream = "refused_stream", 0;
    /// The endpoint closes the connection and says that it did not look at the request.
    GoAway = "goaway", 0;
    /// The endpoint reset the stream.
    StreamReset = "stream_reset", 0;
    /// The endpoint broke the rules of HTTP/2.
    Http2 = "http2", 0;
    /// The endpoint did not answer a PING in time.
    PingTimeout = "ping_timeout", 0;
    /// Nothing was read by the peer for too long.
    WriteStall = "write_stall", 0;
    /// The body comes more slowly than the least rate (E-131).
    BodyRate = "body_rate", 0;
    /// The client takes the answer more slowly than the least rate (E-132).
    WriteRate = "write_rate", 0;
    /// Between two requests for too long.
    Idle = "idle", 0;
    /// The kernel has no local port left (E-150).
    NoPorts = "no_ports", 0;
    /// The address or the interface that connections are to come from is not ours.
    NoSource = "no_source", 0;
    /// Out of file descriptors (E-134).
    NoFiles = "no_files", 0;
    /// Memory is short (`runtime.memory`).
    Memory = "memory", 0;
    /// Over `runtime.max_connections`.
    Process = "process", 0;
    /// The client's address is not admitted.
    Address = "address", 0;
    /// A key that nobody has.
    Unknown = "unknown", 0;
    /// Not a token, or one of an algorithm that is not taken.
    Token = "token", 0;
    /// Not signed by the key that it names.
    Signature = "signature", 0;
    /// The token holds no more, not yet, or does not say until when.
    TokenTime = "token_time", 0;
    /// The token is somebody else's.
    Issuer = "issuer", 0;
    /// The token is for somebody else.
    Audience = "audience", 0;
    /// Too many passwords are waiting to be hashed.
    Hashing = "hashing", 0;
    /// The route does not serve the method.
    NotAllowed = "not_allowed", 405;
    /// Over a rate.
    Rate = "rate", 0;
    /// Over a number of requests under way.
    Concurrency = "concurrency", 0;
    /// The store of shared counters does not answer.
    Store = "store", 503;
    /// Over `handshakes`.
    Handshakes = "handshakes", 0;
    /// The peer refused the handshake with an alert.
    Alert = "alert", 0;
    /// None of the protocols that the peer asked for is spoken here.
    Alpn = "alpn", 0;
    /// No version, suite or group in common.
    Incompatible = "incompatible", 0;
    /// A certificate that is not accepted, or none where one must be shown.
    Certificate = "certificate", 0;
    /// The peer's certificate has expired, or is not valid yet.
    Expired = "expired", 0;
    /// Nobody whom we trust signed the peer's certificate.
    UnknownIssuer = "unknown_issuer", 0;
    /// The peer's certificate is for other names.
    NameMismatch = "name_mismatch", 0;
    /// The peer's certificate was revoked.
    Revoked = "revoked", 0;
    /// What the peer sent is not TLS, or breaks its rules.
    Malformed = "malformed", 0;
    /// It took too long.
    Timeout = "timeout", 0;
    /// Over `connections_per_client`.
    Client = "client", 0;
    /// Over `connections_per_endpoint`.
    Endpoint = "endpoint", 0;
    /// Over `bulkhead.requests`.
    Requests = "requests", 0;
    /// Waited for a tenth of `bulkhead.queue.timeout` while the queue was overloaded.
    Overload = "overload", 0;
    /// The endpoint that it was bound to is unhealthy or disabled (`on_endpoint_down`).
    EndpointDown = "endpoint_down", 0;
    /// The endpoint's answer has a page of ours in its place (`error_pages.NAME.endpoints`).
    Replaced = "replaced", 0;
    /// Not retried: the method is not idempotent and bytes may have been taken.
    NotIdempotent = "not_idempotent", 0;
    /// Not retried: the body cannot be sent again.
    BodyNotReplayable = "body_not_replayable", 0;
    /// Not retried: the budget is spent.
    BudgetEmpty = "budget_empty", 0;
    /// Not retried: the pause before it would take what is left of the exchange's time.
    Deadline = "deadline", 0;
    /// Not retried: no try left.
    Attempts = "attempts", 0;
    /// Not retried: no other endpoint.
    NoOther = "no_other", 0;
}
