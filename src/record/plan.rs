//! What a line looks like: the compiled form of `[log.access]`.

use std::path::PathBuf;
use std::sync::Arc;

/// Where lines go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Nowhere; no line is made.
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// The time, then `key=value`.
    Text,
}

macro_rules! fields {
    ($( $(#[$doc:meta])* $name:ident = $label:literal; )*) => {
        /// One field of a line.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Field { $( $(#[$doc])* $name, )* }

        impl Field {
            /// Every field, in the order in which they are written.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            /// Name in the line and in the configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $label, )* }
            }
        }
    };
}

fields! {
    /// When the request began: RFC 3339, UTC, milliseconds.
    Time = "time";
    /// A UUID of version 7, or the id that a trusted peer sent.
    RequestId = "request_id";
    /// Address of the client, as told by trusted proxies.
    Client = "client";
    /// Address of the peer of the connection; `unix` over a unix socket.
    Peer = "peer";
    /// Name of the listener.
    Listener = "listener";
    /// Method as received.
    Method = "method";
    /// Host in lower case, without port; of a connection of layer 4 the server name that it asks for.
    Host = "host";
    /// Canonical path.
    Path = "path";
    /// What stands after `?`.
    Query = "query";
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`; `tcp` and `udp` for sessions of layer 4.
    Protocol = "protocol";
    /// Status of the response; 499: the client left before there was one. None on layer 4.
    Status = "status";
    /// Why the exchange ended.
    Reason = "reason";
    /// When it ended.
    Phase = "phase";
    /// Whose doing it was.
    Side = "side";
    /// What exactly was wrong.
    Detail = "detail";
    /// Whole exchange, milliseconds.
    Duration = "duration_ms";
    /// Waiting for a slot at an endpoint, milliseconds.
    Queue = "queue_ms";
    /// Making the connection to the endpoint, milliseconds.
    Connect = "connect_ms";
    /// To the first byte of the response head, milliseconds.
    FirstByte = "first_byte_ms";
    /// Bytes of the request body, or from the client on layer 4.
    BytesIn = "bytes_in";
    /// Bytes of the response body, or to the client on layer 4.
    BytesOut = "bytes_out";
    /// Name of the route.
    Route = "route";
    /// Name of the cluster.
    Cluster = "cluster";
    /// Address of the last endpoint that was tried.
    Endpoint = "endpoint";
    /// Endpoints tried.
    Attempts = "attempts";
    /// Version of TLS, `1.2` or `1.3`; absent without TLS; only if asked for.
    TlsVersion = "tls_version";
    /// Cipher suite, as IANA calls it; only if asked for.
    TlsCipher = "tls_cipher";
    /// Server name that the client asked for in its TLS hello; only if asked for.
    ServerName = "sni";
    /// Connection id of QUIC, in hexadecimal, that a flow of `flow_by = "connection_id"` is known by; only if asked for.
    ConnectionId = "connection_id";
    /// Subject of the certificate that the client showed (RFC 4514); only if asked for.
    ClientSubject = "tls_client_subject";
    /// Its number, in hexadecimal; only if asked for.
    ClientSerial = "tls_client_serial";
    /// Its SHA-256, in hexadecimal; only if asked for.
    ClientFingerprint = "tls_client_fingerprint";
    /// The User-Agent field; only if asked for.
    UserAgent = "user_agent";
    /// The Referer field; only if asked for.
    Referer = "referer";
}

impl Field {
    /// Whether a configuration that does not list fields gets this one.
    pub const fn is_default(self) -> bool {
        !matches!(
            self,
            Self::TlsVersion
                | Self::TlsCipher
                | Self::ServerName
                | Self::ConnectionId
                | Self::ClientSubject
                | Self::ClientSerial
                | Self::ClientFingerprint
                | Self::UserAgent
                | Self::Referer
        )
    }

    /// Whether its value may be replaced by `-`.
    pub const fn may_be_redacted(self) -> bool {
        matches!(
            self,
            Self::Client
                | Self::Path
                | Self::Query
                | Self::ClientSubject
                | Self::UserAgent
                | Self::Referer
        )
    }
}

/// What becomes of a field's value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Show {
    /// It is written.
    Value,
    /// `-` is written in its place.
    Redacted,
}

/// One column of a line.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) field: Field,
    pub(super) show: Show,
    /// What stands before the value: separator and key.
    pub(super) prefix: Box<str>,
}

/// The compiled access log: shared by the workers, replaced by a reload.
#[derive(Debug)]
pub struct AccessLog {
    output: Output,
    format: Format,
    /// Successful exchanges are logged when a random 32-bit number is below this; 2^32: all.
    sample: u64,
    columns: Box<[Column]>,
}

impl AccessLog {
    /// An access log. `sample` is the share of successful exchanges that are logged, 0.0 to 1.0. No
    /// `fields`: those of [`Field::is_default`]. A redacted `client` redacts `peer` as well.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share between 0 and 1 is between 0 and 2^32"
    )]
    pub fn new(
        output: Output,
        format: Format,
        sample: f64,
        fields: &[Field],
        redact: &[Field],
    ) -> Arc<Self> {
        let chosen: Vec<Field> = if fields.is_empty() {
            let all = Field::ALL.iter().copied();
            all.filter(|field| field.is_default()).collect()
        } else {
            fields.to_vec()
        };
        let columns = chosen.iter().enumerate().map(|(index, field)| {
            let hidden =
                redact.contains(field) || *field == Field::Peer && redact.contains(&Field::Client);
            Column {
                field: *field,
                show: if hidden { Show::Redacted } else { Show::Value },
                prefix: prefix(format, index, *field).into(),
            }
        });
        Arc::new(Self {
            output,
            format,
            sample: (sample.clamp(0.0, 1.0) * (1_u64 << 32) as f64) as u64,
            columns: columns.collect(),
        })
    }

    /// Where lines go.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// How lines are written.
    pub fn format(&self) -> Format {
        self.format
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether one successful exchange, drawn by `chance`, is logged.
    pub(super) fn samples(&self, chance: impl FnOnce() -> u32) -> bool {
        self.sample >= 1 << 32 || u64::from(chance()) < self.sample
    }
}

fn prefix(format: Format, index: usize, field: Field) -> String {
    let name = field.as_str();
    match (format, index) {
        (Format::Json, 0) => format!("{{\"{name}\":"),
        (Format::Json, _) => format!(",\"{name}\":"),
        (Format::Text, 0) if field == Field::Time => String::new(),
        (Format::Text, 0) => format!("{name}="),
        (Format::Text, _) => format!(" {name}="),
    }
}
